// Preloaded by refused-timer.test.mjs: a system that forbids CPU timers, as
// some sandboxes do, until the environment variable TIMER_ALLOWED is set; and
// that forbids to delete them once TIMER_DELETE_REFUSED is set.
#include <dlfcn.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>

extern "C" int timer_create(clockid_t clock, struct sigevent* event,
                            timer_t* timer) {
  if (getenv("TIMER_ALLOWED") == nullptr) {
    errno = EPERM;
    return -1;
  }
  using Function = int (*)(clockid_t, struct sigevent*, timer_t*);
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, "timer_create"))(
      clock, event, timer);
}

extern "C" int timer_delete(timer_t timer) {
  if (getenv("TIMER_DELETE_REFUSED") != nullptr) {
    errno = EPERM;
    return -1;
  }
  using Function = int (*)(timer_t);
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, "timer_delete"))(timer);
}
