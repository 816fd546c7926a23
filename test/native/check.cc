// The main() of the plain C++ tests: runs the one case that it is told.
#include "check.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace check {
namespace {

Case* first_case = nullptr;

}  // namespace

void Need(const char* what) {
  printf("needs %s\n", what);
  exit(0);
}

Case::Case(const char* case_name, void (*case_run)())
    : name(case_name), run(case_run), next(first_case) {
  first_case = this;
}

void Fail(const char* file, int line, const char* what) {
  fprintf(stderr, "%s:%d: expected %s\n", file, line, what);
  exit(1);
}

void FailCompare(const char* file, int line, const char* what, int64_t left,
                 int64_t right) {
  fprintf(stderr, "%s:%d: expected %s, got %" PRId64 " and %" PRId64 "\n", file,
          line, what, left, right);
  exit(1);
}

int64_t ThreadCpuNs() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return int64_t{now.tv_sec} * 1000000000 + now.tv_nsec;
}

pid_t ThreadId() { return static_cast<pid_t>(syscall(SYS_gettid)); }

void Burn(int64_t ns) {
  const int64_t until = ThreadCpuNs() + ns;
  while (ThreadCpuNs() < until) {
  }
}

}  // namespace check

namespace {

// Touches the stack below the caller's: valgrind delivers no signal on a part
// of it that nobody has touched.
__attribute__((noinline)) void TouchStack() {
  volatile char stack[256 * 1024];
  for (size_t at = 0; at < sizeof(stack); at += 1024) stack[at] = 0;
}

}  // namespace

int main(int argc, char** argv) {
  TouchStack();
  if (argc != 2) {
    fprintf(stderr, "usage: %s CASE\n", argv[0]);
    return 2;
  }
  for (check::Case* it = check::first_case; it != nullptr; it = it->next) {
    if (strcmp(it->name, argv[1]) != 0) continue;
    it->run();
    printf("ok %s\n", it->name);
    return 0;
  }
  fprintf(stderr, "no case %s\n", argv[1]);
  return 2;
}
