#include "handler/timer_signals.h"

#include <algorithm>
#include <cerrno>

#include "base/clock.h"

namespace otelpyroscope {

TimerEntry timer_entries[kMaxTimers];
std::atomic<CpuTimerHandler> timer_handler{nullptr};
static_assert(std::atomic<CpuTimerHandler>::is_always_lock_free);

namespace {

// A thread that has used less CPU time than this since the precise timer was
// armed, or less than this part of the time that it was armed for, sleeps: to
// be woken by the timer takes 10 µs.
constexpr uint64_t kAwakeNs = 30'000;
constexpr uint64_t kAwakePart = 64;
// The least period of the task clock, as a part of the interval.
constexpr uint64_t kLeastPart = 16;

// The descriptors of the entries' task clocks plus 1, or 0: a signal carries
// its clock's. Beyond the number used, all are 0.
std::atomic<int> task_clock_fds[kMaxTimers];
std::atomic<uint32_t> task_clock_fds_used{0};

// Returns the weight of the sample that is due, or 0, and arms the precise
// timer for the next one. A tick that finds a sample due takes it: a signal of
// the precise timer may have been lost to another handler that was installed
// for a time, and nothing else would arm that timer again.
SIGNAL_SAFE uint32_t TakeByPreciseTimer(TimerEntry* entry,
                                        bool is_tick) noexcept {
  const uint64_t now = ClockNs(CLOCK_THREAD_CPUTIME_ID);
  const uint32_t weight = entry->schedule.Take(now);
  if (weight == 0 && is_tick &&
      !entry->is_asleep.load(std::memory_order_relaxed)) {
    return 0;  // the precise timer is armed, and will fire
  }
  if (weight == 0 && !is_tick) {
    const uint64_t used =
        now - entry->armed_cpu_ns.load(std::memory_order_relaxed);
    const uint64_t armed_for =
        entry->armed_for_ns.load(std::memory_order_relaxed);
    if (used < std::max(kAwakeNs, armed_for / kAwakePart)) {
      entry->is_asleep.store(true, std::memory_order_relaxed);
      return 0;
    }
  }
  ArmPreciseTimer(entry, now);
  return weight;
}

// Returns the weight of the sample that is due, or 0. A tick takes one only if
// the clock's signal was lost, as for the precise timer.
SIGNAL_SAFE uint32_t TakeByTaskClock(TimerEntry* entry, bool is_tick) noexcept {
  const uint64_t now = ClockNs(CLOCK_THREAD_CPUTIME_ID);
  const uint32_t weight = entry->schedule.Take(now);
  if (!is_tick || weight != 0) ArmTaskClock(entry, now);
  return weight;
}

SIGNAL_SAFE uint32_t TakeAtTick(TimerEntry* entry,
                                const siginfo_t& info) noexcept {
  // Acquire pairs with the release in UseTaskClock(): the clock is open.
  switch (entry->clock.load(std::memory_order_acquire)) {
    case SampleClock::kPrecise:
      return TakeByPreciseTimer(entry, true);
    case SampleClock::kPerf:
      return TakeByTaskClock(entry, true);
    default:
      break;
  }
  const uint32_t weight = 1 + static_cast<uint32_t>(info.si_overrun);
  entry->schedule.Count(weight);
  return weight;
}

SIGNAL_SAFE void CallHandler(const TimerEntry& entry, uint32_t weight,
                             void* ucontext) noexcept {
  if (weight == 0) return;
  timer_handler.load(std::memory_order_relaxed)(
      entry.owner.load(std::memory_order_relaxed), weight, ucontext);
}

// Returns the entry of this thread whose task clock has the descriptor, or
// nullptr. The signal of a clock that is closed may come late, when another
// thread's has its descriptor.
SIGNAL_SAFE TimerEntry* FindByTaskClock(int fd) noexcept {
  const uint32_t used = task_clock_fds_used.load(std::memory_order_acquire);
  for (uint32_t index = 0; index < used; index++) {
    if (task_clock_fds[index].load(std::memory_order_relaxed) != fd + 1) {
      continue;
    }
    TimerEntry* entry = &timer_entries[index];
    // Acquire pairs with the release in Start(), as in OnTimerSignal().
    const bool is_ours = entry->ticket.load(std::memory_order_acquire) != 0 &&
                         pthread_equal(entry->thread, pthread_self()) != 0;
    return is_ours ? entry : nullptr;
  }
  return nullptr;
}

// Returns the time until the entry's next sample is due. A thousandth is added
// because the CPU clock and the one that ends it run at slightly different
// rates.
SIGNAL_SAFE uint64_t DelayNs(const TimerEntry& entry,
                             uint64_t now_ns) noexcept {
  const uint64_t rest = entry.schedule.RestNs(now_ns);
  return rest + rest / 1000 + 1;
}

// The system has refused to arm the entry's clock, with errno.
SIGNAL_SAFE void GoOnByTicks(TimerEntry* entry) noexcept {
  entry->refusal.store(errno, std::memory_order_relaxed);
  entry->clock.store(SampleClock::kTick, std::memory_order_relaxed);
}

}  // namespace

// A thread that sleeps meanwhile has used less when the timer fires.
SIGNAL_SAFE void ArmPreciseTimer(TimerEntry* entry, uint64_t now_ns) noexcept {
  const uint64_t delay = DelayNs(*entry, now_ns);
  // Before it is armed: it may fire at once.
  entry->is_asleep.store(false, std::memory_order_relaxed);
  entry->armed_cpu_ns.store(now_ns, std::memory_order_relaxed);
  entry->armed_for_ns.store(delay, std::memory_order_relaxed);
  struct itimerspec spec = {};
  spec.it_value.tv_sec = static_cast<time_t>(delay / 1000000000);
  spec.it_value.tv_nsec = static_cast<long>(delay % 1000000000);
  if (timer_settime(entry->precise_timer.id, 0, &spec, nullptr) != 0) {
    GoOnByTicks(entry);
  }
}

SIGNAL_SAFE void ArmTaskClock(TimerEntry* entry, uint64_t now_ns) noexcept {
  const uint64_t least =
      std::max(entry->schedule.interval_ns() / kLeastPart, uint64_t{10'000});
  if (!entry->task_clock.SetPeriod(std::max(DelayNs(*entry, now_ns), least))) {
    GoOnByTicks(entry);
  }
}

void NameTaskClock(uint32_t index, int fd) {
  task_clock_fds[index].store(fd + 1, std::memory_order_relaxed);
  const uint32_t used = task_clock_fds_used.load(std::memory_order_relaxed);
  task_clock_fds_used.store(std::max(used, index + 1),
                            std::memory_order_release);
}

SIGNAL_SAFE void OnTimerSignal(int, siginfo_t* info, void* ucontext) noexcept {
  if (info->si_code != SI_TIMER) return;
  const int saved_errno = errno;
  const auto value = reinterpret_cast<uintptr_t>(info->si_value.sival_ptr);
  const uint32_t ticket = static_cast<uint32_t>(value);
  TimerEntry& entry = timer_entries[ticket % kMaxTimers];
  // Acquire pairs with the release in Start(): owner and handler are set.
  if (ticket != 0 && entry.ticket.load(std::memory_order_acquire) == ticket &&
      !entry.is_paused.load(std::memory_order_relaxed)) {
    uint32_t weight = 0;
    if ((value & kPreciseBit) == 0) {
      weight = TakeAtTick(&entry, *info);
    } else if (entry.clock.load(std::memory_order_relaxed) ==
               SampleClock::kPrecise) {
      weight = TakeByPreciseTimer(&entry, false);
    }
    CallHandler(entry, weight, ucontext);
  }
  errno = saved_errno;
}

SIGNAL_SAFE void OnTaskClockSignal(int, siginfo_t* info,
                                   void* ucontext) noexcept {
  if (info->si_code != POLL_IN) return;
  const int saved_errno = errno;
  TimerEntry* entry = FindByTaskClock(info->si_fd);
  if (entry != nullptr && !entry->is_paused.load(std::memory_order_relaxed)) {
    // Acquire pairs with the release in UseTaskClock(): the clock is open.
    if (entry->clock.load(std::memory_order_acquire) == SampleClock::kPerf) {
      CallHandler(*entry, TakeByTaskClock(entry, false), ucontext);
    }
  }
  errno = saved_errno;
}

}  // namespace otelpyroscope
