#include "handler/carried_label.h"

#include "v8_heap/handle_address.h"

namespace otelpyroscope {

bool CarriedLabel::SetKeys(v8::Isolate* isolate, v8::Local<v8::Value> storage,
                           v8::Local<v8::Name> id) {
  Forget();
  if (!PropertiesAreAsKnown(isolate)) return false;
  storage_.Reset(isolate, storage);
  id_.Reset(isolate, id);
  std::atomic_signal_fence(std::memory_order_release);
  has_keys_.store(true, std::memory_order_relaxed);
  return true;
}

void CarriedLabel::Forget() {
  has_keys_.store(false, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_acq_rel);
  storage_.Reset();
  id_.Reset();
}

bool CarriedLabel::CanRead(v8::Local<v8::Object> context) const {
  Property property{AddressOf(id_), 0};
  ReadProperties<PlainReader>(ObjectOf(context), &property, 1);
  return LabelIdIn(property.value) != 0;
}

}  // namespace otelpyroscope
