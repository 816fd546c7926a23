#include "handler/running_resource.h"

#include <node.h>

#include <algorithm>

#include "base/safe_memory.h"
#include "v8_heap/handle_address.h"
#include "v8_heap/heap_reader.h"

namespace otelpyroscope {
namespace {

using v8::Local;
using v8::Object;

// Node's environment, whose part AsyncHooks is, is searched so far; it is near
// the beginning in all versions.
constexpr size_t kEnvironmentBytes = 8192;
// AsyncHooks has its three arrays of numbers right before the array of
// resources, and the handles right behind that.
constexpr size_t kBytesBefore = 512;
constexpr size_t kBytesBehind = 64;

}  // namespace

bool RunningResource::Learn(v8::Isolate* isolate, Local<Object> resource,
                            Local<v8::Symbol> public_key) {
  if (usable()) return true;
  if (!PropertiesAreAsKnown(isolate)) return false;
  const v8::HandleScope scope(isolate);
  const Local<v8::Context> context = isolate->GetCurrentContext();
  const auto environment =
      reinterpret_cast<uintptr_t>(node::GetCurrentEnvironment(context));
  const Local<Object> inner = Object::New(isolate);
  undefined_ = ObjectOf(v8::Undefined(isolate).As<v8::Value>());
  uintptr_t elements = 0;
  uint64_t depth = 0;
  if (environment == 0 ||
      !heap::ReadWord(ObjectOf(v8::Array::New(isolate, 1)),
                      v8_layout::layout().object_elements, &elements) ||
      !heap::ReadElement(elements, 0, &hole_) ||
      !FindArray(environment, ObjectOf(resource), &depth)) {
    return false;
  }
  const auto index = static_cast<uint32_t>(depth);
  std::vector<uintptr_t> places;
  {
    // Ids of 0: hooks of the program are not called.
    const node::CallbackScope entered(isolate, inner,
                                      node::async_context{0, 0});
    places = FindNumbers(environment, index + 1);
    if (!FindHandles(index, ObjectOf(inner))) return false;
  }
  depth_ = 0;
  for (const uintptr_t place : places) {
    uint32_t number = 0;
    if (!SafeMemory::Read(place, &number) || number != index) continue;
    if (depth_ != 0) return false;
    depth_ = place;
  }
  if (depth_ == 0 || Find<SafeMemory>() != ObjectOf(resource)) return false;
  public_key_.Reset(isolate, public_key);
  std::atomic_signal_fence(std::memory_order_release);
  usable_.store(true, std::memory_order_relaxed);
  return true;
}

void RunningResource::LearnOutermost(v8::Isolate* isolate,
                                     Local<Object> resource) {
  if (!usable() || Depth() != 0 || !outermost_.IsEmpty()) return;
  outermost_.Reset(isolate, resource);
  std::atomic_signal_fence(std::memory_order_release);
  has_outermost_.store(true, std::memory_order_relaxed);
}

void RunningResource::Forget() {
  usable_.store(false, std::memory_order_relaxed);
  has_outermost_.store(false, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_acq_rel);
  public_key_.Reset();
  outermost_.Reset();
}

// Whether the handle at `place` refers to an array whose last element is this.
bool RunningResource::IsArrayOf(uintptr_t place, uintptr_t resource,
                                uint64_t* length) {
  uintptr_t array = 0;
  uintptr_t last = 0;
  static const uint16_t type = InstanceTypes::OfThisV8().js_array;
  return FindObject<SafeMemory>(place, &array) &&
         heap::InstanceType(array + v8_layout::kHeapObjectTag) == type &&
         ReadSmi<SafeMemory>(array + v8_layout::layout().js_array_length,
                             length) &&
         *length != 0 && ReadArray<SafeMemory>(place, *length - 1, &last) &&
         last == resource;
}

bool RunningResource::FindArray(uintptr_t environment, uintptr_t resource,
                                uint64_t* length) {
  array_ = 0;
  uint64_t found = 0;
  for (size_t offset = 0; offset < kEnvironmentBytes;
       offset += sizeof(uintptr_t)) {
    if (!IsArrayOf(environment + offset, resource, &found)) continue;
    if (array_ != 0) return false;
    array_ = environment + offset;
    *length = found;
  }
  return array_ != 0;
}

// Returns where `fields_` may have its depth: where this number is now.
std::vector<uintptr_t> RunningResource::FindNumbers(uintptr_t environment,
                                                    uint32_t number) const {
  std::vector<uintptr_t> places;
  for (uintptr_t at = std::max(environment, array_ - kBytesBefore); at < array_;
       at += sizeof(uintptr_t)) {
    uintptr_t fields = 0;
    uint32_t found = 0;
    if (!SafeMemory::Read(at, &fields) || fields % sizeof(uintptr_t) != 0) {
      continue;
    }
    const uintptr_t place = fields + kStackLength * sizeof(uint32_t);
    const bool is_new =
        std::find(places.begin(), places.end(), place) == places.end();
    if (SafeMemory::Read(place, &found) && found == number && is_new) {
      places.push_back(place);
    }
  }
  return places;
}

bool RunningResource::FindHandles(uint32_t index, uintptr_t inner) {
  for (size_t behind = sizeof(uintptr_t); behind <= kBytesBehind;
       behind += sizeof(uintptr_t)) {
    handles_ = array_ + behind;
    for (const bool is_deque : {false, true}) {
      uintptr_t found = 0;
      is_deque_ = is_deque;
      if (ReadHandle<SafeMemory>(index, &found) && found == inner) return true;
    }
  }
  return false;
}

}  // namespace otelpyroscope
