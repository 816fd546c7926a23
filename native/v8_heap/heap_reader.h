// Fields of V8's heap objects, copied by reads that cannot fault.
//
// Every function takes whatever word was found where an object should be, and
// fails where it cannot be one.
#ifndef NATIVE_V8_HEAP_HEAP_READER_H_
#define NATIVE_V8_HEAP_HEAP_READER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "v8_heap/source_positions.h"

namespace otelpyroscope {

// The instance types of the running V8, which its binary exports for
// debuggers. 0 where it does not.
struct InstanceTypes {
  uint16_t code;
  uint16_t js_function;
  uint16_t shared_function_info;
  uint16_t script;
  uint16_t bytecode_array;
  uint16_t interpreter_data;
  uint16_t byte_array;
  uint16_t trusted_byte_array;
  uint16_t js_map;
  uint16_t scope_info;
  uint16_t js_reg_exp;
  uint16_t debug_info;
  uint16_t wasm_instance;
  uint16_t wasm_module;
  uint16_t last_js_function;  // of classes and V8's own, behind js_function

  static const InstanceTypes& OfThisV8();
};

// The word that a frame of WebAssembly has where frames of JavaScript have
// their context. 0: the binary does not export it.
uintptr_t WasmFrameMarker();

namespace heap {

bool IsObject(uintptr_t word);
bool ReadWord(uintptr_t object, size_t offset, uintptr_t* word);
bool ReadSmi(uintptr_t object, size_t offset, uint64_t* value);
bool ReadInt(uintptr_t object, size_t offset, int32_t* value);

// 0: not an object.
uint16_t InstanceType(uintptr_t object);
// From here on, the type of such objects is known by their map alone, without
// a read. `object`: of a type that has one map only, in the space that V8 never
// changes nor moves.
void KnowMapOf(uintptr_t object);
bool IsByteArray(uintptr_t object);
// A JSFunction of any kind.
bool IsFunction(uintptr_t object);

// A copy of a byte array, at most 4 MiB. Fails for everything else.
bool ReadBytes(uintptr_t object, std::vector<uint8_t>* bytes);

// A copy of an array's element. Fails outside of the array.
bool ReadElement(uintptr_t array, uint64_t index, uintptr_t* element);

// The Script of a SharedFunctionInfo. Fails for those that have none.
bool ReadScript(uintptr_t shared, uintptr_t* script);

// Which function a SharedFunctionInfo is.
bool ReadFunctionId(uintptr_t shared, FunctionId* id);

}  // namespace heap
}  // namespace otelpyroscope

#endif  // NATIVE_V8_HEAP_HEAP_READER_H_
