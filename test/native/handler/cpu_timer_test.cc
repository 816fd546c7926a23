// Tests of the CPU timers: exact weights, the private signal, refusals, and
// that a process is left as it was found.
#include "handler/cpu_timer.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "check.h"
#include "handler/timer_support.h"

namespace {

// The results of the fakes below; 0: that of the system.
int refuse_timer_create = 0;
int refuse_from_signal = 0;  // timer_create refuses this signal and higher ones
int refuse_timer_settime = 0;
int refuse_timer_delete = 0;
bool refuse_monotonic_timers = false;
// How often a timer was armed or disarmed.
std::atomic<int> timers_set{0};

}  // namespace

// A static program has no second definition to call.
#if !defined(OTELPYROSCOPE_STATIC)

template <typename Function>
static Function Real(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

// These stand before the C library's, as a sandbox or qemu-user would.
extern "C" int timer_create(clockid_t clock, struct sigevent* event,
                            timer_t* timer) {
  if (refuse_timer_create != 0) {
    errno = refuse_timer_create;
    return -1;
  }
  if (refuse_monotonic_timers && clock == CLOCK_MONOTONIC) {
    errno = EAGAIN;
    return -1;
  }
  if (refuse_from_signal != 0 && event->sigev_signo >= refuse_from_signal) {
    errno = EINVAL;
    return -1;
  }
  return Real<decltype(&timer_create)>("timer_create")(clock, event, timer);
}

// Looked up before it is called in a signal handler.
static const auto real_timer_settime =
    Real<decltype(&timer_settime)>("timer_settime");

extern "C" int timer_settime(timer_t timer, int flags,
                             const struct itimerspec* value,
                             struct itimerspec* old) {
  timers_set++;
  if (refuse_timer_settime != 0) {
    errno = refuse_timer_settime;
    return -1;
  }
  return real_timer_settime(timer, flags, value, old);
}

extern "C" int timer_delete(timer_t timer) {
  if (refuse_timer_delete != 0) {
    errno = refuse_timer_delete;
    return -1;
  }
  return Real<decltype(&timer_delete)>("timer_delete")(timer);
}

#endif  // OTELPYROSCOPE_STATIC

namespace otelpyroscope {
namespace {

// The clock of all timers below; cases named _precise set the other one.
SampleClock test_clock = SampleClock::kTick;

void BurnUntilPending(int signal) {
  sigset_t pending;
  do {
    Burn(kMillisecond);
    sigpending(&pending);
  } while (sigismember(&pending, signal) == 0);
}

void NeverCalled(int) { abort(); }

void ExpectWeightsEqualCpuTime(int64_t interval_ns) {
  static Count count;
  CpuTimer timer;
  const int64_t before_start = ThreadCpuNs();
  EXPECT_EQ(timer.Start(static_cast<uint64_t>(interval_ns), test_clock,
                        CountSignal, &count),
            0);
  const int64_t after_start = ThreadCpuNs();
  BurnUntilSignals(count, 40);
  timer.Stop();
  // At a signal all intervals that are over have been told, and no other.
  const int64_t counted = count.weight.load() * interval_ns;
  EXPECT_LE(counted, count.cpu_ns.load() - before_start);
  EXPECT_GE(counted, count.cpu_ns.load() - after_start - interval_ns -
                         kMillisecond);  // from the count to the clock
  EXPECT_EQ(count.thread.load(), check::ThreadId());
}

TEST(timer_weights_equal_cpu_time_at_10_ms) {
  ExpectWeightsEqualCpuTime(10 * kMillisecond);
}

// More intervals than ticks (below CONFIG_HZ=1000): overruns carry the rest.
TEST(timer_weights_equal_cpu_time_at_1_ms) {
  ExpectWeightsEqualCpuTime(1 * kMillisecond);
}

// The CPU time that the timer has told of is this thread's own: a sanitizer's
// slow start and end of a thread are that too.
void ExpectOwnCpuTimeOnly(const Count& count, int64_t before_start) {
  EXPECT_LE(count.weight.load() * kMillisecond, ThreadCpuNs() - before_start);
}

TEST(timer_sends_nothing_while_idle) {
  static Count count;
  CpuTimer timer;
  const int64_t before_start = ThreadCpuNs();
  EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count), 0);
  usleep(300000);
  ExpectOwnCpuTimeOnly(count, before_start);
  BurnUntilSignals(count, 2);
  timer.Stop();
}

TEST(timer_counts_its_own_thread_only) {
  static Count idle_count;
  static Count busy_count;
  CpuTimer idle_timer;
  const int64_t before_start = ThreadCpuNs();
  EXPECT_EQ(
      idle_timer.Start(kMillisecond, test_clock, CountSignal, &idle_count), 0);
  std::thread busy([] {
    CpuTimer timer;
    EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &busy_count),
              0);
    BurnUntilSignals(busy_count, 20);
    EXPECT_EQ(busy_count.thread.load(), check::ThreadId());
    timer.Stop();
  });
  busy.join();
  ExpectOwnCpuTimeOnly(idle_count, before_start);
  idle_timer.Stop();
}

