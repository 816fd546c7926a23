// The only owner of the profiling signal and of the per-thread CPU timers.
//
// Each profiled thread has a kernel timer on its own CPU clock
// (CLOCK_THREAD_CPUTIME_ID) that sends a private real-time signal to that
// thread alone. No CPU used, no signal. The kernel looks at CPU timers on its
// ticks, so several periods may have passed at one signal: the weight of a
// sample is 1 + si_overrun, and the weights sum up to the CPU time.
#ifndef NATIVE_HANDLER_CPU_TIMER_H_
#define NATIVE_HANDLER_CPU_TIMER_H_

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <ctime>

#include "base/signal_safety.h"

namespace otelpyroscope {

// What runs for each signal of a live timer, on the timer's thread, with errno
// saved around it. `owner` is what Start() was given, `weight` the number of
// intervals that have passed. Must be SIGNAL_SAFE.
using CpuTimerHandler = void (*)(void* owner, uint32_t weight,
                                 void* ucontext) noexcept;

class CpuTimer {
 public:
  // JavaScript threads that can be profiled at once.
  static constexpr uint32_t kMaxTimers = 1024;

  CpuTimer() = default;
  CpuTimer(const CpuTimer&) = delete;
  CpuTimer& operator=(const CpuTimer&) = delete;
  // No destructor: Stop() does the work, and may not be called at exit.

  // Arms a timer of `interval_ns` on the CPU clock of the calling thread.
  // All timers of the process share one signal and one `handler`. `owner` must
  // never be freed: a handler may be running with it on return from Stop().
  // Returns 0, or the errno with which the kernel refused (EAGAIN: no free
  // signal, or kMaxTimers are running); then nothing has changed.
  int Start(uint64_t interval_ns, CpuTimerHandler handler, void* owner);

  // Disarms. Call on the thread that called Start(). A signal already on its
  // way finds no live timer and is ignored. The last timer to stop gives the
  // signal back with its default disposition, unless somebody else's handler is
  // there. A timer that the system refuses to delete is disarmed, else its
  // signals are ignored; the signal is then kept for good, and the timer is
  // used for the thread's next Start().
  void Stop();

  bool running() const { return running_; }

  // No signal comes from Pause() to Resume(), and the CPU time between them is
  // not counted. Nothing where the timer is not running, or not paused. On the
  // thread that called Start().
  void Pause();
  void Resume();

  // Disarms every timer of the process, from any thread, for the last moments
  // of exit(). SIGNAL_SAFE handlers that already run may still finish.
  static void StopAll();

  // The signal in use, or 0. For tests.
  static int signal_number();

 private:
  int Arm(uint64_t interval_ns);
  void StopLocked();
  void PrepareThread(int signal);
  // `is_quiet`: no signal comes any more.
  void RestoreThread(int signal, bool is_quiet);

  bool running_ = false;
  bool unblocked_signal_ = false;
  // The alternate signal stack of ours, where the thread's was too small.
  void* own_stack_ = nullptr;
  size_t own_stack_bytes_ = 0;
  stack_t previous_stack_ = {};
  uint32_t place_ = 0;
  uint64_t interval_ns_ = 0;
  bool paused_ = false;
};

}  // namespace otelpyroscope

#endif  // NATIVE_HANDLER_CPU_TIMER_H_
