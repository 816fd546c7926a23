// From interrupted registers to frames.
#include "stack_sample.h"

#include <pthread.h>
#include <ucontext.h>

#include "v8-internal.h"
#include "v8-locker.h"
#include "v8-unwinder.h"
#include "v8_layout.h"

// What AddressSanitizer puts around the variables of its own frames is read
// too.
#define READS_OTHER_FRAMES __attribute__((no_sanitize("address")))

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

// Where a leaf without a frame of its own returns to; the stack pointer must be
// on this thread's stack.
READS_OTHER_FRAMES SIGNAL_SAFE uintptr_t
ReadReturnAddress(const v8::RegisterState& state) noexcept {
#if defined(__aarch64__)
  // A call leaves it in the link register. Code with pointer authentication
  // may have signed it: hint 7 is XPACLRI, which takes the signature out of
  // that register, and does nothing on processors without.
  register uintptr_t link asm("x30") = reinterpret_cast<uintptr_t>(state.lr);
  asm("hint #7" : "+r"(link));
  return link;
#else
  return *static_cast<const uintptr_t*>(state.sp);
#endif
}

// The registers in which V8's interpreter keeps the bytecode array and the
// offset in it.
SIGNAL_SAFE void ReadInterpreterRegisters(const void* ucontext,
                                          SampleHeader* header) noexcept {
  const mcontext_t& context =
      static_cast<const ucontext_t*>(ucontext)->uc_mcontext;
#if defined(__x86_64__)
  header->bytecode_array = static_cast<uintptr_t>(context.gregs[REG_R12]);
  header->bytecode_offset = static_cast<uintptr_t>(context.gregs[REG_R9]);
#elif defined(__aarch64__)
  header->bytecode_array = static_cast<uintptr_t>(context.regs[20]);
  header->bytecode_offset = static_cast<uintptr_t>(context.regs[19]);
#endif
}

// The JSFunction in the frame at `fp`, if it is a whole frame of JavaScript:
// its context, which in other frames is a small integer, lies between it and
// `fp`.
READS_OTHER_FRAMES SIGNAL_SAFE uintptr_t FunctionOfFrame(
    const StackBounds& bounds, uintptr_t sp, uintptr_t fp) noexcept {
  constexpr uintptr_t kWord = sizeof(uintptr_t);
  if (fp % kWord != 0 || fp < sp + 2 * kWord || !bounds.Contains(fp)) return 0;
  const auto* words = reinterpret_cast<const uintptr_t*>(fp);
  const uintptr_t context = words[-1];
  return (context & v8_layout::kTagMask) == v8_layout::kHeapObjectTag
             ? words[-2]
             : 0;
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
  header->stack_top = on_stack ? ReadReturnAddress(registers) : uintptr_t{0};
  header->function =
      on_stack ? FunctionOfFrame(bounds_, sp,
                                 reinterpret_cast<uintptr_t>(registers.fp))
               : uintptr_t{0};
  header->frame_count = 0;
  header->truncated = 0;
  header->fast_call = 0;
  header->vm_state = kNotAsked;
  header->external_callback = 0;
  ReadInterpreterRegisters(ucontext, header);
  if (!IsRunning()) return false;
  if (!on_stack) return true;
  // During a fast call, which leaves no exit frame, V8 keeps the caller's frame
  // here, and does not leave that frame out of the sample.
  const uintptr_t fast_caller = *reinterpret_cast<const uintptr_t*>(
      reinterpret_cast<uintptr_t>(isolate_) +
      v8::internal::Internals::kIsolateFastCCallCallerFpOffset);
  header->fast_call = bounds_.Contains(fast_caller);

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

}  // namespace otelpyroscope
