#include "v8_heap/heap_function.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/safe_memory.h"
#include "names/code_event_names.h"
#include "v8_heap/heap_reader.h"
#include "v8_heap/heap_string.h"
#include "v8_heap/layout.h"

namespace otelpyroscope {
namespace heap {
namespace {

using v8_layout::kHeapObjectTag;
using v8_layout::layout;

// No program has more; the bound is for memory that contains something else.
constexpr uint64_t kMaxBytecodeBytes = 4 << 20;
constexpr uintptr_t kMaxSearchedBytes = 64 << 10;
constexpr uint64_t kMaxScopeVariables = 1 << 20;
constexpr size_t kWordBytes = sizeof(uintptr_t);
// V8's regexp-flags.h: the letter of each bit.
constexpr std::string_view kRegExpFlags = "gimyusldv";
// The code for either kind of strings is among the first words of a regular
// expression's data.
constexpr size_t kRegExpDataWords = 10;

// Reads the name of a compiled function, and where it begins, from its
// ScopeInfo.
bool ReadScope(uintptr_t scope, std::string* name, int32_t* start) {
  const v8_layout::Layout& at = layout();
  int32_t flag_bits = 0;
  uint64_t locals = 0;
  if (!ReadInt(scope, at.scope_flags, &flag_bits) ||
      !ReadSmi(scope, at.scope_locals, &locals) ||
      locals > kMaxScopeVariables) {
    return false;
  }
  const uint32_t flags = static_cast<uint32_t>(flag_bits);
  size_t offset = at.scope_names;
  if (v8_layout::kModuleCountIsFirst &&
      (flags & v8_layout::kScopeTypeMask) == v8_layout::kModuleScope) {
    offset += kWordBytes;
  }
  const uint64_t names = locals < v8_layout::kMaxScopeNames ? locals : 1;
  offset += (names + locals) * kWordBytes;
  if ((flags & v8_layout::kScopeHasSavedClass) != 0) offset += kWordBytes;
  uintptr_t word = 0;
  name->clear();
  if ((flags & v8_layout::kScopeHasName) != 0) {
    if (!ReadWord(scope, offset, &word) ||
        (IsObject(word) && !ReadString(word, kMaxNameChars, name))) {
      return false;
    }
    offset += 2 * kWordBytes;
  }
  if ((flags & v8_layout::kScopeHasInferredName) != 0) {
    if (!ReadWord(scope, offset, &word)) return false;
    offset += kWordBytes;
    // The word is undefined if there is no name.
    if (name->empty()) ReadString(word, kMaxNameChars, name);
  }
  uint64_t position = 0;
  if (!ReadSmi(scope, at.scope_position == 0 ? offset : at.scope_position,
               &position) ||
      position > INT32_MAX) {
    return false;
  }
  *start = static_cast<int32_t>(position);
  return true;
}

// V8's ends of lines: "\n", "\r", "\r\n", and two characters of Unicode.
template <typename Char>
void CountLines(const Char* chars, size_t count, int* lines, size_t* begin) {
  for (size_t i = 0; i < count; i++) {
    const uint32_t c = chars[i];
    const bool is_end = c == '\n' || c == 0x2028 || c == 0x2029 ||
                        (c == '\r' && (i + 1 == count || chars[i + 1] != '\n'));
    if (!is_end) continue;
    ++*lines;
    *begin = i + 1;
  }
}

// Counts the function's line and column if that is quick.
void FillLine(uintptr_t script, HeapFunction* function) {
  uintptr_t source = 0;
  uint64_t line_offset = 0;
  uint64_t column_offset = 0;
  StringShape shape;
  const size_t start = static_cast<size_t>(function->start);
  if (start > kMaxCountedChars ||
      !ReadWord(script, layout().script_source, &source) ||
      !ReadSmi(script, layout().script_line_offset, &line_offset) ||
      !ReadSmi(script, layout().script_column_offset, &column_offset) ||
      !ReadShape(source, &shape) ||
      shape.representation != v8_layout::kSequentialString ||
      start > shape.length) {
    return;
  }
  std::vector<char16_t> buffer(start);
  if (!SafeMemory::Read(source - kHeapObjectTag + layout().string_data,
                        buffer.data(),
                        start * (shape.one_byte ? 1 : sizeof(char16_t))) &&
      start != 0) {
    return;
  }
  int lines = 0;
  size_t line_begin = 0;
  if (shape.one_byte) {
    CountLines(reinterpret_cast<const uint8_t*>(buffer.data()), start, &lines,
               &line_begin);
  } else {
    CountLines(buffer.data(), start, &lines, &line_begin);
  }
  // Offsets may be negative: V8 keeps them in the upper half of a word.
  int column = static_cast<int>(start - line_begin) + 1;
  if (lines == 0) column += static_cast<int32_t>(column_offset);
  function->line = lines + static_cast<int32_t>(line_offset) + 1;
  function->column = column;
}

// Returns a hash (FNV-1a) of the script's length and its first characters, or 0
// if they cannot be read.
uint32_t HashText(uintptr_t script) {
  uintptr_t source = 0;
  StringShape shape;
  std::string text;
  if (!ReadWord(script, layout().script_source, &source) ||
      !ReadShape(source, &shape) ||
      !ReadString(source, kMaxHashedChars, &text)) {
    return 0;
  }
  text += std::to_string(shape.length);
  uint32_t hash = 0x811c9dc5;
  for (const char c : text) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 0x01000193;
  }
  return hash;
}

// Finds the bytecode of a BytecodeArray, or of an object that refers to one.
bool ReadBytecode(uintptr_t object, uintptr_t* start, size_t* size) {
  const InstanceTypes& types = InstanceTypes::OfThisV8();
  uint64_t length = 0;
  if (InstanceType(object) == types.interpreter_data &&
      !ReadWord(object, layout().interpreter_data_bytecode, &object)) {
    return false;
  }
  if (InstanceType(object) != types.bytecode_array ||
      !ReadSmi(object, layout().array_length, &length) ||
      length > kMaxBytecodeBytes) {
    return false;
  }
  *start = object - kHeapObjectTag + layout().bytecode_header;
  *size = length;
  return true;
}

// Whether a regular expression is compiled to this code, for strings of one
// kind or the other.
bool HasCode(uintptr_t data, uintptr_t code) {
  for (size_t i = 1; i < kRegExpDataWords; i++) {
    uintptr_t word = 0;
    if (!ReadWord(data, i * kWordBytes, &word)) return false;
    if (word == code) return true;
    if (IsObject(word) && InstanceType(word) != 0 &&
        ReadWord(word, layout().code_wrapper_code, &word) && word == code) {
      return true;
    }
  }
  return false;
}

}  // namespace

bool ReadShared(uintptr_t function, uintptr_t* shared) {
  return IsFunction(function) &&
         ReadWord(function, layout().function_shared, shared) &&
         InstanceType(*shared) ==
             InstanceTypes::OfThisV8().shared_function_info;
}

bool ReadFunction(uintptr_t shared, HeapFunction* function) {
  uintptr_t scope = 0;
  uintptr_t script = 0;
  uintptr_t url = 0;
  if (!ReadFunctionId(shared, &function->id) ||
      !ReadWord(shared, layout().shared_name, &scope) ||
      InstanceType(scope) != InstanceTypes::OfThisV8().scope_info ||
      !ReadScope(scope, &function->name, &function->start) ||
      !ReadScript(shared, &script) ||
      !ReadWord(script, layout().script_name, &url)) {
    return false;
  }
  // Undefined: no name. A data: URL is the text itself.
  if (!ReadString(url, kMaxNameChars, &function->url) ||
      function->url.starts_with("data:")) {
    function->url.clear();
    function->text_hash = HashText(script);
  }
  FillLine(script, function);
  return true;
}

bool ReadRegExpName(uintptr_t object, std::string* name) {
  const v8_layout::Layout& at = layout();
  uintptr_t text = 0;
  uint64_t flag_bits = 0;
  std::string source;
  std::string flags;
  if (InstanceType(object) != InstanceTypes::OfThisV8().js_reg_exp ||
      !ReadWord(object, at.regexp_source, &text) ||
      !ReadString(text, kMaxNameChars, &source) ||
      !ReadSmi(object, at.regexp_flags, &flag_bits)) {
    return false;
  }
  for (size_t bit = 0; bit < kRegExpFlags.size(); bit++) {
    if ((flag_bits >> bit & 1) != 0) flags += kRegExpFlags[bit];
  }
  std::sort(flags.begin(), flags.end());
  *name = RegExpName(source, flags);
  return true;
}

bool ReadRegExp(uintptr_t object, uintptr_t code, std::string* name) {
  uintptr_t data = 0;
  return InstanceType(object) == InstanceTypes::OfThisV8().js_reg_exp &&
         ReadWord(object, layout().regexp_data, &data) && IsObject(data) &&
         HasCode(data, code) && ReadRegExpName(object, name);
}

bool ReadBytecodeOf(uintptr_t shared, uintptr_t* start, size_t* size) {
  uintptr_t data = 0;
  if (!ReadWord(shared, layout().shared_data, &data)) return false;
  if (InstanceType(data) == InstanceTypes::OfThisV8().code) {
    return ReadBytecodeOfCode(data, start, size);
  }
  return ReadBytecode(data, start, size);
}

bool ReadBytecodeOfCode(uintptr_t code, uintptr_t* start, size_t* size) {
  uintptr_t data = 0;
  return ReadWord(code, layout().deoptimization_data, &data) &&
         ReadBytecode(data, start, size);
}

bool FindBytecode(uintptr_t address, uintptr_t* start, size_t* size) {
  // Objects begin at whole words. No bytecode looks like an object.
  const uintptr_t last = (address & ~(kWordBytes - 1)) + kHeapObjectTag;
  for (uintptr_t object = last; last - object < kMaxSearchedBytes;
       object -= kWordBytes) {
    uintptr_t map = 0;
    if (!ReadWord(object, layout().map, &map)) return false;
    if (!v8_layout::MayBeObject(map) || !ReadBytecode(object, start, size)) {
      continue;
    }
    return address + 1 - *start <= *size;
  }
  return false;
}

}  // namespace heap
}  // namespace otelpyroscope
