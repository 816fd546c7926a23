// Preloaded into a process, ends it when code inside the handler of a
// real-time signal, or of SIGURG, allocates, frees or locks.
//
// It stands before the C library's sigaction(), and installs a trampoline in
// place of such a handler that raises a flag around it; and before malloc and
// its like, which look at the flag. The program under test needs no change.
// HANDLER_CHECK_REPORT names a file for the number of handler runs seen.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <atomic>

namespace {

constexpr int kViolation = 97;

// Preloaded objects have a place in every thread's static block: no access
// allocates.
[[gnu::tls_model("initial-exec")]] thread_local volatile int depth = 0;

std::atomic<unsigned long> handler_runs{0};
struct sigaction originals[65];

void Print(int file, const char* text) {
  if (write(file, text, strlen(text)) < 0) _exit(kViolation);
}

void Check(const char* function) {
  if (depth == 0) return;
  depth = 0;
  Print(2, "handler check: ");
  Print(2, function);
  Print(2, " called in a signal handler\n");
  _exit(kViolation);
}

// dlsym() itself may allocate before the real functions are known: such
// memory comes from here and is never given back.
alignas(64) char early_memory[1 << 16];
std::atomic<size_t> early_used{0};

void* EarlyAllocate(size_t size) {
  const size_t at = early_used.fetch_add((size + 63) & ~size_t{63});
  if (at + size > sizeof(early_memory)) _exit(kViolation);
  return early_memory + at;
}

bool IsEarly(const void* memory) {
  return memory >= early_memory && memory < early_memory + sizeof(early_memory);
}

// The function `name` behind this object. Constant-initialized: used before
// constructors run.
template <typename Function>
class Next {
 public:
  constexpr explicit Next(const char* name) : name_(name) {}
  Function get() {
    Function function = function_.load(std::memory_order_relaxed);
    if (function != nullptr || resolving_) return function;
    resolving_ = true;
    function = reinterpret_cast<Function>(dlsym(RTLD_NEXT, name_));
    resolving_ = false;
    function_.store(function, std::memory_order_relaxed);
    return function;
  }

