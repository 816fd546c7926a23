// Detects whether V8 has collected the whole heap since a moment, announced or
// not.
//
// V8 calls no callback for a collection that a callback of another collection
// starts, yet such a collection frees and moves code like any other.
#ifndef NATIVE_SAMPLER_COLLECTION_CANARY_H_
#define NATIVE_SAMPLER_COLLECTION_CANARY_H_

#include <vector>

#include "v8.h"

namespace otelpyroscope {

// A weak handle on an object of the old space that nothing else refers to:
// every collection of the whole heap clears it, and no other does. (A canary
// that is armed while V8 marks may survive that collection. One that is armed
// after an announced collection does not.) On the isolate's thread, outside the
// signal handler.
class CollectionCanary {
 public:
  // Makes IsAlive() true until the whole heap is collected. May be called in a
  // callback of a collection. Allocates, and so may collect, only if
  // collections have used up all spares since the last Refill().
  void Arm(v8::Isolate* isolate);
  // Makes spare objects. Allocates: not in callbacks of V8. One allocation in
  // each callback of a collection would keep a heap that is collected at every
  // allocation (--stress-incremental-marking) collecting for ever.
  void Refill(v8::Isolate* isolate);
  // Also false if it is not armed.
  bool IsAlive() const { return !object_.IsEmpty(); }
  void Disarm() { object_.Reset(); }
  // Disarms and drops the spares, when the isolate ends.
  void Reset();

 private:
  using Object = v8::Global<v8::Symbol>;

  static constexpr size_t kSpares = 32;

  static Object Make(v8::Isolate* isolate);

  Object object_;
  std::vector<Object> spares_;
};

}  // namespace otelpyroscope

#endif  // NATIVE_SAMPLER_COLLECTION_CANARY_H_
