// Defines the label word, one per thread: the label id that JavaScript sets and
// samples record; and the marks and CPU times of sampled ids.
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

// Two records for each index of JavaScript's label table, which the handler
// writes when a sample takes a label id with that index: a mark, which
// JavaScript reads before it reuses the index and clears before it takes the
// added-up samples; and the CPU time of the samples, which JavaScript reads at
// the end of a span and clears when it reuses the index. Handler and JavaScript
// run on one thread, and every access is one aligned load or store.
class SampledLabels {
 public:
  // A power of two, equal to LABEL_TABLE_SIZE in src/labels/label-table.ts,
  // which compares the two when it connects.
  static constexpr size_t kSize = 32768;

  SIGNAL_SAFE void Add(uint32_t id, double cpu_ns) noexcept {
    const size_t index = id & (kSize - 1);
    marks_[index].store(1, std::memory_order_relaxed);
    cpu_ns_[index].store(
        cpu_ns_[index].load(std::memory_order_relaxed) + cpu_ns,
        std::memory_order_relaxed);
  }
  void* marks() { return marks_; }
  void* cpu_ns() { return cpu_ns_; }

 private:
  static_assert(sizeof(std::atomic<uint8_t>) == 1);
  static_assert(sizeof(std::atomic<double>) == 8 &&
                std::atomic<double>::is_always_lock_free);
  std::atomic<uint8_t> marks_[kSize] = {};
  // Exact up to 2^53 ns, which is 104 days.
  std::atomic<double> cpu_ns_[kSize] = {};
};

}  // namespace otelpyroscope

#endif  // NATIVE_HANDLER_LABEL_WORD_H_
