// Reads the kernel's clocks, in nanoseconds.
#ifndef NATIVE_BASE_CLOCK_H_
#define NATIVE_BASE_CLOCK_H_

#include <cstdint>
#include <ctime>

#include "base/signal_safety.h"

namespace otelpyroscope {

// Returns the time of `clock`. Any thread, and the signal handler:
// clock_gettime() is async-signal-safe.
SIGNAL_SAFE inline uint64_t ClockNs(clockid_t clock) noexcept {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000 +
         static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace otelpyroscope

#endif  // NATIVE_BASE_CLOCK_H_
