// Finds the async resource of the running code, as executionAsyncResource()
// does.
//
// Without AsyncContextFrame, Node keeps the store of an AsyncLocalStorage as a
// property of each async resource, the object of a callback or a promise. Those
// of the callbacks that are running are on a stack of Node's (AsyncHooks in its
// src/env.h): its depth is in `fields_`, an array that JavaScript shares; the
// resources are in `js_execution_async_resources_`, an array of JavaScript, or
// where that has none, behind it in `native_execution_async_resources_`: a
// std::vector of handles, or since Node 22.20 and 24.11 a std::deque of
// pointers to handles.
#ifndef NATIVE_HANDLER_RUNNING_RESOURCE_H_
#define NATIVE_HANDLER_RUNNING_RESOURCE_H_

#include <atomic>
#include <cstdint>
#include <vector>

#include "base/signal_safety.h"
#include "handler/heap_words.h"
#include "handler/object_properties.h"
#include "v8.h"
#include "v8_heap/layout.h"

namespace otelpyroscope {

// On the isolate's thread only. Functions without SIGNAL_SAFE are called from
// JavaScript, never in callbacks of the collector or in the handler.
class RunningResource {
 public:
  RunningResource() = default;
  RunningResource(const RunningResource&) = delete;
  RunningResource& operator=(const RunningResource&) = delete;

  // Learns where the stack is, by reads that cannot fault. `resource` is the
  // running one, entered by JavaScript; `public_key` is the key under which an
  // object of Node's has the resource that stands for it. Returns false if the
  // stack was not found.
  bool Learn(v8::Isolate* isolate, v8::Local<v8::Object> resource,
             v8::Local<v8::Symbol> public_key);

  // Learns the resource of code outside of all callbacks. Does nothing if the
  // running code has another one.
  void LearnOutermost(v8::Isolate* isolate, v8::Local<v8::Object> resource);

  // Forgets the stack and the resource.
  void Forget();

  SIGNAL_SAFE bool usable() const noexcept {
    return usable_.load(std::memory_order_relaxed);
  }

  // Reads properties of the running resource. Only if `usable()`, and while the
  // heap is not being moved.
  template <typename Reader>
  SIGNAL_SAFE void Read(Property* properties, size_t count) const noexcept;

 private:
  // The index of `kStackLength` in `fields_`.
  static constexpr size_t kStackLength = 7;

  // Finds the places in the environment's memory. `resource` is the running
  // one; `inner` is entered by C++ for a while.
  bool FindArray(uintptr_t environment, uintptr_t resource, uint64_t* length);
  std::vector<uintptr_t> FindNumbers(uintptr_t environment,
                                     uint32_t number) const;
  bool FindHandles(uint32_t index, uintptr_t inner);
  static bool IsArrayOf(uintptr_t place, uintptr_t resource, uint64_t* length);

  SIGNAL_SAFE uint32_t Depth() const noexcept {
    uint32_t depth = 0;
    PlainReader::Read(depth_, &depth);
    return depth;
  }
  // Finds the array, without its tag, that the handle at `place` refers to.
  template <typename Reader>
  SIGNAL_SAFE static bool FindObject(uintptr_t place,
                                     uintptr_t* array) noexcept;
  // Reads an element of that array.
  template <typename Reader>
  SIGNAL_SAFE static bool ReadArray(uintptr_t place, uint64_t index,
                                    uintptr_t* resource) noexcept;
  // Finds the element of a std::vector, or of libstdc++'s std::deque.
  template <typename Reader>
  SIGNAL_SAFE static bool FindInVector(uintptr_t vector, uint64_t index,
                                       uintptr_t* element) noexcept;
  template <typename Reader>
  SIGNAL_SAFE static bool FindInDeque(uintptr_t deque, uint64_t index,
                                      uintptr_t* element) noexcept;
  template <typename Reader>
  SIGNAL_SAFE bool ReadHandle(uint64_t index,
                              uintptr_t* resource) const noexcept;
  // Returns the word of the running resource, or 0.
  template <typename Reader>
  SIGNAL_SAFE uintptr_t Find() const noexcept;

