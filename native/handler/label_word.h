// Defines the label word, one per thread: the label id that JavaScript sets and
// samples record; and the marks of sampled ids.
#ifndef NATIVE_HANDLER_LABEL_WORD_H_
#define NATIVE_HANDLER_LABEL_WORD_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/signal_safety.h"

namespace otelpyroscope {

// Writer: JavaScript, through an Int32Array over `address()`. Reader: the
// signal handler on the same thread. One aligned 32-bit store or load, so that
// no half-written id is seen. 0: no label.
class LabelWord {
 public:
  SIGNAL_SAFE uint32_t Load() const noexcept {
    return id_.load(std::memory_order_relaxed);
  }
  void Clear() noexcept { id_.store(0, std::memory_order_relaxed); }
  void* address() { return &id_; }

 private:
  static_assert(std::atomic<uint32_t>::is_always_lock_free);
  static_assert(sizeof(std::atomic<uint32_t>) == 4);
  std::atomic<uint32_t> id_{0};
};

// One byte for each index of JavaScript's label table, set by the handler when
// a sample takes a label id with that index. JavaScript reads it before it
// reuses the index, and clears all bytes before it takes the added-up samples.
class SampledLabels {
 public:
  // A power of two, equal to LABEL_TABLE_SIZE in src/labels/label-table.ts,
  // which compares the two when it connects.
  static constexpr size_t kSize = 32768;

  SIGNAL_SAFE void Mark(uint32_t id) noexcept {
    marks_[id & (kSize - 1)].store(1, std::memory_order_relaxed);
  }
  void* address() { return marks_; }

 private:
  static_assert(sizeof(std::atomic<uint8_t>) == 1);
  std::atomic<uint8_t> marks_[kSize] = {};
};

}  // namespace otelpyroscope

#endif  // NATIVE_HANDLER_LABEL_WORD_H_
