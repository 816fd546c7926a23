// A program whose signal handler does what its argument names, to show that
// handler_check.cc notices it.
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <string>

namespace {

const char* deed = "";
void* volatile kept = nullptr;
pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

bool Is(const char* name) { return strcmp(deed, name) == 0; }

void Handler(int, siginfo_t*, void*) {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  if (Is("malloc")) kept = malloc(100);
  if (Is("free")) free(kept);
  if (Is("calloc")) kept = calloc(10, 10);
  if (Is("realloc")) kept = realloc(kept, 1000);
  if (Is("new")) kept = new std::string(100, 'x');
  if (Is("aligned")) kept = aligned_alloc(64, 64);
  if (Is("lock")) pthread_mutex_lock(&mutex);
  if (Is("print")) fputs("hello\n", stderr);
  if (Is("name")) {
    Dl_info info;
    dladdr(reinterpret_cast<void*>(&Handler), &info);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2) deed = argv[1];
  kept = malloc(10);
  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_sigaction = Handler;
  action.sa_flags = SA_SIGINFO;
  if (sigaction(SIGRTMIN, &action, nullptr) != 0) return 1;
  struct sigaction installed;
  if (sigaction(SIGRTMIN, nullptr, &installed) != 0) return 1;
  if (installed.sa_sigaction != Handler) return 2;
  if (raise(SIGRTMIN) != 0 || raise(SIGRTMIN) != 0) return 1;
  // Outside of the handler everything is allowed.
  free(malloc(10));
  pthread_mutex_unlock(&mutex);
  puts("done");
  return 0;
}
