#include "handler/task_clock.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

// Alpine has the kernel's headers in a package of their own.
#if __has_include(<linux/perf_event.h>)
#include <linux/perf_event.h>
#define HAS_PERF_EVENTS 1
#endif

namespace otelpyroscope {

#if defined(HAS_PERF_EVENTS)

int TaskClock::Open(pid_t thread, int signal, uint64_t period_ns) {
  perf_event_attr attributes;
  memset(&attributes, 0, sizeof(attributes));
  attributes.size = sizeof(attributes);
  attributes.type = PERF_TYPE_SOFTWARE;
  attributes.config = PERF_COUNT_SW_TASK_CLOCK;
  attributes.sample_period = period_ns;
  attributes.disabled = 1;
  attributes.exclude_hv = 1;
  const int fd = static_cast<int>(syscall(
      SYS_perf_event_open, &attributes, thread, -1, -1, PERF_FLAG_FD_CLOEXEC));
  if (fd < 0) return errno;
  const f_owner_ex owner = {F_OWNER_TID, thread};
  if (ioctl(fd, PERF_EVENT_IOC_ID, &id_) != 0 ||
      fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK) != 0 ||
      fcntl(fd, F_SETSIG, signal) != 0 || fcntl(fd, F_SETOWN_EX, &owner) != 0) {
    const int error = errno;
    close(fd);
    return error;
  }
  fd_plus_one_.store(fd + 1, std::memory_order_relaxed);
  return 0;
}

void TaskClock::Close() {
  // A child process, forked without exec, may hold it open.
  if (IsOurs()) {
    SetRunning(false);
    close(fd());
  }
  fd_plus_one_.store(0, std::memory_order_relaxed);
}

bool TaskClock::SetRunning(bool is_running) const {
  return ioctl(fd(),
               is_running ? PERF_EVENT_IOC_ENABLE : PERF_EVENT_IOC_DISABLE,
               0) == 0;
}

SIGNAL_SAFE bool TaskClock::SetPeriod(uint64_t ns) const noexcept {
  return ioctl(fd(), PERF_EVENT_IOC_PERIOD, &ns) == 0;
}

bool TaskClock::IsOurs() const {
  uint64_t id = 0;
  return fd() >= 0 && ioctl(fd(), PERF_EVENT_IOC_ID, &id) == 0 && id == id_;
}

void TaskClock::TakeOver(TaskClock* other) {
  id_ = other->id_;
  fd_plus_one_.store(other->fd_plus_one_.exchange(0, std::memory_order_relaxed),
                     std::memory_order_relaxed);
}

#else

int TaskClock::Open(pid_t, int, uint64_t) { return ENOSYS; }
void TaskClock::Close() {}
void TaskClock::TakeOver(TaskClock*) {}
bool TaskClock::SetRunning(bool) const { return false; }
SIGNAL_SAFE bool TaskClock::SetPeriod(uint64_t) const noexcept { return false; }

#endif  // HAS_PERF_EVENTS

bool IsFilteredBySeccomp() {
  FILE* file = fopen("/proc/thread-self/status", "re");
  if (file == nullptr) return true;  // unknown
  bool is_filtered = true;
  char line[256];
  int mode = 0;
  while (fgets(line, sizeof(line), file) != nullptr) {
    // 0: none, 1: strict, 2: a filter (proc_pid_status(5)).
    if (sscanf(line, "Seccomp: %d", &mode) == 1) is_filtered = mode != 0;
  }
  fclose(file);
  return is_filtered;
}

bool IsLinuxThatFreezes() {
  utsname system;
  int major = 0;
  int minor = 0;
  return uname(&system) == 0 &&
         sscanf(system.release, "%d.%d", &major, &minor) == 2 && major == 6 &&
         (minor == 16 || minor == 17);
}

}  // namespace otelpyroscope
