// Reads the label id of the running code from V8's continuation-preserved
// embedder data.
//
// With AsyncContextFrame, Node keeps the stores of all AsyncLocalStorages of
// the running async context in one map, the context frame, which V8 itself
// carries across every await. Our storage's store is a small integer, so the
// signal handler can read which labels are current, and JavaScript pays nothing
// per await.
#ifndef NATIVE_HANDLER_CONTEXT_LABEL_H_
#define NATIVE_HANDLER_CONTEXT_LABEL_H_

#include <atomic>
#include <cstdint>

#include "base/signal_safety.h"
#include "v8.h"

namespace otelpyroscope {

// On the isolate's thread only. Functions without SIGNAL_SAFE are called from
// JavaScript, never in callbacks of the collector or in the handler.
class ContextLabel {
 public:
  ContextLabel() = default;
  ContextLabel(const ContextLabel&) = delete;
  ContextLabel& operator=(const ContextLabel&) = delete;

  // Sets the AsyncLocalStorage whose store is the label id.
  void SetStorage(v8::Isolate* isolate, v8::Local<v8::Object> storage);
  // Forgets the storage.
  void Reset();

  // Returns the id that ReadLabel() would return, by reads that cannot fault,
  // and learns the layout of the map. Once a call has found an id, `usable()`
  // is true.
  uint32_t Probe(v8::Isolate* isolate);

  SIGNAL_SAFE bool usable() const noexcept {
    return usable_.load(std::memory_order_relaxed);
  }

  // Returns the label id of the running code, or 0. Called in the handler, and
  // in the collection's prologue: only while the heap is not being moved, and
  // only after `usable()`.
  SIGNAL_SAFE uint32_t ReadLabel(v8::Isolate* isolate) const noexcept;

  // Overwrites the label id of the running code with `id`. Returns false, and
  // does nothing, if there is none. The id changes for all async contexts that
  // share the context frame, so the frame must be new. Called from JavaScript.
  bool ReplaceLabel(v8::Isolate* isolate, uint32_t id);

  // Returns ReplaceLabel() as a JavaScript function, without Node-API in
  // between, each call of which takes longer than all of this.
  v8::MaybeLocal<v8::Function> NewReplaceLabel(v8::Isolate* isolate);

 private:
  // Returns the address of the label id in the running async context's map, and
  // the id; or 0.
  SIGNAL_SAFE uintptr_t FindLabel(v8::Isolate* isolate,
                                  uint32_t* id) const noexcept;

  v8::Global<v8::Object> storage_;
  uint16_t map_instance_type_ = 0;
  // False while the handler must not read `storage_`. Handler and writer are on
  // one thread, so signal fences order the two.
  std::atomic<bool> usable_{false};
};

}  // namespace otelpyroscope

#endif  // NATIVE_HANDLER_CONTEXT_LABEL_H_
