// Tests of the task clock: that it sends signals while the thread runs and only
// then, and what happens where the system or the application stands in its way.
#include "handler/task_clock.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "handler/cpu_timer.h"
#include "handler/timer_support.h"

namespace otelpyroscope {
namespace {

// The clock is opened on another thread.
void AwaitClock(const CpuTimer& timer) {
  for (int i = 0; i < 2000 && timer.clock() == SampleClock::kTick; i++) {
    if (timer.refusal() != 0) return;
    usleep(1000);
  }
}

void StartByTaskClock(CpuTimer* timer, int64_t interval_ns,
                      CpuTimerHandler handler, Count* count) {
  EXPECT_EQ(timer->Start(static_cast<uint64_t>(interval_ns), SampleClock::kPerf,
                         handler, count),
            0);
  AwaitClock(*timer);
  const int refusal = timer->refusal();
  if (refusal == EACCES || refusal == EPERM || refusal == ENOSYS ||
      refusal == ENOENT) {
    timer->Stop();
    check::Need("a system that allows the task clock of perf events");
  }
  EXPECT_EQ(refusal, 0);
  EXPECT(timer->clock() == SampleClock::kPerf);
}

void ExpectRefusal(const CpuTimer& timer, int refusal) {
  AwaitClock(timer);
  EXPECT_EQ(timer.refusal(), refusal);
  EXPECT(timer.clock() == SampleClock::kTick);
}

int EntriesOf(const char* path) {
  DIR* directory = opendir(path);
  int entries = -2;  // . and ..
  while (readdir(directory) != nullptr) entries++;
  closedir(directory);
  return entries;
}

int DescriptorsOfProcess() {
  return EntriesOf("/proc/self/fd") - 1;  // that of the folder
}

int ThreadsOfProcess() { return EntriesOf("/proc/self/task"); }

// Waits for the end of the threads that open task clocks.
void AwaitThreads(int threads) {
  for (int i = 0; i < 10000 && ThreadsOfProcess() > threads; i++) usleep(1000);
  EXPECT_EQ(ThreadsOfProcess(), threads);
}

void ExpectWeightsEqualCpuTime(int64_t interval_ns) {
  static Count count;
  CpuTimer timer;
  const int64_t before_start = ThreadCpuNs();
  StartByTaskClock(&timer, interval_ns, CountSignal, &count);
  BurnUntilSignals(count, 40);
  timer.Stop();
  // Less than two intervals are not counted at the last signal: one that was
  // not over, and the chance in which a sample is due.
  const int64_t counted = count.weight.load() * interval_ns;
  EXPECT_LE(counted, count.cpu_ns.load() - before_start);
  EXPECT_GE(counted, count.cpu_ns.load() - before_start - 2 * interval_ns);
  EXPECT_EQ(count.thread.load(), check::ThreadId());
}

TEST(task_clock_weights_equal_cpu_time_at_10_ms) {
  ExpectWeightsEqualCpuTime(10 * kMillisecond);
}

TEST(task_clock_weights_equal_cpu_time_at_1_ms) {
  ExpectWeightsEqualCpuTime(1 * kMillisecond);
}

TEST(task_clock_takes_a_sample_an_interval_where_the_tick_is_longer) {
  static Count count;
  CpuTimer timer;
  StartByTaskClock(&timer, kMillisecond, CountSignal, &count);
  ExpectSignalAnInterval(count);
  timer.Stop();
  EXPECT(timer.clock() == SampleClock::kPerf);
}

TEST(task_clock_sees_work_in_step_with_the_clock) {
  static Count count;
  CpuTimer timer;
  StartByTaskClock(&timer, kMillisecond, CountInside, &count);
  WorkInStep([] {});
  timer.Stop();
  ExpectWorkInStepIsSeen();
}

// It interrupts a thread only on its way into the call: one of 20 signals where
// each 0.3 ms of work is followed by such a call, on a virtual machine.
TEST(task_clock_does_not_interrupt_a_thread_that_sleeps) {
  static Count count;
  CpuTimer timer;
  StartByTaskClock(&timer, kMillisecond, CountSignal, &count);
  int interrupted = 0;
  for (int i = 0; i < 10; i++) {
    Burn(kMillisecond / 2);
    const timespec time = {0, 50 * kMillisecond};
    interrupted += nanosleep(&time, nullptr) != 0;
    interrupted += poll(nullptr, 0, 50) != 0;
  }
  EXPECT_LE(interrupted, 3);
  BurnUntilSignals(count, 2);
  timer.Stop();
}

TEST(task_clock_that_is_paused_counts_nothing) {
  static Count count;
  CpuTimer timer;
  StartByTaskClock(&timer, kMillisecond, CountSignal, &count);
  ExpectNothingWhilePaused(&timer, count);
  timer.Stop();
}

TEST(task_clock_leaves_the_process_as_it_was_found) {
  static Count count;
  const ProcessState state = ProcessState::Now();
  const int descriptors = DescriptorsOfProcess();
  for (int i = 0; i < 20; i++) {
    CpuTimer timer;
    StartByTaskClock(&timer, kMillisecond, CountSignal, &count);
    EXPECT_EQ(DescriptorsOfProcess(), descriptors + 1);
    BurnUntilSignals(count, 2);
    timer.Stop();
    EXPECT_EQ(DescriptorsOfProcess(), descriptors);
    state.ExpectUnchanged();
  }
}

TEST(task_clock_that_is_still_being_opened_at_the_stop_is_closed) {
  static Count count;
  // ThreadSanitizer begins a thread of its own with the first one.
  std::thread([] {}).join();
  const int threads = ThreadsOfProcess();
  {
    CpuTimer timer;
    StartByTaskClock(&timer, kMillisecond, CountSignal, &count);
    timer.Stop();
  }
  AwaitThreads(threads);
  const ProcessState state = ProcessState::Now();
  const int descriptors = DescriptorsOfProcess();
  for (int i = 0; i < 20; i++) {
    CpuTimer timer;
    EXPECT_EQ(
        timer.Start(kMillisecond, SampleClock::kPerf, CountSignal, &count), 0);
    if (i % 2 == 0) Burn(10000 * (i % 10));
    timer.Stop();
  }
  AwaitThreads(threads);
  EXPECT_EQ(DescriptorsOfProcess(), descriptors);
  state.ExpectUnchanged();
}

TEST(task_clock_signals_its_own_thread_only) {
  static Count idle_count;
  CpuTimer idle;
  StartByTaskClock(&idle, kMillisecond, CountSignal, &idle_count);
  const int64_t before = ThreadCpuNs();
  const int64_t weight = idle_count.weight.load();
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; i++) {
    threads.emplace_back([] {
      for (int round = 0; round < 5; round++) {
        auto* count = new Count();
        CpuTimer timer;
        StartByTaskClock(&timer, kMillisecond, CountSignal, count);
        BurnUntilSignals(*count, 4);
        EXPECT_EQ(count->thread.load(), check::ThreadId());
        timer.Stop();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  // Its own CPU time, with up to two intervals from before.
  EXPECT_LE((idle_count.weight.load() - weight - 2) * kMillisecond,
            ThreadCpuNs() - before);
  idle.Stop();
}

// A daemon closes all descriptors that it does not know.
TEST(task_clock_whose_descriptor_somebody_has_closed_is_replaced_by_ticks) {
  static Count count;
  CpuTimer timer;
  const int next = dup(0);  // the clock's
  close(next);
  StartByTaskClock(&timer, kMillisecond, CountSignal, &count);
  EXPECT_EQ(close(next), 0);
  EXPECT_EQ(open("/dev/null", O_RDONLY), next);
  const int64_t weight = count.weight.load();
  const int64_t begin = ThreadCpuNs();
  BurnUntilSignals(count, 20);
  EXPECT(timer.clock() == SampleClock::kTick);
  EXPECT_EQ(timer.refusal(), ENOTTY);
  EXPECT_GE((count.weight.load() - weight) * kMillisecond,
            (count.cpu_ns.load() - begin) * 8 / 10);
  timer.Stop();
  EXPECT_EQ(close(next), 0);  // theirs
}

TEST(task_clock_that_a_child_has_inherited_ends_with_the_timer) {
  static Count count;
  CpuTimer timer;
  StartByTaskClock(&timer, kMillisecond, CountSignal, &count);
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    char byte;
    close(ends[1]);
    _exit(read(ends[0], &byte, 1) == 0 ? 0 : 1);
  }
  BurnUntilSignals(count, 2);
  timer.Stop();
  // Where signals went on, this would be called, or a clock of the next start
  // take them for its own.
  SetAction(SIGURG, [](int) { abort(); });
  Burn(50 * kMillisecond);
  close(ends[1]);
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(task_clock_is_not_used_where_the_application_has_its_signal) {
  static Count count;
  SetAction(SIGURG, [](int) { abort(); });
  const ProcessState state = ProcessState::Now();
  {
    CpuTimer timer;
    EXPECT_EQ(
        timer.Start(kMillisecond, SampleClock::kPerf, CountSignal, &count), 0);
    AwaitClock(timer);
    const int refusal = timer.refusal();
    EXPECT(refusal == EBUSY || refusal == EACCES || refusal == EPERM ||
           refusal == ENOSYS);
    BurnUntilSignals(count, 2);
    timer.Stop();
  }
  state.ExpectUnchanged();
  SetAction(SIGURG, SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGURG);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  CpuTimer timer;
  EXPECT_EQ(timer.Start(kMillisecond, SampleClock::kPerf, CountSignal, &count),
            0);
  ExpectRefusal(timer, EBUSY);
  BurnUntilSignals(count, 2);
  timer.Stop();
}

// SIGURG has a sender of its own, the kernel, for sockets.
TEST(task_clock_takes_no_signal_of_others_for_its_own) {
  static Count count;
  CpuTimer timer;
  StartByTaskClock(&timer, 1000 * kMillisecond, CountSignal, &count);
  for (int i = 0; i < 100; i++) EXPECT_EQ(raise(SIGURG), 0);
  EXPECT_EQ(count.signals.load(), 0);
  timer.Stop();
}

// `action`: for perf_event_open(2).
void Filter(uint32_t action) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_perf_event_open, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, action),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    check::Need("a system with seccomp filters");
  }
}

TEST(task_clock_that_is_refused_leaves_ticks) {
  static Count count;
  Filter(SECCOMP_RET_ERRNO | EACCES);
  const ProcessState state = ProcessState::Now();
  CpuTimer timer;
  EXPECT_EQ(timer.Start(kMillisecond, SampleClock::kPerf, CountSignal, &count),
            0);
  ExpectRefusal(timer, EACCES);
  BurnUntilSignals(count, 5);
  timer.Stop();
  state.ExpectUnchanged();
}

// As systemd's SystemCallFilter does for calls that it does not name.
TEST(task_clock_is_not_tried_by_auto_where_the_attempt_may_end_the_process) {
  static Count count;
  EXPECT(!IsFilteredBySeccomp());
  Filter(SECCOMP_RET_KILL_PROCESS);
  EXPECT(IsFilteredBySeccomp());
  CpuTimer timer;
  EXPECT_EQ(timer.Start(kMillisecond, SampleClock::kAuto, CountSignal, &count),
            0);
  ExpectRefusal(timer, CpuTimer::kFiltered);
  BurnUntilSignals(count, 5);
  timer.Stop();
}

TEST(task_clock_is_stopped_with_all_timers) {
  static Count count;
  CpuTimer timer;
  StartByTaskClock(&timer, kMillisecond, CountSignal, &count);
  BurnUntilSignals(count, 2);
  CpuTimer::StopAll();
  const int64_t signals = count.signals.load();
  Burn(50 * kMillisecond);
  EXPECT_EQ(count.signals.load(), signals);
  timer.Stop();
}

}  // namespace
}  // namespace otelpyroscope
