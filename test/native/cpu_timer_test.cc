// Tests of the CPU timers: exact weights, the private signal, refusals, and
// that a process is left as it was found.
#include "cpu_timer.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "check.h"

namespace {

// What the fakes below answer; 0: ask the system.
int refuse_timer_create = 0;
int refuse_from_signal = 0;  // timer_create refuses this signal and higher ones
int refuse_timer_settime = 0;

template <typename Function>
Function Real(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

// These stand before the C library's, as a sandbox or qemu-user would.
extern "C" int timer_create(clockid_t clock, struct sigevent* event,
                            timer_t* timer) noexcept {
  if (refuse_timer_create != 0) {
    errno = refuse_timer_create;
    return -1;
  }
  if (refuse_from_signal != 0 && event->sigev_signo >= refuse_from_signal) {
    errno = EINVAL;
    return -1;
  }
  return Real<decltype(&timer_create)>("timer_create")(clock, event, timer);
}

extern "C" int timer_settime(timer_t timer, int flags,
                             const struct itimerspec* value,
                             struct itimerspec* old) noexcept {
  if (refuse_timer_settime != 0) {
    errno = refuse_timer_settime;
    return -1;
  }
  return Real<decltype(&timer_settime)>("timer_settime")(timer, flags, value,
                                                         old);
}

namespace otelpyroscope {
namespace {

using check::Burn;
using check::kMillisecond;
using check::ThreadCpuNs;

// Kernel ticks are when CPU timers are looked at: 4 ms at CONFIG_HZ=250, and
// 10 ms is the coarsest there is.
constexpr int64_t kTickNs = 10 * kMillisecond;

struct Count {
  std::atomic<int64_t> signals{0};
  std::atomic<int64_t> weight{0};
  std::atomic<pid_t> thread{0};
  std::atomic<uintptr_t> stack{0};
};

void CountSignal(void* owner, uint32_t weight, void* ucontext) noexcept {
  auto* count = static_cast<Count*>(owner);
  count->signals.fetch_add(1, std::memory_order_relaxed);
  count->weight.fetch_add(weight, std::memory_order_relaxed);
  count->thread.store(gettid(), std::memory_order_relaxed);
  count->stack.store(reinterpret_cast<uintptr_t>(&count),
                     std::memory_order_relaxed);
  if (ucontext == nullptr) abort();
  errno = ENOTTY;
}

int TimersOfProcess() {
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

void SetAction(int signal, void (*handler)(int)) {
  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_handler = handler;
  EXPECT_EQ(sigaction(signal, &action, nullptr), 0);
}

void NeverCalled(int) { abort(); }

void ExpectWeightsEqualCpuTime(int64_t interval_ns) {
  static Count count;
  CpuTimer timer;
  const int64_t before = ThreadCpuNs();
  EXPECT_EQ(
      timer.Start(static_cast<uint64_t>(interval_ns), CountSignal, &count), 0);
  Burn(400 * kMillisecond);
  const int64_t burnt_at_least = ThreadCpuNs() - before;
  timer.Stop();
  const int64_t burnt_at_most = ThreadCpuNs() - before;
  const int64_t counted = count.weight.load() * interval_ns;
  // The last interval is not over, and what has passed since the last tick is
  // not told yet; never more than was burnt.
  EXPECT_LE(counted, burnt_at_most);
  EXPECT_GE(counted, burnt_at_least - interval_ns - kTickNs);
  EXPECT_GE(count.signals.load(), 10);
  EXPECT_EQ(count.thread.load(), gettid());
}

TEST(timer_weights_equal_cpu_time_at_10_ms) {
  ExpectWeightsEqualCpuTime(10 * kMillisecond);
}

// More intervals than ticks (below CONFIG_HZ=1000): overruns carry the rest.
TEST(timer_weights_equal_cpu_time_at_1_ms) {
  ExpectWeightsEqualCpuTime(1 * kMillisecond);
}

TEST(timer_sends_nothing_while_idle) {
  static Count count;
  CpuTimer timer;
  EXPECT_EQ(timer.Start(kMillisecond, CountSignal, &count), 0);
  usleep(300000);
  EXPECT_LE(count.signals.load(), 1);  // the wait itself costs microseconds
  Burn(50 * kMillisecond);
  EXPECT_GE(count.signals.load(), 2);
  timer.Stop();
}

TEST(timer_counts_its_own_thread_only) {
  static Count idle_count;
  static Count busy_count;
  CpuTimer idle_timer;
  EXPECT_EQ(idle_timer.Start(kMillisecond, CountSignal, &idle_count), 0);
  std::thread busy([] {
    CpuTimer timer;
    EXPECT_EQ(timer.Start(kMillisecond, CountSignal, &busy_count), 0);
    Burn(100 * kMillisecond);
    EXPECT_EQ(busy_count.thread.load(), gettid());
    timer.Stop();
  });
  busy.join();
  EXPECT_GE(busy_count.weight.load(), 80);
  EXPECT_LE(idle_count.weight.load(), 10);
  idle_timer.Stop();
}

TEST(timer_takes_the_highest_free_signal) {
  SetAction(SIGRTMAX, NeverCalled);
  SetAction(SIGRTMAX - 1, SIG_IGN);
  const ProcessState state = ProcessState::Now();
  static Count count;
  CpuTimer timer;
  EXPECT_EQ(CpuTimer::signal_number(), 0);
  EXPECT_EQ(timer.Start(kMillisecond, CountSignal, &count), 0);
  EXPECT_EQ(CpuTimer::signal_number(), SIGRTMAX - 2);
  Burn(50 * kMillisecond);
  EXPECT_GE(count.signals.load(), 2);
  const ProcessState now = ProcessState::Now();
  for (int signal = 1; signal <= 64; signal++) {
    if (signal == SIGRTMAX - 2) continue;
    EXPECT(now.actions[signal].sa_sigaction ==
           state.actions[signal].sa_sigaction);
  }
  timer.Stop();
  EXPECT_EQ(CpuTimer::signal_number(), 0);
  state.ExpectUnchanged();
}

// Under qemu-user the two highest signals look free and cannot be used.
TEST(timer_passes_over_signals_that_the_kernel_refuses) {
  refuse_from_signal = SIGRTMAX - 1;
  const ProcessState state = ProcessState::Now();
  static Count count;
  CpuTimer timer;
  EXPECT_EQ(timer.Start(kMillisecond, CountSignal, &count), 0);
  EXPECT_EQ(CpuTimer::signal_number(), SIGRTMAX - 2);
  timer.Stop();
  state.ExpectUnchanged();
}

TEST(timer_without_a_free_signal_is_an_error) {
  for (int signal = SIGRTMIN; signal <= SIGRTMAX; signal++) {
    SetAction(signal, NeverCalled);
  }
  const ProcessState state = ProcessState::Now();
  static Count count;
  CpuTimer timer;
  EXPECT_EQ(timer.Start(kMillisecond, CountSignal, &count), EAGAIN);
  EXPECT(!timer.running());
  state.ExpectUnchanged();
  timer.Stop();
  state.ExpectUnchanged();
}

TEST(timer_refused_by_the_kernel_is_an_error) {
  const ProcessState state = ProcessState::Now();
  static Count count;
  for (const int error : {EPERM, ENOSYS, ENOTSUP, EAGAIN, EINVAL}) {
    CpuTimer timer;
    refuse_timer_create = error;
    EXPECT_EQ(timer.Start(kMillisecond, CountSignal, &count), error);
    EXPECT(!timer.running());
    EXPECT_EQ(CpuTimer::signal_number(), 0);
    state.ExpectUnchanged();
    // And it works once it is allowed.
    refuse_timer_create = 0;
    EXPECT_EQ(timer.Start(kMillisecond, CountSignal, &count), 0);
    timer.Stop();
    state.ExpectUnchanged();
  }
}

TEST(timer_that_cannot_be_armed_is_an_error) {
  const ProcessState state = ProcessState::Now();
  static Count count;
  CpuTimer timer;
  refuse_timer_settime = EINVAL;
  EXPECT_EQ(timer.Start(kMillisecond, CountSignal, &count), EINVAL);
  EXPECT(!timer.running());
  EXPECT_EQ(CpuTimer::signal_number(), 0);
  state.ExpectUnchanged();
}

TEST(timer_leaves_the_process_as_it_was_found) {
  const ProcessState state = ProcessState::Now();
  static Count count;
  CpuTimer timer;
  for (int i = 0; i < 3; i++) {
    EXPECT_EQ(timer.Start(kMillisecond, CountSignal, &count), 0);
    EXPECT(timer.running());
    Burn(20 * kMillisecond);
    timer.Stop();
    EXPECT(!timer.running());
    state.ExpectUnchanged();
  }
  timer.Stop();
  state.ExpectUnchanged();
  const int64_t signals = count.signals.load();
  EXPECT_GE(signals, 3);
  Burn(20 * kMillisecond);
  EXPECT_EQ(count.signals.load(), signals);
}

TEST(timer_gives_a_blocked_signal_back_blocked) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  const ProcessState state = ProcessState::Now();
  static Count count;
  CpuTimer timer;
  EXPECT_EQ(timer.Start(kMillisecond, CountSignal, &count), 0);
  Burn(50 * kMillisecond);
  EXPECT_GE(count.signals.load(), 2);
  timer.Stop();
  state.ExpectUnchanged();
}

// The default action of a real-time signal ends the process.
TEST(timer_stopped_with_a_signal_pending) {
  static Count count;
  CpuTimer timer;
  EXPECT_EQ(timer.Start(kMillisecond, CountSignal, &count), 0);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, CpuTimer::signal_number());
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  sigset_t pending;
  do {
    Burn(kMillisecond);
    sigpending(&pending);
  } while (sigismember(&pending, CpuTimer::signal_number()) == 0);
  timer.Stop();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  Burn(10 * kMillisecond);
}

// As above, with another thread's timer keeping the handler installed.
TEST(timer_ignores_signals_of_a_deleted_timer) {
  static Count count;
  static Count other_count;
  std::atomic<bool> started{false};
  std::atomic<bool> done{false};
  std::thread other([&] {
    CpuTimer timer;
    EXPECT_EQ(timer.Start(kMillisecond, CountSignal, &other_count), 0);
    started = true;
    while (!done) usleep(1000);
    timer.Stop();
  });
  while (!started) usleep(1000);
  CpuTimer timer;
  EXPECT_EQ(timer.Start(kMillisecond, CountSignal, &count), 0);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, CpuTimer::signal_number());
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  Burn(30 * kMillisecond);
  timer.Stop();
  const int64_t signals = count.signals.load();
  // Its place is taken again, with another owner.
  static Count next_count;
  CpuTimer next;
  EXPECT_EQ(next.Start(1000 * kMillisecond, CountSignal, &next_count), 0);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  Burn(10 * kMillisecond);
  EXPECT_EQ(count.signals.load(), signals);
  EXPECT_EQ(next_count.signals.load(), 0);
  next.Stop();
  done = true;
  other.join();
}

TEST(timer_ignores_signals_that_others_send) {
  static Count count;
  CpuTimer timer;
  EXPECT_EQ(timer.Start(1000 * kMillisecond, CountSignal, &count), 0);
  const int signal = CpuTimer::signal_number();
  EXPECT_EQ(raise(signal), 0);
  EXPECT_EQ(kill(getpid(), signal), 0);
  for (int value = 0; value < 5000; value += 7) {
    EXPECT_EQ(sigqueue(getpid(), signal, {.sival_int = value}), 0);
  }
  EXPECT_EQ(count.signals.load(), 0);
  timer.Stop();
}

TEST(timer_keeps_errno) {
  static Count count;
  CpuTimer timer;
  EXPECT_EQ(timer.Start(kMillisecond, CountSignal, &count), 0);
  const int64_t until = ThreadCpuNs() + 50 * kMillisecond;
  errno = EXDEV;
  while (ThreadCpuNs() < until) EXPECT_EQ(errno, EXDEV);
  EXPECT_GE(count.signals.load(), 2);
  timer.Stop();
}

TEST(timer_limit_is_named) {
  static Count count;
  std::vector<std::unique_ptr<CpuTimer>> timers;
  for (uint32_t i = 0; i < CpuTimer::kMaxTimers; i++) {
    timers.push_back(std::make_unique<CpuTimer>());
    EXPECT_EQ(timers[i]->Start(1000 * kMillisecond, CountSignal, &count), 0);
  }
  CpuTimer one_more;
  EXPECT_EQ(one_more.Start(kMillisecond, CountSignal, &count), EAGAIN);
  EXPECT(!one_more.running());
  timers[500]->Stop();
  EXPECT_EQ(one_more.Start(kMillisecond, CountSignal, &count), 0);
  one_more.Stop();
  for (auto& timer : timers) timer->Stop();
  EXPECT_EQ(CpuTimer::signal_number(), 0);
  EXPECT_EQ(TimersOfProcess(), 0);
}

TEST(timer_stop_all_disarms_every_thread) {
  static Count count;
  static Count other_count;
  std::atomic<bool> started{false};
  std::atomic<int64_t> at_stop{-1};
  std::atomic<bool> done{false};
  std::thread other([&] {
    CpuTimer timer;
    EXPECT_EQ(timer.Start(kMillisecond, CountSignal, &other_count), 0);
    started = true;
    while (at_stop < 0) Burn(kMillisecond);
    Burn(30 * kMillisecond);
    EXPECT_EQ(other_count.signals.load(), at_stop.load());
    timer.Stop();
    done = true;
  });
  CpuTimer timer;
  EXPECT_EQ(timer.Start(kMillisecond, CountSignal, &count), 0);
  while (!started) usleep(1000);
  Burn(30 * kMillisecond);
  CpuTimer::StopAll();
  usleep(20000);  // a handler may just be running over there
  at_stop = other_count.signals.load();
  const int64_t signals = count.signals.load();
  EXPECT_GE(signals, 2);
  Burn(30 * kMillisecond);
  EXPECT_EQ(count.signals.load(), signals);
  other.join();
  EXPECT(done);
  timer.Stop();
  EXPECT_EQ(TimersOfProcess(), 0);
}

TEST(timer_threads_start_and_stop_at_once) {
  const ProcessState state = ProcessState::Now();
  static Count counts[8];
  std::vector<std::thread> threads;
  for (Count& count : counts) {
    threads.emplace_back([&count] {
      for (int i = 0; i < 20; i++) {
        CpuTimer timer;
        EXPECT_EQ(timer.Start(kMillisecond, CountSignal, &count), 0);
        Burn(kMillisecond / 4);
        timer.Stop();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(CpuTimer::signal_number(), 0);
  state.ExpectUnchanged();
}

void OnAlternateStack(size_t bytes, bool expect_replaced) {
  std::vector<char> memory(bytes);
  stack_t stack = {};
  stack.ss_sp = memory.data();
  stack.ss_size = memory.size();
  EXPECT_EQ(sigaltstack(&stack, nullptr), 0);
  const ProcessState state = ProcessState::Now();
  static Count count;
  CpuTimer timer;
  EXPECT_EQ(timer.Start(kMillisecond, CountSignal, &count), 0);
  stack_t during;
  EXPECT_EQ(sigaltstack(nullptr, &during), 0);
  EXPECT_EQ(during.ss_sp != stack.ss_sp, expect_replaced);
  EXPECT_GE(during.ss_size, getauxval(AT_MINSIGSTKSZ) + 16 * 1024);
  Burn(50 * kMillisecond);
  EXPECT_GE(count.signals.load(), 2);
  // The handler ran there: it must not use a small stack of the host's.
  if (!check::kThreadSanitizer) {
    const auto begin = reinterpret_cast<uintptr_t>(during.ss_sp);
    EXPECT(count.stack.load() > begin);
    EXPECT(count.stack.load() < begin + during.ss_size);
  }
  timer.Stop();
  state.ExpectUnchanged();
  stack.ss_flags = SS_DISABLE;
  EXPECT_EQ(sigaltstack(&stack, nullptr), 0);
}

TEST(timer_uses_a_large_alternate_stack) {
  OnAlternateStack(256 * 1024, false);
}

TEST(timer_replaces_a_small_alternate_stack) {
  OnAlternateStack(getauxval(AT_MINSIGSTKSZ) + 1024, true);
}

}  // namespace
}  // namespace otelpyroscope
