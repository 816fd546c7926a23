#include "handler/cpu_timer.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>

#include "base/clock.h"
#include "base/start_thread.h"
#include "handler/task_clock.h"
#include "handler/timer_signals.h"

#ifndef sigev_notify_thread_id  // musl has the field under this name only
#define sigev_notify_thread_id _sigev_un._tid
#endif

namespace otelpyroscope {
namespace {

constexpr size_t kOpenerStackBytes = 64 * 1024;

pthread_mutex_t setup_mutex = PTHREAD_MUTEX_INITIALIZER;
uint32_t tickets_given = 0;               // under setup_mutex
uint64_t threads_numbered = 0;            // under setup_mutex
thread_local uint64_t thread_number = 0;  // 0: none yet
// Live and undeleted timers, under setup_mutex. The signal is not given back
// while there is one.
uint32_t existing_timers = 0;
std::atomic<int> current_signal{0};
bool has_task_clock_handler = false;  // under setup_mutex
std::atomic<bool> process_ends{false};

class SetupLock {
 public:
  SetupLock() { pthread_mutex_lock(&setup_mutex); }
  ~SetupLock() { pthread_mutex_unlock(&setup_mutex); }
  SetupLock(const SetupLock&) = delete;
  SetupLock& operator=(const SetupLock&) = delete;
};

int CreateTimer(clockid_t clock, int signal, uint32_t ticket,
                KernelTimer* timer) {
  struct sigevent event;
  memset(&event, 0, sizeof(event));
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = signal;
  event.sigev_value.sival_ptr = reinterpret_cast<void*>(
      ticket | (clock == CLOCK_MONOTONIC ? kPreciseBit : 0));
  event.sigev_notify_thread_id = static_cast<pid_t>(syscall(SYS_gettid));
  if (timer_create(clock, &event, &timer->id) != 0) return errno;
  timer->exists = true;
  return 0;
}

bool HasDefaultDisposition(int signal) {
  struct sigaction action;
  return sigaction(signal, nullptr, &action) == 0 &&
         (action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == SIG_DFL;
}

using SignalHandler = void (*)(int, siginfo_t*, void*);

// The signals of the timers and of the task clocks do not interrupt each
// other's handler.
int InstallHandler(int signal, SignalHandler handler) {
  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_sigaction = handler;
  // SA_RESTART: the application must not get EINTR because of us.
  action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  // V8's profiler finds no stack if it interrupts our handler.
  sigaddset(&action.sa_mask, SIGPROF);
  sigaddset(&action.sa_mask, kTaskClockSignal);
  const int timer_signal = current_signal.load(std::memory_order_relaxed);
  if (timer_signal != 0) sigaddset(&action.sa_mask, timer_signal);
  return sigaction(signal, &action, nullptr) == 0 ? 0 : errno;
}

int SetTimer(timer_t timer, uint64_t interval_ns) {
  struct itimerspec spec;
  spec.it_interval.tv_sec = static_cast<time_t>(interval_ns / 1000000000);
  spec.it_interval.tv_nsec = static_cast<long>(interval_ns % 1000000000);
  spec.it_value = spec.it_interval;
  return timer_settime(timer, 0, &spec, nullptr) == 0 ? 0 : errno;
}

enum class Ended { kDeleted, kDisarmed, kStillFires };

// Deletes the timer, or else disarms it. A sandbox that was entered while the
// timer ran may refuse both.
Ended EndTimer(KernelTimer* timer) {
  if (!timer->exists) return Ended::kDeleted;
  if (timer_delete(timer->id) == 0) {
    timer->exists = false;
    return Ended::kDeleted;
  }
  return SetTimer(timer->id, 0) == 0 ? Ended::kDisarmed : Ended::kStillFires;
}

Ended EndTimers(TimerEntry* entry) {
  const Ended ended = EndTimer(&entry->precise_timer);
  return std::max(ended, EndTimer(&entry->tick_timer));
}

void GiveSignalBack(int signal, SignalHandler handler) {
  struct sigaction action;
  // A handler that was installed over ours stays: it may call ours at any time.
  if (sigaction(signal, nullptr, &action) != 0 ||
      (action.sa_flags & SA_SIGINFO) == 0 || action.sa_sigaction != handler) {
    return;
  }
  // Ignoring a signal discards the pending ones, whose default action would end
  // the process.
  memset(&action, 0, sizeof(action));
  action.sa_handler = SIG_IGN;
  sigaction(signal, &action, nullptr);
  action.sa_handler = SIG_DFL;
  sigaction(signal, &action, nullptr);
}

// Creates a timer on the signal in use, or on the highest free real-time
// signal; on a signal that this thread blocks only if there is no other,
// because sigwait() may wait for it. Under qemu only timer_create refuses the
// two highest signals, so a signal counts as free if a timer with it can be
// created.
int CreateTimerAndSignal(uint32_t ticket, KernelTimer* timer) {
  const clockid_t clock = CLOCK_THREAD_CPUTIME_ID;
  const int in_use = current_signal.load(std::memory_order_relaxed);
  if (in_use != 0) return CreateTimer(clock, in_use, ticket, timer);
  sigset_t mask;
  sigemptyset(&mask);
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  int error = EAGAIN;
  for (const int is_blocked : {0, 1}) {
    for (int signal = SIGRTMAX; signal >= SIGRTMIN; signal--) {
      if (sigismember(&mask, signal) != is_blocked ||
          !HasDefaultDisposition(signal)) {
        continue;
      }
      error = InstallHandler(signal, OnTimerSignal);
      if (error != 0) return error;
      error = CreateTimer(clock, signal, ticket, timer);
      if (error == 0) {
        current_signal.store(signal, std::memory_order_relaxed);
        return 0;
      }
      GiveSignalBack(signal, OnTimerSignal);
      if (error != EAGAIN && error != EINVAL) return error;
    }
  }
  return error;
}

// Returns the index of the entry with an undeleted timer of this thread, else
// of a free entry, or kMaxTimers.
uint32_t FindEntry() {
  uint32_t found = kMaxTimers;
  for (uint32_t index = 0; index < kMaxTimers; index++) {
    const TimerEntry& entry = timer_entries[index];
    if (entry.ticket.load(std::memory_order_relaxed) != 0) continue;
    if (entry.undeleted_thread == 0) {
      found = std::min(found, index);
    } else if (entry.undeleted_thread == thread_number) {
      return index;
    }
  }
  return found;
}

struct TaskClockRequest {
  uint32_t index;  // of the entry
  uint32_t ticket;
  pid_t thread;
  uint64_t interval_ns;
  bool is_auto;
};

// Gives the task clock to its entry, unless that has ended meanwhile. Returns
// why not: an errno, or 0. Under setup_mutex.
int UseTaskClock(const TaskClockRequest& request, TaskClock* clock) {
  TimerEntry& entry = timer_entries[request.index];
  if (entry.ticket.load(std::memory_order_relaxed) != request.ticket ||
      process_ends.load()) {
    return ESRCH;
  }
  // It has one already where its timer was stopped and is used again.
  if (entry.task_clock.fd() >= 0) return 0;
  if (!has_task_clock_handler) {
    if (!HasDefaultDisposition(kTaskClockSignal)) return EBUSY;
    const int error = InstallHandler(kTaskClockSignal, OnTaskClockSignal);
    if (error != 0) return error;
    has_task_clock_handler = true;
  }
  entry.task_clock.TakeOver(clock);
  NameTaskClock(request.index, entry.task_clock.fd());
  entry.clock.store(SampleClock::kPerf, std::memory_order_release);
  if (!entry.is_paused.load(std::memory_order_relaxed)) {
    entry.task_clock.SetRunning(true);
  }
  return 0;
}

// On a thread of its own: the system's first perf event takes 4 to 17 ms.
void* OpenTaskClock(void* data) {
  const std::unique_ptr<TaskClockRequest> request(
      static_cast<TaskClockRequest*>(data));
  TaskClock clock;
  int refusal = 0;
  if (request->is_auto && IsFilteredBySeccomp()) {
    refusal = CpuTimer::kFiltered;
  } else if (request->is_auto && IsLinuxThatFreezes()) {
    refusal = CpuTimer::kFreezes;
  } else {
    refusal =
        clock.Open(request->thread, kTaskClockSignal, request->interval_ns);
  }
  SetupLock lock;
  if (refusal == 0) refusal = UseTaskClock(*request, &clock);
  clock.Close();
  TimerEntry& entry = timer_entries[request->index];
  if (entry.ticket.load(std::memory_order_relaxed) == request->ticket) {
    entry.refusal.store(refusal, std::memory_order_relaxed);
  }
  return nullptr;
}

// Under setup_mutex, on the thread that is to have the clock.
void OpenTaskClockSoon(const TaskClockRequest& request) {
  auto copy = std::make_unique<TaskClockRequest>(request);
  // Somebody may wait for the signal, with sigwait().
  sigset_t mask;
  sigemptyset(&mask);
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  const int error =
      sigismember(&mask, kTaskClockSignal) == 1
          ? EBUSY
          : StartThread(kOpenerStackBytes, OpenTaskClock, copy.get());
  if (error == 0) {
    copy.release();
  } else {
    timer_entries[request.index].refusal.store(error,
                                               std::memory_order_relaxed);
  }
}

}  // namespace

int CpuTimer::Start(uint64_t interval_ns, SampleClock clock,
                    CpuTimerHandler handler, void* owner) {
  SetupLock lock;
  if (thread_number == 0) thread_number = ++threads_numbered;
  const uint32_t index = FindEntry();
  if (index == kMaxTimers || process_ends.load()) return EAGAIN;
  TimerEntry& entry = timer_entries[index];
  uint32_t ticket = entry.undeleted_ticket;
  if (entry.undeleted_thread == 0) {
    // The upper bits count, so that a ticket is repeated only after 4 million.
    if (++tickets_given >= UINT32_MAX / kMaxTimers) tickets_given = 1;
    ticket = tickets_given * kMaxTimers + index;
  }
  if (!entry.tick_timer.exists) {
    const int error = CreateTimerAndSignal(ticket, &entry.tick_timer);
    if (error != 0) return error;
  }
  if (entry.undeleted_thread == 0) existing_timers++;
  entry.undeleted_thread = 0;

  entry_index_ = index;
  running_ = true;
  const int signal = current_signal.load(std::memory_order_relaxed);
  signal_thread_.Prepare(signal);
  entry.thread = pthread_self();
  entry.clock.store(SampleClock::kTick, std::memory_order_relaxed);
  entry.refusal.store(0, std::memory_order_relaxed);
  // Where it is refused, the tick timer alone is used.
  if (clock == SampleClock::kPrecise) {
    const int refusal = entry.precise_timer.exists
                            ? 0
                            : CreateTimer(CLOCK_MONOTONIC, signal, ticket,
                                          &entry.precise_timer);
    entry.refusal.store(refusal, std::memory_order_relaxed);
    if (refusal == 0) {
      entry.clock.store(clock, std::memory_order_relaxed);
    }
  }
  timer_handler.store(handler, std::memory_order_relaxed);
  entry.owner.store(owner, std::memory_order_relaxed);
  // Release pairs with the acquire in the signal handlers.
  entry.ticket.store(ticket, std::memory_order_release);

  interval_ns_ = interval_ns;
  const int refused = Arm();
  if (refused != 0) {
    StopLocked();
  } else if (clock == SampleClock::kPerf || clock == SampleClock::kAuto) {
    OpenTaskClockSoon({index, ticket, static_cast<pid_t>(syscall(SYS_gettid)),
                       interval_ns, clock == SampleClock::kAuto});
  }
  return refused;
}

int CpuTimer::Arm() {
  TimerEntry& entry = timer_entries[entry_index_];
  const uint64_t now = ClockNs(CLOCK_THREAD_CPUTIME_ID);
  entry.schedule.Begin(interval_ns_, now);
  entry.is_paused.store(false, std::memory_order_relaxed);
  const int error = SetTimer(entry.tick_timer.id, interval_ns_);
  if (error != 0) return error;
  const SampleClock clock = this->clock();
  if (clock == SampleClock::kPrecise) ArmPreciseTimer(&entry, now);
  if (clock == SampleClock::kPerf) {
    ArmTaskClock(&entry, now);
    entry.task_clock.SetRunning(true);
  }
  return 0;
}

void CpuTimer::Pause() {
  if (!running_) return;
  TimerEntry& entry = timer_entries[entry_index_];
  entry.is_paused.store(true, std::memory_order_relaxed);
  SetTimer(entry.tick_timer.id, 0);
  if (entry.precise_timer.exists) SetTimer(entry.precise_timer.id, 0);
  if (entry.task_clock.fd() >= 0) entry.task_clock.SetRunning(false);
}

void CpuTimer::Resume() {
  if (running_ &&
      timer_entries[entry_index_].is_paused.load(std::memory_order_relaxed)) {
    Arm();
  }
}

void CpuTimer::WakeUp() {
  TimerEntry& entry = timer_entries[entry_index_];
  if (!running_ || !entry.is_asleep.load(std::memory_order_relaxed) ||
      clock() != SampleClock::kPrecise ||
      entry.is_paused.load(std::memory_order_relaxed)) {
    return;
  }
  ArmPreciseTimer(&entry, ClockNs(CLOCK_THREAD_CPUTIME_ID));
}

SampleClock CpuTimer::clock() const {
  // Acquire pairs with the release in UseTaskClock(): the clock is open.
  return running_
             ? timer_entries[entry_index_].clock.load(std::memory_order_acquire)
             : last_clock_;
}

int CpuTimer::refusal() const {
  return running_ ? timer_entries[entry_index_].refusal.load(
                        std::memory_order_relaxed)
                  : last_refusal_;
}

void CpuTimer::Stop() {
  SetupLock lock;
  if (running_) StopLocked();
}

void CpuTimer::StopLocked() {
  last_clock_ = clock();
  last_refusal_ = refusal();
  running_ = false;
  TimerEntry& entry = timer_entries[entry_index_];
  const uint32_t ticket = entry.ticket.exchange(0, std::memory_order_relaxed);
  const int signal = current_signal.load(std::memory_order_relaxed);
  if (ticket == 0) {
    // StopAll() was first. Whether the system refused it is unknown, so the
    // handler stays: the process ends anyway.
    signal_thread_.Restore(signal, false);
    return;
  }
  const Ended ended = EndTimers(&entry);
  entry.task_clock.Close();
  NameTaskClock(entry_index_, -1);
  signal_thread_.Restore(signal, ended != Ended::kStillFires);
  if (ended != Ended::kDeleted) {
    entry.undeleted_thread = thread_number;
    entry.undeleted_ticket = ticket;
    return;
  }
  if (--existing_timers == 0) {
    GiveSignalBack(signal, OnTimerSignal);
    current_signal.store(0, std::memory_order_relaxed);
    if (has_task_clock_handler) {
      GiveSignalBack(kTaskClockSignal, OnTaskClockSignal);
      has_task_clock_handler = false;
    }
  }
}

void CpuTimer::StopAll() {
  // Takes no lock, because exit() may have interrupted its holder.
  process_ends.store(true);
  for (TimerEntry& entry : timer_entries) {
    if (entry.ticket.exchange(0, std::memory_order_relaxed) != 0) {
      EndTimers(&entry);
      if (entry.task_clock.fd() >= 0) entry.task_clock.SetRunning(false);
    }
  }
}

int CpuTimer::signal_number() {
  return current_signal.load(std::memory_order_relaxed);
}

}  // namespace otelpyroscope
