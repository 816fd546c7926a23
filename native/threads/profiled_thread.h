// A JavaScript thread's part in the profile of the process.
//
// There is one session at a time: it begins with the first window that any
// thread opens and ends with the last. Every thread that has loaded the addon
// samples itself meanwhile. Its samples are cut off whenever a window of any
// thread opens or turns, which needs no JavaScript: a thread in a long loop
// does it in an interrupt of V8's. What has been cut off waits until the
// thread's own JavaScript says what its label ids stand for (a flush), and
// goes to the windows then.
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
#include "threads/profile_windows.h"
#include "uv.h"
#include "v8.h"

namespace otelpyroscope {

// Everything is for the thread itself; what it needs of others, and they of
// it, is under one lock of the process. No call into V8 or Node is made with
// that lock held but RequestInterrupt(), and it is taken in no callback of the
// collector's or of code events: those hold V8's locks.
class ProfiledThread final : private Sampler::Owner {
 public:
  // Samples not handed on yet, taken since epoch `since`.
  struct Cut {
    uint64_t since = 0;
    bool delivered = false;     // to other threads' windows
    uint64_t gone_modules = 0;  // see Sampler::NameForeign()
    std::shared_ptr<SampleBatch> batch;
  };

  enum class State : uint8_t { kIdle, kSampling, kRefused };

  struct Opened {
    int error = 0;  // an errno, or 0
    uint32_t window = 0;
    uint64_t interval_ns = 0;  // the session's
  };

  // `wake(data)` is called from the loop when JavaScript is to Follow(), to
  // flush, and to look after its windows. Null: too many threads.
  static ProfiledThread* Acquire(v8::Isolate* isolate, uv_loop_t* loop,
                                 std::string name, void (*wake)(void*),
                                 void* data);
  // When the environment ends: hands on what was sampled, without labels where
  // they are unknown; then calls `released(data)` from the loop. Never freed,
  // for an interrupt may still be queued: put back for the next thread.
  void Release(void (*released)(void*), void* data);

  Sampler* sampler() { return sampler_; }

  // Starts to sample, or stops, as the session asks for. kRefused: the system
  // gives no timer.
  State Follow();

  Opened OpenWindow(uint64_t interval_ns, size_t max_frames);
  // The window needs no more samples; sampling stops where it was the last.
  void BeginClose(uint32_t window);
  // Ends the window's segment; the last one after BeginClose(). Flush before.
  // Returns its number.
  uint64_t Turn(uint32_t window);
  bool IsComplete(uint32_t window, uint64_t segment);
  // Has threads that have not answered hand over what they have without labels.
  void Force(uint32_t window, uint64_t segment);
  ProfileWindows::Taken Take(uint32_t window, uint64_t segment);

  // Cuts, and returns all that waits. Nothing is added until EndFlush(), which
  // hands it to the windows of other threads and forgets it.
  const std::deque<Cut>& BeginFlush();
  void EndFlush(std::shared_ptr<const LabelTexts> labels);
  // Whether windows of other threads want samples, and so labels.
  bool HasListeners();

 private:
  enum Task : uint32_t {
    kFollow = 1,
    kCut = 2,
    kFlush = 4,
    kForce = 8,  // hand over without labels
    kLook = 16,  // after its windows
  };

  ProfiledThread() = default;

  void OnWoken() override;
  static void OnFlushTimer(uv_timer_t* timer);
  static void OnInterrupt(v8::Isolate* isolate, void* self);

  // Stops, and starts for the session unless that is 0. Returns an errno or 0.
  int StartFor(uint64_t session, uint64_t interval_ns, size_t max_frames);
  void CutSamples();
  void Deliver(const std::shared_ptr<const LabelTexts>& labels);
  void FillLines(StackTable* table);
  void PrepareFlush();
  void Complete(const Cut& cut, bool may_ask);

  // With the process's lock held.
  bool HasUndeliveredLocked() const;
  void AskLocked(uint32_t tasks);
  static void BeginEpochLocked(ProfiledThread* own, uint32_t tasks,
                               bool session_changes);
  static void SetFlushWantedLocked();
  static void AskReadyOwnersLocked();

  // A thread's samples wait this long for company: its labels are lost for no
  // more than that when it is terminated.
  static constexpr uint64_t kFlushMs = 500;
  // Cuts of a thread that never comes back to its loop; the oldest then goes
  // without labels.
  static constexpr size_t kMaxCuts = 16;
  static constexpr uint64_t kMaxCutAgeNs = 30'000'000'000;
  // How long a flush right after the start waits for the index of the files
  // that are loaded, and any for that of those loaded since the last one.
  // Without it, functions are "(native code)" or "(unresolved)" this time.
  static constexpr int kSymbolsWaitMs = 50;

  Sampler* sampler_ = nullptr;
  void (*wake_)(void*) = nullptr;
  void* wake_data_ = nullptr;
  uv_timer_t* flush_timer_ = nullptr;
  std::atomic<uint32_t> tasks_{0};
  std::atomic<bool> interrupt_queued_{false};
  bool flushing_ = false;
  uint64_t session_ = 0;          // that this thread samples for; 0: none
  uint64_t refused_session_ = 0;  // that it could not sample for

  // Under the process's lock.
  uint64_t serial_ = 0;  // 0: not in use
  std::string name_;
  uint64_t since_ = 0;        // epoch of the last cut
  uint64_t cut_signals_ = 0;  // signals then
  uint64_t oldest_cut_ns_ = 0;
  std::deque<Cut> cuts_;
};

}  // namespace otelpyroscope

#endif  // NATIVE_THREADS_PROFILED_THREAD_H_
