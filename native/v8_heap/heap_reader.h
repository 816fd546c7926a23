// Reads fields of V8's heap objects, with reads that cannot fault.
//
// Every function accepts any word that was found where an object should be, and
// fails if it cannot be one. May be called in the drain and in the self-check,
// on the isolate's thread; never in the signal handler.
#ifndef NATIVE_V8_HEAP_HEAP_READER_H_
#define NATIVE_V8_HEAP_HEAP_READER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "v8_heap/source_positions.h"

namespace otelpyroscope {

// The instance types of the running V8, which its binary exports for debuggers;
// 0 for those that it does not export.
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
  uint16_t js_array;
  uint16_t scope_info;
  uint16_t js_reg_exp;
  uint16_t debug_info;
  uint16_t wasm_instance;
  uint16_t wasm_module;
  uint16_t last_js_function;  // of classes and V8's own, after js_function

  static const InstanceTypes& OfThisV8();
};

// Returns the word that WebAssembly frames have where JavaScript frames have
// their context, or 0 if the binary does not export it.
uintptr_t WasmFrameMarker();

namespace heap {

bool IsObject(uintptr_t word);
bool ReadWord(uintptr_t object, size_t offset, uintptr_t* word);
bool ReadSmi(uintptr_t object, size_t offset, uint64_t* value);
bool ReadInt(uintptr_t object, size_t offset, int32_t* value);

// Returns the object's instance type, or 0 if it is not an object.
uint16_t InstanceType(uintptr_t object);
// Lets InstanceType() recognize objects with this object's map without a read
// of the map. `object` is of a type that has one map only, in the space that V8
// never changes nor moves.
void RememberMapOf(uintptr_t object);
bool IsByteArray(uintptr_t object);
// Whether it is a JSFunction of any kind.
bool IsFunction(uintptr_t object);

// Copies a byte array of at most 4 MiB. Fails for everything else.
bool ReadBytes(uintptr_t object, std::vector<uint8_t>* bytes);

// Copies an array's element. Fails if the index is outside of the array.
bool ReadElement(uintptr_t array, uint64_t index, uintptr_t* element);

// Reads the Script of a SharedFunctionInfo. Fails if it has none.
bool ReadScript(uintptr_t shared, uintptr_t* script);

// Reads the id of the function that a SharedFunctionInfo describes.
bool ReadFunctionId(uintptr_t shared, FunctionId* id);

}  // namespace heap
}  // namespace otelpyroscope

#endif  // NATIVE_V8_HEAP_HEAP_READER_H_