TEST(timer_takes_the_highest_free_signal) {
  SetAction(SIGRTMAX, NeverCalled);
  SetAction(SIGRTMAX - 1, SIG_IGN);
  const ProcessState state = ProcessState::Now();
  static Count count;
  CpuTimer timer;
  EXPECT_EQ(CpuTimer::signal_number(), 0);
  EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count), 0);
  EXPECT_EQ(CpuTimer::signal_number(), SIGRTMAX - 2);
  BurnUntilSignals(count, 2);
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
  EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count), 0);
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
  EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count), EAGAIN);
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
    EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count),
              error);
    EXPECT(!timer.running());
    EXPECT_EQ(CpuTimer::signal_number(), 0);
    state.ExpectUnchanged();
    // And it works once it is allowed.
    refuse_timer_create = 0;
    EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count), 0);
    timer.Stop();
    state.ExpectUnchanged();
  }
}

TEST(timer_that_cannot_be_armed_is_an_error) {
  const ProcessState state = ProcessState::Now();
  static Count count;
  CpuTimer timer;
  refuse_timer_settime = EINVAL;
  EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count), EINVAL);
  EXPECT(!timer.running());
  EXPECT_EQ(CpuTimer::signal_number(), 0);
  state.ExpectUnchanged();
}

// As by a sandbox that is put up while the timer runs. The default action of
// the timer's signal ends the process.
TEST(timer_that_cannot_be_deleted_is_disarmed_and_used_again) {
  static Count count;
  CpuTimer timer;
  EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count), 0);
  const int signal = CpuTimer::signal_number();
  refuse_timer_delete = EPERM;
  for (int i = 0; i < 3; i++) {
    BurnUntilSignals(count, 2);
    timer.Stop();
    EXPECT(!timer.running());
    EXPECT_EQ(CpuTimer::signal_number(), signal);
    const ProcessState stopped = ProcessState::Now();
    const int64_t signals = count.signals.load();
    Burn(20 * kMillisecond);
    EXPECT_EQ(raise(signal), 0);
    EXPECT_EQ(count.signals.load(), signals);
    EXPECT_LE(TimersOfProcess(), test_clock == SampleClock::kTick ? 1 : 2);
    EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count), 0);
    EXPECT_EQ(TimersOfProcess(), stopped.timers);
  }
  timer.Stop();
  // Another thread has no use for it. Its own is deleted, the signal is kept.
  refuse_timer_delete = 0;
  static Count other_count;
  std::thread other([] {
    CpuTimer timer;
    EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &other_count),
              0);
    BurnUntilSignals(other_count, 2);
    timer.Stop();
  });
  other.join();
  EXPECT_EQ(CpuTimer::signal_number(), signal);
  EXPECT_EQ(raise(signal), 0);
  // Once it can be deleted, nothing is left.
  EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count), 0);
  timer.Stop();
  EXPECT_EQ(CpuTimer::signal_number(), 0);
  EXPECT_EQ(TimersOfProcess(), 0);
}

