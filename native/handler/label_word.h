// One word per thread: the label id that JavaScript sets and samples record.
#ifndef NATIVE_HANDLER_LABEL_WORD_H_
#define NATIVE_HANDLER_LABEL_WORD_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/signal_safety.h"

namespace otelpyroscope {

// Writer: JavaScript, through an Int32Array over `address()`. Reader: the
// signal handler on the same thread. One aligned 32-bit store or load, so no
// half-written id can be seen; 0 means "no label".
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

// One byte per place of JavaScript's label table, set when a sample takes a
// label id that belongs to that place. JavaScript reads it before it reuses
// the place, and clears all of it before it takes the aggregated samples.
class SampledLabels {
 public:
  // Power of two; equals LABEL_TABLE_SIZE in src/labels/active-labels.ts, which
  // compares the two when it connects.
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
