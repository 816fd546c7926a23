#include "v8_heap/heap_reader.h"

#include <dlfcn.h>

#include <atomic>
#include <cstring>

#include "base/safe_memory.h"
#include "v8_heap/layout.h"

namespace otelpyroscope {
namespace {

using v8_layout::kHeapObjectTag;
using v8_layout::layout;

// No program has larger ones; the bound is for memory that contains something
// else.
constexpr uint64_t kMaxTableBytes = 4 << 20;

uint16_t DebugConstant(const char* name) {
  const void* symbol = dlsym(RTLD_DEFAULT, name);
  int value = 0;
  if (symbol != nullptr) memcpy(&value, symbol, sizeof(value));
  return static_cast<uint16_t>(value);
}

uint16_t LastFunctionType() {
  const uint16_t last = DebugConstant("v8dbg_LastJSFunctionType");
  // V8 11 does not export it.
  return last != 0
             ? last
             : static_cast<uint16_t>(
                   DebugConstant("v8dbg_type_JSFunction__JS_FUNCTION_TYPE") +
                   v8_layout::kFunctionTypesBehindFirst);
}

struct KnownMap {
  std::atomic<uintptr_t> map;  // 0: none
  uint16_t type;
};
KnownMap known_maps[2];

bool ReadMap(uintptr_t object, uintptr_t* map) {
  return heap::IsObject(object) && heap::ReadWord(object, layout().map, map) &&
         heap::IsObject(*map);
}

bool ReadInstanceType(uintptr_t map, uint16_t* type) {
  return SafeMemory::Read(map - kHeapObjectTag + layout().map_instance_type,
                          type);
}

}  // namespace

const InstanceTypes& InstanceTypes::OfThisV8() {
  static const InstanceTypes types = {
      DebugConstant("v8dbg_type_Code__CODE_TYPE"),
      DebugConstant("v8dbg_type_JSFunction__JS_FUNCTION_TYPE"),
      DebugConstant("v8dbg_type_SharedFunctionInfo__SHARED_FUNCTION_INFO_TYPE"),
      DebugConstant("v8dbg_type_Script__SCRIPT_TYPE"),
      DebugConstant("v8dbg_type_BytecodeArray__BYTECODE_ARRAY_TYPE"),
      DebugConstant("v8dbg_type_InterpreterData__INTERPRETER_DATA_TYPE"),
      DebugConstant("v8dbg_type_ByteArray__BYTE_ARRAY_TYPE"),
      DebugConstant("v8dbg_type_TrustedByteArray__TRUSTED_BYTE_ARRAY_TYPE"),
      DebugConstant("v8dbg_type_JSMap__JS_MAP_TYPE"),
      DebugConstant("v8dbg_type_JSArray__JS_ARRAY_TYPE"),
      DebugConstant("v8dbg_type_ScopeInfo__SCOPE_INFO_TYPE"),
      DebugConstant("v8dbg_type_JSRegExp__JS_REG_EXP_TYPE"),
      DebugConstant("v8dbg_type_DebugInfo__DEBUG_INFO_TYPE"),
      DebugConstant("v8dbg_type_WasmInstanceObject__WASM_INSTANCE_OBJECT_TYPE"),
      DebugConstant("v8dbg_type_WasmModuleObject__WASM_MODULE_OBJECT_TYPE"),
      LastFunctionType(),
  };
  return types;
}

uintptr_t WasmFrameMarker() {
  static const uintptr_t type = DebugConstant("v8dbg_frametype_WasmFrame");
  // The marker is a small integer of 31 bits, as with pointer compression.
  return type << 1;
}

namespace heap {

bool IsObject(uintptr_t word) {
  return (word & v8_layout::kTagMask) == kHeapObjectTag &&
         word > v8_layout::kTagMask;
}

bool ReadWord(uintptr_t object, size_t offset, uintptr_t* word) {
  return SafeMemory::Read(object - kHeapObjectTag + offset, word);
}

bool ReadSmi(uintptr_t object, size_t offset, uint64_t* value) {
  uintptr_t word = 0;
  if (!ReadWord(object, offset, &word) || static_cast<uint32_t>(word) != 0) {
    return false;
  }
  *value = word >> v8_layout::kSmiShift;
  return true;
}

bool ReadInt(uintptr_t object, size_t offset, int32_t* value) {
  return SafeMemory::Read(object - kHeapObjectTag + offset, value);
}

uint16_t InstanceType(uintptr_t object) {
  uintptr_t map = 0;
  uint16_t type = 0;
  if (!ReadMap(object, &map)) return 0;
  for (const KnownMap& known : known_maps) {
    if (known.map.load(std::memory_order_acquire) == map) return known.type;
  }
  return ReadInstanceType(map, &type) ? type : 0;
}

void RememberMapOf(uintptr_t object) {
  uintptr_t map = 0;
  uint16_t type = 0;
  if (!ReadMap(object, &map) || !ReadInstanceType(map, &type)) return;
  for (KnownMap& known : known_maps) {
    const uintptr_t there = known.map.load(std::memory_order_relaxed);
    if (there == map) return;
    if (there != 0) continue;
    known.type = type;
    known.map.store(map, std::memory_order_release);
    return;
  }
}

bool IsByteArray(uintptr_t object) {
  const InstanceTypes& types = InstanceTypes::OfThisV8();
  const uint16_t type = InstanceType(object);
  return type != 0 &&
         (type == types.byte_array || type == types.trusted_byte_array);
}

bool IsFunction(uintptr_t object) {
  const InstanceTypes& types = InstanceTypes::OfThisV8();
  const uint16_t type = InstanceType(object);
  return type >= types.js_function && type <= types.last_js_function;
}

bool ReadBytes(uintptr_t object, std::vector<uint8_t>* bytes) {
  uint64_t length = 0;
  if (!IsByteArray(object) ||
      !ReadSmi(object, layout().array_length, &length) ||
      length > kMaxTableBytes) {
    return false;
  }
  bytes->resize(length);
  return length == 0 ||
         SafeMemory::Read(object - kHeapObjectTag + layout().array_data,
                          bytes->data(), length);
}

bool ReadElement(uintptr_t array, uint64_t index, uintptr_t* element) {
  uint64_t length = 0;
  return IsObject(array) && ReadSmi(array, layout().array_length, &length) &&
         index < length &&
         ReadWord(array, layout().array_data + index * sizeof(uintptr_t),
                  element);
}

bool ReadScript(uintptr_t shared, uintptr_t* script) {
  const InstanceTypes& types = InstanceTypes::OfThisV8();
  if (!ReadWord(shared, layout().function_script, script)) return false;
  const uint16_t type = InstanceType(*script);
  if (type == types.script) return true;
  return type != 0 && type == types.debug_info &&
         ReadWord(*script, v8_layout::kDebugInfoScript, script) &&
         InstanceType(*script) == types.script;
}

bool ReadFunctionId(uintptr_t shared, FunctionId* id) {
  const InstanceTypes& types = InstanceTypes::OfThisV8();
  uintptr_t script = 0;
  uint64_t script_id = 0;
  if (InstanceType(shared) != types.shared_function_info ||
      !ReadInt(shared, layout().function_literal_id, &id->literal_id) ||
      !ReadScript(shared, &script) ||
      !ReadSmi(script, layout().script_id, &script_id)) {
    return false;
  }
  id->script_id = static_cast<int>(script_id);
  return id->known();
}

}  // namespace heap
}  // namespace otelpyroscope
