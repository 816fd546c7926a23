#include "handler/signal_thread.h"

#include <sys/auxv.h>
#include <sys/mman.h>

#ifndef AT_MINSIGSTKSZ  // Linux 5.14
#define AT_MINSIGSTKSZ 51
#endif

namespace otelpyroscope {
namespace {

// The handler and its frames took 5.4 KiB; AVX-512 state is in AT_MINSIGSTKSZ.
constexpr size_t kHandlerStackBytes = 16 * 1024;

}  // namespace

void SignalThread::Prepare(int signal) {
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

void SignalThread::Restore(int signal, bool is_quiet) {
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
