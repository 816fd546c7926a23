// The walk from code to its Code object, its positions and inlined functions.
#include "inlining.h"

#include <dlfcn.h>

#include <atomic>
#include <cstring>
#include <vector>

#include "safe_memory.h"
#include "v8_layout.h"

namespace otelpyroscope {
namespace {

using namespace v8_layout;  // NOLINT(build/namespaces)

// Larger ones exist in no program; the bound is for the case that the memory
// is not what we think it is.
constexpr uint64_t kMaxTableBytes = 4 << 20;
constexpr uint64_t kMaxInlinedCalls = 1 << 16;

// Weak references have the second lowest bit set as well; 3 is a cleared one.
constexpr uintptr_t kWeakTag = 2;
constexpr uintptr_t kClearedReference = 3;

// The instance types of the running V8, which its binary exports for
// debuggers. 0 where it does not.
struct InstanceTypes {
  uint16_t code;
  uint16_t shared_function_info;
  uint16_t script;
  uint16_t byte_array;
  uint16_t trusted_byte_array;

  bool IsByteArray(uint16_t type) const {
    return type != 0 && (type == byte_array || type == trusted_byte_array);
  }
};

uint16_t DebugConstant(const char* name) {
  const void* symbol = dlsym(RTLD_DEFAULT, name);
  int value = 0;
  if (symbol != nullptr) memcpy(&value, symbol, sizeof(value));
  return static_cast<uint16_t>(value);
}

const InstanceTypes& Types() {
  static const InstanceTypes types = {
      DebugConstant("v8dbg_type_Code__CODE_TYPE"),
      DebugConstant("v8dbg_type_SharedFunctionInfo__SHARED_FUNCTION_INFO_TYPE"),
      DebugConstant("v8dbg_type_Script__SCRIPT_TYPE"),
      DebugConstant("v8dbg_type_ByteArray__BYTE_ARRAY_TYPE"),
      DebugConstant("v8dbg_type_TrustedByteArray__TRUSTED_BYTE_ARRAY_TYPE"),
  };
  return types;
}

bool ProbeMemory() {
  const uint64_t written = 0x5eed;
  uint64_t read = 0;
  return SafeMemory::Read(reinterpret_cast<uintptr_t>(&written), &read) &&
         read == written;
}

bool IsObject(uintptr_t word) {
  return (word & kTagMask) == kHeapObjectTag && word > kTagMask;
}

bool ReadWord(uintptr_t object, size_t offset, uintptr_t* word) {
  return SafeMemory::Read(object - kHeapObjectTag + offset, word);
}

bool ReadSmi(uintptr_t object, size_t offset, uint64_t* value) {
  uintptr_t word = 0;
  if (!ReadWord(object, offset, &word) || static_cast<uint32_t>(word) != 0) {
    return false;
  }
  *value = word >> kSmiShift;
  return true;
}

bool ReadInt(uintptr_t object, size_t offset, int32_t* value) {
  return SafeMemory::Read(object - kHeapObjectTag + offset, value);
}

uint16_t InstanceType(uintptr_t object) {
  uintptr_t map = 0;
  uint16_t type = 0;
  if (!IsObject(object) || !ReadWord(object, kMapOffset, &map) ||
      !IsObject(map) ||
      !SafeMemory::Read(map - kHeapObjectTag + kMapInstanceTypeOffset, &type)) {
    return 0;
  }
  return type;
}

// A copy of a byte array. Fails for everything else.
bool ReadBytes(uintptr_t object, std::vector<uint8_t>* bytes) {
  uint64_t length = 0;
  if (!Types().IsByteArray(InstanceType(object)) ||
      !ReadSmi(object, kArrayLengthOffset, &length) ||
      length > kMaxTableBytes) {
    return false;
  }
  bytes->resize(length);
  return length == 0 ||
         SafeMemory::Read(object - kHeapObjectTag + kArrayDataOffset,
                          bytes->data(), length);
}

// A copy of an array's element. Fails outside of the array.
bool ReadElement(uintptr_t array, uint64_t index, uintptr_t* element) {
  uint64_t length = 0;
  return IsObject(array) && ReadSmi(array, kArrayLengthOffset, &length) &&
         index < length &&
         ReadWord(array, kArrayDataOffset + index * sizeof(uintptr_t), element);
}

bool ReadPositionTable(uintptr_t table, size_t code_size,
                       std::vector<CodePosition>* positions) {
  std::vector<uint8_t> bytes;
  return ReadBytes(table, &bytes) &&
         DecodeSourcePositions(bytes.data(), bytes.size(), code_size,
                               kPositionFlagBits, positions);
}

bool ReadFunction(uintptr_t function, FunctionId* id) {
  uintptr_t script = 0;
  uint64_t script_id = 0;
  if (InstanceType(function) != Types().shared_function_info ||
      !ReadInt(function, kCodeLayout.function_literal_id, &id->literal_id) ||
      !ReadWord(function, kCodeLayout.script, &script) ||
      // With a debugger attached, V8 11 has a DebugInfo there.
      InstanceType(script) != Types().script ||
      !ReadSmi(script, kScriptIdOffset, &script_id)) {
    return false;
  }
  id->script_id = static_cast<int>(script_id);
  return id->known();
}

bool ReadInlinedCalls(uintptr_t code, std::vector<InlinedCall>* calls) {
  uintptr_t data = 0;
  uintptr_t count_word = 0;
  uintptr_t literals = 0;
  uintptr_t positions = 0;
  std::vector<uint8_t> bytes;
  if (!ReadWord(code, kCodeLayout.deoptimization_data, &data) ||
      !ReadElement(data, kInlinedCountIndex, &count_word) ||
      static_cast<uint32_t>(count_word) != 0 ||
      !ReadElement(data, kCodeLayout.literals_index, &literals) ||
      !ReadElement(data, kCodeLayout.inlining_positions_index, &positions) ||
      !ReadBytes(positions, &bytes) ||
      bytes.size() % kInliningPositionBytes != 0 ||
      bytes.size() / kInliningPositionBytes > kMaxInlinedCalls) {
    return false;
  }
  const uint64_t function_count = count_word >> kSmiShift;
  for (size_t at = 0; at < bytes.size(); at += kInliningPositionBytes) {
    uint64_t position = 0;
    int32_t index = 0;
    memcpy(&position, &bytes[at], sizeof(position));
    memcpy(&index, &bytes[at + kInlinedFunctionOffset], sizeof(index));
    InlinedCall call;
    call.call = SourcePosition::Unpack(position);
    call.is_itself = index == -1;
    // A call is made by an earlier one, or by the function itself.
    if (call.call.inlining_id >= static_cast<int32_t>(calls->size())) {
      return false;
    }
    if (!call.is_itself) {
      uintptr_t function = 0;
      if (index < 0 || static_cast<uint64_t>(index) >= function_count ||
          !ReadElement(literals, static_cast<uint64_t>(index), &function)) {
        return false;
      }
      if (function == kClearedReference) return false;
      function &= ~kWeakTag;
      if (!ReadFunction(function, &call.function)) return false;
    }
    calls->push_back(call);
  }
  return true;
}

}  // namespace

bool CodeReader::Available() {
#ifdef OTELPYROSCOPE_HAS_CODE_LAYOUT
  static const bool available = kHeapIsReadable && Types().code != 0 &&
                                Types().shared_function_info != 0 &&
                                Types().script != 0 &&
                                Types().byte_array != 0 && ProbeMemory();
  return available;
#else
  return false;
#endif
}

std::shared_ptr<const CodePositions> CodeReader::ReadOptimized(
    uintptr_t code_start, size_t code_size, uint64_t* failures) {
  if (!Available()) return nullptr;
  uintptr_t code = 0;
  uintptr_t instruction_start = 0;
  int32_t instruction_size = 0;
  uintptr_t table = 0;
  auto result = std::make_shared<CodePositions>();
  if (!SafeMemory::Read(code_start - kCodeLayout.code_pointer_before_start,
                        &code) ||
      InstanceType(code) != Types().code ||
      !ReadWord(code, kCodeLayout.instruction_start, &instruction_start) ||
      instruction_start != code_start ||
      !ReadInt(code, kCodeLayout.instruction_size, &instruction_size) ||
      static_cast<size_t>(instruction_size) != code_size ||
      !ReadWord(code, kCodeLayout.source_position_table, &table) ||
      !ReadPositionTable(table, code_size, &result->positions) ||
      !ReadInlinedCalls(code, &result->inlined)) {
    ++*failures;
    return nullptr;
  }
  const int32_t calls = static_cast<int32_t>(result->inlined.size());
  for (const CodePosition& entry : result->positions) {
    if (entry.position.inlining_id < calls) continue;
    ++*failures;
    return nullptr;
  }
  return result;
}

std::shared_ptr<const CodePositions> CodeReader::ReadBytecode(
    uintptr_t code_start, size_t code_size, uint64_t* failures) {
  if (!Available()) return nullptr;
  uintptr_t table = 0;
  if (!SafeMemory::Read(
          code_start - kCodeLayout.bytecode_positions_before_start, &table)) {
    ++*failures;
    return nullptr;
  }
  // V8 may not have made the table yet; that is no failure.
  if (!Types().IsByteArray(InstanceType(table))) return nullptr;
  auto result = std::make_shared<CodePositions>();
  if (!ReadPositionTable(table, code_size, &result->positions)) {
    ++*failures;
    return nullptr;
  }
  return result;
}

FunctionId CodeReader::ReadFunctionId(v8::Local<v8::UnboundScript> script,
                                      int script_id) {
  FunctionId id;
  if (!Available() || script.IsEmpty()) return id;
  uintptr_t location = 0;
  uintptr_t function = 0;
  static_assert(sizeof(script) == sizeof(location));
  memcpy(&location, static_cast<void*>(&script), sizeof(location));
  // One of these comes with every code event, thousands at start: the layout
  // is checked once, then a field of a live object is read as it is.
  static std::atomic<bool> checked{false};
  memcpy(&function, reinterpret_cast<const void*>(location), sizeof(function));
  if (checked.load(std::memory_order_relaxed)) {
    id.script_id = script_id;
    memcpy(&id.literal_id,
           reinterpret_cast<const void*>(function - kHeapObjectTag +
                                         kCodeLayout.function_literal_id),
           sizeof(id.literal_id));
    return id;
  }
  if (!ReadFunction(function, &id) || id.script_id != script_id) {
    return FunctionId();
  }
  checked.store(true, std::memory_order_relaxed);
  return id;
}

int64_t CodeReader::BytecodeOffset(uintptr_t array_register,
                                   uintptr_t offset_register,
                                   uintptr_t code_start, size_t code_size) {
  const size_t header = kCodeLayout.bytecode_header - kHeapObjectTag;
  if (array_register + header != code_start || offset_register < header ||
      offset_register - header >= code_size) {
    return -1;
  }
  return static_cast<int64_t>(offset_register - header);
}

}  // namespace otelpyroscope
