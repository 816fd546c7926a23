// Shared by the tests of the CPU timers: what a handler counts, and what a
// timer could change in the process.
#ifndef TEST_NATIVE_HANDLER_TIMER_SUPPORT_H_
#define TEST_NATIVE_HANDLER_TIMER_SUPPORT_H_

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "check.h"

namespace otelpyroscope {

using check::Burn;
using check::kMillisecond;
using check::ThreadCpuNs;

struct Count {
  std::atomic<int64_t> signals{0};
  std::atomic<int64_t> weight{0};
  std::atomic<pid_t> thread{0};
  std::atomic<uintptr_t> stack{0};
  std::atomic<int64_t> cpu_ns{0};  // of the thread, at the last signal
};

inline void CountSignal(void* owner, uint32_t weight, void* ucontext) noexcept {
  auto* count = static_cast<Count*>(owner);
  count->signals.fetch_add(1, std::memory_order_relaxed);
  count->weight.fetch_add(weight, std::memory_order_relaxed);
  count->cpu_ns.store(ThreadCpuNs(), std::memory_order_relaxed);
  count->thread.store(check::ThreadId(), std::memory_order_relaxed);
  count->stack.store(reinterpret_cast<uintptr_t>(&count),
                     std::memory_order_relaxed);
  if (ucontext == nullptr) abort();
  errno = ENOTTY;
}

// Burns CPU time until there were `signals` more. The kernel looks at CPU
// timers on its ticks: 1 to 10 ms apart, and more where the machine is shared.
inline void BurnUntilSignals(const Count& count, int64_t signals) {
  const int64_t enough = count.signals.load() + signals;
  const int64_t limit = ThreadCpuNs() + 5000 * kMillisecond;
  while (count.signals.load() < enough) EXPECT(ThreadCpuNs() < limit);
}

inline int TimersOfProcess() {
  FILE* file = fopen("/proc/self/timers", "r");
  if (file == nullptr) return 0;  // a kernel without this file
  int timers = 0;
  char line[256];
  while (fgets(line, sizeof(line), file) != nullptr) {
    if (strncmp(line, "ID:", 3) == 0) timers++;
  }
  fclose(file);
  return timers;
}

// All that CpuTimer could change.
struct ProcessState {
  struct sigaction actions[65];
  sigset_t mask;
  stack_t stack;
  int timers;

  static ProcessState Now() {
    ProcessState state;
    memset(&state, 0, sizeof(state));
    for (int signal = 1; signal <= 64; signal++) {
      sigaction(signal, nullptr, &state.actions[signal]);
    }
    pthread_sigmask(SIG_SETMASK, nullptr, &state.mask);
    sigaltstack(nullptr, &state.stack);
    state.timers = TimersOfProcess();
    return state;
  }

  void ExpectUnchanged() const {
    const ProcessState now = Now();
    for (int signal = 1; signal <= 64; signal++) {
      EXPECT(now.actions[signal].sa_sigaction == actions[signal].sa_sigaction);
      EXPECT_EQ(now.actions[signal].sa_flags & SA_SIGINFO,
                actions[signal].sa_flags & SA_SIGINFO);
      EXPECT_EQ(sigismember(&now.mask, signal), sigismember(&mask, signal));
    }
    EXPECT(now.stack.ss_sp == stack.ss_sp);
    EXPECT_EQ(now.stack.ss_size, stack.ss_size);
    EXPECT_EQ(now.stack.ss_flags, stack.ss_flags);
    EXPECT_EQ(now.timers, timers);
  }
};

inline void SetAction(int signal, void (*handler)(int)) {
  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_handler = handler;
  EXPECT_EQ(sigaction(signal, &action, nullptr), 0);
}

// `timer` runs at an interval of 1 ms.
template <typename Timer>
void ExpectNothingWhilePaused(Timer* timer, const Count& count) {
  BurnUntilSignals(count, 2);
  timer->Pause();
  const int64_t weight = count.weight.load();
  Burn(50 * kMillisecond);
  timer->WakeUp();
  EXPECT_EQ(count.weight.load(), weight);
  timer->Resume();
  const int64_t begin = ThreadCpuNs();
  BurnUntilSignals(count, 3);
  EXPECT_LE((count.weight.load() - weight) * kMillisecond,
            count.cpu_ns.load() - begin + kMillisecond);
}

// Burns CPU time, for which there is a signal an interval of 1 ms. At 250 ticks
// a second, a timer on the CPU clock sends 5 in 20 ms. A machine that is shared
// takes time from most rounds, but not from all.
inline void ExpectSignalAnInterval(const Count& count) {
  int64_t most = 0;
  for (int round = 0; round < 200 && most < 13; round++) {
    const int64_t signals = count.signals.load();
    Burn(20 * kMillisecond);
    most = std::max(most, count.signals.load() - signals);
  }
  EXPECT_GE(most, 13);
}

inline std::atomic<bool> inside{false};
inline std::atomic<int64_t> weight_inside{0};
inline int64_t ns_inside = 0;

inline void CountInside(void* owner, uint32_t weight, void* ucontext) noexcept {
  CountSignal(owner, weight, ucontext);
  if (inside) weight_inside.fetch_add(weight);
}

// Half of the CPU time is inside bursts that begin and end with a millisecond
// of the wall clock, as the scheduler's ticks do. `wake_up` is called before
// each. The handler of the timer is CountInside.
template <typename WakeUp>
void WorkInStep(WakeUp wake_up) {
  const auto now_ns = [] {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return int64_t{now.tv_sec} * 1000 * kMillisecond + now.tv_nsec;
  };
  for (int i = 0; i < 150; i++) {
    usleep(1000);
    wake_up();
    inside = true;
    const int64_t begin = ThreadCpuNs();
    const int64_t until = now_ns() / kMillisecond + 1;
    while (now_ns() / kMillisecond < until) {
    }
    ns_inside += ThreadCpuNs() - begin;
    inside = false;
    Burn(kMillisecond / 2);
  }
}

inline void ExpectWorkInStepIsSeen() {
  // The thread sanitizer delays signals, and keeps one of each number.
  if (check::kThreadSanitizer) return;
  EXPECT_GE(weight_inside.load() * kMillisecond, ns_inside * 7 / 10);
  EXPECT_LE(weight_inside.load() * kMillisecond, ns_inside * 13 / 10);
}

}  // namespace otelpyroscope

#endif  // TEST_NATIVE_HANDLER_TIMER_SUPPORT_H_
