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
#include "v8.h"

namespace otelpyroscope {

// On the isolate's thread only. Functions without SIGNAL_SAFE are called from
// JavaScript, never in callbacks of the collector or in the handler.
class CarriedLabel {
 public:
  // Hidden classes of contexts: one for each copy of @opentelemetry/api.
  static constexpr uint32_t kMaxShapes = 8;

  CarriedLabel() = default;
  CarriedLabel(const CarriedLabel&) = delete;
  CarriedLabel& operator=(const CarriedLabel&) = delete;

  // Forgets everything, and finds the storage whose store in the running async
  // context is `context`. Returns false if there is none, or more than one.
  bool FindStorage(v8::Isolate* isolate, v8::Local<v8::Object> context);

  // Learns where objects with the hidden class of `sample` have the property
  // `key`, by writing two ids there and looking for them. `sample` is kept.
  // Returns false if they were not found, or if there is no room.
  bool LearnShape(v8::Isolate* isolate, v8::Local<v8::Object> sample,
                  v8::Local<v8::Name> key);

  // Forgets the storage and all hidden classes.
  void Forget();

  // Whether Read() finds the id of this object.
  bool CanRead(v8::Local<v8::Object> context) const;

  // Returns the address of the storage's object, or 0. Only while the heap is
  // not being moved, as for Read().
  SIGNAL_SAFE uintptr_t storage() const noexcept {
    uintptr_t object = 0;
    if (has_storage_.load(std::memory_order_relaxed)) {
      PlainReader::Read(HandleLocation(storage_), &object);
    }
    return object;
  }

  // The id that the running code does not have although its context carries it:
  // its span has ended in this call of the context manager's `with`.
  LabelWord* ended() { return &ended_; }

  // Returns the id that the object at this address carries, or 0. It may be any
  // word that is found in an object.
  template <typename Reader>
  SIGNAL_SAFE uint32_t Read(uintptr_t object) const noexcept;

 private:
  // Where objects of one hidden class have the id. V8 gives all of them the
  // same place; an object that gets or loses a property has another class.
  struct Shape {
    v8::Global<v8::Object> sample;
    bool is_outside = false;  // in the property array, not in the object
    uint32_t offset = 0;      // in bytes from the start of either
  };

  // V8's objects begin with map, properties and elements; its property arrays
  // with map and length, which shares a word with a hash.
  static constexpr uintptr_t kProperties = 8;
  static constexpr uint32_t kFirstInside = 24;
  static constexpr uintptr_t kArrayLength = 8;
  static constexpr uint32_t kFirstOutside = 16;
  static constexpr uint64_t kLengthMask = 1023;

  static bool FindId(uintptr_t object, uint32_t id, Shape* shape);
  template <typename Reader>
  SIGNAL_SAFE const Shape* ShapeOf(uintptr_t object) const noexcept;
  template <typename Reader>
  SIGNAL_SAFE static uint32_t ReadAt(uintptr_t object,
                                     const Shape& shape) noexcept;

  v8::Global<v8::Object> storage_;
  Shape shapes_[kMaxShapes];
  // Handler and writer are on one thread, so signal fences order what the
  // handler reads.
  std::atomic<uint32_t> shape_count_{0};
  std::atomic<bool> has_storage_{false};
  LabelWord ended_;
};

template <typename Reader>
SIGNAL_SAFE const CarriedLabel::Shape* CarriedLabel::ShapeOf(
    uintptr_t object) const noexcept {
  uintptr_t map = 0;
  if (!ReadMap<Reader>(object, &map)) return nullptr;
  const uint32_t count = shape_count_.load(std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_acquire);
  for (uint32_t i = 0; i < count; i++) {
    uintptr_t sample = 0;
    uintptr_t sample_map = 0;
    if (Reader::Read(HandleLocation(shapes_[i].sample), &sample) &&
        ReadMap<Reader>(sample, &sample_map) && sample_map == map) {
      return &shapes_[i];
    }
  }
  return nullptr;
}

template <typename Reader>
SIGNAL_SAFE uint32_t CarriedLabel::ReadAt(uintptr_t object,
                                          const Shape& shape) noexcept {
  uintptr_t start = object - v8_layout::kHeapObjectTag;
  if (shape.is_outside) {
    uintptr_t array = 0;
    uint64_t length = 0;
    // V8 may be about to replace the array by a longer one.
    if (!Reader::Read(start + kProperties, &array) || !IsObject(array)) {
      return 0;
    }
    start = array - v8_layout::kHeapObjectTag;
    if (!ReadSmi<Reader>(start + kArrayLength, &length) ||
        shape.offset >=
            kFirstOutside + (length & kLengthMask) * sizeof(uintptr_t)) {
      return 0;
    }
  }
  uint64_t id = 0;
  if (!ReadSmi<Reader>(start + shape.offset, &id) || id > INT32_MAX) return 0;
  return static_cast<uint32_t>(id);
}

template <typename Reader>
SIGNAL_SAFE uint32_t CarriedLabel::Read(uintptr_t object) const noexcept {
  const Shape* shape = ShapeOf<Reader>(object);
  if (shape == nullptr) return 0;
  const uint32_t id = ReadAt<Reader>(object, *shape);
  return id == ended_.Load() ? 0 : id;
}

}  // namespace otelpyroscope

#endif  // NATIVE_HANDLER_CARRIED_LABEL_H_
