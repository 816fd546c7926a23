// Reads the label id of the running code from V8's continuation data.
//
// With AsyncContextFrame, Node keeps the stores of all AsyncLocalStorages of
// the running flow in one map, which V8 carries across every await itself.
// Our storage holds a small integer there, so a signal handler can read which
// labels are in force, and JavaScript pays nothing per await.
#ifndef NATIVE_HANDLER_CONTEXT_LABEL_H_
#define NATIVE_HANDLER_CONTEXT_LABEL_H_

#include <atomic>
#include <cstdint>

#include "base/signal_safety.h"
#include "v8.h"

namespace otelpyroscope {

class ContextLabel {
 public:
  ContextLabel() = default;
  ContextLabel(const ContextLabel&) = delete;
  ContextLabel& operator=(const ContextLabel&) = delete;

  // The AsyncLocalStorage whose store is the label id.
  void SetStorage(v8::Isolate* isolate, v8::Local<v8::Object> storage);
  // Forgets it.
  void Reset();

  // The id that ReadLabel() would return, through reads that cannot fault.
  // Learns what a map looks like on the way; once a call has found an id,
  // `usable()` is true.
  uint32_t Probe(v8::Isolate* isolate);

  SIGNAL_SAFE bool usable() const noexcept {
    return usable_.load(std::memory_order_relaxed);
  }

  // The label id of the running code, or 0. Only on the isolate's thread,
  // while the heap is not being moved, and only after `usable()`.
  SIGNAL_SAFE uint32_t ReadLabel(v8::Isolate* isolate) const noexcept;

  // Puts `id` in the place of the label id of the running code. False, and
  // nothing is done: there is none. V8's map changes for all flows that share
  // it: it must be one that has just been made.
  bool ReplaceLabel(v8::Isolate* isolate, uint32_t id);

  // The same as a function of JavaScript's, without Node-API in between, whose
  // every call takes longer than all of this.
  v8::MaybeLocal<v8::Function> NewReplaceLabel(v8::Isolate* isolate);

 private:
  // Where the running flow's map has the label id, and that; or 0.
  SIGNAL_SAFE uintptr_t FindLabel(v8::Isolate* isolate,
                                  uint32_t* id) const noexcept;

  v8::Global<v8::Object> storage_;
  uint16_t map_instance_type_ = 0;
  // False while the handler must keep off `storage_`. Handler and writer are
  // one thread, so signal fences order the two.
  std::atomic<bool> usable_{false};
};

}  // namespace otelpyroscope

#endif  // NATIVE_HANDLER_CONTEXT_LABEL_H_
