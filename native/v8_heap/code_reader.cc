#include "v8_heap/code_reader.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <vector>

#include "base/safe_memory.h"
#include "v8_heap/baseline_positions.h"
#include "v8_heap/code_object.h"
#include "v8_heap/handle_address.h"
#include "v8_heap/heap_function.h"
#include "v8_heap/heap_reader.h"
#include "v8_heap/layout.h"

namespace otelpyroscope {
namespace {

using v8_layout::kHeapObjectTag;
using v8_layout::layout;

// No program has more; the bound is for memory that contains something else.
constexpr uint64_t kMaxInlinedCalls = 1 << 16;

// A weak reference also has the second lowest bit set; 3 is a cleared one.
constexpr uintptr_t kWeakTag = 2;
constexpr uintptr_t kClearedReference = 3;

bool ProbeMemory() {
  const uint64_t written = 0x5eed;
  uint64_t read = 0;
  return SafeMemory::Read(reinterpret_cast<uintptr_t>(&written), &read) &&
         read == written;
}

bool ReadPositionTable(uintptr_t table, size_t code_size,
                       std::vector<CodePosition>* positions) {
  std::vector<uint8_t> bytes;
  return heap::ReadBytes(table, &bytes) &&
         DecodeSourcePositions(bytes.data(), bytes.size(), code_size,
                               v8_layout::kPositionFlagBits, positions);
}

bool IsInlined(const CodePosition& entry) {
  return entry.position.inlining_id >= 0;
}

// Reads the position table of bytecode, and checks it against the bytecode;
// nothing is inlined into bytecode. Returns false if a check fails, and no
// positions if V8 has not made the table.
bool ReadBytecodePositions(uintptr_t bytecode_start, size_t size,
                           std::vector<CodePosition>* positions,
                           std::vector<uint32_t>* starts) {
  const uintptr_t array =
      bytecode_start - layout().bytecode_header + kHeapObjectTag;
  uint64_t length = 0;
  uintptr_t table = 0;
  if (heap::InstanceType(array) != InstanceTypes::OfThisV8().bytecode_array ||
      !heap::ReadSmi(array, layout().array_length, &length) || length != size ||
      !SafeMemory::Read(
          bytecode_start - layout().bytecode_positions_before_start, &table)) {
    return false;
  }
  if (!heap::IsByteArray(table)) return true;
  std::vector<uint8_t> bytecode(size);
  const v8_layout::Bytecodes& known = v8_layout::bytecodes();
  return ReadPositionTable(table, size, positions) &&
         std::none_of(positions->begin(), positions->end(), IsInlined) &&
         SafeMemory::Read(bytecode_start, bytecode.data(), size) &&
         FindBytecodes(bytecode.data(), size, {known.lengths, known.scalable},
                       starts) &&
         AreOfBytecodes(*positions, *starts);
}

bool ReadInlinedCalls(uintptr_t code, std::vector<InlinedCall>* calls) {
  const v8_layout::Layout& at = layout();
  uintptr_t data = 0;
  uintptr_t count_word = 0;
  uintptr_t literals = 0;
  uintptr_t positions = 0;
  std::vector<uint8_t> bytes;
  const size_t entry_bytes = at.inlining_position_bytes;
  if (!heap::ReadWord(code, at.deoptimization_data, &data) ||
      !heap::ReadElement(data, at.inlined_count_index, &count_word) ||
      static_cast<uint32_t>(count_word) != 0 ||
      !heap::ReadElement(data, at.literals_index, &literals) ||
      !heap::ReadElement(data, at.inlining_positions_index, &positions) ||
      !heap::ReadBytes(positions, &bytes) ||
      sizeof(uint64_t) + sizeof(int32_t) > entry_bytes ||
      bytes.size() % entry_bytes != 0 ||
      bytes.size() / entry_bytes > kMaxInlinedCalls) {
    return false;
  }
  std::vector<bool> is_called(count_word >> v8_layout::kSmiShift);
  for (size_t entry = 0; entry < bytes.size(); entry += entry_bytes) {
    uint64_t position = 0;
    int32_t index = 0;
    memcpy(&position, &bytes[entry], sizeof(position));
    memcpy(&index, &bytes[entry + sizeof(position)], sizeof(index));
    InlinedCall call;
    call.call = SourcePosition::Unpack(position);
    call.is_itself = index == -1;
    // The caller is an earlier call, or the function itself.
    if (call.call.inlining_id >= static_cast<int32_t>(calls->size())) {
      return false;
    }
    if (!call.is_itself) {
      uintptr_t function = 0;
      if (index < 0 || static_cast<size_t>(index) >= is_called.size() ||
          !heap::ReadElement(literals, static_cast<uint64_t>(index),
                             &function)) {
        return false;
      }
      is_called[static_cast<size_t>(index)] = true;
      if (function == kClearedReference) return false;
      function &= ~kWeakTag;
      if (!heap::ReadFunctionId(function, &call.function)) return false;
      call.shared = function;
    }
    calls->push_back(call);
  }
  // V8 lists only functions that are called.
  return std::find(is_called.begin(), is_called.end(), false) ==
         is_called.end();
}

std::atomic<CodeReader::Trust> trust{CodeReader::Trust::kUnchecked};
std::atomic<bool> can_identify_functions{false};

}  // namespace

bool CodeReader::Possible() {
  static const bool possible = [] {
    const InstanceTypes& types = InstanceTypes::OfThisV8();
    return v8_layout::HasCodeLayout() && types.code != 0 &&
           types.js_function != 0 && types.shared_function_info != 0 &&
           types.script != 0 && types.bytecode_array != 0 &&
           types.byte_array != 0 && ProbeMemory();
  }();
  return possible;
}

bool CodeReader::Available() {
  return trust.load(std::memory_order_relaxed) == Trust::kAll;
}

bool CodeReader::CanIdentifyFunctions() {
  return Available() && can_identify_functions.load(std::memory_order_relaxed);
}

void CodeReader::SetCanIdentifyFunctions(bool can) {
  can_identify_functions.store(can, std::memory_order_relaxed);
}

CodeReader::Trust CodeReader::GetTrust() {
  return trust.load(std::memory_order_relaxed);
}

void CodeReader::SetTrust(Trust checked) {
  trust.store(checked, std::memory_order_relaxed);
}

std::shared_ptr<const CodePositions> CodeReader::ReadOptimized(
    uintptr_t code_start, size_t code_size, uint64_t* failures) {
  if (!Available()) return nullptr;
  uintptr_t table = 0;
  auto result = std::make_shared<CodePositions>();
  const uintptr_t code = CodeObject::Of(code_start, code_size);
  if (code == 0 ||
      !heap::ReadWord(code, layout().source_position_table, &table) ||
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

std::shared_ptr<const CodePositions> CodeReader::ReadBaseline(
    uintptr_t code_start, size_t code_size, uint64_t* failures) {
  if (!Available()) return nullptr;
  uintptr_t bytecode_start = 0;
  size_t bytecode_size = 0;
  uintptr_t table = 0;
  std::vector<uint8_t> offsets;
  std::vector<CodePosition> positions;
  std::vector<uint32_t> starts;
  auto result = std::make_shared<CodePositions>();
  const uintptr_t code = CodeObject::Of(code_start, code_size);
  if (code == 0 ||
      !heap::ReadBytecodeOfCode(code, &bytecode_start, &bytecode_size) ||
      !ReadBytecodePositions(bytecode_start, bytecode_size, &positions,
                             &starts) ||
      !heap::ReadWord(code, layout().source_position_table, &table) ||
      !heap::ReadBytes(table, &offsets)) {
    ++*failures;
    return nullptr;
  }
  if (positions.empty()) return nullptr;
  if (!DecodeBaselinePositions(offsets.data(), offsets.size(), code_size,
                               starts, positions, &result->positions)) {
    ++*failures;
    return nullptr;
  }
  return result;
}

std::shared_ptr<const CodePositions> CodeReader::ReadBytecode(
    uintptr_t code_start, size_t code_size, uint64_t* failures) {
  if (!Available()) return nullptr;
  auto result = std::make_shared<CodePositions>();
  if (!CheckBytecode(code_start, code_size, &result->positions)) {
    ++*failures;
    return nullptr;
  }
  return result;
}

bool CodeReader::ReadBytecodeTable(uintptr_t code_start, uintptr_t* word,
                                   uintptr_t* table) {
  *word = code_start - layout().bytecode_positions_before_start;
  return SafeMemory::Read(*word, table);
}

bool CodeReader::CheckBytecode(uintptr_t code_start, size_t code_size,
                               std::vector<CodePosition>* positions) {
  std::vector<uint32_t> starts;
  return ReadBytecodePositions(code_start, code_size, positions, &starts);
}

FunctionId CodeReader::FunctionOf(uintptr_t object) {
  FunctionId id;
  uintptr_t shared = 0;
  if (!heap::ReadShared(object, &shared) ||
      !heap::ReadFunctionId(shared, &id)) {
    return FunctionId();
  }
  return id;
}

FunctionId CodeReader::ReadFunctionId(v8::Local<v8::UnboundScript> script,
                                      int script_id) {
  FunctionId id;
  const Trust checked = GetTrust();
  if ((checked != Trust::kFunctions && checked != Trust::kAll) ||
      script.IsEmpty()) {
    return id;
  }
  // Every code event, thousands at a start, needs this: the field of a live
  // object is read directly.
  id.script_id = script_id;
  memcpy(&id.literal_id,
         reinterpret_cast<const void*>(ObjectOf(script) - kHeapObjectTag +
                                       layout().function_literal_id),
         sizeof(id.literal_id));
  return id;
}

uintptr_t CodeReader::BytecodeStart(uintptr_t array) {
  return array - kHeapObjectTag + layout().bytecode_header;
}

uintptr_t CodeReader::BytecodeArrayAt(uintptr_t code_start) {
  return code_start - layout().bytecode_header + kHeapObjectTag;
}

int64_t CodeReader::BytecodeOffset(uintptr_t array_register,
                                   uintptr_t offset_register,
                                   uintptr_t code_start, size_t code_size) {
  const size_t header = layout().bytecode_header - kHeapObjectTag;
  if (BytecodeStart(array_register) != code_start || offset_register < header ||
      offset_register - header >= code_size) {
    return -1;
  }
  return static_cast<int64_t>(offset_register - header);
}

}  // namespace otelpyroscope
