#include "handler/carried_label.h"

#include "base/safe_memory.h"

namespace otelpyroscope {
namespace {

using v8::Local;
using v8::Object;
using v8::Value;
using v8_layout::kHeapObjectTag;

// Ids that no label set has, as PROBE_IDS in src/labels/label-table.ts.
constexpr uint32_t kFirstId = 0x7ffffff1;
constexpr uint32_t kSecondId = 0x7ffffff2;
// Properties in an object that are searched; contexts have five.
constexpr uint32_t kMaxInside = 32;
// More properties than V8 gives room for in an object.
constexpr int kManyProperties = 16;

uintptr_t AddressOf(v8::Isolate* isolate, Local<Object> object) {
  const v8::Global<Object> handle(isolate, object);
  uintptr_t address = 0;
  SafeMemory::Read(HandleLocation(handle), &address);
  return address;
}

// Reads the map of the properties that an object has outside of it.
bool ReadPropertiesMap(uintptr_t object, uintptr_t offset, uintptr_t* map) {
  uintptr_t properties = 0;
  return SafeMemory::Read(object - kHeapObjectTag + offset, &properties) &&
         ReadMap<SafeMemory>(properties, map);
}

// Returns an object whose last properties are in a property array.
v8::MaybeLocal<Object> LargeObject(v8::Isolate* isolate) {
  const Local<v8::Context> context = isolate->GetCurrentContext();
  const Local<Object> object = Object::New(isolate);
  for (int i = 0; i < kManyProperties; i++) {
    const char name[] = {static_cast<char>('a' + i), '\0'};
    Local<v8::String> key;
    if (!v8::String::NewFromUtf8(isolate, name).ToLocal(&key) ||
        !object->CreateDataProperty(context, key, v8::Integer::New(isolate, i))
             .FromMaybe(false)) {
      return {};
    }
  }
  return object;
}

Local<Value> RunningFrame(v8::Isolate* isolate) {
#if V8_MAJOR_VERSION >= 14
  const Local<v8::Data> data =
      isolate->GetContinuationPreservedEmbedderDataV2();
  if (!data.IsEmpty() && data->IsValue()) return data.As<Value>();
  return v8::Undefined(isolate);
#elif defined(OTELPYROSCOPE_HAS_CONTINUATION_DATA)
  return isolate->GetContinuationPreservedEmbedderData();
#else
  return v8::Undefined(isolate);
#endif
}

}  // namespace

bool CarriedLabel::FindStorage(v8::Isolate* isolate, Local<Object> context) {
  Forget();
  const Local<v8::Context> current = isolate->GetCurrentContext();
  const Local<Value> frame = RunningFrame(isolate);
  if (!frame->IsMap()) return false;
  const Local<v8::Array> entries = frame.As<v8::Map>()->AsArray();
  Local<Object> storage;
  for (uint32_t i = 0; i + 1 < entries->Length(); i += 2) {
    Local<Value> key;
    Local<Value> store;
    if (!entries->Get(current, i).ToLocal(&key) ||
        !entries->Get(current, i + 1).ToLocal(&store)) {
      return false;
    }
    if (store != context) continue;
    if (!key->IsObject() || !storage.IsEmpty()) return false;
    storage = key.As<Object>();
  }
  if (storage.IsEmpty()) return false;
  storage_.Reset(isolate, storage);
  std::atomic_signal_fence(std::memory_order_release);
  has_storage_.store(true, std::memory_order_relaxed);
  return true;
}

bool CarriedLabel::LearnShape(v8::Isolate* isolate, Local<Object> sample,
                              Local<v8::Name> key) {
  if (!v8_layout::kHeapIsReadable || sample->IsProxy()) return false;
  const uint32_t count = shape_count_.load(std::memory_order_relaxed);
  if (count == kMaxShapes) return false;
  const Local<v8::Context> context = isolate->GetCurrentContext();
  const auto write = [&](uint32_t id) {
    return sample
        ->CreateDataProperty(context, key,
                             v8::Integer::NewFromUnsigned(isolate, id))
        .FromMaybe(false);
  };
  Local<Object> large;
  if (!write(kFirstId) || !LargeObject(isolate).ToLocal(&large)) return false;
  Shape& shape = shapes_[count];
  if (!FindId(AddressOf(isolate, sample), kFirstId, &shape) ||
      !write(kSecondId)) {
    return false;
  }
  const uintptr_t object = AddressOf(isolate, sample);
  if (ReadAt<SafeMemory>(object, shape) != kSecondId) return false;
  if (shape.is_outside) {
    // An object with very many properties has a hash table there.
    uintptr_t map = 0;
    uintptr_t array_map = 0;
    if (!ReadPropertiesMap(object, kProperties, &map) ||
        !ReadPropertiesMap(AddressOf(isolate, large), kProperties,
                           &array_map) ||
        map != array_map) {
      return false;
    }
  }
  shape.sample.Reset(isolate, sample);
  std::atomic_signal_fence(std::memory_order_release);
  shape_count_.store(count + 1, std::memory_order_relaxed);
  return true;
}

// Finds the only word in or of the object that is this id.
bool CarriedLabel::FindId(uintptr_t object, uint32_t id, Shape* shape) {
  int found = 0;
  const auto look = [&](bool is_outside, uint32_t offset) {
    const Shape candidate{{}, is_outside, offset};
    if (ReadAt<SafeMemory>(object, candidate) != id) return;
    shape->is_outside = is_outside;
    shape->offset = offset;
    found++;
  };
  for (uint32_t i = 0; i < kMaxInside; i++) {
    look(false, kFirstInside + i * sizeof(uintptr_t));
    look(true, kFirstOutside + i * sizeof(uintptr_t));
  }
  return found == 1;
}

bool CarriedLabel::CanRead(Local<Object> context) const {
  uintptr_t address = 0;
  static_assert(sizeof(context) == sizeof(uintptr_t));
  uintptr_t location;
  memcpy(&location, &context, sizeof(location));
  PlainReader::Read(location, &address);
  return ShapeOf<PlainReader>(address) != nullptr;
}

void CarriedLabel::Forget() {
  has_storage_.store(false, std::memory_order_relaxed);
  shape_count_.store(0, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_acq_rel);
  storage_.Reset();
  for (Shape& shape : shapes_) shape.sample.Reset();
}

}  // namespace otelpyroscope
