// Finds the code that another signal handler has interrupted, for a signal of
// ours that has interrupted that handler.
//
// It is mostly another profiler's. Where its signal (SIGPROF) and ours are
// pending at once, the kernel begins the handlers of both, first that of the
// lower number: then ours interrupts the other one at its first instruction.
#ifndef NATIVE_HANDLER_SIGNAL_FRAME_H_
#define NATIVE_HANDLER_SIGNAL_FRAME_H_

#include "base/signal_safety.h"
#include "handler/stack_bounds.h"

namespace otelpyroscope {

// Returns the ucontext of the code that runs when all other signal handlers
// have returned. `ucontext` is that of our handler, `bounds` the thread's own
// stack. Returns the context of the outermost handler that certainly runs:
// `ucontext` itself if none does.
SIGNAL_SAFE const void* InterruptedContext(const StackBounds& bounds,
                                           const void* ucontext) noexcept;

}  // namespace otelpyroscope

#endif  // NATIVE_HANDLER_SIGNAL_FRAME_H_
