// Tests of the windows: each gets the samples of its time from other threads,
// late ones too, waits for whom it must, and adds up to the process's CPU.
#include "threads/profile_windows.h"

#include <memory>
#include <utility>
#include <vector>

#include "addon/batch_arrays.h"
#include "check.h"

namespace otelpyroscope {
namespace {

using Clock = ProfileWindows::Clock;

constexpr uint64_t kInterval = 10;
constexpr uint64_t kOwner = 1;
constexpr uint64_t kWorker = 2;

SharedBatch Batch(uint64_t weight, uint32_t label = 0) {
  auto batch = std::make_shared<SampleBatch>();
  batch->thread_name = "worker";
  batch->table.Begin(label);
  batch->table.Push(PseudoFrame::kNative);
  batch->table.Commit(weight);
  batch->table.FillLinesWithStarts();
  batch->interval_ns = kInterval;
  batch->weight = weight;
  return batch;
}

// As many stacks, of weight 1 each, with label ids from `first` on.
SharedBatch ManyStacks(size_t count) {
  auto batch = std::make_shared<SampleBatch>();
  batch->thread_name = "worker";
  for (uint32_t label = 1; label <= count; label++) {
    batch->table.Begin(label);
    batch->table.Push(PseudoFrame::kNative);
    batch->table.Commit(1);
  }
  batch->table.FillLinesWithStarts();
  batch->interval_ns = kInterval;
  batch->weight = count;
  return batch;
}

uint64_t Weight(const ProfileWindows::Taken& taken) {
  uint64_t weight = 0;
  for (const SharedBatch& batch : taken.batches) weight += batch->weight;
  return weight;
}

TEST(windows_take_samples_since_their_opening_only) {
  ProfileWindows windows;
  const uint64_t before = windows.epoch();
  const uint32_t window = windows.Open(kOwner, kInterval, {});
  windows.Deliver(Batch(3), kWorker, before);
  windows.Deliver(Batch(5), kWorker, windows.epoch());
  EXPECT_EQ(Weight(windows.Take(window, 0)), 5);
  EXPECT_EQ(Weight(windows.Take(window, 0)), 0);
}

TEST(windows_leave_a_threads_own_samples_to_itself) {
  ProfileWindows windows;
  const uint32_t own = windows.Open(kOwner, kInterval, {});
  const uint32_t others = windows.Open(kWorker, kInterval, {});
  windows.Deliver(Batch(5), kWorker, windows.epoch());
  EXPECT_EQ(Weight(windows.Take(own, 0)), 5);
  EXPECT_EQ(Weight(windows.Take(others, 0)), 0);
  EXPECT(windows.AnyOf(kWorker) && windows.AnyOfOthers(kWorker));
  windows.DropOwner(kOwner);
  EXPECT(!windows.AnyOfOthers(kWorker));
}

TEST(windows_put_late_samples_into_their_segment_while_it_waits) {
  ProfileWindows windows;
  const uint32_t window = windows.Open(kOwner, kInterval, {});
  const uint64_t first = windows.epoch();
  const uint64_t segment = windows.Rotate(window, {}, {kWorker});
  EXPECT(!windows.IsComplete(window, segment));
  windows.Deliver(Batch(7), kWorker, first);
  windows.Deliver(Batch(2), kWorker, windows.epoch());
  windows.Acknowledge(kWorker, first);  // not of this epoch
  EXPECT(!windows.IsComplete(window, segment));
  EXPECT(windows.TakeReadyOwners().empty());
  windows.Acknowledge(kWorker, windows.epoch());
  EXPECT(windows.IsComplete(window, segment));
  EXPECT_EQ(windows.TakeReadyOwners().size(), 1);
  EXPECT_EQ(Weight(windows.Take(window, segment)), 7);
  EXPECT_EQ(Weight(windows.Take(window, 0)), 2);
  // Nobody waited any longer: into the next one.
  windows.Deliver(Batch(4), kWorker, first);
  EXPECT_EQ(Weight(windows.Take(window, 0)), 4);
}

TEST(windows_give_the_cpu_that_nobody_sampled_once) {
  ProfileWindows windows;
  const uint32_t window = windows.Open(kOwner, kInterval, Clock{1000, 500});
  uint64_t segment = windows.Rotate(window, Clock{1104, 560}, {});
  EXPECT_EQ(windows.Take(window, segment).others, 4);  // 44 ns
  // 48 ns in all: the rest of before makes one more.
  segment = windows.Rotate(window, Clock{1118, 570}, {});
  EXPECT_EQ(windows.Take(window, segment).others, 1);
  // Signals that came late take it back: nothing, and never less.
  segment = windows.Rotate(window, Clock{1120, 600}, {});
  EXPECT_EQ(windows.Take(window, segment).others, 0);
  segment = windows.Rotate(window, Clock{1160, 610}, {});
  EXPECT_EQ(windows.Take(window, segment).others, 0);
  segment = windows.Rotate(window, Clock{1180, 610}, {});
  EXPECT_EQ(windows.Take(window, segment).others, 2);
}

TEST(windows_give_what_was_never_delivered_at_their_end) {
  ProfileWindows windows;
  const uint32_t window = windows.Open(kOwner, kInterval, {});
  windows.Deliver(Batch(3), kOwner, windows.epoch());
  windows.BeginClose(window);
  EXPECT(!windows.AnyOpen());
  const uint64_t segment = windows.Rotate(window, Clock{120, 100}, {kWorker});
  const ProfileWindows::Taken taken = windows.Take(window, segment);
  EXPECT_EQ(taken.others, 2 + 7);
  EXPECT(!windows.AnyOf(kOwner));
}

TEST(windows_keep_the_cpu_when_their_queue_is_full) {
  ProfileWindows windows;
  const uint32_t window = windows.Open(kOwner, kInterval, {});
  const SharedBatch batch = ManyStacks(ProfileWindows::kMaxQueuedStacks / 2);
  for (int i = 0; i < 4; i++) windows.Deliver(batch, kWorker, windows.epoch());
  EXPECT_EQ(windows.TakeReadyOwners().size(), 1);
  const ProfileWindows::Taken taken = windows.Take(window, 0);
  EXPECT_EQ(taken.batches.size(), 3);
  EXPECT_EQ(Weight(taken), 4 * batch->weight);
  const SampleBatch& lost = *taken.batches[2];
  EXPECT(lost.thread_name == "worker");
  EXPECT(lost.table.functions()[0].name == "(stack table full)");
  windows.Deliver(batch, kWorker, windows.epoch());
  EXPECT_EQ(windows.Take(window, 0).batches.size(), 1);
}

TEST(flat_batch_has_the_labels_of_its_samples_only) {
  SampleBatch batch = *Batch(6, 9);
  batch.labels = std::make_shared<LabelTexts>(
      LabelTexts{{9, {"name", "value"}}, {8, {"other", "thread's"}}});
  const BatchArrays flat = ToArrays(batch);
  EXPECT((flat.stacks == std::vector<uint32_t>{6, 1, 9, 0}));
  EXPECT((flat.label_sets == std::vector<uint32_t>{9, 2}));
  EXPECT_EQ(flat.label_texts.size(), 2);
  EXPECT(flat.label_texts[1] == "value");
  EXPECT_EQ(LabelIdsOf(*Batch(1)).size(), 0);
}

}  // namespace
}  // namespace otelpyroscope
