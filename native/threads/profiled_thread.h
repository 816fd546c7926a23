// Connects a JavaScript thread to the profile of the process.
//
// There is one session at a time: it begins with the first window that any
// thread opens, and ends with the last. Every thread that has loaded the addon
// samples itself meanwhile. Its samples are detached whenever a window of any
// thread is opened or rotated, which needs no JavaScript: a thread in a long
// loop does it in an interrupt of V8. Detached samples wait until the thread's
// own JavaScript resolves their label ids (a flush), and are then delivered to
// the windows.
#ifndef NATIVE_THREADS_PROFILED_THREAD_H_
#define NATIVE_THREADS_PROFILED_THREAD_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "sampler/sampler.h"
#include "threads/label_reader.h"
#include "threads/profile_windows.h"
#include "uv.h"
#include "v8.h"

namespace otelpyroscope {

struct Session;

// All functions are for the thread itself, from JavaScript or in its event
// loop, except those that may also run in an interrupt of V8, where no
// JavaScript may be called. State that threads share is under one lock of the
// process. No call into V8 or Node is made with that lock held except
// RequestInterrupt(), and it is never taken in callbacks of the collector or of
// code events, which hold V8's locks, nor in the signal handler.
class ProfiledThread final : private Sampler::Owner {
 public:
  // Detached samples, taken since epoch `since`.
  struct DetachedSamples {
    uint64_t since = 0;
    bool delivered = false;          // to other threads' windows
    uint64_t collected_modules = 0;  // see Sampler::NameForeign()
    std::shared_ptr<SampleBatch> batch;
  };

  enum class State : uint8_t { kIdle, kSampling, kRefused };

  struct Opened {
    int error = 0;  // an errno, or 0
    uint32_t window = 0;
    uint64_t interval_ns = 0;  // that of the session
  };

  // Returns this thread's object, or null if there are too many threads.
  // `wake(data)` is called in the event loop when JavaScript should call
  // JoinOrLeaveSession(), flush, and check its windows. From JavaScript.
  static ProfiledThread* Acquire(v8::Isolate* isolate, uv_loop_t* loop,
                                 std::string name, void (*wake)(void*),
                                 void* data);
  // Called when the environment ends: delivers the samples, with the labels
  // that LabelReader can read; then calls `released(data)` in the event loop.
  // The object is never freed, because an interrupt may still be queued: the
  // next thread reuses it.
  void Release(void (*released)(void*), void* data);

  Sampler* sampler() { return sampler_; }
  LabelReader* label_reader() { return &label_reader_; }

  // Joins or leaves the current session: starts to sample, or stops. kRefused:
  // the system gives no timer. From JavaScript, and in an interrupt.
  State JoinOrLeaveSession();

  // Opens a window, and starts to sample. From JavaScript, as all functions on
  // windows.
  Opened OpenWindow(const SamplingOptions& sampling);
  // Marks the window as needing no more samples; stops sampling if it was the
  // last.
  void BeginClose(uint32_t window);
  // Rotates the window: ends its segment, which is the last one after
  // BeginClose(). Returns the number of the ended segment. Called after a
  // flush.
  uint64_t Rotate(uint32_t window);
  // Whether no thread is awaited for the segment.
  bool IsComplete(uint32_t window, uint64_t segment);
  // Asks the awaited threads to flush without labels, by an interrupt.
  void RequestFlushWithoutLabels(uint32_t window, uint64_t segment);
  // Takes the samples of other threads: see ProfileWindows::Take().
  ProfileWindows::Taken Take(uint32_t window, uint64_t segment);

  // Detaches the samples, and returns all that wait. Nothing is added until
  // EndFlush(), which delivers them to the windows of other threads and forgets
  // them. From JavaScript.
  const std::deque<DetachedSamples>& BeginFlush();
  void EndFlush(std::shared_ptr<const LabelTexts> labels);
  // Whether windows of other threads need samples, and so labels.
  bool HasListeners();

 private:
  enum Task : uint32_t {
    kJoinOrLeave = 1,
    kDetach = 2,
    kFlush = 4,
    kFlushWithoutLabels = 8,
    kCheckWindows = 16,
  };

  ProfiledThread() = default;

  void OnWoken() override;
  static void OnFlushTimer(uv_timer_t* timer);
  static void OnInterrupt(v8::Isolate* isolate, void* self);

  // Stops, and starts for the session unless that is 0. Returns an errno or 0.
  // From JavaScript, and in an interrupt.
  int StartFor(const Session& session);
  // Moves the added-up samples out of the sampler. From JavaScript, and in an
  // interrupt.
  void DetachSamples();
  // Returns the labels of what is detached and not delivered, read without
  // JavaScript; null if no window needs them. When the environment ends.
  std::shared_ptr<const LabelTexts> ReadLabels();
  // Delivers what is detached; null: the labels are unknown. From JavaScript,
  // and in an interrupt.
  void Deliver(const std::shared_ptr<const LabelTexts>& labels);
  void FillLines(StackTable* table);
  void PrepareFlush();
  // Names functions and fills lines. `may_ask`: V8 may be called, and the
  // index of symbols be waited for; false in an interrupt.
  void Complete(const DetachedSamples& detached, bool may_ask);
  // Returns the number of detached batches that are not delivered. On the
  // thread itself, or with the process's lock held.
  size_t CountUndelivered() const;

  // Called with the process's lock held.
  bool HasUndeliveredLocked() const;
  // Merges the oldest batches, which are delivered and wait for the thread's
  // own windows alone, into one stack. In an interrupt.
  void MergeOldestLocked();
  void AskLocked(uint32_t tasks);
  static void BeginEpochLocked(ProfiledThread* own, uint32_t tasks,
                               bool session_changes);
  static void SetFlushWantedLocked();
  static void AskReadyOwnersLocked();

  // How long samples wait for others, so that few flushes are needed.
  static constexpr uint64_t kFlushMs = 500;
  // Detached batches of a thread that does not return to its event loop, and
  // the age of the oldest one; beyond that, they are flushed without labels.
  static constexpr size_t kMaxDetachedBatches = 16;
  static constexpr uint64_t kMaxDetachedAgeNs = 30'000'000'000;
  // How long a flush right after the start waits for the index of the loaded
  // files, and any flush for the index of files loaded since the last one.
  // Without it, functions are "(native code)" or "(unresolved)" this time.
  static constexpr int kSymbolsWaitMs = 50;

  Sampler* sampler_ = nullptr;
  LabelReader label_reader_;
  void (*wake_)(void*) = nullptr;
  void* wake_data_ = nullptr;
  uv_timer_t* flush_timer_ = nullptr;
  std::atomic<uint32_t> tasks_{0};
  std::atomic<bool> interrupt_queued_{false};
  bool flushing_ = false;
  uint64_t session_ = 0;  // session that this thread samples for; 0: none
  uint64_t refused_session_ = 0;  // session that it could not sample for

  // Under the process's lock.
  uint64_t serial_ = 0;  // 0: not in use
  std::string name_;
  uint64_t since_ = 0;             // epoch in which samples were last detached
  uint64_t detached_signals_ = 0;  // signals at that time
  uint64_t oldest_detached_ns_ = 0;  // time of the first of `detached_`
  std::deque<DetachedSamples> detached_;
};

}  // namespace otelpyroscope

#endif  // NATIVE_THREADS_PROFILED_THREAD_H_