TEST(timer_that_cannot_even_be_disarmed_is_ignored) {
  // Too small for us: the signals that still come need ours.
  const size_t least = getauxval(AT_MINSIGSTKSZ);
  std::vector<char> memory((least != 0 ? least : size_t{MINSIGSTKSZ}) + 1024);
  stack_t stack = {};
  stack.ss_sp = memory.data();
  stack.ss_size = memory.size();
  EXPECT_EQ(sigaltstack(&stack, nullptr), 0);
  static Count count;
  CpuTimer timer;
  EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count), 0);
  const int signal = CpuTimer::signal_number();
  refuse_timer_delete = EPERM;
  refuse_timer_settime = EPERM;
  BurnUntilSignals(count, 2);
  timer.Stop();
  EXPECT_EQ(CpuTimer::signal_number(), signal);
  EXPECT_EQ(sigaltstack(nullptr, &stack), 0);
  EXPECT(stack.ss_sp != memory.data());
  const int64_t signals = count.signals.load();
  Burn(20 * kMillisecond);
  EXPECT_EQ(count.signals.load(), signals);
  EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count), EPERM);
  EXPECT(!timer.running());
  Burn(20 * kMillisecond);
  EXPECT_EQ(count.signals.load(), signals);
  refuse_timer_settime = 0;
  EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count), 0);
  BurnUntilSignals(count, 2);
  CpuTimer::StopAll();
  timer.Stop();
  Burn(20 * kMillisecond);
  EXPECT_EQ(raise(signal), 0);
}

// Undeleted timers of threads that are gone are of no use to others.
TEST(timer_limit_holds_for_timers_that_cannot_be_deleted) {
  static Count count;
  refuse_timer_delete = EPERM;
  for (uint32_t i = 0; i <= kMaxTimers; i++) {
    const bool is_over = i == kMaxTimers;
    std::thread([is_over] {
      CpuTimer timer;
      const int error =
          timer.Start(1000 * kMillisecond, test_clock, CountSignal, &count);
      EXPECT_EQ(error, is_over ? EAGAIN : 0);
      timer.Stop();
    }).join();
  }
  EXPECT_LE(TimersOfProcess(), kMaxTimers);
}

struct sigaction action_before;
std::atomic<int> chained_signals{0};

void ChainToOurs(int signal, siginfo_t* info, void* ucontext) {
  chained_signals++;
  action_before.sa_sigaction(signal, info, ucontext);
}

// As of a crash reporter, or another profiler, that comes later.
TEST(timer_leaves_the_handler_that_somebody_has_put_over_its_own) {
  static Count count;
  CpuTimer timer;
  EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count), 0);
  const int signal = CpuTimer::signal_number();
  struct sigaction action = {};
  action.sa_sigaction = ChainToOurs;
  action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  EXPECT_EQ(sigaction(signal, &action, &action_before), 0);
  BurnUntilSignals(count, 2);
  timer.Stop();
  EXPECT_EQ(CpuTimer::signal_number(), 0);
  EXPECT_EQ(TimersOfProcess(), 0);
  const int chained = chained_signals.load();
  EXPECT_EQ(raise(signal), 0);
  EXPECT_EQ(chained_signals.load(), chained + 1);
  // That signal is theirs from now on.
  const ProcessState state = ProcessState::Now();
  EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count), 0);
  EXPECT_EQ(CpuTimer::signal_number(), signal - 1);
  BurnUntilSignals(count, 2);
  timer.Stop();
  state.ExpectUnchanged();
  EXPECT_EQ(chained_signals.load(), chained + 1);
}

