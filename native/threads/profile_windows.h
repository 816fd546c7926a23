// Keeps the windows of the process's profilers, and the samples that threads
// deliver to them.
//
// Threads do not stop at the same moment, so time is divided into epochs: every
// window that is opened or rotated begins one. A batch carries the epoch since
// which its samples were taken, and is added to the windows that were open
// then, in the segment (from one collect to the next) of that epoch, even if it
// arrives late.
#ifndef NATIVE_THREADS_PROFILE_WINDOWS_H_
#define NATIVE_THREADS_PROFILE_WINDOWS_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "resolve/stack_table.h"

namespace otelpyroscope {

// Label sets by label id: name, value, name, value, ...
using LabelTexts = std::unordered_map<uint32_t, std::vector<std::string>>;

// The samples of one thread, independent of the thread. Not changed any more.
struct SampleBatch {
  std::string thread_name;  // empty: the main thread
  StackTable table;
  std::shared_ptr<const LabelTexts> labels;  // null: unknown
  uint64_t interval_ns = 0;
  uint64_t weight = 0;  // sum of the table's
};
using SharedBatch = std::shared_ptr<const SampleBatch>;

// Returns a batch of one stack, "(stack table full)", without a label.
SampleBatch OverflowBatch(const std::string& thread_name, uint64_t interval_ns,
                          uint64_t weight);

// Returns the label ids of the batch's samples, each once, in order. Any
// thread.
std::vector<uint32_t> LabelIdsOf(const SampleBatch& batch);

// Not thread-safe: called with the lock of session.h held, on any profiled
// thread. Threads are identified by serial numbers, never 0.
class ProfileWindows {
 public:
  // Stacks that wait in one segment for the window's thread. When full, further
  // ones become one "(stack table full)" per thread: the CPU stays, labels and
  // stacks are dropped.
  static constexpr size_t kMaxQueuedStacks = 65536;
  // When this many wait, the window's thread is asked to take them.
  static constexpr size_t kManyQueuedStacks = 4096;
  // Threads whose dropped stacks are counted separately.
  static constexpr size_t kMaxOverflowNames = 1024;

  // CPU times of the process: of all its threads, and of its sampled threads
  // while they were sampled.
  struct Clock {
    uint64_t process_ns = 0;
    uint64_t sampled_ns = 0;
  };

  struct Taken {
    std::vector<SharedBatch> batches;
    uint64_t others = 0;  // intervals of CPU that no sampled thread used
  };

  // Increases with every window that is opened or rotated.
  uint64_t epoch() const { return epoch_; }

  // Opens a window that begins now. Returns its number.
  uint32_t Open(uint64_t owner, uint64_t interval_ns, const Clock& now);
  // Records that no thread needs to sample for this window any more; Rotate()
  // then ends its last segment.
  void BeginClose(uint32_t window);
  // Rotates the window: ends the segment, which the threads `awaited` will
  // complete, and begins the next unless BeginClose() was called. Returns the
  // number of the ended segment.
  uint64_t Rotate(uint32_t window, const Clock& now,
                  std::vector<uint64_t> awaited);

  // Adds samples that `from` has taken since epoch `since` to all windows
  // except its own, for which only the CPU is counted.
  void Deliver(const SharedBatch& batch, uint64_t from, uint64_t since);
  // Records that `from` has delivered all samples from before epoch `until`.
  void Acknowledge(uint64_t from, uint64_t until);
  // Returns, once, the threads for which Deliver() and Acknowledge() have
  // completed a segment, or collected many stacks.
  std::vector<uint64_t> TakeReadyOwners();

  bool IsComplete(uint32_t window, uint64_t segment) const;
  std::vector<uint64_t> Awaited(uint32_t window, uint64_t segment) const;
  // Returns a segment and forgets it; for 0, the part of the current segment
  // that has arrived so far. A closed window is removed with its last segment.
  Taken Take(uint32_t window, uint64_t segment);
  // Removes the windows of a thread that has ended.
  void DropOwner(uint64_t owner);

  bool AnyOpen() const;
  bool AnyOfOthers(uint64_t thread) const;
  bool AnyOf(uint64_t thread) const;

 private:
  struct Segment {
    uint64_t end_epoch = UINT64_MAX;  // also its number
    std::vector<uint64_t> awaited;
    std::vector<SharedBatch> batches;
    size_t stacks = 0;
    std::map<std::string, uint64_t> overflow;  // weight by name of thread
    uint64_t overflow_interval_ns = 0;
    uint64_t others = 0;
  };
  struct Window {
    uint64_t owner = 0;
    uint64_t start_epoch = 0;
    uint64_t interval_ns = 0;
    bool closing = false;
    Clock begin;
    uint64_t expected_ns = 0;   // sampled until the last rotation
    uint64_t delivered_ns = 0;  // the delivered part of it
    uint64_t others = 0;        // intervals given to segments
    std::deque<Segment> segments;
  };

  static uint64_t NewOthers(const Window& window, const Clock& now);
  const Segment* Find(uint32_t window, uint64_t segment) const;
  void Queue(Window* window, Segment* segment, const SharedBatch& batch);

  uint64_t epoch_ = 0;
  uint32_t last_window_ = 0;
  std::map<uint32_t, Window> windows_;
  std::vector<uint64_t> ready_owners_;
};

}  // namespace otelpyroscope

#endif  // NATIVE_THREADS_PROFILE_WINDOWS_H_
