// Reads the label id of the running code from its stores.
//
// With AsyncContextFrame, Node keeps the stores of all AsyncLocalStorages of
// the running async context in one map, the context frame, which V8 itself
// carries across every await as its continuation-preserved embedder data. Else
// they are properties of the running async resource (running_resource.h). The
// label id is our storage's store, a small integer, or carried by the active
// context of OpenTelemetry, which is another storage's store. So the signal
// handler can read which labels are current, and JavaScript pays nothing per
// await.
#ifndef NATIVE_HANDLER_CONTEXT_LABEL_H_
#define NATIVE_HANDLER_CONTEXT_LABEL_H_

#include <atomic>
#include <cstdint>

#include "base/signal_safety.h"
#include "handler/carried_label.h"
#include "handler/running_resource.h"
#include "v8.h"

namespace otelpyroscope {

// On the isolate's thread only. Functions without SIGNAL_SAFE are called from
// JavaScript, never in callbacks of the collector or in the handler.
class ContextLabel {
 public:
  ContextLabel() = default;
  ContextLabel(const ContextLabel&) = delete;
  ContextLabel& operator=(const ContextLabel&) = delete;

  // Sets the key under which an async context has the label id: our
  // AsyncLocalStorage, or in async resources the symbol that stands for it.
  void SetStorage(v8::Isolate* isolate, v8::Local<v8::Value> key);
  // Forgets that key.
  void ForgetStorage();
  // Forgets all that was set or learned, but the layout.
  void Reset();

  // Returns the id that ReadLabel() would return, by reads that cannot fault.
  // Learns the layout of context frames: once a call has found an id there,
  // `usable()` is true.
  uint32_t Probe(v8::Isolate* isolate);

  // Finds the key of the storage whose store in the context frame is this
  // context, for contexts with the label id under `id`. Returns false if there
  // is none, or more than one.
  bool FindContexts(v8::Isolate* isolate, v8::Local<v8::Object> context,
                    v8::Local<v8::Name> id);

  // Whether there is anything that ReadLabel() could read.
  SIGNAL_SAFE bool usable() const noexcept {
    return reads_frames_.load(std::memory_order_relaxed) || resource_.usable();
  }

  // Returns the label id of the running code, or 0. Called in the handler, and
  // in the collection's prologue: only while the heap is not being moved, and
  // only after `usable()`.
  SIGNAL_SAFE uint32_t ReadLabel(v8::Isolate* isolate) const noexcept;

  // Contexts that carry the id themselves, where our storage has none.
  CarriedLabel* carried() { return &carried_; }
  // Where the stores are without AsyncContextFrame.
  RunningResource* resource() { return &resource_; }

  // Returns CarriedLabel::CanRead() as a JavaScript function, without Node-API
  // in between, each call of which takes longer than all of this.
  v8::MaybeLocal<v8::Function> NewCanReadContext(v8::Isolate* isolate);

 private:
  // The store of ours that stands for no labels, whatever the context carries:
  // NO_LABELS in src/labels/label-table.ts.
  static constexpr uint64_t kNoLabels = 0x7ffffff3;

  // `map_type`: the instance type of context frames.
  template <typename Reader>
  SIGNAL_SAFE uint32_t Find(v8::Isolate* isolate,
                            uint16_t map_type) const noexcept;

  v8::Global<v8::Value> storage_;
  CarriedLabel carried_;
  RunningResource resource_;
  uint16_t map_instance_type_ = 0;
  // Handler and writer are on one thread, so signal fences order what the
  // handler reads.
  std::atomic<bool> has_storage_{false};
  std::atomic<bool> reads_frames_{false};
};

}  // namespace otelpyroscope

#endif  // NATIVE_HANDLER_CONTEXT_LABEL_H_
