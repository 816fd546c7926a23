// Passes variable-length records from a signal handler to the code that it
// interrupts, in a ring of fixed size.
//
// Contract, after Go's runtime/profbuf.go: one producer, one consumer, no
// locks, no allocation after Allocate(). The producer never waits for room: if
// a record does not fit, its weight is added to a counter, and everything
// already in the ring stays. Records are arrays of words in one piece, so that
// the producer writes frames straight into the ring. The producer is the
// handler, the consumer the drain on the same thread; functions say so where
// others may call them.
#ifndef NATIVE_HANDLER_SAMPLE_RING_H_
#define NATIVE_HANDLER_SAMPLE_RING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include "base/signal_safety.h"

namespace otelpyroscope {

class SampleRing {
 public:
  // 2 MiB of 64-bit words: about 3,700 samples of 30 frames, 37 s of CPU at
  // 100 Hz without a single drain. When full, the newest sample is dropped.
  static constexpr size_t kDefaultWords = size_t{1} << 18;

  SampleRing() = default;
  SampleRing(const SampleRing&) = delete;
  SampleRing& operator=(const SampleRing&) = delete;
  // No destructor: a ring that a signal handler may still see is never freed.

  // Not SIGNAL_SAFE. `words` is a power of two. Returns false if memory is
  // short.
  bool Allocate(size_t words = kDefaultWords) {
    if (words_ != nullptr) return true;
    words_ = new (std::nothrow) uintptr_t[words];
    if (words_ == nullptr) return false;
    capacity_ = words;
    return true;
  }

  // Not SIGNAL_SAFE, and only while no producer runs.
  void Reset() {
    head_.store(0, std::memory_order_relaxed);
    tail_.store(0, std::memory_order_relaxed);
    pending_.store(0, std::memory_order_relaxed);
    dropped_records_.store(0, std::memory_order_relaxed);
    dropped_weight_.store(0, std::memory_order_relaxed);
    reserved_ = nullptr;
  }

  // Producer: returns room for `max_words` words in one piece, or null when the
  // ring is too full. The consumer sees nothing before Commit().
  SIGNAL_SAFE uintptr_t* Reserve(size_t max_words) noexcept {
    const uint64_t head = head_.load(std::memory_order_relaxed);
    // Acquire pairs with the release in Pop(): the words are no longer read.
    const uint64_t tail = tail_.load(std::memory_order_acquire);
    const size_t offset = head & (capacity_ - 1);
    const size_t needed = max_words + 1;  // one word for the length
    const size_t to_end = capacity_ - offset;
    const size_t skip = to_end < needed ? to_end : 0;
    if (head - tail + skip + needed > capacity_) return nullptr;
    if (skip != 0) words_[offset] = kSkipToEnd;
    reserved_head_ = head + skip;
    reserved_ = &words_[reserved_head_ & (capacity_ - 1)];
    return reserved_ + 1;
  }

  // Producer: publishes the first `words` words of the reserved record.
  SIGNAL_SAFE void Commit(size_t words) noexcept {
    *reserved_ = words;
    pending_.fetch_add(1, std::memory_order_relaxed);
    // Release pairs with the acquire in Peek(): the record is complete.
    head_.store(reserved_head_ + words + 1, std::memory_order_release);
  }

  // Producer and consumer: counts a record for which there was no room, or no
  // time.
  SIGNAL_SAFE void Drop(uint64_t weight) noexcept {
    dropped_records_.fetch_add(1, std::memory_order_relaxed);
    dropped_weight_.fetch_add(weight, std::memory_order_relaxed);
  }

  // Records in the ring, to decide when to wake the consumer.
  SIGNAL_SAFE uint32_t pending() const noexcept {
    return pending_.load(std::memory_order_relaxed);
  }

  // Returns the position after the newest record. It only grows: positions
  // order records against other events. Any thread.
  SIGNAL_SAFE uint64_t head() const noexcept {
    return head_.load(std::memory_order_acquire);
  }

  // Consumer: returns the oldest record that begins before position `limit`,
  // and its length in words; or null. Valid until Pop().
  const uintptr_t* Peek(uint64_t limit, size_t* words) {
    uint64_t tail = tail_.load(std::memory_order_relaxed);
    // Acquire pairs with the release in Commit().
    const uint64_t head = head_.load(std::memory_order_acquire);
    if (tail == head || tail >= limit) return nullptr;
    size_t offset = tail & (capacity_ - 1);
    if (words_[offset] == kSkipToEnd) {
      tail += capacity_ - offset;
      tail_.store(tail, std::memory_order_release);
      offset = 0;
    }
    *words = words_[offset];
    return &words_[offset + 1];
  }

  // Consumer: removes the record that Peek() returned.
  void Pop() {
    const uint64_t tail = tail_.load(std::memory_order_relaxed);
    const size_t words = words_[tail & (capacity_ - 1)];
    pending_.fetch_sub(1, std::memory_order_relaxed);
    // Release pairs with the acquire in Reserve().
    tail_.store(tail + words + 1, std::memory_order_release);
  }

  // Consumer: removes the records that begin before position `limit`, including
  // those added meanwhile. Calls `take` with the first `*left` of them, and
  // `skip` with the others: if records arrive faster than they are taken, this
  // would not end.
  template <typename Take, typename Skip>
  void Drain(uint64_t limit, size_t* left, Take take, Skip skip) {
    size_t words = 0;
    while (const uintptr_t* record = Peek(limit, &words)) {
      if (*left == 0) {
        skip(record);
      } else {
        --*left;
        take(record);
      }
      Pop();
    }
  }

  // Consumer: calls `visit` for each record in the ring, oldest first.
  template <typename Visit>
  void ForEach(Visit visit) const {
    uint64_t tail = tail_.load(std::memory_order_relaxed);
    // Acquire pairs with the release in Commit().
    const uint64_t head = head_.load(std::memory_order_acquire);
    while (tail != head) {
      const size_t offset = tail & (capacity_ - 1);
      if (words_[offset] == kSkipToEnd) {
        tail += capacity_ - offset;
        continue;
      }
      visit(&words_[offset + 1]);
      tail += words_[offset] + 1;
    }
  }

  // Records dropped since Reset().
  uint64_t dropped_records() const {
    return dropped_records_.load(std::memory_order_relaxed);
  }
  // Consumer: returns the weight dropped since the last call.
  uint64_t TakeDroppedWeight() {
    return dropped_weight_.exchange(0, std::memory_order_relaxed);
  }

 private:
  static constexpr uintptr_t kSkipToEnd = ~uintptr_t{0};
  static_assert(std::atomic<uint64_t>::is_always_lock_free);

  uintptr_t* words_ = nullptr;
  size_t capacity_ = 0;
  // Producer only, between Reserve() and Commit().
  uintptr_t* reserved_ = nullptr;
  uint64_t reserved_head_ = 0;
  std::atomic<uint64_t> head_{0};
  std::atomic<uint64_t> tail_{0};
  std::atomic<uint32_t> pending_{0};
  std::atomic<uint64_t> dropped_records_{0};
  std::atomic<uint64_t> dropped_weight_{0};
};

}  // namespace otelpyroscope

#endif  // NATIVE_HANDLER_SAMPLE_RING_H_
