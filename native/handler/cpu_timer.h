// Owns the profiling signal and the CPU timers of all threads; nothing else
// touches them.
//
// Each profiled thread has a kernel timer on its own CPU clock
// (CLOCK_THREAD_CPUTIME_ID) that sends a private real-time signal to that
// thread alone. No CPU used, no signal. The kernel checks CPU timers on its
// ticks, so several periods may have passed at one signal: the weight of a
// sample is 1 + si_overrun, and the weights add up to the CPU time.
//
// With another clock than kTick, samples are taken when the CPU time is used,
// and the ticks only take those that are overdue. The weight is then the number
// of intervals by which the CPU clock has advanced.
//   * kPerf: the thread's task clock has a signal of its own (SIGURG: of a
//     real-time signal that it cannot queue, the kernel makes a SIGIO, which
//     ends the process).
//   * kPrecise: a timer on the monotonic clock is armed for the CPU time that
//     is left until the next sample. It is not armed while the thread sleeps;
//     WakeUp() arms it again, or a tick.
#ifndef NATIVE_HANDLER_CPU_TIMER_H_
#define NATIVE_HANDLER_CPU_TIMER_H_

#include <cstdint>

#include "handler/signal_thread.h"
#include "handler/timer_signals.h"

namespace otelpyroscope {

// One thread's timer. All functions except StopAll() are for the thread that
// called Start(), outside the signal handler; interrupts of V8 may call them.
class CpuTimer {
 public:
  CpuTimer() = default;
  CpuTimer(const CpuTimer&) = delete;
  CpuTimer& operator=(const CpuTimer&) = delete;
  // No destructor: Stop() disarms the timer, and need not be called at exit.

  // Arms a timer of `interval_ns` on the CPU clock of the calling thread, and
  // what `clock` needs besides, unless the system refuses it. The task clock is
  // opened on a thread of its own, in some milliseconds.
  // All timers of the process share one signal and one `handler`. `owner` must
  // never be freed: a handler may still be running with it when Stop() returns.
  // Returns 0, or the errno with which the kernel refused (EAGAIN: no free
  // signal, or kMaxTimers are running); then nothing has changed.
  int Start(uint64_t interval_ns, SampleClock clock, CpuTimerHandler handler,
            void* owner);

  // Disarms the timer, on the thread that called Start(). A signal already on
  // its way finds no live timer and is ignored. The last timer to stop gives
  // the signal back with its default disposition, unless another handler was
  // installed over ours. If the system refuses to delete the timer, it is
  // disarmed, or else its signals are ignored; the signal is then kept for
  // good, and the thread's next Start() reuses the timer.
  void Stop();

  bool running() const { return running_; }

  // Between Pause() and Resume() no signal is sent, and CPU time is not
  // counted. They do nothing if the timer is not running, or not paused. On the
  // thread that called Start().
  void Pause();
  void Resume();

  // Arms the precise timer if it has found the thread asleep. Called whenever
  // the thread may have work again; cheap otherwise.
  void WakeUp();

  // The clock in use, after Stop() the one until then; kTick before Start(),
  // and while the task clock is opened.
  SampleClock clock() const;
  // Why it is not the one that was asked for: an errno, or 0; or why kAuto has
  // not tried kPerf, see IsFilteredBySeccomp() and IsLinuxThatFreezes().
  static constexpr int kFiltered = -1;
  static constexpr int kFreezes = -2;
  int refusal() const;

  // Disarms every timer of the process, in exit(). Any thread; takes no lock.
  // Handlers that already run may still finish.
  static void StopAll();

  // Returns the signal in use, or 0. For tests.
  static int signal_number();

 private:
  int Arm();
  void StopLocked();

  bool running_ = false;
  SampleClock last_clock_ = SampleClock::kTick;
  int last_refusal_ = 0;
  SignalThread signal_thread_;
  uint32_t entry_index_ = 0;
  uint64_t interval_ns_ = 0;
};

}  // namespace otelpyroscope

#endif  // NATIVE_HANDLER_CPU_TIMER_H_
