// Finds the bounds of a thread's stack.
#ifndef NATIVE_HANDLER_STACK_BOUNDS_H_
#define NATIVE_HANDLER_STACK_BOUNDS_H_

#include <cstdint>

#include "base/signal_safety.h"

namespace otelpyroscope {

// The addresses [low, high) of a thread's stack.
struct StackBounds {
  uintptr_t low = 0;
  uintptr_t high = 0;

  // Returns the bounds of the calling thread's stack, found once per thread, or
  // empty bounds if they cannot be determined. For the main thread, the upper
  // 64 MiB. Not SIGNAL_SAFE.
  static StackBounds OfThisThread();

  SIGNAL_SAFE bool Contains(uintptr_t address) const noexcept {
    return address >= low && address < high;
  }
};

}  // namespace otelpyroscope

#endif  // NATIVE_HANDLER_STACK_BOUNDS_H_
