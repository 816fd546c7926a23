#include "threads/end_watch.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "base/clock.h"
#include "base/start_thread.h"
#include "handler/ending_signal.h"

namespace otelpyroscope {
namespace {

// How often the main thread is asked, and the runner looked for.
constexpr int kAskMs = 100;
constexpr int kRunnerMs = 500;
// After this time a message says that the main thread does not react.
constexpr uint64_t kWarnNs = 2'000'000'000;
// A further signal ends the process at once, unless it comes this soon: one
// Ctrl-C may arrive twice, from the terminal and from npx.
constexpr uint64_t kOnceNs = 1'000'000'000;

constexpr size_t kStackBytes = 256 * 1024;

constexpr char kBusy[] =
    "otelpyroscope: the program is busy in native code; its profile is written "
    "when it returns to JavaScript. The same signal again ends it now, without "
    "a profile.\n";

// Leaked: the thread runs until the process ends.
std::atomic<EndWatch*> current{nullptr};

}  // namespace

bool EndWatch::Start(v8::Isolate* isolate, uv_loop_t* loop, Runner runner,
                     Finish finish, void* data) {
  auto* watch = new EndWatch;
  watch->pipe_ = EndingSignal::OpenPipe();
  watch->runner_ = runner;
  watch->finish_ = finish;
  watch->data_ = data;
  watch->isolate_ = isolate;
  if (watch->pipe_ < 0) return false;
  watch->wake_up_ = new uv_async_t;
  if (uv_async_init(loop, watch->wake_up_, OnWakeUp) != 0) return false;
  watch->wake_up_->data = watch;
  uv_unref(reinterpret_cast<uv_handle_t*>(watch->wake_up_));
  current.store(watch);
  const auto run = [](void* self) -> void* {
    static_cast<EndWatch*>(self)->Run();
    return nullptr;
  };
  return StartThread(kStackBytes, run, watch) == 0;
}

void EndWatch::SetFinished() {
  EndWatch* watch = current.load();
  if (watch != nullptr) watch->is_finished_.store(true);
}

void EndWatch::Stop(void (*stopped)(void*), void* data) {
  EndWatch* watch = current.load();
  uv_async_t* wake_up = nullptr;
  if (watch != nullptr) {
    std::lock_guard<std::mutex> lock(watch->mutex_);
    watch->isolate_ = nullptr;
    wake_up = watch->wake_up_;
    watch->wake_up_ = nullptr;
  }
  if (wake_up == nullptr) {
    stopped(data);
    return;
  }
  struct Closing {
    void (*stopped)(void*);
    void* data;
  };
  wake_up->data = new Closing{stopped, data};
  uv_close(reinterpret_cast<uv_handle_t*>(wake_up), [](uv_handle_t* handle) {
    auto* closing = static_cast<Closing*>(handle->data);
    closing->stopped(closing->data);
    delete closing;
    delete reinterpret_cast<uv_async_t*>(handle);
  });
}

// --- On the watching thread ---

void EndWatch::Run() {
  for (;;) {
    const bool asks = signal_.load() != 0;
    pollfd readable{pipe_, POLLIN, 0};
    poll(&readable, 1, asks ? kAskMs : runner_.pid != 0 ? kRunnerMs : -1);
    uint8_t signal = 0;
    while (read(pipe_, &signal, 1) == 1) OnSignal(signal);
    if (asks) {
      AskMainThread();
      WarnIfBusy();
    }
    if (runner_.pid != 0 && HasRunnerEnded()) {
      runner_.pid = 0;
      // Whoever has ended the runner means to end the program, which may listen
      // to the signal.
      kill(getpid(), SIGTERM);
    }
  }
}

void EndWatch::OnSignal(int signal) {
  const uint64_t now = ClockNs(CLOCK_MONOTONIC);
  if (signal_.load() == 0) {
    signal_ns_ = now;
    signal_.store(signal);
    AskMainThread();
  } else if (now - signal_ns_ > kOnceNs) {
    EndingSignal::EndBy(signal);
  }
}

void EndWatch::AskMainThread() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (isolate_ == nullptr || is_finished_.load()) {
    EndingSignal::EndBy(signal_.load());
  }
  uv_async_send(wake_up_);
  if (!interrupt_queued_.exchange(true)) {
    isolate_->RequestInterrupt(OnInterrupt, this);
  }
}

void EndWatch::WarnIfBusy() {
  if (has_warned_ || is_serving_.load() ||
      ClockNs(CLOCK_MONOTONIC) - signal_ns_ < kWarnNs) {
    return;
  }
  has_warned_ = true;
  [[maybe_unused]] const ssize_t written =
      write(STDERR_FILENO, kBusy, sizeof(kBusy) - 1);
}

bool EndWatch::HasRunnerEnded() const {
  char name[32];
  snprintf(name, sizeof(name), "/proc/%d/stat", runner_.pid);
  const int file = open(name, O_RDONLY | O_CLOEXEC);
  // It may be hidden from this user.
  if (file < 0) return kill(runner_.pid, 0) != 0 && errno == ESRCH;
  char text[1024];
  const ssize_t length = read(file, text, sizeof(text) - 1);
  close(file);
  if (length <= 0) return true;  // it ended in between
  text[length] = '\0';
  // Behind the name in parentheses: the state, which is field 3, to field 22.
  const char* field = strrchr(text, ')');
  if (field == nullptr) return false;
  const bool is_zombie = strncmp(field, ") Z", 3) == 0;
  for (int number = 2; number < 22 && field != nullptr; number++) {
    field = strchr(field + 1, ' ');
  }
  uint64_t start_time = 0;
  if (field == nullptr || sscanf(field, " %" SCNu64, &start_time) != 1) {
    return false;
  }
  return is_zombie || start_time != runner_.start_time;
}

// --- On the main thread ---

void EndWatch::OnWakeUp(uv_async_t* handle) {
  static_cast<EndWatch*>(handle->data)->Serve();
}

void EndWatch::OnInterrupt(v8::Isolate*, void* self) {
  auto* watch = static_cast<EndWatch*>(self);
  watch->interrupt_queued_.store(false);
  watch->Serve();
}

void EndWatch::Serve() {
  const int signal = signal_.load();
  // An interrupt may arrive while `finish_` runs.
  if (signal == 0 || is_serving_.exchange(true)) return;
  if (finish_(data_)) EndingSignal::EndBy(signal);
  is_serving_.store(false);
}

}  // namespace otelpyroscope
