// The signals of the CPU timers, and the state that their handlers share with
// CpuTimer, which sets the timers up: one entry for each profiled thread.
#ifndef NATIVE_HANDLER_TIMER_SIGNALS_H_
#define NATIVE_HANDLER_TIMER_SIGNALS_H_

#include <pthread.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <ctime>

#include "base/signal_safety.h"
#include "handler/sample_schedule.h"
#include "handler/task_clock.h"

namespace otelpyroscope {

// Called for each signal of a live timer, on the timer's thread, with errno
// saved around it. `owner` is the argument of Start(), `weight` the number of
// intervals that have passed. Must be SIGNAL_SAFE.
using CpuTimerHandler = void (*)(void* owner, uint32_t weight,
                                 void* ucontext) noexcept;

// The clock that decides when samples are taken: the kernel's ticks, or the
// thread's CPU time, with a precision of some microseconds. kAuto is kPerf, or
// kTick where the system refuses it or might end the process for the attempt.
enum class SampleClock : uint8_t { kTick, kPrecise, kPerf, kAuto };

// JavaScript threads that can be profiled at once.
constexpr uint32_t kMaxTimers = 1024;

// A timer of the kernel's, under CpuTimer's mutex.
struct KernelTimer {
  timer_t id{};
  bool exists = false;
};

// Connects a signal to its timer's owner. A signal carries the ticket of its
// timer; a deleted timer leaves no ticket, so its late signals are ignored. The
// entries are never freed.
struct TimerEntry {
  std::atomic<uint32_t> ticket{0};  // 0: no live timer
  std::atomic<void*> owner{nullptr};
  KernelTimer tick_timer;     // on the thread's CPU clock
  KernelTimer precise_timer;  // on the monotonic clock
  // For stopped timers that the system has refused to delete, under the
  // mutex: the number of their thread, which may reuse them, and their
  // ticket. 0 if there is none.
  uint64_t undeleted_thread = 0;
  uint32_t undeleted_ticket = 0;

  // For the thread of the timer, in the handler and outside.
  pthread_t thread{};
  // In use. kPerf is stored by the thread that opens the clock.
  std::atomic<SampleClock> clock{SampleClock::kTick};
  std::atomic<int> refusal{0};
  std::atomic<bool> is_paused{false};
  SampleSchedule schedule;
  TaskClock task_clock;
  // The precise timer is not armed, because the thread sleeps.
  std::atomic<bool> is_asleep{false};
  std::atomic<uint64_t> armed_cpu_ns{0};  // the precise timer, last
  std::atomic<uint64_t> armed_for_ns{0};
};

// Everything here is leaked and trivially destructible: signals arrive while
// exit() runs static destructors.
extern TimerEntry timer_entries[kMaxTimers];
// That of all timers.
extern std::atomic<CpuTimerHandler> timer_handler;

// The signal of a precise timer carries this bit beside the ticket.
constexpr uintptr_t kPreciseBit = uintptr_t{1} << 32;
// Its default is to be ignored, and Node.js makes no use of it.
constexpr int kTaskClockSignal = SIGURG;

// The handlers: of the signal of the timers, and of kTaskClockSignal.
SIGNAL_SAFE void OnTimerSignal(int, siginfo_t* info, void* ucontext) noexcept;
SIGNAL_SAFE void OnTaskClockSignal(int, siginfo_t* info,
                                   void* ucontext) noexcept;

// Begin the time until the entry's next sample is due. Where the system refuses
// it, the tick timer goes on alone. `now_ns`: of the thread's CPU clock.
SIGNAL_SAFE void ArmPreciseTimer(TimerEntry* entry, uint64_t now_ns) noexcept;
SIGNAL_SAFE void ArmTaskClock(TimerEntry* entry, uint64_t now_ns) noexcept;

// Makes signals with this descriptor, or -1 for none, those of the entry's task
// clock. Under the mutex.
void NameTaskClock(uint32_t index, int fd);

}  // namespace otelpyroscope

#endif  // NATIVE_HANDLER_TIMER_SIGNALS_H_