// A thread that waits for signals has them blocked.
TEST(timer_takes_no_signal_that_is_blocked_while_there_is_another) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMAX);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  static Count count;
  CpuTimer timer;
  EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count), 0);
  EXPECT_EQ(CpuTimer::signal_number(), SIGRTMAX - 1);
  EXPECT_EQ(sigqueue(getpid(), SIGRTMAX, {.sival_int = 7}), 0);
  siginfo_t info;
  EXPECT_EQ(sigwaitinfo(&set, &info), SIGRTMAX);
  EXPECT_EQ(info.si_value.sival_int, 7);
  timer.Stop();
}

TEST(timer_leaves_the_process_as_it_was_found) {
  const ProcessState state = ProcessState::Now();
  static Count count;
  CpuTimer timer;
  for (int i = 0; i < 3; i++) {
    EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count), 0);
    EXPECT(timer.running());
    BurnUntilSignals(count, 1);
    timer.Stop();
    EXPECT(!timer.running());
    state.ExpectUnchanged();
  }
  timer.Stop();
  state.ExpectUnchanged();
  const int64_t signals = count.signals.load();
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
  EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count), 0);
  BurnUntilSignals(count, 2);
  timer.Stop();
  state.ExpectUnchanged();
}

// The default action of a real-time signal ends the process.
TEST(timer_stopped_with_a_signal_pending) {
  static Count count;
  CpuTimer timer;
  EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count), 0);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, CpuTimer::signal_number());
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  BurnUntilPending(CpuTimer::signal_number());
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
    EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &other_count),
              0);
    started = true;
    while (!done) usleep(1000);
    timer.Stop();
  });
  while (!started) usleep(1000);
  CpuTimer timer;
  EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count), 0);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, CpuTimer::signal_number());
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  BurnUntilPending(CpuTimer::signal_number());
  timer.Stop();
  const int64_t signals = count.signals.load();
  // Its entry is used again, with another owner.
  static Count next_count;
  CpuTimer next;
  EXPECT_EQ(
      next.Start(1000 * kMillisecond, test_clock, CountSignal, &next_count), 0);
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
  EXPECT_EQ(timer.Start(1000 * kMillisecond, test_clock, CountSignal, &count),
            0);
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
  EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count), 0);
  errno = EXDEV;
  BurnUntilSignals(count, 3);
  EXPECT_EQ(errno, EXDEV);
  timer.Stop();
}

TEST(timer_blocks_the_signal_of_other_profilers_in_its_handler) {
  CpuTimer timer;
  Count count;
  EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count), 0);
  struct sigaction action;
  EXPECT_EQ(sigaction(CpuTimer::signal_number(), nullptr, &action), 0);
  EXPECT_EQ(sigismember(&action.sa_mask, SIGPROF), 1);
  timer.Stop();
}

TEST(timer_limit_is_named) {
  static Count count;
  std::vector<std::unique_ptr<CpuTimer>> timers;
  for (uint32_t i = 0; i < kMaxTimers; i++) {
    timers.push_back(std::make_unique<CpuTimer>());
    EXPECT_EQ(
        timers[i]->Start(1000 * kMillisecond, test_clock, CountSignal, &count),
        0);
  }
  CpuTimer one_more;
  EXPECT_EQ(one_more.Start(kMillisecond, test_clock, CountSignal, &count),
            EAGAIN);
  EXPECT(!one_more.running());
  timers[500]->Stop();
  EXPECT_EQ(one_more.Start(kMillisecond, test_clock, CountSignal, &count), 0);
  one_more.Stop();
  for (auto& timer : timers) timer->Stop();
  EXPECT_EQ(CpuTimer::signal_number(), 0);
  EXPECT_EQ(TimersOfProcess(), 0);
}

