#include "handler/ending_signal.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "uv.h"

namespace otelpyroscope {
namespace {

// Never closed: a signal may arrive while exit() runs.
std::atomic<int> write_end{-1};
static_assert(std::atomic<int>::is_always_lock_free);

}  // namespace

int EndingSignal::OpenPipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return -1;
  write_end.store(ends[1]);
  return ends[0];
}

void EndingSignal::OnSignal(int signal) noexcept {
  const int saved = errno;
  const auto number = static_cast<uint8_t>(signal);
  // If the pipe is full, one of these signals is being served.
  [[maybe_unused]] const ssize_t written =
      write(write_end.load(std::memory_order_relaxed), &number, 1);
  errno = saved;
}

void EndingSignal::Catch(int signal) {
  struct sigaction current {};
  if (sigaction(signal, nullptr, &current) != 0) return;
  if (current.sa_handler == SIG_IGN) return;
  struct sigaction action {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

void EndingSignal::EndBy(int signal) {
  // As Node.js does: a terminal that the program has set to raw mode.
  uv_tty_reset_mode();
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  sigaction(signal, &action, nullptr);
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, signal);
  pthread_sigmask(SIG_UNBLOCK, &mask, nullptr);
  kill(getpid(), signal);
  // The first process of a container is not ended by default actions.
  _exit(128 + signal);
}

}  // namespace otelpyroscope
