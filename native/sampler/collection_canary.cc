// The canary is a symbol, because V8 allocates those in the old space.
#include "sampler/collection_canary.h"

#include <utility>

namespace otelpyroscope {

CollectionCanary::Object CollectionCanary::Make(v8::Isolate* isolate) {
  const v8::HandleScope scope(isolate);
  return Object(isolate, v8::Symbol::New(isolate));
}

void CollectionCanary::Arm(v8::Isolate* isolate) {
  if (spares_.empty()) {
    object_ = Make(isolate);
  } else {
    object_ = std::move(spares_.back());
    spares_.pop_back();
  }
  object_.SetWeak();
}

void CollectionCanary::Refill(v8::Isolate* isolate) {
  if (spares_.size() > kSpares / 2) return;
  while (spares_.size() < kSpares) spares_.push_back(Make(isolate));
}

void CollectionCanary::Reset() {
  object_.Reset();
  spares_.clear();
}

}  // namespace otelpyroscope