TEST(timer_stop_all_disarms_every_thread) {
  static Count count;
  static Count other_count;
  std::atomic<bool> started{false};
  std::atomic<bool> stopped{false};
  std::thread other([&] {
    CpuTimer timer;
    EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &other_count),
              0);
    BurnUntilSignals(other_count, 1);
    started = true;
    while (!stopped) Burn(kMillisecond);
    const int64_t signals = other_count.signals.load();
    Burn(30 * kMillisecond);
    EXPECT_EQ(other_count.signals.load(), signals);
    timer.Stop();
  });
  CpuTimer timer;
  EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count), 0);
  BurnUntilSignals(count, 1);
  while (!started) usleep(1000);
  CpuTimer::StopAll();
  stopped = true;
  const int64_t signals = count.signals.load();
  Burn(30 * kMillisecond);
  EXPECT_EQ(count.signals.load(), signals);
  other.join();
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
        EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count),
                  0);
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
  EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count), 0);
  stack_t during;
  EXPECT_EQ(sigaltstack(nullptr, &during), 0);
  EXPECT_EQ(during.ss_sp != stack.ss_sp, expect_replaced);
  EXPECT_GE(during.ss_size, getauxval(AT_MINSIGSTKSZ) + 16 * 1024);
  BurnUntilSignals(count, 2);
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
  // The kernel names the least size, an emulator may not.
  const size_t least = getauxval(AT_MINSIGSTKSZ);
  OnAlternateStack((least != 0 ? least : size_t{MINSIGSTKSZ}) + 1024, true);
}

// --- The precise clock ---

TEST(timer_takes_a_sample_an_interval_where_the_tick_is_longer) {
  static Count count;
  CpuTimer timer;
  EXPECT_EQ(
      timer.Start(kMillisecond, SampleClock::kPrecise, CountSignal, &count), 0);
  EXPECT(timer.clock() == SampleClock::kPrecise);
  ExpectSignalAnInterval(count);
  timer.Stop();
  EXPECT(timer.clock() == SampleClock::kPrecise);
}

TEST(timer_sees_work_in_step_with_the_clock) {
  static Count count;
  CpuTimer timer;
  EXPECT_EQ(
      timer.Start(kMillisecond, SampleClock::kPrecise, CountInside, &count), 0);
  // As the event loop does after it has waited.
  WorkInStep([&timer] { timer.WakeUp(); });
  timer.Stop();
  ExpectWorkInStepIsSeen();
}

#if !defined(OTELPYROSCOPE_STATIC)
TEST(timer_lets_a_thread_sleep_and_is_armed_when_it_wakes) {
  static Count count;
  CpuTimer timer;
  EXPECT_EQ(
      timer.Start(kMillisecond, SampleClock::kPrecise, CountSignal, &count), 0);
  // The first wait is interrupted: the timer was armed. It may be once more.
  for (int i = 0; i < 20; i++) usleep(20000);
  const int asleep = timers_set.load();
  int interrupted = 0;
  for (int i = 0; i < 10; i++) interrupted += usleep(10000) != 0;
  // None, unless a tick has met the thread between two of them.
  EXPECT_LE(interrupted, 4);
  EXPECT_LE(timers_set.load(), asleep + 4);
  const int before = timers_set.load();
  for (int i = 0; i < 1000; i++) timer.WakeUp();
  EXPECT_GE(timers_set.load(), before + 1);
  EXPECT_LE(timers_set.load(), before + 100);
  BurnUntilSignals(count, 10);
  // Nobody wakes it: the kernel's ticks do.
  for (int i = 0; i < 20; i++) usleep(20000);
  const int armed = timers_set.load();
  BurnUntilSignals(count, 10);
  EXPECT_GE(timers_set.load(), armed + 10);
  timer.Stop();
}

TEST(timer_goes_by_ticks_where_the_precise_one_is_refused) {
  static Count count;
  CpuTimer timer;
  const ProcessState state = ProcessState::Now();
  refuse_monotonic_timers = true;
  test_clock = SampleClock::kPrecise;
  EXPECT_EQ(timer.Start(kMillisecond, test_clock, CountSignal, &count), 0);
  EXPECT(timer.clock() == SampleClock::kTick);
  timer.Stop();
  state.ExpectUnchanged();
  Test_timer_weights_equal_cpu_time_at_1_ms();
}

