// Preloaded by the torture tests: a system that is hostile in the ways that the
// environment asks for. Nothing where it asks for nothing.
//
// TORTURE_STORM_MICROS=N: every N microseconds each thread with a CPU timer
//   gets the timer's signal once more, as if the timer had sent it.
// TORTURE_REFUSED=number:errno,...: system calls that a seccomp filter refuses.
// TORTURE_NO_PROC=1: /proc/self/mem and /proc/self/maps cannot be opened.
// TORTURE_CLOCK_JUMPS=1: the wall clock jumps by up to a day, at every look.
// TORTURE_EXEC_REPORT=1: says how many timers are armed when execve() is
// called.
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

namespace {

struct Target {
  bool used = false;
  bool armed = false;
  timer_t timer{};
  pid_t thread = 0;
  int signal = 0;
  sigval value{};
};

constexpr int kMaxTargets = 64;
Target targets[kMaxTargets];
// A signal is sent only under it, while its timer exists.
pthread_mutex_t targets_mutex = PTHREAD_MUTEX_INITIALIZER;

// Signals are blocked while it is held: the profiler's handlers set timers.
class TargetsLock {
 public:
  TargetsLock() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &mask_);
    pthread_mutex_lock(&targets_mutex);
  }
  ~TargetsLock() {
    pthread_mutex_unlock(&targets_mutex);
    pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
  }
  TargetsLock(const TargetsLock&) = delete;
  TargetsLock& operator=(const TargetsLock&) = delete;

 private:
  sigset_t mask_;
};

long storm_micros = 0;
bool no_proc = false;
bool clock_jumps = false;

template <typename Function>
Function Next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

long Setting(const char* name) {
  const char* text = getenv(name);
  return text == nullptr ? 0 : atol(text);
}

void* Storm(void*) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
  const timespec pause = {0, storm_micros * 1000};
  while (true) {
    nanosleep(&pause, nullptr);
    TargetsLock lock;
    for (const Target& target : targets) {
      if (!target.used || !target.armed) continue;
      siginfo_t info;
      memset(&info, 0, sizeof(info));
      info.si_signo = target.signal;
      info.si_code = SI_TIMER;
      info.si_value = target.value;
      syscall(SYS_rt_tgsigqueueinfo, getpid(), target.thread, target.signal,
              &info);
    }
  }
}

// A filter that refuses one system call and lets all others pass.
void Refuse(uint32_t number, uint32_t error) {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program = {4, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    perror("seccomp");
    _exit(99);
  }
}

bool IsRefusedFile(const char* path) {
  return no_proc && (strcmp(path, "/proc/self/mem") == 0 ||
                     strcmp(path, "/proc/self/maps") == 0);
}

// Up to a day to and fro, another one each time.
int64_t Jump() {
  static std::atomic<uint64_t> state{88172645463325252u};
  uint64_t x = state.load();
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  state.store(x);
  return static_cast<int64_t>(x % 172800) - 86400;
}

__attribute__((constructor)) void Begin() {
  no_proc = Setting("TORTURE_NO_PROC") != 0;
  clock_jumps = Setting("TORTURE_CLOCK_JUMPS") != 0;
  storm_micros = Setting("TORTURE_STORM_MICROS");
  const char* refused = getenv("TORTURE_REFUSED");
  while (refused != nullptr && *refused != '\0') {
    char* end = nullptr;
    const auto number = static_cast<uint32_t>(strtoul(refused, &end, 10));
    const auto error = static_cast<uint32_t>(strtoul(end + 1, &end, 10));
    Refuse(number, error);
    refused = *end == ',' ? end + 1 : end;
  }
}

void StartStorm() {
  static bool started = false;
  if (started) return;
  started = true;
  pthread_t thread;
  pthread_create(&thread, nullptr, Storm, nullptr);
}

int Open(const char* name, const char* path, int flags, mode_t mode) {
  if (IsRefusedFile(path)) {
    errno = EACCES;
    return -1;
  }
  return Next<int (*)(const char*, int, ...)>(name)(path, flags, mode);
}

}  // namespace

extern "C" {

int timer_create(clockid_t clock, sigevent* event, timer_t* timer) noexcept {
  const int result = Next<int (*)(clockid_t, sigevent*, timer_t*)>(
      "timer_create")(clock, event, timer);
  if (result != 0 || event == nullptr ||
      event->sigev_notify != SIGEV_THREAD_ID) {
    return result;
  }
  TargetsLock lock;
  for (Target& target : targets) {
    if (target.used) continue;
    target = {true,
              false,
              *timer,
              event->sigev_notify_thread_id,
              event->sigev_signo,
              event->sigev_value};
    break;
  }
  if (storm_micros != 0) StartStorm();
  return 0;
}

int timer_delete(timer_t timer) noexcept {
  static const auto next = Next<int (*)(timer_t)>("timer_delete");
  TargetsLock lock;
  for (Target& target : targets) {
    if (target.used && target.timer == timer) target.used = false;
  }
  return next(timer);
}

// Also called by signal handlers, but not for the first time.
int timer_settime(timer_t timer, int flags, const itimerspec* spec,
                  itimerspec* before) noexcept {
  static const auto next =
      Next<int (*)(timer_t, int, const itimerspec*, itimerspec*)>(
          "timer_settime");
  TargetsLock lock;
  for (Target& target : targets) {
    if (target.used && target.timer == timer) {
      target.armed = spec->it_value.tv_sec != 0 || spec->it_value.tv_nsec != 0;
    }
  }
  return next(timer, flags, spec, before);
}

int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = va_arg(arguments, mode_t);
  va_end(arguments);
  return Open("open", path, flags, mode);
}

int open64(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = va_arg(arguments, mode_t);
  va_end(arguments);
  return Open("open64", path, flags, mode);
}

FILE* fopen(const char* path, const char* mode) {
  if (IsRefusedFile(path)) {
    errno = EACCES;
    return nullptr;
  }
  return Next<FILE* (*)(const char*, const char*)>("fopen")(path, mode);
}

int clock_gettime(clockid_t clock, timespec* now) noexcept {
  // By the system call: dlsym() must not be called in a signal handler.
  const long result = syscall(SYS_clock_gettime, clock, now);
  if (result == 0 && clock_jumps && clock == CLOCK_REALTIME) {
    now->tv_sec += Jump();
  }
  return static_cast<int>(result);
}

int gettimeofday(timeval* now, void*) noexcept {
  timespec time;
  if (clock_gettime(CLOCK_REALTIME, &time) != 0) return -1;
  now->tv_sec = time.tv_sec;
  now->tv_usec = time.tv_nsec / 1000;
  return 0;
}

int execve(const char* path, char* const arguments[],
           char* const environment[]) noexcept {
  if (Setting("TORTURE_EXEC_REPORT") != 0) {
    int armed = 0;
    for (const Target& target : targets) armed += target.used && target.armed;
    dprintf(1, "timers=%d\n", armed);
  }
  return Next<int (*)(const char*, char* const*, char* const*)>("execve")(
      path, arguments, environment);
}

}  // extern "C"