  // Addresses of the depth, of the handle on the array, and of the handles.
  uintptr_t depth_ = 0;
  uintptr_t array_ = 0;
  uintptr_t handles_ = 0;
  bool is_deque_ = false;
  // The words of `undefined` and of a hole in an array, which never move.
  uintptr_t undefined_ = 0;
  uintptr_t hole_ = 0;
  v8::Global<v8::Symbol> public_key_;
  v8::Global<v8::Object> outermost_;
  // Handler and writer are on one thread, so signal fences order what the
  // handler reads.
  std::atomic<bool> usable_{false};
  std::atomic<bool> has_outermost_{false};
};

template <typename Reader>
SIGNAL_SAFE bool RunningResource::FindObject(uintptr_t place,
                                             uintptr_t* array) noexcept {
  uintptr_t location = 0;
  if (!Reader::Read(place, &location) || location == 0 ||
      location % sizeof(uintptr_t) != 0 || !Reader::Read(location, array) ||
      !v8_layout::MayBeObject(*array)) {
    return false;
  }
  *array -= v8_layout::kHeapObjectTag;
  return true;
}

template <typename Reader>
SIGNAL_SAFE bool RunningResource::ReadArray(uintptr_t place, uint64_t index,
                                            uintptr_t* resource) noexcept {
  const v8_layout::Layout& at = v8_layout::layout();
  uintptr_t array = 0;
  uintptr_t elements = 0;
  uint64_t used = 0;
  uint64_t room = 0;
  if (!FindObject<Reader>(place, &array) ||
      !ReadSmi<Reader>(array + at.js_array_length, &used) || index >= used ||
      !Reader::Read(array + at.object_elements, &elements) ||
      !v8_layout::MayBeObject(elements)) {
    return false;
  }
  elements -= v8_layout::kHeapObjectTag;
  return ReadSmi<Reader>(elements + at.array_length, &room) && index < room &&
         Reader::Read(elements + at.array_data + index * sizeof(uintptr_t),
                      resource);
}

template <typename Reader>
SIGNAL_SAFE bool RunningResource::FindInVector(uintptr_t vector, uint64_t index,
                                               uintptr_t* element) noexcept {
  constexpr size_t kWord = sizeof(uintptr_t);
  uintptr_t begin = 0;
  uintptr_t end = 0;
  if (!Reader::Read(vector, &begin) || !Reader::Read(vector + kWord, &end)) {
    return false;
  }
  *element = begin + index * kWord;
  return end > begin && index < (end - begin) / kWord;
}

// A deque has a pointer to a list of blocks, the size of that, and iterators to
// its begin and its end: an element, the begin and the end of its block, and
// the block's place in the list.
template <typename Reader>
SIGNAL_SAFE bool RunningResource::FindInDeque(uintptr_t deque, uint64_t index,
                                              uintptr_t* element) noexcept {
  constexpr size_t kWord = sizeof(uintptr_t);
  constexpr uint64_t kInBlock = 512 / kWord;
  struct Iterator {
    uintptr_t element;
    uintptr_t block;
    uintptr_t block_end;
    uintptr_t in_list;
  };
  Iterator begin{};
  Iterator end{};
  uintptr_t block = 0;
  if (!Reader::Read(deque + 2 * kWord, &begin) ||
      !Reader::Read(deque + 2 * kWord + sizeof(begin), &end) ||
      begin.element < begin.block || end.element < end.block ||
      end.in_list < begin.in_list) {
    return false;
  }
  const uint64_t first = (begin.element - begin.block) / kWord;
  const uint64_t past_last = (end.in_list - begin.in_list) / kWord * kInBlock +
                             (end.element - end.block) / kWord;
  if (first >= kInBlock || first + index >= past_last ||
      !Reader::Read(begin.in_list + (first + index) / kInBlock * kWord,
                    &block)) {
    return false;
  }
  *element = block + (first + index) % kInBlock * kWord;
  return block != 0;
}

// Reads the object of a handle.
template <typename Reader>
SIGNAL_SAFE bool RunningResource::ReadHandle(
    uint64_t index, uintptr_t* resource) const noexcept {
  uintptr_t place = 0;
  if (!(is_deque_ ? FindInDeque<Reader>(handles_, index, &place)
                  : FindInVector<Reader>(handles_, index, &place))) {
    return false;
  }
  // In a deque, a pointer to the handle; then the handle, and its object.
  for (int left = is_deque_ ? 2 : 1; left > 0; left--) {
    if (!Reader::Read(place, &place) || place == 0 ||
        place % sizeof(uintptr_t) != 0) {
      return false;
    }
  }
  return Reader::Read(place, resource);
}

template <typename Reader>
SIGNAL_SAFE uintptr_t RunningResource::Find() const noexcept {
  uintptr_t resource = 0;
  const uint32_t depth = Depth();
  if (depth == 0) {
    if (has_outermost_.load(std::memory_order_relaxed)) {
      resource = ObjectIn(outermost_);
    }
  } else if (!ReadArray<Reader>(array_, depth - 1, &resource) ||
             resource == hole_ || resource == undefined_) {
    resource = 0;
    ReadHandle<Reader>(depth - 1, &resource);
  }
  return resource;
}

template <typename Reader>
SIGNAL_SAFE void RunningResource::Read(Property* properties,
                                       size_t count) const noexcept {
  const uintptr_t resource = Find<Reader>();
  if (!v8_layout::MayBeObject(resource)) return;
  Property instead{ObjectIn(public_key_), 0};
  ReadProperties<Reader>(resource, &instead, 1);
  const bool has_other =
      v8_layout::MayBeObject(instead.value) && instead.value != undefined_;
  ReadProperties<Reader>(has_other ? instead.value : resource, properties,
                         count);
}

}  // namespace otelpyroscope

#endif  // NATIVE_HANDLER_RUNNING_RESOURCE_H_
