#include "handler/object_properties.h"

#include "base/safe_memory.h"
#include "v8_heap/handle_address.h"

namespace otelpyroscope {
namespace {

using v8::Integer;
using v8::Local;
using v8::Object;

// More properties than V8 gives an object room for.
constexpr uint32_t kProperties = 20;
// The value of each property is its number and this.
constexpr uint32_t kFirstValue = 100;

using Keys = Local<v8::Name>[kProperties + 1];

// Whether the object has these properties, and not the last one.
bool HasProperties(Local<Object> object, const Keys& keys) {
  Property properties[kProperties + 1];
  for (uint32_t i = 0; i <= kProperties; i++) {
    properties[i].key = ObjectOf(keys[i]);
  }
  ReadProperties<SafeMemory>(ObjectOf(object), properties, kProperties + 1);
  for (uint32_t i = 0; i < kProperties; i++) {
    const uint64_t expected = kFirstValue + i;
    if (properties[i].value != expected << v8_layout::kSmiShift) return false;
  }
  return properties[kProperties].value == 0;
}

}  // namespace

bool PropertiesAreAsKnown(v8::Isolate* isolate) {
  if (!v8_layout::kHeapIsReadable) return false;
  const v8::HandleScope scope(isolate);
  const Local<v8::Context> context = isolate->GetCurrentContext();
  Keys keys;
  Local<v8::Value> values[kProperties];
  for (auto& key : keys) key = v8::Symbol::New(isolate);
  const Local<Object> object = Object::New(isolate);
  for (uint32_t i = 0; i < kProperties; i++) {
    values[i] = Integer::NewFromUnsigned(isolate, kFirstValue + i);
    if (!object->CreateDataProperty(context, keys[i], values[i])
             .FromMaybe(false)) {
      return false;
    }
  }
  // V8 makes objects without a prototype with a hash table.
  const Local<Object> hashed =
      Object::New(isolate, v8::Null(isolate), keys, values, kProperties);
  return HasProperties(object, keys) && HasProperties(hashed, keys);
}

}  // namespace otelpyroscope
