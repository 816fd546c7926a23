#include "handler/stack_walker.h"

#include <ucontext.h>

#include <algorithm>

#include "handler/signal_frame.h"
#include "symbols/loaded_files.h"
#include "v8-internal.h"
#include "v8-locker.h"
#include "v8-unwinder.h"
#include "v8_heap/heap_reader.h"
#include "v8_heap/layout.h"

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

// Returns the return address of a leaf without a frame of its own; the stack
// pointer must be on this thread's stack.
READS_OTHER_FRAMES SIGNAL_SAFE uintptr_t
ReadReturnAddress(const v8::RegisterState& state) noexcept {
#if defined(__aarch64__)
  // A call leaves it in the link register. Code with pointer authentication may
  // have signed it: hint 7 is XPACLRI, which removes the signature from that
  // register, and does nothing on processors without.
  register uintptr_t link asm("x30") = reinterpret_cast<uintptr_t>(state.lr);
  asm("hint #7" : "+r"(link));
  return link;
#else
  return *static_cast<const uintptr_t*>(state.sp);
#endif
}

#if defined(__x86_64__)
// Moves `state` from a function's first or last instructions, in which it has
// no whole frame, to its return address; the program counter must be in V8's
// code and the stack pointer on this thread's stack. Returns false if the
// function has a frame.
READS_OTHER_FRAMES SIGNAL_SAFE bool ReturnToCaller(
    v8::RegisterState* state) noexcept {
  const uint8_t* next = static_cast<const uint8_t*>(state->pc);
  void** top = static_cast<void**>(state->sp);
  const bool is_at_push = next[0] == 0x55;          // push %rbp
  const bool is_at_return = (next[0] | 1) == 0xc3;  // ret, ret N
  const bool is_behind_push =
      next[0] == 0x48 && next[1] == 0x89 && next[2] == 0xe5;  // mov %rsp,%rbp
  if (state->sp == state->fp) {
    state->fp = *top++;
  } else if (is_behind_push) {
    top++;
  } else if (!is_at_push && !is_at_return) {
    return false;
  }
  state->pc = *top;
  state->sp = top + 1;
  return true;
}
#endif

// Reads the registers in which V8's interpreter keeps the bytecode array and
// the offset in it, and the register of the called function.
SIGNAL_SAFE void ReadInterpreterRegisters(const void* ucontext,
                                          SampleHeader* header) noexcept {
  const mcontext_t& context =
      static_cast<const ucontext_t*>(ucontext)->uc_mcontext;
#if defined(__x86_64__)
  header->called_function = static_cast<uintptr_t>(context.gregs[REG_RDI]);
  header->bytecode_array = static_cast<uintptr_t>(context.gregs[REG_R12]);
  header->bytecode_offset = static_cast<uintptr_t>(context.gregs[REG_R9]);
#elif defined(__aarch64__)
  header->called_function = static_cast<uintptr_t>(context.regs[1]);
  header->bytecode_array = static_cast<uintptr_t>(context.regs[20]);
  header->bytecode_offset = static_cast<uintptr_t>(context.regs[19]);
#endif
}

constexpr uintptr_t kWord = sizeof(uintptr_t);
// Words of the stack that are searched for frames that cannot be reached from
// one another: mostly below JavaScript that native code has called.
constexpr size_t kMaxSearchedWords = 8192;
constexpr size_t kMaxSearchedPerFrame = 2048;
constexpr int kMaxFramesBetween = 64;
// The words after a frame pointer: the caller's, the return address, and
// arguments.
constexpr size_t kMaxArgumentWords = 8;

READS_OTHER_FRAMES SIGNAL_SAFE uintptr_t WordAt(uintptr_t address) noexcept {
  return *reinterpret_cast<const uintptr_t*>(address);
}

// Whether `fp` may be the frame pointer of a frame, above `sp`, with its return
// address above that.
SIGNAL_SAFE bool MayBeFrame(const StackBounds& bounds, uintptr_t sp,
                            uintptr_t fp) noexcept {
  return fp % kWord == 0 && bounds.Contains(fp) && fp > sp &&
         bounds.Contains(fp + kWord);
}