 private:
  const char* name_;
  std::atomic<Function> function_{nullptr};
  [[gnu::tls_model("initial-exec")]] static thread_local bool resolving_;
};

template <typename Function>
thread_local bool Next<Function>::resolving_ = false;

Next<void* (*)(size_t)> next_malloc("malloc");
Next<void* (*)(size_t, size_t)> next_calloc("calloc");
Next<void* (*)(void*, size_t)> next_realloc("realloc");
Next<void (*)(void*)> next_free("free");
Next<int (*)(void**, size_t, size_t)> next_posix_memalign("posix_memalign");
Next<void* (*)(size_t, size_t)> next_aligned_alloc("aligned_alloc");
Next<decltype(&sigaction)> next_sigaction("sigaction");

void Trampoline(int signal, siginfo_t* info, void* context) {
  depth = depth + 1;
  originals[signal].sa_sigaction(signal, info, context);
  depth = depth - 1;
  handler_runs.fetch_add(1, std::memory_order_relaxed);
}

[[gnu::destructor]] void Report() {
  const char* name = getenv("HANDLER_CHECK_REPORT");
  if (name == nullptr) return;
  char text[32];
  snprintf(text, sizeof(text), "%lu\n", handler_runs.load());
  const int file = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (file < 0) _exit(kViolation);
  Print(file, text);
  close(file);
}

// The signals that CpuTimer takes.
bool IsOfProfiler(int signal) {
  return signal == SIGURG || (signal >= SIGRTMIN && signal <= SIGRTMAX);
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

// glibc declares it noexcept, and musl does not: without, it is either's.
EXPORT int sigaction(int signal, const struct sigaction* action,
                     struct sigaction* old) {
  const bool wrap = action != nullptr && IsOfProfiler(signal) &&
                    (action->sa_flags & SA_SIGINFO) != 0;
  struct sigaction wrapped;
  struct sigaction before;
  if (wrap) {
    wrapped = *action;
    wrapped.sa_sigaction = Trampoline;
  }
  struct sigaction original_before = {};
  if (signal > 0 && signal <= 64) original_before = originals[signal];
  // The trampoline may run as soon as it is installed.
  if (wrap) originals[signal] = *action;
  const int result =
      next_sigaction.get()(signal, wrap ? &wrapped : action, &before);
  if (result != 0) {
    if (wrap) originals[signal] = original_before;
    return result;
  }
  if (old != nullptr) {
    *old = before;
    if ((before.sa_flags & SA_SIGINFO) != 0 &&
        before.sa_sigaction == Trampoline) {
      old->sa_sigaction = original_before.sa_sigaction;
    }
  }
  return 0;
}

EXPORT void* malloc(size_t size) {
  Check("malloc");
  const auto next = next_malloc.get();
  return next == nullptr ? EarlyAllocate(size) : next(size);
}

EXPORT void* calloc(size_t count, size_t size) {
  Check("calloc");
  const auto next = next_calloc.get();
  return next == nullptr ? EarlyAllocate(count * size) : next(count, size);
}

EXPORT void* realloc(void* memory, size_t size) {
  Check("realloc");
  if (!IsEarly(memory)) return next_realloc.get()(memory, size);
  void* moved = malloc(size);
  const size_t rest = static_cast<size_t>(early_memory + sizeof(early_memory) -
                                          static_cast<char*>(memory));
  return memcpy(moved, memory, size < rest ? size : rest);
}

EXPORT void free(void* memory) {
  Check("free");
  if (!IsEarly(memory)) next_free.get()(memory);
}

EXPORT int posix_memalign(void** memory, size_t alignment, size_t size) {
  Check("posix_memalign");
  return next_posix_memalign.get()(memory, alignment, size);
}

EXPORT void* aligned_alloc(size_t alignment, size_t size) {
  Check("aligned_alloc");
  return next_aligned_alloc.get()(alignment, size);
}

// operator new and delete need no check of their own: they end in malloc().
// Not here: functions with several versions in glibc (pthread_cond_wait, ...),
// of which dlsym() may find the wrong one; the call graph test knows them.
#define CHECKED(type, name, parameters, arguments) \
  EXPORT type name parameters {                    \
    static Next<type(*) parameters> next(#name);   \
    Check(#name);                                  \
    return next.get() arguments;                   \
  }

CHECKED(int, pthread_mutex_lock, (pthread_mutex_t * it), (it))
CHECKED(int, pthread_mutex_trylock, (pthread_mutex_t * it), (it))
CHECKED(int, pthread_mutex_unlock, (pthread_mutex_t * it), (it))
CHECKED(int, pthread_rwlock_rdlock, (pthread_rwlock_t * it), (it))
CHECKED(int, pthread_rwlock_wrlock, (pthread_rwlock_t * it), (it))
CHECKED(int, pthread_rwlock_tryrdlock, (pthread_rwlock_t * it), (it))
CHECKED(int, pthread_rwlock_trywrlock, (pthread_rwlock_t * it), (it))
CHECKED(int, pthread_rwlock_unlock, (pthread_rwlock_t * it), (it))
CHECKED(int, pthread_once, (pthread_once_t * once, void (*run)()), (once, run))
CHECKED(void*, mmap,
        (void* at, size_t size, int protection, int flags, int file,
         off_t offset),
        (at, size, protection, flags, file, offset))
CHECKED(void*, mmap64,
        (void* at, size_t size, int protection, int flags, int file,
         off_t offset),
        (at, size, protection, flags, file, offset))
CHECKED(int, munmap, (void* at, size_t size), (at, size))
CHECKED(int, mprotect, (void* at, size_t size, int protection),
        (at, size, protection))
CHECKED(int, dladdr, (const void* at, Dl_info* info), (at, info))
CHECKED(FILE*, fopen, (const char* path, const char* mode), (path, mode))
CHECKED(int, fputs, (const char* text, FILE* file), (text, file))
CHECKED(size_t, fwrite,
        (const void* data, size_t size, size_t count, FILE* file),
        (data, size, count, file))
