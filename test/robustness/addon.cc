// An addon that does to its process what addons do: burns CPU in C++, blocks,
// masks and raises signals, changes stacks, starts threads, forks.
#include <fcntl.h>
#include <malloc.h>
#include <node_api.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <vector>

namespace {

int64_t ThreadCpuMicros() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return int64_t{now.tv_sec} * 1000000 + now.tv_nsec / 1000;
}

__attribute__((noinline)) void SpinHere(int64_t micros) {
  const int64_t until = ThreadCpuMicros() + micros;
  volatile uint64_t x = 1;
  while (ThreadCpuMicros() < until) {
    for (int i = 0; i < 200; i++) x = x * 6364136223846793005u + 1;
  }
}

int64_t Number(napi_env env, napi_callback_info info, size_t index,
               napi_value* function = nullptr) {
  size_t count = 2;
  napi_value arguments[2] = {};
  napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr);
  int64_t value = 0;
  if (index < count) napi_get_value_int64(env, arguments[index], &value);
  if (function != nullptr) *function = arguments[1];
  return value;
}

napi_value Result(napi_env env, int64_t value) {
  napi_value result = nullptr;
  napi_create_int64(env, value, &result);
  return result;
}

// spin(micros): CPU in C++.
napi_value Spin(napi_env env, napi_callback_info info) {
  SpinHere(Number(env, info, 0));
  return nullptr;
}

// block(micros): no CPU; how often the wait was interrupted.
napi_value Block(napi_env env, napi_callback_info info) {
  const int64_t micros = Number(env, info, 0);
  timespec left = {micros / 1000000, (micros % 1000000) * 1000};
  int64_t interrupted = 0;
  while (nanosleep(&left, &left) != 0) interrupted++;
  return Result(env, interrupted);
}

// callBack(times, function): C++ between JavaScript and JavaScript.
napi_value CallBack(napi_env env, napi_callback_info info) {
  napi_value function = nullptr;
  const int64_t times = Number(env, info, 0, &function);
  napi_value receiver = nullptr;
  napi_get_undefined(env, &receiver);
  for (int64_t i = 0; i < times; i++) {
    napi_value result = nullptr;
    if (napi_call_function(env, receiver, function, 0, nullptr, &result) !=
        napi_ok) {
      break;
    }
  }
  return nullptr;
}

// onOtherStack(micros): CPU on a stack of its own, as fibers have.
thread_local ucontext_t main_context;
thread_local ucontext_t other_context;
thread_local int64_t other_micros = 0;
void OnOtherStack() { SpinHere(other_micros); }
napi_value SwitchStack(napi_env env, napi_callback_info info) {
  constexpr size_t kBytes = 256 * 1024;
  other_micros = Number(env, info, 0);
  void* stack = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  getcontext(&other_context);
  other_context.uc_stack.ss_sp = stack;
  other_context.uc_stack.ss_size = kBytes;
  other_context.uc_link = &main_context;
  makecontext(&other_context, OnOtherStack, 0);
  swapcontext(&main_context, &other_context);
  munmap(stack, kBytes);
  return nullptr;
}

// mask(blocked): all signals of this thread.
napi_value Mask(napi_env env, napi_callback_info info) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(Number(env, info, 0) != 0 ? SIG_BLOCK : SIG_UNBLOCK, &all,
                  nullptr);
  return nullptr;
}

// blocked(): the signals that this thread blocks, as bits.
napi_value Blocked(napi_env env, napi_callback_info) {
  sigset_t set;
  pthread_sigmask(SIG_BLOCK, nullptr, &set);
  int64_t bits = 0;
  for (int signal = 1; signal < 53; signal++) {
    if (sigismember(&set, signal) == 1) bits |= int64_t{1} << signal;
  }
  int64_t upper = 0;
  for (int signal = 53; signal <= SIGRTMAX; signal++) {
    upper += sigismember(&set, signal) == 1;
  }
  return Result(env, bits + upper);
}

// storm(signal, count): sends it from another thread to this one; how many
// have arrived. The signal is the application's own.
std::atomic<int64_t> arrived{0};
struct StormOrder {
  pid_t thread;
  int signal;
  int64_t count;
};
void Count(int, siginfo_t* info, void*) {
  if (info->si_code == SI_QUEUE) arrived++;
}
void* SendStorm(void* data) {
  const auto* order = static_cast<StormOrder*>(data);
  for (int64_t i = 0; i < order->count; i++) {
    siginfo_t info = {};
    info.si_signo = order->signal;
    info.si_code = SI_QUEUE;
    while (syscall(SYS_rt_tgsigqueueinfo, getpid(), order->thread,
                   order->signal, &info) != 0) {
      usleep(100);
    }
    if (i % 64 == 0) usleep(50);
  }
  return nullptr;
}
napi_value SignalStorm(napi_env env, napi_callback_info info) {
  napi_value second = nullptr;
  const int signal = static_cast<int>(Number(env, info, 0, &second));
  int64_t count = 0;
  napi_get_value_int64(env, second, &count);
  struct sigaction action = {};
  action.sa_sigaction = Count;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigaction(signal, &action, nullptr);
  arrived = 0;
  static StormOrder order;
  order = {static_cast<pid_t>(syscall(SYS_gettid)), signal, count};
  pthread_t thread;
  pthread_create(&thread, nullptr, SendStorm, &order);
  while (arrived.load() < count) SpinHere(1000);
  pthread_join(thread, nullptr);
  return Result(env, arrived.load());
}