// Returns the JSFunction in the frame at `fp`, if it is a whole frame of
// JavaScript: its context, which in other frames is a small integer, is between
// the JSFunction and `fp`. WebAssembly frames have `wasm_marker` there (0:
// unknown), and their instance instead of the function.
SIGNAL_SAFE uintptr_t FunctionOf(const StackBounds& bounds,
                                 uintptr_t wasm_marker, uintptr_t sp,
                                 uintptr_t fp) noexcept {
  const v8_layout::Layout& at = v8_layout::layout();
  if (!MayBeFrame(bounds, sp, fp) || fp - sp < at.frame_function_below) {
    return 0;
  }
  const uintptr_t context = WordAt(fp - at.frame_context_below);
  const bool is_wasm = wasm_marker != 0 && context == wasm_marker;
  return is_wasm || (context & v8_layout::kTagMask) == v8_layout::kHeapObjectTag
             ? WordAt(fp - at.frame_function_below)
             : 0;
}

// Whether the frame at `fp`, to which a callee returns at `return_address`, is
// the one that V8 lists by `pc`: the return address in machine code, or the
// position in interpreted bytecode.
SIGNAL_SAFE bool IsFrameOf(uintptr_t pc, uintptr_t return_address, uintptr_t fp,
                           uintptr_t sp) noexcept {
  if (return_address == pc) return true;
  const v8_layout::Layout& at = v8_layout::layout();
  if (fp - sp < at.frame_offset_below) return false;
  const uintptr_t offset = WordAt(fp - at.frame_offset_below);
  return static_cast<uint32_t>(offset) == 0 &&
         WordAt(fp - at.frame_bytecode_below) +
                 (offset >> v8_layout::kSmiShift) ==
             pc;
}

// Returns the frame that V8 lists by `pc` among the callers of the frame at
// `from`, as far as one frame pointer leads to the next; or 0.
SIGNAL_SAFE uintptr_t WalkFramePointers(const StackBounds& bounds, uintptr_t pc,
                                        uintptr_t sp, uintptr_t from) noexcept {
  for (int i = 0; i < kMaxFramesBetween; i++) {
    if (!MayBeFrame(bounds, sp, from)) return 0;
    const uintptr_t caller = WordAt(from);
    if (!MayBeFrame(bounds, from, caller)) return 0;
    if (IsFrameOf(pc, WordAt(from + kWord), caller, sp)) return caller;
    from = caller;
  }
  return 0;
}

// Returns the same frame, found by checking the words from `begin` on, at most
// `*budget` of them, which it counts down; or 0.
SIGNAL_SAFE uintptr_t SearchStack(const StackBounds& bounds, uintptr_t pc,
                                  uintptr_t sp, uintptr_t begin,
                                  size_t* budget) noexcept {
  const size_t limit = std::min(*budget, kMaxSearchedPerFrame);
  for (size_t i = 0; i < limit; i++) {
    const uintptr_t address = begin + i * kWord;
    if (!bounds.Contains(address + kWord)) break;
    const uintptr_t caller = WordAt(address);
    if (MayBeFrame(bounds, address, caller) &&
        IsFrameOf(pc, WordAt(address + kWord), caller, sp)) {
      *budget -= i;
      return caller;
    }
  }
  *budget -= limit;
  return 0;
}

}  // namespace

void StackWalker::Init(v8::Isolate* isolate, size_t max_frames) {
  isolate_ = isolate;
  max_frames_ = max_frames;
  bounds_ = StackBounds::OfThisThread();
  void* code = nullptr;
  isolate->GetCodeRange(&code, &code_size_);
  code_begin_ = reinterpret_cast<uintptr_t>(code);
  const void* builtins = nullptr;
  isolate->GetEmbeddedCodeRange(&builtins, &builtins_size_);
  builtins_ = reinterpret_cast<uintptr_t>(builtins);
  // Empty if the dynamic linker does not list it; then native functions are
  // searched for, too.
  const LoadedFile program = LoadedFileOf(builtins_).value_or(LoadedFile());
  program_ = program.begin;
  program_size_ = program.end - program.begin;
  wasm_marker_ = WasmFrameMarker();
  // An embedder that never uses a Locker never holds one.
  uses_locker_ = v8::Locker::IsLocked(isolate);
}

