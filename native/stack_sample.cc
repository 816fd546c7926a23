// From interrupted registers to frames, and from frames to functions.
#include "stack_sample.h"

#include <pthread.h>
#include <ucontext.h>

#include "v8-locker.h"
#include "v8-unwinder.h"

namespace otelpyroscope {
namespace {

SIGNAL_SAFE void ReadRegisters(const void* ucontext,
                               v8::RegisterState* state) noexcept {
  const mcontext_t& context =
      static_cast<const ucontext_t*>(ucontext)->uc_mcontext;
#if defined(__x86_64__)
  state->pc = reinterpret_cast<void*>(context.gregs[REG_RIP]);
  state->sp = reinterpret_cast<void*>(context.gregs[REG_RSP]);
  state->fp = reinterpret_cast<void*>(context.gregs[REG_RBP]);
#elif defined(__aarch64__)
  state->pc = reinterpret_cast<void*>(context.pc);
  state->sp = reinterpret_cast<void*>(context.sp);
  state->fp = reinterpret_cast<void*>(context.regs[29]);
  state->lr = reinterpret_cast<void*>(context.regs[30]);
#else
#error "unsupported architecture"
#endif
}

bool IsFunction(const CodeEntry* entry) {
  return entry != nullptr && entry->kind != CodeKind::kBytecodeHandler;
}

// The code of a return address or of a place in a bytecode array.
const CodeEntry* FindCaller(const CodeMap& code_map, uintptr_t address) {
  // A place in bytecode is exact. A return address is behind its call, which
  // may be the last instruction of its code.
  const CodeEntry* entry = code_map.Find(address);
  if (entry != nullptr && entry->kind == CodeKind::kBytecode) return entry;
  return code_map.Find(address - 1);
}

// The innermost frame, which GetStackSample leaves out. Returns the number of
// frames (0 or 1) that could not be resolved.
size_t PushLeaf(const SampleHeader& header, const CodeMap& code_map,
                StackTable* table) {
  const CodeEntry* entry = code_map.Find(header.pc);
  if (entry == nullptr && header.external_callback != 0) {
    table->Push(PseudoFrame::kNativeFunction);
    return 0;
  }
  if (entry == nullptr && code_map.IsGenerated(header.pc)) {
    table->Push(PseudoFrame::kUnresolved);
    return 1;
  }
  if (entry == nullptr && header.vm_state == v8::JS && header.stack_top != 0) {
    // A leaf without a frame of its own, called from generated code.
    entry = FindCaller(code_map, header.stack_top);
  }
  if (entry == nullptr) {
    table->Push(PseudoFrame::kNative);  // V8's own C++
  } else if (IsFunction(entry)) {
    table->Push(*entry, code_map);
  }
  return 0;
}

}  // namespace

StackBounds StackBounds::OfThisThread() {
  StackBounds bounds;
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return bounds;
  void* address = nullptr;
  size_t size = 0;
  if (pthread_attr_getstack(&attributes, &address, &size) == 0) {
    bounds.low = reinterpret_cast<uintptr_t>(address);
    bounds.high = bounds.low + size;
  }
  pthread_attr_destroy(&attributes);
  return bounds;
}

void StackCapture::Init(v8::Isolate* isolate, size_t max_frames) {
  isolate_ = isolate;
  max_frames_ = max_frames;
  bounds_ = StackBounds::OfThisThread();
  // An embedder that never uses a Locker never holds one.
  uses_locker_ = v8::Locker::IsLocked(isolate);
}

// Whether the isolate is what runs on this thread right now.
SIGNAL_SAFE bool StackCapture::IsRunning() const noexcept {
  return v8::Isolate::TryGetCurrent() == isolate_ && isolate_->IsInUse() &&
         (!uses_locker_ || v8::Locker::IsLocked(isolate_));
}

SIGNAL_SAFE bool StackCapture::Capture(const void* ucontext,
                                       SampleHeader* header,
                                       void** frames) const noexcept {
  v8::RegisterState registers;
  ReadRegisters(ucontext, &registers);
  const uintptr_t sp = reinterpret_cast<uintptr_t>(registers.sp);
  const bool on_stack = bounds_.Contains(sp);
  header->pc = reinterpret_cast<uintptr_t>(registers.pc);
  header->stack_top =
      on_stack ? *reinterpret_cast<const uintptr_t*>(sp) : uintptr_t{0};
  header->frame_count = 0;
  header->truncated = 0;
  header->vm_state = v8::OTHER;
  header->external_callback = 0;
  if (!IsRunning()) return false;
  if (!on_stack) return true;

  v8::SampleInfo info = {};
  isolate_->GetStackSample(registers, frames, max_frames_ + 1, &info);
  header->vm_state = static_cast<uint16_t>(info.vm_state);
  header->external_callback =
      reinterpret_cast<uintptr_t>(info.external_callback_entry);
  header->truncated = info.frames_count > max_frames_;
  header->frame_count = static_cast<uint32_t>(
      header->truncated ? max_frames_ : info.frames_count);
  return true;
}

size_t ResolveStack(const SampleHeader& header, const uintptr_t* frames,
                    const CodeMap& code_map, StackTable* table) {
  table->Begin(header.label);
  size_t unresolved = 0;
  if (header.vm_state == v8::GC) {
    table->Push(PseudoFrame::kGarbageCollector);
  } else if (header.frame_count == 0) {
    // V8 sees no frame in the first and last instructions of a function.
    const CodeEntry* entry = code_map.Find(header.pc);
    if (IsFunction(entry)) {
      table->Push(*entry, code_map);
      table->Push(PseudoFrame::kTruncated);
    } else {
      table->Push(PseudoFrame::kNative);
    }
  } else {
    unresolved += PushLeaf(header, code_map, table);
    for (size_t i = 0; i < header.frame_count; i++) {
      const CodeEntry* entry = FindCaller(code_map, frames[i]);
      if (entry == nullptr) {
        unresolved++;
        table->Push(PseudoFrame::kUnresolved);
      } else if (IsFunction(entry)) {
        table->Push(*entry, code_map);
      }
    }
    if (header.truncated) table->Push(PseudoFrame::kTruncated);
  }
  table->Commit(header.weight);
  return unresolved;
}

}  // namespace otelpyroscope