// As by a sandbox that is put up while the timer runs.
TEST(timer_goes_by_ticks_where_arming_is_refused_later) {
  static Count count;
  CpuTimer timer;
  EXPECT_EQ(
      timer.Start(kMillisecond, SampleClock::kPrecise, CountSignal, &count), 0);
  BurnUntilSignals(count, 2);
  refuse_timer_settime = EPERM;
  const int64_t before = count.weight.load();
  const int64_t begin = ThreadCpuNs();
  BurnUntilSignals(count, 20);
  EXPECT(timer.clock() == SampleClock::kTick);
  EXPECT_GE((count.weight.load() - before) * kMillisecond,
            (count.cpu_ns.load() - begin) * 8 / 10);
  timer.Stop();
}
#endif  // OTELPYROSCOPE_STATIC

TEST(timer_that_is_paused_counts_nothing) {
  for (const SampleClock clock : {SampleClock::kTick, SampleClock::kPrecise}) {
    static Count count;
    CpuTimer timer;
    EXPECT_EQ(timer.Start(kMillisecond, clock, CountSignal, &count), 0);
    ExpectNothingWhilePaused(&timer, count);
    timer.Stop();
  }
}

void ByThePreciseClock(void (*test)()) {
  test_clock = SampleClock::kPrecise;
  test();
}

TEST(timer_weights_equal_cpu_time_at_10_ms_precise) {
  ByThePreciseClock(Test_timer_weights_equal_cpu_time_at_10_ms);
}

TEST(timer_weights_equal_cpu_time_at_1_ms_precise) {
  ByThePreciseClock(Test_timer_weights_equal_cpu_time_at_1_ms);
}

TEST(timer_sends_nothing_while_idle_precise) {
  ByThePreciseClock(Test_timer_sends_nothing_while_idle);
}

TEST(timer_counts_its_own_thread_only_precise) {
  ByThePreciseClock(Test_timer_counts_its_own_thread_only);
}

TEST(timer_refused_by_the_kernel_is_an_error_precise) {
  ByThePreciseClock(Test_timer_refused_by_the_kernel_is_an_error);
}

TEST(timer_that_cannot_be_armed_is_an_error_precise) {
  ByThePreciseClock(Test_timer_that_cannot_be_armed_is_an_error);
}

TEST(timer_that_cannot_be_deleted_is_disarmed_and_used_again_precise) {
  ByThePreciseClock(
      Test_timer_that_cannot_be_deleted_is_disarmed_and_used_again);
}

TEST(timer_that_cannot_even_be_disarmed_is_ignored_precise) {
  ByThePreciseClock(Test_timer_that_cannot_even_be_disarmed_is_ignored);
}

TEST(timer_leaves_the_process_as_it_was_found_precise) {
  ByThePreciseClock(Test_timer_leaves_the_process_as_it_was_found);
}

TEST(timer_stopped_with_a_signal_pending_precise) {
  ByThePreciseClock(Test_timer_stopped_with_a_signal_pending);
}

TEST(timer_ignores_signals_of_a_deleted_timer_precise) {
  ByThePreciseClock(Test_timer_ignores_signals_of_a_deleted_timer);
}

TEST(timer_keeps_errno_precise) { ByThePreciseClock(Test_timer_keeps_errno); }

TEST(timer_limit_is_named_precise) {
  ByThePreciseClock(Test_timer_limit_is_named);
}

TEST(timer_stop_all_disarms_every_thread_precise) {
  ByThePreciseClock(Test_timer_stop_all_disarms_every_thread);
}

TEST(timer_threads_start_and_stop_at_once_precise) {
  ByThePreciseClock(Test_timer_threads_start_and_stop_at_once);
}

}  // namespace
}  // namespace otelpyroscope
