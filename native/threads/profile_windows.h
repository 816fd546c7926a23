// The windows of the process's profilers, and the samples that threads hand to
// them.
//
// Threads do not stop at the same moment, so time is cut into epochs: every
// window that opens or turns begins one. A batch tells the epoch since which
// its samples were taken and goes to the windows open then, into the segment
// (from one collect to the next) of that epoch, even if it comes late.
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

// What one thread has sampled, free of the thread. Not changed any more.
struct SampleBatch {
  std::string thread_name;  // empty: the main thread
  StackTable table;
  std::shared_ptr<const LabelTexts> labels;  // null: unknown
  uint64_t interval_ns = 0;
  uint64_t weight = 0;  // sum of the table's
};
using SharedBatch = std::shared_ptr<const SampleBatch>;

// Not thread-safe. Threads are known by serial numbers, never 0.
class ProfileWindows {
 public:
  // Stacks that wait in one segment for its owner. When full, what comes is
  // one "(stack table full)" per thread: the CPU stays, labels and stacks go.
  static constexpr size_t kMaxQueuedStacks = 65536;
  // So many, and the owner is to take them.
  static constexpr size_t kManyQueuedStacks = 4096;
  // Threads whose lost stacks are told apart.
  static constexpr size_t kMaxOverflowNames = 1024;

  // CPU times of the process: of all its threads, and of those sampled while
  // they were.
  struct Clock {
    uint64_t process_ns = 0;
    uint64_t sampled_ns = 0;
  };

  struct Taken {
    std::vector<SharedBatch> batches;
    uint64_t others = 0;  // intervals that no sampled thread has used
  };

  // Grows with every window that opens or turns.
  uint64_t epoch() const { return epoch_; }

  // A new window, from now on. Returns its number.
  uint32_t Open(uint64_t owner, uint64_t interval_ns, const Clock& now);
  // From here on nobody needs to sample for this window.
  void BeginClose(uint32_t window);
  // Ends the segment, to be completed by the threads `awaited`, and begins the
  // next unless BeginClose() was called. Returns the ended one's number.
  uint64_t Turn(uint32_t window, const Clock& now,
                std::vector<uint64_t> awaited);

  // Adds samples that `from` has taken since epoch `since` to all windows but
  // its own, which are only told of the CPU.
  void Deliver(const SharedBatch& batch, uint64_t from, uint64_t since);
  // `from` has delivered all from before epoch `until`.
  void Answer(uint64_t from, uint64_t until);
  // Threads that Deliver() and Answer() have made something ready for.
  std::vector<uint64_t> TakeReadyOwners();

  bool IsComplete(uint32_t window, uint64_t segment) const;
  std::vector<uint64_t> Awaited(uint32_t window, uint64_t segment) const;
  // Hands over a segment and forgets it; of the one under way (0), what has
  // come so far. A window that was closed goes with its last segment.
  Taken Take(uint32_t window, uint64_t segment);
  // The thread has ended, and its windows with it.
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
    std::map<std::string, uint64_t> overflow;  // weight by thread
    uint64_t overflow_interval_ns = 0;
    uint64_t others = 0;
  };
  struct Window {
    uint64_t owner = 0;
    uint64_t start_epoch = 0;
    uint64_t interval_ns = 0;
    bool closing = false;
    Clock begin;
    uint64_t expected_ns = 0;   // sampled until the last turn
    uint64_t delivered_ns = 0;  // of that, what has come
    uint64_t others = 0;        // given to segments
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
