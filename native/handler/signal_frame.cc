#include "handler/signal_frame.h"

#include <signal.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdint>

namespace otelpyroscope {
namespace {

constexpr uintptr_t kWord = sizeof(uintptr_t);
// Handlers that interrupt one another, and frames of each.
constexpr int kMaxHandlers = 4;
constexpr int kMaxHandlerFrames = 32;

READS_OTHER_FRAMES SIGNAL_SAFE uintptr_t WordAt(uintptr_t address) noexcept {
  return *reinterpret_cast<const uintptr_t*>(address);
}

SIGNAL_SAFE uintptr_t AddressOf(const void* pointer) noexcept {
  return reinterpret_cast<uintptr_t>(pointer);
}

// The kernel writes the first 64 signals of `uc_sigmask` alone; the C
// libraries' type has room for 1,024.
READS_OTHER_FRAMES SIGNAL_SAFE uint64_t
BlockedSignals(const ucontext_t& context) noexcept {
  return *reinterpret_cast<const uint64_t*>(&context.uc_sigmask);
}

// The addresses of the parts of a frame that the kernel makes for a handler.
struct SignalFrame {
  uintptr_t context;  // ucontext_t, as far as the kernel writes it
  uintptr_t info;     // siginfo_t
  uintptr_t end;
};

#if defined(__x86_64__)

constexpr uintptr_t kContextBytes =
    offsetof(ucontext_t, uc_sigmask) + sizeof(uint64_t);

SIGNAL_SAFE uintptr_t StackPointer(const ucontext_t& context) noexcept {
  return static_cast<uintptr_t>(context.uc_mcontext.gregs[REG_RSP]);
}

SIGNAL_SAFE uintptr_t FramePointer(const ucontext_t& context) noexcept {
  return static_cast<uintptr_t>(context.uc_mcontext.gregs[REG_RBP]);
}

// The frame begins with the return address of the handler, then the context.
SIGNAL_SAFE SignalFrame FrameAt(uintptr_t return_address) noexcept {
  const uintptr_t context = return_address + kWord;
  const uintptr_t info = context + kContextBytes;
  return {context, info, info + sizeof(siginfo_t)};
}

#elif defined(__aarch64__)

SIGNAL_SAFE uintptr_t StackPointer(const ucontext_t& context) noexcept {
  return context.uc_mcontext.sp;
}

SIGNAL_SAFE uintptr_t FramePointer(const ucontext_t& context) noexcept {
  return context.uc_mcontext.regs[29];
}

// The kernel puts a frame record with the interrupted registers behind the
// frame, whose size is always this unless the processor has vectors of more
// than 4 KiB.
SIGNAL_SAFE SignalFrame FrameBefore(uintptr_t record) noexcept {
  const uintptr_t info = record - sizeof(siginfo_t) - sizeof(ucontext_t);
  return {info + sizeof(siginfo_t), info, record};
}

#endif

// Whether `frame` is that of a handler which `context` has interrupted: the
// code in `context` has its signal blocked, and the code before had not. What
// earlier signals have left on the stack also looks like a frame; it is not
// reached by the frame pointers of a handler that runs.
READS_OTHER_FRAMES SIGNAL_SAFE bool IsOfRunningHandler(
    const StackBounds& stack, const ucontext_t& context,
    const SignalFrame& frame) noexcept {
  if (frame.context % kWord != 0 || frame.context < StackPointer(context) ||
      !stack.Contains(frame.context) || !stack.Contains(frame.end)) {
    return false;
  }
  const int signal = reinterpret_cast<const siginfo_t*>(frame.info)->si_signo;
  if (signal < 1 || signal > 64) return false;
  const uint64_t bit = uint64_t{1} << (signal - 1);
  const ucontext_t& before =
      *reinterpret_cast<const ucontext_t*>(frame.context);
  return (BlockedSignals(context) & bit) != 0 &&
         (BlockedSignals(before) & bit) == 0;
}

#if defined(__x86_64__)

// Returns the context at `return_address`, which is on the stack, if a running
// handler returns there with this frame pointer; else null. All handlers return
// to the same function of the C library: `restorer`.
READS_OTHER_FRAMES SIGNAL_SAFE const ucontext_t* ContextAt(
    const StackBounds& stack, const ucontext_t& context, uintptr_t restorer,
    uintptr_t return_address, uintptr_t frame_pointer) noexcept {
  if (WordAt(return_address) != restorer) return nullptr;
  const SignalFrame frame = FrameAt(return_address);
  if (!IsOfRunningHandler(stack, context, frame)) return nullptr;
  const ucontext_t* before = reinterpret_cast<const ucontext_t*>(frame.context);
  return FramePointer(*before) == frame_pointer ? before : nullptr;
}

// Returns the context of the code that was interrupted by the handler which
// `context` has interrupted, or null.
READS_OTHER_FRAMES SIGNAL_SAFE const ucontext_t* ContextBefore(
    const StackBounds& stack, const ucontext_t& context,
    uintptr_t restorer) noexcept {
  const uintptr_t sp = StackPointer(context);
  uintptr_t fp = FramePointer(context);
  if (!stack.Contains(sp) || !stack.Contains(sp + 2 * kWord)) return nullptr;
  // At the handler's first instructions, before and after it has saved the
  // frame pointer.
  const ucontext_t* before = ContextAt(stack, context, restorer, sp, fp);
  if (before != nullptr) return before;
  if (WordAt(sp) == fp) {
    before = ContextAt(stack, context, restorer, sp + kWord, fp);
    if (before != nullptr) return before;
  }
  for (int i = 0; i < kMaxHandlerFrames; i++) {
    if (fp % kWord != 0 || fp < sp || !stack.Contains(fp) ||
        !stack.Contains(fp + 2 * kWord)) {
      return nullptr;
    }
    const uintptr_t caller = WordAt(fp);
    before = ContextAt(stack, context, restorer, fp + kWord, caller);
    if (before != nullptr) return before;
    if (caller <= fp) return nullptr;
    fp = caller;
  }
  return nullptr;
}

#elif defined(__aarch64__)

READS_OTHER_FRAMES SIGNAL_SAFE const ucontext_t* ContextBefore(
    const StackBounds& stack, const ucontext_t& context, uintptr_t) noexcept {
  const uintptr_t sp = StackPointer(context);
  uintptr_t fp = FramePointer(context);
  for (int i = 0; i < kMaxHandlerFrames; i++) {
    if (fp % kWord != 0 || fp < sp || !stack.Contains(fp) ||
        !stack.Contains(fp + 2 * kWord)) {
      return nullptr;
    }
    const uintptr_t caller = WordAt(fp);
    const SignalFrame frame = FrameBefore(fp);
    if (IsOfRunningHandler(stack, context, frame)) {
      const ucontext_t* before =
          reinterpret_cast<const ucontext_t*>(frame.context);
      if (FramePointer(*before) == caller &&
          before->uc_mcontext.regs[30] == WordAt(fp + kWord)) {
        return before;
      }
    }
    if (caller <= fp) return nullptr;
    fp = caller;
  }
  return nullptr;
}

#endif

// Returns the stack on which the interrupted code ran: the thread's own, or the
// alternate one of signals.
SIGNAL_SAFE StackBounds StackOf(const StackBounds& own,
                                const ucontext_t& context) noexcept {
  if (own.Contains(StackPointer(context))) return own;
  StackBounds alternate;
  if ((context.uc_stack.ss_flags & SS_DISABLE) != 0) return alternate;
  alternate.low = AddressOf(context.uc_stack.ss_sp);
  alternate.high = alternate.low + context.uc_stack.ss_size;
  return alternate;
}

}  // namespace

SIGNAL_SAFE const void* InterruptedContext(const StackBounds& bounds,
                                           const void* ucontext) noexcept {
  const ucontext_t* context = static_cast<const ucontext_t*>(ucontext);
  uintptr_t restorer = 0;
#if defined(__x86_64__)
  restorer = WordAt(AddressOf(ucontext) - kWord);
#endif
  for (int i = 0; i < kMaxHandlers; i++) {
    // A handler runs with its signal blocked; JavaScript mostly with none.
    if (BlockedSignals(*context) == 0) break;
    const ucontext_t* before =
        ContextBefore(StackOf(bounds, *context), *context, restorer);
    if (before == nullptr) break;
    context = before;
  }
  return context;
}

}  // namespace otelpyroscope
