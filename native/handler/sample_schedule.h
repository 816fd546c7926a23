// Decides when a thread's next sample is due, and how much CPU time it stands
// for. Pure arithmetic on times of the thread's CPU clock.
//
// Samples are due once in every interval, at a random moment: work that runs in
// step with the interval would otherwise always, or never, be seen.
#ifndef NATIVE_HANDLER_SAMPLE_SCHEDULE_H_
#define NATIVE_HANDLER_SAMPLE_SCHEDULE_H_

#include <atomic>
#include <cstdint>

#include "base/signal_safety.h"

namespace otelpyroscope {

// One thread's. Used on that thread alone, in the signal handler and outside.
class SampleSchedule {
 public:
  // Counts CPU time from `now_ns` on.
  void Begin(uint64_t interval_ns, uint64_t now_ns) {
    interval_ns_.store(interval_ns, std::memory_order_relaxed);
    if (random_.load(std::memory_order_relaxed) == 0) {
      random_.store(now_ns | 1, std::memory_order_relaxed);
    }
    CountUntil(now_ns);
  }

  SIGNAL_SAFE uint64_t interval_ns() const noexcept {
    return interval_ns_.load(std::memory_order_relaxed);
  }

  // Returns the number of intervals that are over, and have not been returned
  // before; 0 if no sample is due yet.
  SIGNAL_SAFE uint32_t Take(uint64_t now_ns) noexcept {
    if (now_ns < due_ns_.load(std::memory_order_relaxed)) return 0;
    const uint64_t counted = counted_ns_.load(std::memory_order_relaxed);
    const uint64_t interval = interval_ns();
    const uint64_t weight = (now_ns - counted) / interval;
    CountUntil(counted + weight * interval);
    return static_cast<uint32_t>(weight);
  }

  // Counts intervals that the kernel has found to be over.
  SIGNAL_SAFE void Count(uint64_t intervals) noexcept {
    CountUntil(counted_ns_.load(std::memory_order_relaxed) +
               intervals * interval_ns());
  }

  // Returns the CPU time until the next sample is due, or 0 if it is.
  SIGNAL_SAFE uint64_t RestNs(uint64_t now_ns) const noexcept {
    const uint64_t due = due_ns_.load(std::memory_order_relaxed);
    return due > now_ns ? due - now_ns : 0;
  }

 private:
  SIGNAL_SAFE void CountUntil(uint64_t ns) noexcept {
    const uint64_t interval = interval_ns();
    // xorshift64, by George Marsaglia.
    uint64_t random = random_.load(std::memory_order_relaxed);
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    random_.store(random, std::memory_order_relaxed);
    counted_ns_.store(ns, std::memory_order_relaxed);
    due_ns_.store(ns + interval + random % interval, std::memory_order_relaxed);
  }

  std::atomic<uint64_t> interval_ns_{0};
  std::atomic<uint64_t> counted_ns_{0};  // all until then has been returned
  std::atomic<uint64_t> due_ns_{0};
  std::atomic<uint64_t> random_{0};
  static_assert(std::atomic<uint64_t>::is_always_lock_free);
};

}  // namespace otelpyroscope

#endif  // NATIVE_HANDLER_SAMPLE_SCHEDULE_H_
