// Tests of signals that interrupt the handlers of others: what the inner
// handler finds is what the outer one was given.
#include "handler/signal_frame.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "check.h"

namespace otelpyroscope {
namespace {

// The lower number: begun first if both are pending.
const int kTheirs = SIGPROF;
const int kOurs = SIGRTMIN + 5;

StackBounds bounds;
bool raises_inside = false;
const void* volatile outermost = nullptr;  // the context of the outer handler
const void* volatile given = nullptr;      // what ours was given
const void* volatile found = nullptr;

// Without a function of the C library, which may have no frame.
void Raise(int signal) {
  syscall(SYS_tgkill, getpid(), check::ThreadId(), signal);
}

volatile size_t frame_bytes = 512;

// Node.js and addons are compiled with frame pointers. So is a function that
// allocates on its stack, whatever the options are.
__attribute__((noinline)) void RaiseFromCallee(int signal) {
  volatile char* frame = static_cast<char*>(__builtin_alloca(frame_bytes));
  frame[0] = 1;
  Raise(signal);
  EXPECT_EQ(frame[0], 1);
}

void RaiseInHandler(int signal) {
  volatile char* frame = static_cast<char*>(__builtin_alloca(frame_bytes));
  frame[0] = 1;
  RaiseFromCallee(signal);
  EXPECT_EQ(frame[0], 1);
}

void OnTheirs(int, siginfo_t*, void* ucontext) {
  if (outermost == nullptr) outermost = ucontext;
  if (raises_inside) RaiseInHandler(kOurs);
}

// Another handler between the two.
void OnBetween(int, siginfo_t*, void* ucontext) {
  if (outermost == nullptr) outermost = ucontext;
  RaiseInHandler(kTheirs);
}

void OnOurs(int, siginfo_t*, void* ucontext) {
  given = ucontext;
  found = InterruptedContext(bounds, ucontext);
}

void Install(int signal, void (*handler)(int, siginfo_t*, void*), int flags) {
  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | SA_RESTART | flags;
  EXPECT_EQ(sigaction(signal, &action, nullptr), 0);
}

void Forget() {
  given = nullptr;
  found = nullptr;
}

// Returns false where signals arrive otherwise: the thread sanitizer calls
// handlers itself, later.
bool SetUp(int flags) {
  if (check::kThreadSanitizer) return false;
  bounds = StackBounds::OfThisThread();
  Install(kTheirs, OnTheirs, flags);
  Install(SIGUSR1, OnBetween, flags);
  Install(kOurs, OnOurs, flags);
  outermost = nullptr;
  Forget();
  return true;
}

void RaiseBothAtOnce() {
  sigset_t both;
  sigemptyset(&both);
  sigaddset(&both, kTheirs);
  sigaddset(&both, kOurs);
  EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &both, nullptr), 0);
  Raise(kTheirs);
  Raise(kOurs);
  EXPECT_EQ(pthread_sigmask(SIG_UNBLOCK, &both, nullptr), 0);
}

void ExpectOutermost() {
  EXPECT(given != nullptr && outermost != nullptr);
  EXPECT(given != outermost);
  EXPECT(found == outermost);
}

TEST(a_handler_that_has_just_begun_is_passed_over) {
  if (!SetUp(0)) return;
  RaiseBothAtOnce();
  ExpectOutermost();
}

TEST(a_handler_that_has_called_functions_is_passed_over) {
  if (!SetUp(0)) return;
  raises_inside = true;
  Raise(kTheirs);
  ExpectOutermost();
}

TEST(a_handler_inside_a_handler_is_passed_over) {
  if (!SetUp(0)) return;
  raises_inside = true;
  Raise(SIGUSR1);
  ExpectOutermost();
}

TEST(handlers_on_the_alternate_stack_are_passed_over) {
  std::vector<char> memory(size_t{256} << 10);
  stack_t stack = {};
  stack.ss_sp = memory.data();
  stack.ss_size = memory.size();
  EXPECT_EQ(sigaltstack(&stack, nullptr), 0);
  if (!SetUp(SA_ONSTACK)) return;
  raises_inside = true;
  Raise(SIGUSR1);
  ExpectOutermost();
  if (!SetUp(SA_ONSTACK)) return;
  raises_inside = false;
  RaiseBothAtOnce();
  ExpectOutermost();
  stack.ss_flags = SS_DISABLE;
  EXPECT_EQ(sigaltstack(&stack, nullptr), 0);
}

// Calls itself with frames that leave what earlier handlers have left on the
// stack as it is.
__attribute__((noinline)) int OverLeftovers(int depth) {
  volatile char hole[256];
  hole[255] = static_cast<char>(depth);
  Raise(kOurs);
  EXPECT(given != nullptr);
  EXPECT(found == given);
  Forget();
  return depth == 0 ? 0 : hole[255] + OverLeftovers(depth - 1);
}

__attribute__((noinline)) void LeaveFrames(int depth) {
  volatile char frame[256];
  frame[0] = 1;
  RaiseBothAtOnce();
  if (depth > 0) LeaveFrames(depth - 1);
  EXPECT_EQ(frame[0], 1);
}

TEST(what_earlier_handlers_have_left_is_not_taken_for_one) {
  if (!SetUp(0)) return;
  LeaveFrames(30);
  OverLeftovers(60);
  // Nor while the other signal is blocked without its handler.
  sigset_t theirs;
  sigemptyset(&theirs);
  sigaddset(&theirs, kTheirs);
  EXPECT_EQ(pthread_sigmask(SIG_BLOCK, &theirs, nullptr), 0);
  OverLeftovers(60);
}

TEST(an_own_stack_of_unknown_bounds_is_not_read) {
  if (!SetUp(0)) return;
  bounds = StackBounds();
  RaiseBothAtOnce();
  EXPECT(given != nullptr);
  EXPECT(found == given);
}

}  // namespace
}  // namespace otelpyroscope
