// Lets the main thread write its profile before a signal ends the process, also
// where its JavaScript never returns to the event loop.
//
// For `otelpyroscope run` alone. A thread of its own reads the signals from
// EndingSignal's pipe and asks the main thread, by uv_async_send and by
// RequestInterrupt: the first that arrives calls JavaScript, which writes the
// profile, and then the process ends by the signal. So in an interrupt
// JavaScript of this package runs only where the interrupted JavaScript never
// continues; where it cannot write the profile now, it does nothing, and is
// asked again.
#ifndef NATIVE_THREADS_END_WATCH_H_
#define NATIVE_THREADS_END_WATCH_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <mutex>

#include "uv.h"
#include "v8.h"

namespace otelpyroscope {

class EndWatch {
 public:
  // A process that is watched: if it ends, this one gets SIGTERM. 0: none.
  struct Runner {
    pid_t pid = 0;
    uint64_t start_time = 0;  // as in /proc/PID/stat
  };

  // Returns whether the profile is written, and the process may end.
  using Finish = bool (*)(void* data);

  // Begins to watch. Returns false if the system refuses a pipe or a thread.
  // Once in a process, from JavaScript of the main thread; then
  // EndingSignal::Catch() selects signals.
  static bool Start(v8::Isolate* isolate, uv_loop_t* loop, Runner runner,
                    Finish finish, void* data);
  // The profile is written: signals end the process at once from now on.
  // Node.js may still wait for workers in native code. From JavaScript of the
  // main thread.
  static void SetFinished();
  // Called when the environment ends: signals then end the process at once,
  // too. `stopped(data)` is called in the event loop.
  static void Stop(void (*stopped)(void*), void* data);

 private:
  EndWatch() = default;

  // On the watching thread.
  void Run();
  void OnSignal(int signal);
  void AskMainThread();
  void WarnIfBusy();
  [[nodiscard]] bool HasRunnerEnded() const;

  // On the main thread: in the event loop, and in an interrupt.
  static void OnWakeUp(uv_async_t* handle);
  static void OnInterrupt(v8::Isolate* isolate, void* self);
  void Serve();

  int pipe_ = -1;
  Runner runner_;
  Finish finish_ = nullptr;
  void* data_ = nullptr;
  std::atomic<int> signal_{0};  // that the process ends by; 0: none yet
  uint64_t signal_ns_ = 0;      // when it arrived; on the watching thread
  bool has_warned_ = false;     // on the watching thread
  std::atomic<bool> is_finished_{false};
  std::atomic<bool> is_serving_{false};
  std::atomic<bool> interrupt_queued_{false};

  std::mutex mutex_;
  // Under mutex_; null once the environment has ended.
  v8::Isolate* isolate_ = nullptr;
  uv_async_t* wake_up_ = nullptr;
};

}  // namespace otelpyroscope

#endif  // NATIVE_THREADS_END_WATCH_H_