SIGNAL_SAFE uintptr_t
StackWalker::FunctionOfFrame(uintptr_t sp, uintptr_t fp) const noexcept {
  return FunctionOf(bounds_, wasm_marker_, sp, fp);
}

// Returns the same for the innermost frame.
SIGNAL_SAFE uintptr_t StackWalker::FunctionOfFrame(
    const v8::RegisterState& registers) const noexcept {
  return FunctionOfFrame(reinterpret_cast<uintptr_t>(registers.sp),
                         reinterpret_cast<uintptr_t>(registers.fp));
}

// Whether the isolate runs on this thread right now.
SIGNAL_SAFE bool StackWalker::IsRunning() const noexcept {
  return v8::Isolate::TryGetCurrent() == isolate_ && isolate_->IsInUse() &&
         (!uses_locker_ || v8::Locker::IsLocked(isolate_));
}

SIGNAL_SAFE uintptr_t StackWalker::fast_caller() const noexcept {
  return WordAt(reinterpret_cast<uintptr_t>(isolate_) +
                v8::internal::Internals::kIsolateFastCCallCallerFpOffset);
}

SIGNAL_SAFE bool StackWalker::Capture(const void* our_context,
                                      SampleHeader* header,
                                      void** frames) const noexcept {
  // CPU of another handler is counted as that of the code it interrupted: V8
  // finds no stack from the handler's own registers.
  const void* ucontext = InterruptedContext(bounds_, our_context);
  v8::RegisterState registers;
  ReadRegisters(ucontext, &registers);
  const bool on_stack =
      bounds_.Contains(reinterpret_cast<uintptr_t>(registers.sp));
  header->pc = reinterpret_cast<uintptr_t>(registers.pc);
  header->stack_top = on_stack ? ReadReturnAddress(registers) : uintptr_t{0};
  header->function = on_stack ? FunctionOfFrame(registers) : uintptr_t{0};
  header->frame_count = 0;
  header->stack_words = 0;
  header->truncated = 0;
  header->fast_call = 0;
  header->vm_state = kNotAsked;
  header->external_callback = 0;
  ReadInterpreterRegisters(ucontext, header);
  if (!IsRunning()) return false;
  if (!on_stack) return true;
  // During a fast call, which leaves no exit frame, V8 keeps the caller's frame
  // here, and does not leave that frame out of the sample.
  header->fast_call = bounds_.Contains(fast_caller());

  v8::SampleInfo info = {};
  isolate_->GetStackSample(registers, frames, max_frames_ + 1, &info);
  const bool in_code = IsGenerated(header->pc);
  bool is_frameless = false;
#if defined(__x86_64__)
  // V8 returns no frames at the first and last instructions of a function.
  is_frameless = in_code && info.frames_count == 0 && info.vm_state != v8::GC &&
                 ReturnToCaller(&registers);
  if (is_frameless) {
    const uintptr_t caller = reinterpret_cast<uintptr_t>(registers.pc);
    header->stack_top = caller;
    header->function = IsGenerated(caller) || IsBuiltin(caller)
                           ? FunctionOfFrame(registers)
                           : uintptr_t{0};
    isolate_->GetStackSample(registers, frames, max_frames_ + 1, &info);
  }
#endif
  header->vm_state = static_cast<uint16_t>(info.vm_state);
  header->external_callback =
      reinterpret_cast<uintptr_t>(info.external_callback_entry);
  header->truncated = info.frames_count > max_frames_;
  header->frame_count = static_cast<uint16_t>(
      header->truncated ? max_frames_ : info.frames_count);
  const uintptr_t sp = reinterpret_cast<uintptr_t>(registers.sp);
  const uintptr_t fp = reinterpret_cast<uintptr_t>(registers.fp);
  const uintptr_t first = FindFunctions(sp, fp, header->frame_count, frames);
  if (in_code) {
    // Up to the calling frame, and the arguments of the call.
    const uintptr_t end =
        first == 0 ? uintptr_t{0} : first + kMaxArgumentWords * kWord;
    header->stack_words =
        CopyObjects(is_frameless ? sp : StackOfMarkedFrame(sp, fp), end,
                    frames + 2 * header->frame_count);
  }
  return true;
}

