// Reads the label id that an OpenTelemetry context carries, as a property of
// its object.
//
// The context manager keeps the active context in an AsyncLocalStorage of its
// own. The context that is found there leads to its label id, so a span needs
// no storage of ours, and nothing is written when a context becomes active.
#ifndef NATIVE_HANDLER_CARRIED_LABEL_H_
#define NATIVE_HANDLER_CARRIED_LABEL_H_

#include <atomic>
#include <cstdint>

#include "base/signal_safety.h"
#include "handler/heap_words.h"
#include "handler/label_word.h"
#include "handler/object_properties.h"
#include "v8.h"

namespace otelpyroscope {

// On the isolate's thread only. Functions without SIGNAL_SAFE are called from
// JavaScript, never in callbacks of the collector or in the handler.
class CarriedLabel {
 public:
  CarriedLabel() = default;
  CarriedLabel(const CarriedLabel&) = delete;
  CarriedLabel& operator=(const CarriedLabel&) = delete;

  // Sets the key under which an async context has the context manager's store,
  // an AsyncLocalStorage or a symbol, and the key of a context's property with
  // its label id. Returns false if this V8's objects cannot be read.
  bool SetKeys(v8::Isolate* isolate, v8::Local<v8::Value> storage,
               v8::Local<v8::Name> id);

  // Forgets both keys.
  void Forget();

  // Whether Read() finds the id of this object.
  bool CanRead(v8::Local<v8::Object> context) const;

  // Returns the address of the store's key, or 0. Only while the heap is not
  // being moved, as for Read().
  SIGNAL_SAFE uintptr_t storage() const noexcept { return AddressOf(storage_); }

  // The id that the running code does not have although its context carries it:
  // its span has ended in this call of the context manager's `with`.
  LabelWord* ended() { return &ended_; }

  // Returns the id that the object at this address carries, or 0. It may be any
  // word that is found in an object.
  template <typename Reader>
  SIGNAL_SAFE uint32_t Read(uintptr_t object) const noexcept;

 private:
  template <typename T>
  SIGNAL_SAFE uintptr_t AddressOf(const v8::Global<T>& key) const noexcept {
    return has_keys_.load(std::memory_order_relaxed) ? ObjectIn(key) : 0;
  }

  v8::Global<v8::Value> storage_;
  v8::Global<v8::Name> id_;
  // Handler and writer are on one thread, so signal fences order what the
  // handler reads.
  std::atomic<bool> has_keys_{false};
  LabelWord ended_;
};

template <typename Reader>
SIGNAL_SAFE uint32_t CarriedLabel::Read(uintptr_t object) const noexcept {
  Property property{AddressOf(id_), 0};
  ReadProperties<Reader>(object, &property, 1);
  const uint32_t id = LabelIdIn(property.value);
  return id == ended_.Load() ? 0 : id;
}

}  // namespace otelpyroscope

#endif  // NATIVE_HANDLER_CARRIED_LABEL_H_
