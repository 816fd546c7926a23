#include "threads/profile_windows.h"

#include <algorithm>
#include <utility>

namespace otelpyroscope {

SampleBatch OverflowBatch(const std::string& thread_name, uint64_t interval_ns,
                          uint64_t weight) {
  SampleBatch batch;
  batch.thread_name = thread_name;
  batch.interval_ns = interval_ns;
  batch.weight = weight;
  batch.table.Begin(0);
  batch.table.Push(PseudoFrame::kOverflow);
  batch.table.Commit(weight);
  batch.table.FillLinesWithStarts();
  return batch;
}

std::vector<uint32_t> LabelIdsOf(const SampleBatch& batch) {
  std::vector<uint32_t> ids;
  for (const auto& [key, weight] : batch.table.stacks()) {
    if (key[0] != 0) ids.push_back(key[0]);
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

namespace {

void Remove(std::vector<uint64_t>* from, uint64_t value) {
  from->erase(std::remove(from->begin(), from->end(), value), from->end());
}

}  // namespace

uint32_t ProfileWindows::Open(uint64_t owner, uint64_t interval_ns,
                              const Clock& now) {
  Window window;
  window.owner = owner;
  window.start_epoch = ++epoch_;
  window.interval_ns = interval_ns;
  window.begin = now;
  window.segments.emplace_back();
  windows_.emplace(++last_window_, std::move(window));
  return last_window_;
}

void ProfileWindows::BeginClose(uint32_t window) {
  const auto found = windows_.find(window);
  if (found != windows_.end()) found->second.closing = true;
}

uint64_t ProfileWindows::Rotate(uint32_t window, const Clock& now,
                                std::vector<uint64_t> awaited) {
  const auto found = windows_.find(window);
  if (found == windows_.end()) return 0;
  Window& rotated = found->second;
  Segment& ended = rotated.segments.back();
  ended.end_epoch = ++epoch_;
  ended.awaited = std::move(awaited);
  ended.others = NewOthers(rotated, now);
  rotated.others += ended.others;
  rotated.expected_ns = now.sampled_ns - rotated.begin.sampled_ns;
  if (!rotated.closing) rotated.segments.emplace_back();
  return epoch_;
}

// Rounded, so that the sum over all segments is never more than half an
// interval off. Signals arrive up to a tick after their CPU time, so the
// intervals already given may be too many: then none are given for a while.
uint64_t ProfileWindows::NewOthers(const Window& window, const Clock& now) {
  const uint64_t process_ns = now.process_ns - window.begin.process_ns;
  const uint64_t sampled_ns = now.sampled_ns - window.begin.sampled_ns;
  if (process_ns <= sampled_ns) return 0;
  const uint64_t others =
      (process_ns - sampled_ns + window.interval_ns / 2) / window.interval_ns;
  return others > window.others ? others - window.others : 0;
}

void ProfileWindows::Deliver(const SharedBatch& batch, uint64_t from,
                             uint64_t since) {
  for (auto& [number, window] : windows_) {
    if (since < window.start_epoch) continue;
    for (Segment& segment : window.segments) {
      if (since >= segment.end_epoch) continue;
      window.delivered_ns += batch->weight * batch->interval_ns;
      if (window.owner != from) Queue(&window, &segment, batch);
      break;
    }
  }
}

void ProfileWindows::Queue(Window* window, Segment* segment,
                           const SharedBatch& batch) {
  const size_t stacks = batch->table.stacks().size();
  if (segment->stacks + stacks > kMaxQueuedStacks) {
    std::string name = batch->thread_name;
    if (segment->overflow.size() >= kMaxOverflowNames &&
        !segment->overflow.contains(name)) {
      name.clear();
    }
    segment->overflow[name] += batch->weight;
    segment->overflow_interval_ns = batch->interval_ns;
    return;
  }
  segment->batches.push_back(batch);
  const bool had_many = segment->stacks >= kManyQueuedStacks;
  segment->stacks += stacks;
  if (!had_many && segment->stacks >= kManyQueuedStacks) {
    ready_owners_.push_back(window->owner);
  }
}

void ProfileWindows::Acknowledge(uint64_t from, uint64_t until) {
  for (auto& [number, window] : windows_) {
    for (Segment& segment : window.segments) {
      if (segment.awaited.empty() || segment.end_epoch > until) continue;
      Remove(&segment.awaited, from);
      if (segment.awaited.empty()) ready_owners_.push_back(window.owner);
    }
  }
}

std::vector<uint64_t> ProfileWindows::TakeReadyOwners() {
  return std::exchange(ready_owners_, {});
}

const ProfileWindows::Segment* ProfileWindows::Find(uint32_t window,
                                                    uint64_t segment) const {
  const auto found = windows_.find(window);
  if (found == windows_.end()) return nullptr;
  for (const Segment& candidate : found->second.segments) {
    if (candidate.end_epoch == segment) return &candidate;
  }
  return nullptr;
}

bool ProfileWindows::IsComplete(uint32_t window, uint64_t segment) const {
  const Segment* found = Find(window, segment);
  return found == nullptr || found->awaited.empty();
}

std::vector<uint64_t> ProfileWindows::Awaited(uint32_t window,
                                              uint64_t segment) const {
  const Segment* found = Find(window, segment);
  return found == nullptr ? std::vector<uint64_t>() : found->awaited;
}

ProfileWindows::Taken ProfileWindows::Take(uint32_t window, uint64_t segment) {
  Taken taken;
  const auto found = windows_.find(window);
  if (found == windows_.end()) return taken;
  Window& from = found->second;
  const uint64_t wanted = segment == 0 ? UINT64_MAX : segment;
  const auto source =
      std::find_if(from.segments.begin(), from.segments.end(),
                   [&](const Segment& s) { return s.end_epoch == wanted; });
  if (source == from.segments.end()) return taken;
  taken.batches = std::move(source->batches);
  taken.others = source->others;
  for (const auto& [name, weight] : source->overflow) {
    taken.batches.push_back(std::make_shared<const SampleBatch>(
        OverflowBatch(name, source->overflow_interval_ns, weight)));
  }
  if (segment == 0) {
    source->batches.clear();
    source->overflow.clear();
    source->stacks = 0;
    return taken;
  }
  from.segments.erase(source);
  if (from.closing && from.segments.empty()) {
    // The CPU of threads that did not acknowledge, and of samples that a thread
    // took after the window was opened and before it detached for that.
    if (from.expected_ns > from.delivered_ns) {
      taken.others += (from.expected_ns - from.delivered_ns) / from.interval_ns;
    }
    windows_.erase(found);
  }
  return taken;
}

void ProfileWindows::DropOwner(uint64_t owner) {
  std::erase_if(windows_,
                [&](const auto& entry) { return entry.second.owner == owner; });
}

bool ProfileWindows::AnyOpen() const {
  return std::any_of(windows_.begin(), windows_.end(),
                     [](const auto& entry) { return !entry.second.closing; });
}

bool ProfileWindows::AnyOfOthers(uint64_t thread) const {
  return std::any_of(windows_.begin(), windows_.end(), [&](const auto& entry) {
    return entry.second.owner != thread;
  });
}

bool ProfileWindows::AnyOf(uint64_t thread) const {
  return std::any_of(windows_.begin(), windows_.end(), [&](const auto& entry) {
    return entry.second.owner == thread;
  });
}

}  // namespace otelpyroscope