// smallStack(bytes): an alternate signal stack of that size; 0: none.
napi_value SmallStack(napi_env env, napi_callback_info info) {
  const auto bytes = static_cast<size_t>(Number(env, info, 0));
  stack_t stack = {};
  stack.ss_flags = bytes == 0 ? SS_DISABLE : 0;
  stack.ss_size = bytes;
  stack.ss_sp = bytes == 0 ? nullptr : malloc(bytes);
  return Result(env, sigaltstack(&stack, nullptr));
}

// threads(count, micros): so many threads burn so much, with all signals
// blocked, as addons' threads do; waits for them.
void* SpinInThread(void* data) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  SpinHere(reinterpret_cast<intptr_t>(data));
  return nullptr;
}
napi_value Threads(napi_env env, napi_callback_info info) {
  napi_value second = nullptr;
  std::vector<pthread_t> threads(
      static_cast<size_t>(Number(env, info, 0, &second)));
  int64_t micros = 0;
  napi_get_value_int64(env, second, &micros);
  for (pthread_t& thread : threads) {
    pthread_create(&thread, nullptr, SpinInThread,
                   reinterpret_cast<void*>(micros));
  }
  for (pthread_t thread : threads) pthread_join(thread, nullptr);
  return nullptr;
}

// forked(micros): forks without exec; the child burns and ends. The child's
// status. It may not run JavaScript: V8 has its heap left out of forks.
napi_value Forked(napi_env env, napi_callback_info info) {
  const int64_t micros = Number(env, info, 0);
  const pid_t child = fork();
  if (child == 0) {
    SpinHere(micros);
    _exit(0);
  }
  int status = -1;
  while (waitpid(child, &status, 0) < 0) {
  }
  return Result(env, status);
}

// readPipe(): reads that block, from a thread that writes; how many reads
// failed. SA_RESTART must hide our signals from them.
void* WritePipe(void* data) {
  const int file = static_cast<int>(reinterpret_cast<intptr_t>(data));
  for (int i = 0; i < 200; i++) {
    usleep(500);
    if (write(file, "x", 1) != 1) break;
  }
  close(file);
  return nullptr;
}
napi_value ReadPipe(napi_env env, napi_callback_info) {
  int files[2];
  if (pipe2(files, O_CLOEXEC) != 0) return Result(env, -1);
  pthread_t thread;
  pthread_create(&thread, nullptr, WritePipe,
                 reinterpret_cast<void*>(static_cast<intptr_t>(files[1])));
  int64_t failed = 0;
  char byte = 0;
  while (true) {
    const ssize_t got = read(files[0], &byte, 1);
    if (got == 0) break;
    if (got < 0) failed++;
    SpinHere(100);
  }
  pthread_join(thread, nullptr);
  close(files[0]);
  return Result(env, failed);
}

// crash(): a fault in C++.
napi_value Crash(napi_env, napi_callback_info) {
  *reinterpret_cast<volatile int*>(8) = 1;
  return nullptr;
}

// allocated(): bytes that malloc has given out, in all threads.
napi_value Allocated(napi_env env, napi_callback_info) {
  const struct mallinfo2 now = mallinfo2();
  return Result(env, static_cast<int64_t>(now.uordblks + now.hblkhd));
}

napi_value Init(napi_env env, napi_value exports) {
  const struct {
    const char* name;
    napi_callback function;
  } functions[] = {
      {"spin", Spin},
      {"block", Block},
      {"callBack", CallBack},
      {"mask", Mask},
      {"blocked", Blocked},
      {"storm", SignalStorm},
      {"threads", Threads},
      {"forked", Forked},
      {"onOtherStack", SwitchStack},
      {"crash", Crash},
      {"readPipe", ReadPipe},
      {"smallStack", SmallStack},
      {"allocated", Allocated},
  };
  for (const auto& [name, function] : functions) {
    napi_value value = nullptr;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, function, nullptr,
                         &value);
    napi_set_named_property(env, exports, name, value);
  }
  return exports;
}

}  // namespace

NAPI_MODULE(torture, Init)
