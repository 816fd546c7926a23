// Keeps weak handles on the heap objects that code belongs to, which show
// whether the code is still there.
#ifndef NATIVE_CODE_CODE_ANCHOR_H_
#define NATIVE_CODE_CODE_ANCHOR_H_

#include <cstdint>

#include "code/code_map.h"
#include "v8.h"
#include "v8_heap/code_object.h"

namespace otelpyroscope {

// A weak handle on a Code or BytecodeArray. A collection that moves the object,
// or finds it dead, updates the handle; as long as it is alive, its words can
// be read directly. On the isolate's thread: in the drain and in callbacks of
// the collector, never in the signal handler.
class HeapCodeAnchor final : public CodeAnchor {
 public:
  // `object` must be alive: a handle on anything else corrupts V8's heap.
  // `words` are in it.
  HeapCodeAnchor(v8::Isolate* isolate, uintptr_t object,
                 const AnchorWords& words);

  bool Holds() const override;

 private:
  v8::Global<v8::Data> handle_;
  const uintptr_t object_;
  const AnchorWords words_;
};

}  // namespace otelpyroscope

#endif  // NATIVE_CODE_CODE_ANCHOR_H_
