// Weak handles on what V8's heap has of a piece of code.
#ifndef NATIVE_CODE_CODE_ANCHOR_H_
#define NATIVE_CODE_CODE_ANCHOR_H_

#include <cstdint>

#include "code/code_map.h"
#include "v8.h"
#include "v8_heap/code_object.h"

namespace otelpyroscope {

// The object that the code belongs to, a Code or a BytecodeArray. A collection
// that moves it, or finds it dead, says so in the handle; as long as it is
// alive, its words can be read as they are.
class HeapCodeAnchor final : public CodeAnchor {
 public:
  // `object` must be alive: on V8's heap, a handle on anything else corrupts
  // it. `words` lie in it.
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
