#include "handler/cpu_timer.h"

#include <pthread.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "base/clock.h"
#include "handler/sample_schedule.h"

#ifndef sigev_notify_thread_id  // musl has the field under this name only
#define sigev_notify_thread_id _sigev_un._tid
#endif

#ifndef AT_MINSIGSTKSZ  // Linux 5.14
#define AT_MINSIGSTKSZ 51
#endif

namespace otelpyroscope {
namespace {

// A timer of the kernel's, under setup_mutex.
struct KernelTimer {
  timer_t id{};
  bool exists = false;
};

// Connects a signal to its timer's owner. A signal carries the ticket of its
// timer; a deleted timer leaves no ticket, so its late signals are ignored. The
// entries are never freed.
struct Entry {
  std::atomic<uint32_t> ticket{0};  // 0: no live timer
  std::atomic<void*> owner{nullptr};
  KernelTimer tick_timer;     // on the thread's CPU clock
  KernelTimer precise_timer;  // on the monotonic clock
  // For stopped timers that the system has refused to delete, under
  // setup_mutex: the number of their thread, which may reuse them, and their
  // ticket. 0 if there is none.
  uint64_t undeleted_thread = 0;
  uint32_t undeleted_ticket = 0;

  // For the thread of the timer, in the handler and outside.
  std::atomic<bool> is_precise{false};  // the precise timer is in use
  std::atomic<bool> is_paused{false};
  // The precise timer is not armed, because the thread sleeps.
  std::atomic<bool> is_asleep{false};
  SampleSchedule schedule;
  std::atomic<uint64_t> armed_cpu_ns{0};  // the precise timer, last
  std::atomic<uint64_t> armed_for_ns{0};
};

// A thread that has used less CPU time than this since the precise timer was
// armed, or less than this part of the time that it was armed for, sleeps: to
// be woken by the timer takes 10 µs.
constexpr uint64_t kAwakeNs = 30'000;
constexpr uint64_t kAwakePart = 64;
// The signal of a precise timer carries this bit beside the ticket.
constexpr uintptr_t kPreciseBit = uintptr_t{1} << 32;

// The handler and its frames took 5.4 KiB; AVX-512 state is in AT_MINSIGSTKSZ.
constexpr size_t kHandlerStackBytes = 16 * 1024;

// Everything here is leaked and trivially destructible: signals arrive while
// exit() runs static destructors.
Entry entries[CpuTimer::kMaxTimers];
std::atomic<CpuTimerHandler> current_handler{nullptr};
static_assert(std::atomic<CpuTimerHandler>::is_always_lock_free);
pthread_mutex_t setup_mutex = PTHREAD_MUTEX_INITIALIZER;
uint32_t tickets_given = 0;               // under setup_mutex
uint64_t threads_numbered = 0;            // under setup_mutex
thread_local uint64_t thread_number = 0;  // 0: none yet
// Live and undeleted timers, under setup_mutex. The signal is not given back
// while there is one.
uint32_t existing_timers = 0;
std::atomic<int> current_signal{0};
std::atomic<bool> process_ends{false};

class SetupLock {
 public:
  SetupLock() { pthread_mutex_lock(&setup_mutex); }
  ~SetupLock() { pthread_mutex_unlock(&setup_mutex); }
  SetupLock(const SetupLock&) = delete;
  SetupLock& operator=(const SetupLock&) = delete;
};

// Arms the precise timer for the CPU time that is left until the next sample: a
// thread that sleeps meanwhile has used less when it fires. A thousandth is
// added because the two clocks run at slightly different rates. Where the
// system refuses it, the tick timer goes on alone.
SIGNAL_SAFE void ArmPrecise(Entry* entry, uint64_t now_ns) noexcept {
  const uint64_t rest = entry->schedule.RestNs(now_ns);
  const uint64_t delay = rest + rest / 1000 + 1;
  // Before it is armed: it may fire at once.
  entry->is_asleep.store(false, std::memory_order_relaxed);
  entry->armed_cpu_ns.store(now_ns, std::memory_order_relaxed);
  entry->armed_for_ns.store(delay, std::memory_order_relaxed);
  struct itimerspec spec = {};
  spec.it_value.tv_sec = static_cast<time_t>(delay / 1000000000);
  spec.it_value.tv_nsec = static_cast<long>(delay % 1000000000);
  if (timer_settime(entry->precise_timer.id, 0, &spec, nullptr) != 0) {
    entry->is_precise.store(false, std::memory_order_relaxed);
  }
}

// Returns the weight of the sample that is due, or 0, and arms the precise
// timer for the next one. A tick that finds a sample due takes it: a signal of
// the precise timer may have been lost to another handler that was installed
// for a time, and nothing else would arm that timer again.
SIGNAL_SAFE uint32_t TakeWeight(Entry* entry, bool by_precise_timer) noexcept {
  const uint64_t now = ClockNs(CLOCK_THREAD_CPUTIME_ID);
  const uint32_t weight = entry->schedule.Take(now);
  if (weight == 0 && !by_precise_timer &&
      !entry->is_asleep.load(std::memory_order_relaxed)) {
    return 0;  // the precise timer is armed, and will fire
  }
  if (weight == 0 && by_precise_timer) {
    const uint64_t used =
        now - entry->armed_cpu_ns.load(std::memory_order_relaxed);
    const uint64_t armed_for =
        entry->armed_for_ns.load(std::memory_order_relaxed);
    if (used < std::max(kAwakeNs, armed_for / kAwakePart)) {
      entry->is_asleep.store(true, std::memory_order_relaxed);
      return 0;
    }
  }
  ArmPrecise(entry, now);
  return weight;
}

SIGNAL_SAFE void OnSignal(int, siginfo_t* info, void* ucontext) noexcept {
  if (info->si_code != SI_TIMER) return;
  const int saved_errno = errno;
  const auto value = reinterpret_cast<uintptr_t>(info->si_value.sival_ptr);
  const uint32_t ticket = static_cast<uint32_t>(value);
  Entry& entry = entries[ticket % CpuTimer::kMaxTimers];
  // Acquire pairs with the release in Start(): owner and handler are set.
  if (ticket != 0 && entry.ticket.load(std::memory_order_acquire) == ticket &&
      !entry.is_paused.load(std::memory_order_relaxed)) {
    const bool by_precise_timer = (value & kPreciseBit) != 0;
    uint32_t weight = 0;
    if (entry.is_precise.load(std::memory_order_relaxed)) {
      weight = TakeWeight(&entry, by_precise_timer);
    } else if (!by_precise_timer) {
      weight = 1 + static_cast<uint32_t>(info->si_overrun);
    }
    if (weight != 0) {
      current_handler.load(std::memory_order_relaxed)(
          entry.owner.load(std::memory_order_relaxed), weight, ucontext);
    }
  }
  errno = saved_errno;
}

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

int InstallHandler(int signal) {
  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_sigaction = OnSignal;
  // SA_RESTART: the application must not get EINTR because of us.
  action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  // V8's profiler finds no stack if it interrupts our handler.
  sigaddset(&action.sa_mask, SIGPROF);
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

Ended EndTimers(Entry* entry) {
  const Ended ended = EndTimer(&entry->precise_timer);
  return std::max(ended, EndTimer(&entry->tick_timer));
}

void GiveSignalBack(int signal) {
  struct sigaction action;
  // A handler that was installed over ours stays: it may call ours at any time.
  if (sigaction(signal, nullptr, &action) != 0 ||
      (action.sa_flags & SA_SIGINFO) == 0 || action.sa_sigaction != OnSignal) {
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
      error = InstallHandler(signal);
      if (error != 0) return error;
      error = CreateTimer(clock, signal, ticket, timer);
      if (error == 0) {
        current_signal.store(signal, std::memory_order_relaxed);
        return 0;
      }
      GiveSignalBack(signal);
      if (error != EAGAIN && error != EINVAL) return error;
    }
  }
  return error;
}

// Returns the index of the entry with an undeleted timer of this thread, else
// of a free entry, or kMaxTimers.
uint32_t FindEntry() {
  uint32_t found = CpuTimer::kMaxTimers;
  for (uint32_t index = 0; index < CpuTimer::kMaxTimers; index++) {
    const Entry& entry = entries[index];
    if (entry.ticket.load(std::memory_order_relaxed) != 0) continue;
    if (entry.undeleted_thread == 0) {
      found = std::min(found, index);
    } else if (entry.undeleted_thread == thread_number) {
      return index;
    }
  }
  return found;
}

}  // namespace

int CpuTimer::Start(uint64_t interval_ns, SampleClock clock,
                    CpuTimerHandler handler, void* owner) {
  SetupLock lock;
  if (thread_number == 0) thread_number = ++threads_numbered;
  const uint32_t index = FindEntry();
  if (index == kMaxTimers || process_ends.load()) return EAGAIN;
  Entry& entry = entries[index];
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
  PrepareThread(signal);
  // Where it is refused, the tick timer alone is used.
  entry.is_precise.store(clock == SampleClock::kPrecise &&
                             (entry.precise_timer.exists ||
                              CreateTimer(CLOCK_MONOTONIC, signal, ticket,
                                          &entry.precise_timer) == 0),
                         std::memory_order_relaxed);
  current_handler.store(handler, std::memory_order_relaxed);
  entry.owner.store(owner, std::memory_order_relaxed);
  // Release pairs with the acquire in OnSignal().
  entry.ticket.store(ticket, std::memory_order_release);

  interval_ns_ = interval_ns;
  const int refused = Arm();
  if (refused != 0) StopLocked();
  return refused;
}

int CpuTimer::Arm() {
  Entry& entry = entries[entry_index_];
  const uint64_t now = ClockNs(CLOCK_THREAD_CPUTIME_ID);
  entry.schedule.Begin(interval_ns_, now);
  entry.is_paused.store(false, std::memory_order_relaxed);
  const int error = SetTimer(entry.tick_timer.id, interval_ns_);
  if (error == 0 && is_precise()) ArmPrecise(&entry, now);
  return error;
}

void CpuTimer::Pause() {
  if (!running_) return;
  Entry& entry = entries[entry_index_];
  entry.is_paused.store(true, std::memory_order_relaxed);
  SetTimer(entry.tick_timer.id, 0);
  if (is_precise()) SetTimer(entry.precise_timer.id, 0);
}

void CpuTimer::Resume() {
  if (running_ &&
      entries[entry_index_].is_paused.load(std::memory_order_relaxed)) {
    Arm();
  }
}

void CpuTimer::WakeUp() {
  Entry& entry = entries[entry_index_];
  if (!running_ || !entry.is_asleep.load(std::memory_order_relaxed) ||
      !is_precise() || entry.is_paused.load(std::memory_order_relaxed)) {
    return;
  }
  ArmPrecise(&entry, ClockNs(CLOCK_THREAD_CPUTIME_ID));
}

bool CpuTimer::is_precise() const {
  return running_ &&
         entries[entry_index_].is_precise.load(std::memory_order_relaxed);
}

void CpuTimer::Stop() {
  SetupLock lock;
  if (running_) StopLocked();
}

void CpuTimer::StopLocked() {
  running_ = false;
  Entry& entry = entries[entry_index_];
  const uint32_t ticket = entry.ticket.exchange(0, std::memory_order_relaxed);
  const int signal = current_signal.load(std::memory_order_relaxed);
  if (ticket == 0) {
    // StopAll() was first. Whether the system refused it is unknown, so the
    // handler stays: the process ends anyway.
    RestoreThread(signal, false);
    return;
  }
  const Ended ended = EndTimers(&entry);
  RestoreThread(signal, ended != Ended::kStillFires);
  if (ended != Ended::kDeleted) {
    entry.undeleted_thread = thread_number;
    entry.undeleted_ticket = ticket;
    return;
  }
  if (--existing_timers == 0) {
    GiveSignalBack(signal);
    current_signal.store(0, std::memory_order_relaxed);
  }
}

void CpuTimer::StopAll() {
  // Takes no lock, because exit() may have interrupted its holder.
  process_ends.store(true);
  for (Entry& entry : entries) {
    if (entry.ticket.exchange(0, std::memory_order_relaxed) != 0) {
      EndTimers(&entry);
    }
  }
}

int CpuTimer::signal_number() {
  return current_signal.load(std::memory_order_relaxed);
}

void CpuTimer::PrepareThread(int signal) {
  sigset_t set;
  sigset_t before;
  sigemptyset(&set);
  sigaddset(&set, signal);
  unblocked_signal_ = pthread_sigmask(SIG_UNBLOCK, &set, &before) == 0 &&
                      sigismember(&before, signal) == 1;

  stack_t stack;
  const size_t needed = getauxval(AT_MINSIGSTKSZ) + kHandlerStackBytes;
  if (sigaltstack(nullptr, &stack) != 0 || (stack.ss_flags & SS_DISABLE) != 0 ||
      stack.ss_size >= needed) {
    return;
  }
  // The thread's alternate stack is too small, but not ours to free. An
  // anonymous mapping costs nothing until it is used.
  void* memory = mmap(nullptr, needed + SIGSTKSZ, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) return;
  previous_stack_ = stack;
  stack.ss_sp = memory;
  stack.ss_size = needed + SIGSTKSZ;
  stack.ss_flags = 0;
  if (sigaltstack(&stack, nullptr) != 0) {
    munmap(memory, needed + SIGSTKSZ);
    return;
  }
  own_stack_ = memory;
  own_stack_bytes_ = needed + SIGSTKSZ;
}

void CpuTimer::RestoreThread(int signal, bool is_quiet) {
  if (unblocked_signal_) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    unblocked_signal_ = false;
  }
  if (own_stack_ == nullptr) return;
  stack_t stack;
  // Our stack stays if signals still arrive, for which the thread's is too
  // small, if it was replaced, or if it is in use.
  if (is_quiet && sigaltstack(nullptr, &stack) == 0 &&
      stack.ss_sp == own_stack_ &&
      sigaltstack(&previous_stack_, nullptr) == 0) {
    munmap(own_stack_, own_stack_bytes_);
  }
  own_stack_ = nullptr;
}

}  // namespace otelpyroscope