// Returns the start of the stack of a regular expression's caller, or 0. Its
// code has a frame that is marked by a small integer, where functions have
// their context. Its object is somewhere on the caller's stack, which may be
// V8's C++.
SIGNAL_SAFE uintptr_t
StackWalker::StackOfMarkedFrame(uintptr_t sp, uintptr_t fp) const noexcept {
  const bool is_marked = MayBeFrame(bounds_, sp, fp) &&
                         !v8_layout::MayBeObject(WordAt(
                             fp - v8_layout::layout().frame_context_below));
  return is_marked ? fp + 2 * kWord : uintptr_t{0};
}

// Copies the words from `begin` to `end` that may be objects, as far as they
// are on this thread's stack. Returns their number.
READS_OTHER_FRAMES SIGNAL_SAFE uint16_t StackWalker::CopyObjects(
    uintptr_t begin, uintptr_t end, void** to) const noexcept {
  if (end == 0 || end - begin > kMaxSearchedPerFrame * kWord) {
    end = begin + kMaxSearchedPerFrame * kWord;
  }
  uint16_t count = 0;
  for (uintptr_t address = begin;
       address < end && bounds_.Contains(address) && count < kMaxStackWords;
       address += kWord) {
    const uintptr_t word = WordAt(address);
    if (v8_layout::MayBeObject(word))
      to[count++] = reinterpret_cast<void*>(word);
  }
  return count;
}

// V8 lists frames without their functions. Each frame is found on the stack
// again: from one frame pointer to the next, and where that leads to none
// (native code may use the register for anything), word by word. Builtins'
// frames are not searched for: their functions are not needed, and where native
// code in between leads past one, the next call of the same builtin looks the
// same. Neither are native functions that V8 lists between their callers and
// their callees (V8 11 most of them): they have no frame of V8's.
SIGNAL_SAFE uintptr_t StackWalker::FindFunctions(uintptr_t sp, uintptr_t fp,
                                                 size_t count,
                                                 void** frames) const noexcept {
  size_t budget = kMaxSearchedWords;
  uintptr_t first = 0;
  uintptr_t callee = 0;
  // Whether frame pointers lead here from the innermost frame. A search may
  // find what is left from a call that has returned: a function is then
  // confirmed by the same code; an instance may be dead.
  bool is_chained = true;
  for (size_t i = 0; i < count; i++) {
    const uintptr_t pc = reinterpret_cast<uintptr_t>(frames[i]);
    if (i != 0 && IsBuiltin(pc)) {
      frames[count + i] = nullptr;
      continue;
    }
    uintptr_t found = 0;
    // The innermost frame is listed if the interpreter runs, as is a caller of
    // C++ that runs without a frame.
    if (i == 0 && MayBeFrame(bounds_, sp, fp) &&
        IsFrameOf(pc, fp == fast_caller() ? pc : 0, fp, sp)) {
      found = fp;
    }
    if (found == 0 && !IsNative(pc)) {
      found = WalkFramePointers(bounds_, pc, sp, callee == 0 ? fp : callee);
      if (found == 0) {
        is_chained = false;
        found = SearchStack(bounds_, pc, sp, std::max(sp, callee), &budget);
      }
    }
    const bool is_of_function =
        found != 0 &&
        (is_chained ||
         WordAt(found - v8_layout::layout().frame_context_below) !=
             wasm_marker_);
    frames[count + i] = reinterpret_cast<void*>(
        is_of_function ? FunctionOfFrame(sp, found) : uintptr_t{0});
    if (found != 0) callee = found;
    if (i == 0) first = found;
  }
  return first;
}

READS_OTHER_FRAMES bool FindFrame(const StackBounds& bounds, uintptr_t sp,
                                  uintptr_t callee, uintptr_t pc,
                                  FoundFrame* found) {
  size_t budget = kMaxSearchedPerFrame;
  uintptr_t fp = WalkFramePointers(bounds, pc, sp, callee);
  if (fp == 0) fp = SearchStack(bounds, pc, sp, callee, &budget);
  if (fp == 0) return false;
  found->pointer = fp;
  found->function = FunctionOf(bounds, 0, sp, fp);
  found->context = WordAt(fp - v8_layout::layout().frame_context_below);
  return true;
}

}  // namespace otelpyroscope
