// A thread's task clock: a perf event (PERF_COUNT_SW_TASK_CLOCK, see
// perf_event_open(2)) with which the kernel counts the CPU time of one thread
// to the microsecond, and sends a signal to that thread while it runs. So it
// never interrupts a thread that sleeps.
//
// It costs a descriptor, and 0.5 µs each time the thread goes to sleep or
// wakes. Systems may refuse it, or allow it for time outside the kernel only,
// which is not enough: periods that end in the kernel would send nothing, and
// at a tick nothing shows that it has met a page fault.
#ifndef NATIVE_HANDLER_TASK_CLOCK_H_
#define NATIVE_HANDLER_TASK_CLOCK_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>

#include "base/signal_safety.h"

namespace otelpyroscope {

class TaskClock {
 public:
  // Opens the clock of `thread`, which does not run yet: `signal` will be sent
  // to that thread every `period_ns` of its CPU time, with si_code POLL_IN and
  // fd() as si_fd (fcntl(2), F_SETSIG).
  // Returns 0, or the errno with which the kernel refused it. The first perf
  // event of a system takes the kernel some 10 ms: not for a JavaScript thread.
  int Open(pid_t thread, int signal, uint64_t period_ns);

  // Ends it. No signal is sent afterwards.
  void Close();

  // Becomes the clock that `other` has opened.
  void TakeOver(TaskClock* other);

  // Runs it, or stops it for a time. Any thread. Returns whether the system
  // has allowed it.
  bool SetRunning(bool is_running) const;

  // Begins a new period of `ns`, at least 10,000, on the clock's thread.
  // Returns whether the system has allowed it.
  SIGNAL_SAFE bool SetPeriod(uint64_t ns) const noexcept;

  // The descriptor, or -1.
  SIGNAL_SAFE int fd() const noexcept {
    return fd_plus_one_.load(std::memory_order_relaxed) - 1;
  }

 private:
  // Whether fd() is still the clock's: the application may have closed all
  // descriptors that it does not know, and opened others.
  bool IsOurs() const;

  // All of it begins as 0: the binary has no bytes for a table of these.
  std::atomic<int> fd_plus_one_{0};
  uint64_t id_ = 0;
};

// Whether system calls of this thread are filtered by seccomp. A filter may end
// the process for a system call that it does not know.
bool IsFilteredBySeccomp();

// Whether this is Linux 6.16 or 6.17, which freeze when a perf event of this
// kind has sent too many signals, or its last one (async-profiler #1578). We
// let no event come to its last, and send few.
bool IsLinuxThatFreezes();

}  // namespace otelpyroscope

#endif  // NATIVE_HANDLER_TASK_CLOCK_H_
