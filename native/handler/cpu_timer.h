// Owns the profiling signal and the CPU timers of all threads; nothing else
// touches them.
//
// Each profiled thread has a kernel timer on its own CPU clock
// (CLOCK_THREAD_CPUTIME_ID) that sends a private real-time signal to that
// thread alone. No CPU used, no signal. The kernel checks CPU timers on its
// ticks, so several periods may have passed at one signal: the weight of a
// sample is 1 + si_overrun, and the weights add up to the CPU time.
//
// With SampleClock::kPrecise the thread has a second timer, on the monotonic
// clock, which is armed for the CPU time that is left until the next sample. It
// is not armed while the thread sleeps; WakeUp() arms it again, or a tick of
// the first timer, which otherwise only takes samples that are overdue. The
// weight is then the number of intervals by which the CPU clock has advanced.
#ifndef NATIVE_HANDLER_CPU_TIMER_H_
#define NATIVE_HANDLER_CPU_TIMER_H_

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <ctime>

#include "base/signal_safety.h"

namespace otelpyroscope {

// Called for each signal of a live timer, on the timer's thread, with errno
// saved around it. `owner` is the argument of Start(), `weight` the number of
// intervals that have passed. Must be SIGNAL_SAFE.
using CpuTimerHandler = void (*)(void* owner, uint32_t weight,
                                 void* ucontext) noexcept;

// The clock that decides when samples are taken: the kernel's ticks, or the
// thread's CPU time, with a precision of some microseconds.
enum class SampleClock : uint8_t { kTick, kPrecise };

// One thread's timer. All functions except StopAll() are for the thread that
// called Start(), outside the signal handler; interrupts of V8 may call them.
class CpuTimer {
 public:
  // JavaScript threads that can be profiled at once.
  static constexpr uint32_t kMaxTimers = 1024;

  CpuTimer() = default;
  CpuTimer(const CpuTimer&) = delete;
  CpuTimer& operator=(const CpuTimer&) = delete;
  // No destructor: Stop() disarms the timer, and need not be called at exit.

  // Arms a timer of `interval_ns` on the CPU clock of the calling thread, and
  // with SampleClock::kPrecise the second one, unless the system refuses it.
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
  // Whether the precise timer is in use, which the system may have refused.
  bool is_precise() const;

  // Disarms every timer of the process, in exit(). Any thread; takes no lock.
  // Handlers that already run may still finish.
  static void StopAll();

  // Returns the signal in use, or 0. For tests.
  static int signal_number();

 private:
  int Arm();
  void StopLocked();
  void PrepareThread(int signal);
  // `is_quiet`: no more signals will arrive.
  void RestoreThread(int signal, bool is_quiet);

  bool running_ = false;
  bool unblocked_signal_ = false;
  // Our alternate signal stack, if the thread's was too small.
  void* own_stack_ = nullptr;
  size_t own_stack_bytes_ = 0;
  stack_t previous_stack_ = {};
  uint32_t entry_index_ = 0;
  uint64_t interval_ns_ = 0;
};

}  // namespace otelpyroscope

#endif  // NATIVE_HANDLER_CPU_TIMER_H_
