// Shared by the tests of the CPU timers: what a handler counts, and what a
// timer could change in the process.
#ifndef TEST_NATIVE_HANDLER_TIMER_SUPPORT_H_
#define TEST_NATIVE_HANDLER_TIMER_SUPPORT_H_

#include <pthread.h>
#include <signal.h>
#include <string.h>

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

}  // namespace otelpyroscope

#endif  // TEST_NATIVE_HANDLER_TIMER_SUPPORT_H_
