// Feeds random and damaged input to everything native that reads what others
// wrote: V8's tables, V8's heap, symbol tables, names, lists of mappings.
//
// The environment variable FUZZ_TARGET says what. Built with clang's libFuzzer,
// or by itself: fuzz RUNS SEED [CORPUS], with any compiler.
#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

// With what it keeps to itself: V8's own part is never called here.
#include "base/safe_memory.h"
#include "code/code_map.h"
#include "handler/context_label.cc"
#include "names/code_event_names.h"
#include "names/demangle.h"
#include "symbols/elf_file.h"
#include "symbols/second_mapping.h"
#include "v8_heap/baseline_positions.h"
#include "v8_heap/code_object.h"
#include "v8_heap/code_reader.h"
#include "v8_heap/heap_function.h"
#include "v8_heap/heap_reader.h"
#include "v8_heap/heap_string.h"
#include "v8_heap/layout.h"
#include "v8_heap/source_positions.h"

// The symbols that the binary of Node has for debuggers; found by name.
extern "C" {
#define TYPE(name, value) \
  __attribute__((used, visibility("default"))) int v8dbg_type_##name = value
TYPE(Code__CODE_TYPE, 201);
TYPE(JSFunction__JS_FUNCTION_TYPE, 220);
TYPE(SharedFunctionInfo__SHARED_FUNCTION_INFO_TYPE, 203);
TYPE(Script__SCRIPT_TYPE, 204);
TYPE(BytecodeArray__BYTECODE_ARRAY_TYPE, 205);
TYPE(InterpreterData__INTERPRETER_DATA_TYPE, 206);
TYPE(ByteArray__BYTE_ARRAY_TYPE, 207);
TYPE(TrustedByteArray__TRUSTED_BYTE_ARRAY_TYPE, 208);
TYPE(JSMap__JS_MAP_TYPE, 209);
TYPE(ScopeInfo__SCOPE_INFO_TYPE, 210);
TYPE(JSRegExp__JS_REG_EXP_TYPE, 211);
__attribute__((used, visibility("default"))) int v8dbg_LastJSFunctionType = 221;
}

namespace otelpyroscope {
namespace {

// Numbers out of the input, zeros when it is used up.
class Input {
 public:
  Input(const uint8_t* bytes, size_t size) : bytes_(bytes), left_(size) {}

  uint64_t Number(size_t size) {
    uint64_t value = 0;
    const size_t taken = std::min(size, left_);
    memcpy(&value, bytes_, taken);
    bytes_ += taken;
    left_ -= taken;
    return value;
  }
  uint64_t Below(uint64_t limit) { return Number(4) % limit; }
  bool done() const { return left_ == 0; }
  const uint8_t* rest() const { return bytes_; }
  size_t left() const { return left_; }
  std::string Text() const {
    return std::string(reinterpret_cast<const char*>(bytes_), left_);
  }

 private:
  const uint8_t* bytes_;
  size_t left_;
};

void Use(uint64_t value) { asm volatile("" : : "r"(value)); }

#define Require(condition)                                                \
  do {                                                                    \
    if (!(condition)) {                                                   \
      fprintf(stderr, "%s:%d: not %s\n", __FILE__, __LINE__, #condition); \
      abort();                                                            \
    }                                                                     \
  } while (0)

// --- Tables ---

void FuzzSourcePositions(Input input) {
  const size_t code_size = input.Number(2);
  const int flag_bits = 1 + static_cast<int>(input.Below(2));
  std::vector<CodePosition> positions;
  if (!DecodeSourcePositions(input.rest(), input.left(), code_size, flag_bits,
                             &positions)) {
    return;
  }
  for (const CodePosition& entry : positions) {
    Require(entry.code_offset <= code_size);
  }
  for (size_t offset = 0; offset < code_size; offset += 7) {
    const SourcePosition* found = FindPosition(positions, offset);
    if (found != nullptr) Use(static_cast<uint64_t>(found->script_offset));
  }
}

void FuzzBaselinePositions(Input input) {
  const v8_layout::Bytecodes& known = v8_layout::bytecodes();
  const size_t wanted_size = input.Number(2);
  const size_t bytecode_size = std::min(wanted_size, input.left());
  std::vector<uint8_t> bytecode(input.rest(), input.rest() + bytecode_size);
  std::vector<uint32_t> starts;
  if (!FindBytecodes(bytecode.data(), bytecode.size(),
                     {known.lengths, known.scalable}, &starts)) {
    // So that the second decoder gets something as well.
    starts.clear();
    for (uint32_t at = 0; at < bytecode_size; at += 1 + bytecode[at] % 4) {
      starts.push_back(at);
    }
  }
  std::vector<CodePosition> of_bytecode;
  for (size_t i = 0; i < starts.size(); i += 2) {
    CodePosition entry;
    entry.code_offset = starts[i];
    entry.position.script_offset = static_cast<int32_t>(i);
    of_bytecode.push_back(entry);
  }
  Require(AreOfBytecodes(of_bytecode, starts));
  std::vector<CodePosition> positions;
  const uint8_t* table = input.rest() + bytecode_size;
  const size_t table_size = input.left() - bytecode_size;
  if (DecodeBaselinePositions(table, table_size, 4096, starts, of_bytecode,
                              &positions)) {
    for (const CodePosition& entry : positions) {
      Require(entry.code_offset <= 4096);
    }
  }
}

// --- Files and names ---

void FuzzElf(Input input) {
  static const int file = memfd_create("elf", MFD_CLOEXEC);
  const uint64_t base = input.Number(2);
  Require(ftruncate(file, 0) == 0);
  Require(pwrite(file, input.rest(), input.left(), 0) ==
          static_cast<ssize_t>(input.left()));
  ElfFunctions functions;
  ElfFunctions row;
  const bool is_read = ReadElfFunctions(file, base, &functions);
  Require(ReadElfRow(file, base, 1 << 16, &row) == is_read);
  Require(row.functions.size() <= functions.functions.size());
  if (!is_read) return;
  // The file may change while it is known.
  const bool shrink = base % 5 == 0 && input.left() > 0;
  if (shrink)
    Require(ftruncate(file, static_cast<off_t>(base % input.left())) == 0);
  size_t names = 0;
  for (const ElfFunction& function : functions.functions) {
    if (names++ == 200) break;
    Use(ReadElfName(file, functions, function).size());
    Use(functions.Find(functions.base + function.start) != nullptr);
  }
}

void FuzzSymbolNames(Input input) {
  const std::string text = input.Text();
  Require(ReadableSymbol(text).size() <= kMaxSymbolNameBytes + 8);
  Require(ShortFunctionName(text).size() <= text.size());
}

void FuzzEventNames(Input input) {
  const std::string text = input.Text();
  for (const char* prefix : {"", "RegExp:", "RegExp.> src: '", "JS:wasm"}) {
    const std::string event = prefix + text;
    Use(RegExpNameOf(event).size());
    Use(WasmName(event).size());
  }
}

void FuzzProcessMaps(Input input) {
  const uintptr_t address = input.Number(8);
  const size_t size = input.Number(4);
  const uintptr_t low = input.Number(8);
  const std::string text = input.Text();
  const int maps = memfd_create("maps", MFD_CLOEXEC);
  if (maps < 0 || write(maps, text.data(), text.size()) !=
                      static_cast<ssize_t>(text.size())) {
    abort();
  }
  for (const auto& [wanted, bytes, lowest] :
       {std::tuple(address, size, low),
        std::tuple(uintptr_t{0x400000}, size_t{0x1000}, uintptr_t{0})}) {
    lseek(maps, 0, SEEK_SET);
    Use(FindSecondMappingIn(maps, wanted, bytes, lowest, UINTPTR_MAX)
            .value_or(0));
  }
  close(maps);
}

// --- V8's heap ---

// A region of words between pages that cannot be read, which begins as a right
// piece of heap and is then damaged.
class Heap {
 public:
  static constexpr size_t kBytes = 64 * 1024;
  static constexpr size_t kPage = 4096;

  Heap() {
    auto* memory = static_cast<uint8_t*>(
        mmap(nullptr, kBytes + 2 * kPage, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(memory, kPage, PROT_NONE);
    mprotect(memory + kPage + kBytes, kPage, PROT_NONE);
    begin_ = reinterpret_cast<uintptr_t>(memory) + kPage;
  }

  void Build() {
    memset(reinterpret_cast<void*>(begin_), 0, kBytes);
    next_ = begin_ + 64;
    const auto map_of = [&](uint16_t type) {
      const uintptr_t map = Allocate(80);
      Write16(map - 1 + at().map_instance_type, type);
      return map;
    };
    const InstanceTypes& types = InstanceTypes::OfThisV8();
    const uintptr_t array_map = map_of(250);
    bytes_map_ = map_of(types.byte_array);
    const uintptr_t script = New(map_of(types.script), 128);
    Smi(script - 1 + at().script_id, 7);
    one_byte_map_ = map_of(v8_layout::kOneByteString);
    Word(script - 1 + at().script_name, Text("file:///a.js"));
    Word(script - 1 + at().script_source, Text("1;\nfunction inner() {}"));
    shared = New(map_of(types.shared_function_info), 96);
    Word(shared - 1 + at().function_script, script);
    Int(shared - 1 + at().function_literal_id, 3);
    const uintptr_t scope = New(map_of(types.scope_info), 128);
    Word(shared - 1 + at().shared_name, scope);
    Int(scope - 1 + at().scope_flags, v8_layout::kScopeHasName);
    joined_name = New(map_of(v8_layout::kConsString), 32);
    Int(joined_name - 1 + at().string_length, 5);
    Word(joined_name - 1 + at().cons_first, Text("in"));
    const uintptr_t second = New(map_of(v8_layout::kThinString), 32);
    Int(second - 1 + at().string_length, 3);
    const uintptr_t part = New(map_of(v8_layout::kSlicedString), 32);
    Int(part - 1 + at().string_length, 3);
    Word(part - 1 + at().sliced_parent, Text("the inner one"));
    Smi(part - 1 + at().sliced_offset, 6);
    Word(second - 1 + at().thin_actual, part);
    Word(joined_name - 1 + at().cons_second, second);
    Word(scope - 1 + at().scope_names, joined_name);
    Smi(scope - 1 +
            (at().scope_position == 0 ? at().scope_names + 16
                                      : at().scope_position),
        11);
    function = New(map_of(types.js_function), 64);
    Word(function - 1 + at().function_shared, shared);

    regexp = New(map_of(types.js_reg_exp), 64);
    const uintptr_t compiled = New(array_map, 128);
    Word(regexp - 1 + at().regexp_data, compiled);
    Word(regexp - 1 + at().regexp_source, Text("a+b"));
    Smi(regexp - 1 + at().regexp_flags, 3);

    // Bytecode: LdaZero a few times, as every opcode of one byte would do.
    bytecode_array = New(map_of(types.bytecode_array), 256);
    constexpr size_t kBytecodes = 12;
    Smi(bytecode_array - 1 + at().array_length, kBytecodes);
    bytecode_start = bytecode_array - 1 + at().bytecode_header;
    bytecode_size = kBytecodes;
    memset(reinterpret_cast<void*>(bytecode_start), 12, kBytecodes);
    Word(bytecode_start - at().bytecode_positions_before_start,
         Bytes({0x02, 0x04, 0x04, 0x06, 0x02, 0x0a}));

    const uintptr_t literals = New(array_map, 64);
    Smi(literals - 1 + at().array_length, 2);
    Word(literals - 1 + at().array_data, shared | 2);
    Word(literals - 1 + at().array_data + 8, shared);
    std::vector<uint8_t> inlinings(2 * at().inlining_position_bytes);
    for (size_t i = 0; i < 2; i++) {
      const uint64_t position = (i + 5) << 1;
      memcpy(&inlinings[i * at().inlining_position_bytes], &position, 8);
      inlinings[i * at().inlining_position_bytes + sizeof(uint64_t)] =
          static_cast<uint8_t>(i);
    }
    const uintptr_t data = New(array_map, 128);
    Smi(data - 1 + at().array_length, 12);
    const auto element = [&](size_t index, uintptr_t word) {
      Word(data - 1 + at().array_data + 8 * index, word);
    };
    element(at().inlined_count_index, uint64_t{2} << v8_layout::kSmiShift);
    element(at().literals_index, literals);
    element(at().function_index, shared);
    element(at().inlining_positions_index, Bytes(inlinings));

    const uintptr_t code_map = map_of(types.code);
    optimized_code = New(code_map, 96);
    Word(optimized_code - 1 + at().deoptimization_data, data);
    Word(optimized_code - 1 + at().source_position_table,
         Bytes({0x02, 0x04, 0x04, 0x06, 0x02, 0x0a}));
    optimized = NewCode(optimized_code, 256);
    Word(compiled - 1 + 40, optimized_code);
    Word(shared - 1 + at().shared_data, bytecode_array);
    baseline_code = New(code_map, 96);
    Word(baseline_code - 1 + at().deoptimization_data, bytecode_array);
    std::vector<uint8_t> offsets(kBytecodes + 1, 3);
    Word(baseline_code - 1 + at().source_position_table, Bytes(offsets));
    baseline = NewCode(baseline_code, 256);

    // A map with room for four entries, of which two are used.
    const uintptr_t table = New(array_map, 256);
    Smi(table - 1 + at().hash_map_elements, 2);
    Smi(table - 1 + at().hash_map_deleted, 0);
    Smi(table - 1 + at().hash_map_buckets, 2);
    const size_t end = at().hash_map_data + 2 * at().hash_map_bucket_bytes +
                       4 * at().hash_map_entry_bytes;
    Smi(table - 1 + at().array_length, (end - at().array_data) / 8);
    js_map = New(map_of(types.js_map), 64);
    Word(js_map - 1 + at().js_map_table, table);
    const uintptr_t entry =
        table - 1 + at().hash_map_data + 2 * at().hash_map_bucket_bytes;
    Word(entry, function);
    Smi(entry + at().hash_map_value, 42);
    BuildProperties(map_of(1060), map_of(1060), array_map);
  }

  // Some words become others: any, small ones, objects of the heap.
  void Damage(Input* input) {
    for (uint64_t left = input->Below(24); left > 0; left--) {
      const uintptr_t address = begin_ + 8 * input->Below((next_ - begin_) / 8);
      uint64_t word = input->Number(8);
      switch (input->Number(1) % 6) {
        case 0:
          word = begin_ + word % kBytes;  // unaligned, untagged
          break;
        case 1:
          word = ((begin_ + word % kBytes) & ~uintptr_t{7}) | 1;
          break;
        case 2:
          word = (word % 4096) << v8_layout::kSmiShift;
          break;
        case 3:
          word = begin_ + kBytes - word % 64;  // over the end
          break;
        case 4:
          word = word % 8192;
          break;
        default:
          break;
      }
      Word(address, word);
    }
  }

  uintptr_t begin() const { return begin_; }

  uintptr_t function = 0;
  uintptr_t shared = 0;
  uintptr_t joined_name = 0;
  uintptr_t regexp = 0;
  uintptr_t bytecode_array = 0;
  uintptr_t bytecode_start = 0;
  size_t bytecode_size = 0;
  uintptr_t optimized_code = 0;
  uintptr_t optimized = 0;
  uintptr_t baseline_code = 0;
  uintptr_t baseline = 0;
  uintptr_t js_map = 0;
  uintptr_t name = 0;
  uintptr_t object = 0;
  uintptr_t hashed = 0;

 private:
  static const Layout& at() { return layout(); }
  // Two objects with properties under `function` and `name`: with a place in it
  // and one in a property array, and with a hash table.
  void BuildProperties(uintptr_t map, uintptr_t hashed_map,
                       uintptr_t array_map) {
    name = New(array_map, 24);
    Int(name - 1 + at().name_hash, 2 << v8_layout::kNameHashShift);
    *reinterpret_cast<uint8_t*>(map - 1 + at().map_properties_start) = 3;
    *reinterpret_cast<uint8_t*>(map - 1 + at().map_instance_words) = 4;
    Int(map - 1 + at().map_flags, 2 << v8_layout::kMapDescriptorsShift);
    const uintptr_t descriptors =
        New(array_map, at().descriptors_data + 2 * v8_layout::kDescriptorBytes);
    Word(map - 1 + at().map_descriptors, descriptors);
    const uintptr_t first = descriptors - 1 + at().descriptors_data;
    const uintptr_t second = first + v8_layout::kDescriptorBytes;
    Word(first, function);
    Smi(first + v8_layout::kDescriptorDetails, 0);
    Word(second, name);
    Smi(second + v8_layout::kDescriptorDetails,
        1 << v8_layout::kDetailsFieldShift);
    const uintptr_t array = New(array_map, at().array_data + 8);
    Smi(array - 1 + at().property_array_length, 1);
    Smi(array - 1 + at().array_data, 44);
    object = New(map, 32);
    Word(object - 1 + at().object_properties, array);
    Smi(object - 1 + 24, 43);

    const size_t words =
        v8_layout::kDictionaryFirst + 4 * v8_layout::kDictionaryEntry;
    const uintptr_t table = New(array_map, at().array_data + 8 * words);
    const uintptr_t data = table - 1 + at().array_data;
    Smi(table - 1 + at().array_length, words);
    Smi(data + 8 * v8_layout::kDictionaryCapacity, 4);
    const size_t entry =
        v8_layout::kDictionaryFirst + 2 * v8_layout::kDictionaryEntry;
    Word(data + 8 * entry, name);
    Smi(data + 8 * (entry + 1), 45);
    Int(hashed_map - 1 + at().map_flags, v8_layout::kMapHasDictionary);
    hashed = New(hashed_map, 32);
    Word(hashed - 1 + at().object_properties, table);
  }
  // A tagged object of so many bytes.
  uintptr_t Allocate(size_t bytes) {
    const uintptr_t address = next_;
    next_ += (bytes + 15) & ~size_t{15};
    return address + 1;
  }
  uintptr_t New(uintptr_t map, size_t bytes) {
    const uintptr_t object = Allocate(bytes);
    Word(object - 1 + at().map, map);
    return object;
  }
  uintptr_t Bytes(const std::vector<uint8_t>& bytes) {
    const uintptr_t object = New(bytes_map_, at().array_data + bytes.size());
    Smi(object - 1 + at().array_length, bytes.size());
    memcpy(reinterpret_cast<void*>(object - 1 + at().array_data), bytes.data(),
           bytes.size());
    return object;
  }
  uintptr_t Text(std::string_view text) {
    const uintptr_t object = New(one_byte_map_, at().string_data + text.size());
    Int(object - 1 + at().string_length, static_cast<int32_t>(text.size()));
    memcpy(reinterpret_cast<void*>(object - 1 + at().string_data), text.data(),
           text.size());
    return object;
  }
  uintptr_t NewCode(uintptr_t code, size_t bytes) {
    next_ = (next_ + 127) & ~uintptr_t{63};
    const uintptr_t start = next_;
    next_ += bytes;
    Word(start - at().code_pointer_before_start, code);
    Word(code - 1 + at().instruction_start, start);
    Int(code - 1 + at().instruction_size, static_cast<int32_t>(bytes));
    return start;
  }
  static void Word(uintptr_t address, uint64_t word) {
    memcpy(reinterpret_cast<void*>(address), &word, sizeof(word));
  }
  static void Smi(uintptr_t address, uint64_t value) {
    Word(address, value << v8_layout::kSmiShift);
  }
  static void Int(uintptr_t address, int32_t value) {
    memcpy(reinterpret_cast<void*>(address), &value, sizeof(value));
  }
  static void Write16(uintptr_t address, uint16_t value) {
    memcpy(reinterpret_cast<void*>(address), &value, sizeof(value));
  }

  uintptr_t begin_ = 0;
  uintptr_t next_ = 0;
  uintptr_t bytes_map_ = 0;
  uintptr_t one_byte_map_ = 0;
};

// Returns the small integer under `heap->name`, or 0.
uint64_t ReadNamed(const Heap& heap, uintptr_t object) {
  Property properties[] = {{heap.function, 0}, {heap.name, 0}, {0, 0}};
  ReadProperties<SafeMemory>(object, properties, 3);
  Require(properties[2].value == 0);
  return LabelIdIn(properties[1].value);
}

void FuzzHeap(Input input) {
  static Heap* const heap = new Heap;
  static SafeMemory::Cache* const cache = new SafeMemory::Cache;
  CodeReader::SetTrust(CodeReader::Trust::kAll);
  Require(CodeReader::Possible());
  heap->Build();
  uint64_t failures = 0;
  if (input.done()) {
    // The heap is right, or this tests nothing.
    Require(CodeReader::ReadOptimized(heap->optimized, 256, &failures) !=
            nullptr);
    Require(CodeReader::ReadBaseline(heap->baseline, 256, &failures) !=
            nullptr);
    Require(CodeReader::ReadBytecode(heap->bytecode_start, heap->bytecode_size,
                                     &failures) != nullptr);
    Require(CodeReader::FunctionOf(heap->function).literal_id == 3);
    Require(FindNumber<SafeMemory>(heap->js_map, heap->function,
                                   InstanceTypes::OfThisV8().js_map) == 42);
    Require(ReadNamed(*heap, heap->object) == 44);
    Require(ReadNamed(*heap, heap->hashed) == 45);
    FoundCode found;
    uintptr_t shared = 0;
    Require(CodeObject::Find(heap->optimized + 100, &found));
    Require(found.start == heap->optimized);
    Require(CodeObject::ReadOwner(found.code, &shared));
    Require(shared == heap->shared);
    HeapFunction function;
    Require(heap::ReadFunction(shared, &function));
    Require(function.name == "inner" && function.url == "file:///a.js");
    Require(function.id.script_id == 7 && function.start == 11);
    Require(function.line == 2 && function.column == 9);
    uintptr_t start = 0;
    size_t size = 0;
    Require(heap::ReadBytecodeOf(shared, &start, &size));
    Require(start == heap->bytecode_start && size == heap->bytecode_size);
    Require(heap::FindBytecode(start + size - 1, &start, &size));
    Require(start == heap->bytecode_start && size == heap->bytecode_size);
    std::string name;
    Require(heap::ReadRegExp(heap->regexp, found.code, &name));
    Require(name == "(regexp) /a+b/gi");
    Require(!heap::ReadRegExp(heap->regexp, heap->baseline_code, &name));
    Require(failures == 0);
    return;
  }
  heap->Damage(&input);
  const SafeMemory::Reading reading(cache);
  const size_t size = input.Number(1) % 2 == 0 ? 256 : input.Number(4);
  for (const auto& code :
       {CodeReader::ReadOptimized(heap->optimized, size, &failures),
        CodeReader::ReadBaseline(heap->baseline, size, &failures),
        CodeReader::ReadBytecode(heap->bytecode_start, size % 4096,
                                 &failures)}) {
    if (code == nullptr) continue;
    const auto calls = static_cast<int32_t>(code->inlined.size());
    for (const CodePosition& entry : code->positions) {
      Require(entry.code_offset <= size);
      // No position may refer to a call that is not there, nor go in circles.
      int32_t id = entry.position.inlining_id;
      for (int32_t depth = 0; id >= 0; depth++) {
        Require(id < calls && depth <= calls);
        id = code->inlined[static_cast<size_t>(id)].call.inlining_id;
      }
    }
  }
  for (const uintptr_t address :
       {heap->function, heap->js_map, heap->object, heap->hashed,
        heap->optimized_code, heap->shared, heap->joined_name, heap->regexp,
        heap->bytecode_array, static_cast<uintptr_t>(input.Number(8)),
        heap->begin() + input.Below(Heap::kBytes)}) {
    Use(CodeReader::FunctionOf(address).key());
    Use(CodeObject::Of(address, size));
    FoundCode found;
    Use(CodeObject::Find(address, &found));
    uintptr_t shared = 0;
    Use(CodeObject::ReadOwner(address, &shared));
    HeapFunction function;
    if (heap::ReadFunction(address, &function)) {
      Require(function.start >= 0 && function.id.known());
      Require(function.name.size() <= 3 * heap::kMaxNameChars);
    }
    std::string text;
    if (heap::ReadString(address, 100, &text)) Require(text.size() <= 300);
    Use(heap::ReadRegExp(address, heap->optimized_code, &text));
    uintptr_t start = 0;
    size_t length = 0;
    if (heap::FindBytecode(address, &start, &length)) {
      Require(address + 1 - start <= length);
    }
    Use(heap::ReadBytecodeOf(address, &start, &length));
    Use(heap::ReadBytecodeOfCode(address, &start, &length));
    std::vector<uint8_t> bytes;
    Use(heap::ReadBytes(address, &bytes));
    Use(FindNumber<SafeMemory>(address, heap->function,
                               InstanceTypes::OfThisV8().js_map));
    Use(ReadNamed(*heap, address));
    Use(static_cast<uint64_t>(CodeReader::BytecodeOffset(
        address, input.Number(8), heap->bytecode_start, heap->bytecode_size)));
  }
}

// --- Code that comes, moves and is replaced ---

void FuzzCodeMap(Input input) {
  CodeMap map;
  while (!input.done()) {
    const uintptr_t start = 0x10000 + input.Below(4096) * 16;
    const size_t size = input.Below(512);
    switch (input.Number(1) % 4) {
      case 0:
      case 1: {
        FunctionId id;
        id.script_id = static_cast<int>(input.Below(8));
        id.literal_id = static_cast<int>(input.Below(16));
        const std::string name = "JS:*f" + std::to_string(input.Below(9)) +
                                 std::string(input.Below(40), ':');
        map.Add(start, size, input.Number(1) % 3 == 0, id, name);
        break;
      }
      case 2: {
        std::vector<CodeMove> moves(1 + input.Below(8));
        for (CodeMove& move : moves) {
          move.from = 0x10000 + input.Below(4096) * 16;
          move.to = 0x10000 + input.Below(4096) * 16;
        }
        map.ApplyMoves(moves.data(), moves.size());
        break;
      }
      default:
        for (uintptr_t at = start; at < start + 512; at += 8) {
          const CodeEntry* entry = map.Find(at);
          if (entry == nullptr) continue;
          Require(at >= entry->start && at - entry->start < entry->size);
          Use(entry->function->name.size());
        }
    }
  }
}

struct Target {
  const char* name;
  void (*fuzz)(Input);
};
constexpr Target kTargets[] = {
    {"source-positions", FuzzSourcePositions},
    {"baseline-positions", FuzzBaselinePositions},
    {"elf", FuzzElf},
    {"symbol-names", FuzzSymbolNames},
    {"event-names", FuzzEventNames},
    {"process-maps", FuzzProcessMaps},
    {"heap", FuzzHeap},
    {"code-map", FuzzCodeMap},
};

const Target& ChosenTarget() {
  const char* name = getenv("FUZZ_TARGET");
  for (const Target& target : kTargets) {
    if (name != nullptr && strcmp(target.name, name) == 0) return target;
  }
  fprintf(stderr, "FUZZ_TARGET is one of:");
  for (const Target& target : kTargets) fprintf(stderr, " %s", target.name);
  fprintf(stderr, "\n");
  _exit(2);
}

}  // namespace
}  // namespace otelpyroscope

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static const otelpyroscope::Target& target = otelpyroscope::ChosenTarget();
  target.fuzz(otelpyroscope::Input(bytes, size));
  return 0;
}

#ifdef FUZZ_WITH_MAIN
namespace {

constexpr unsigned kSecondsPerInput = 60;
std::atomic<uint64_t> current_run{0};

std::vector<std::string> ReadCorpus(const char* directory) {
  std::vector<std::string> corpus;
  DIR* open_directory = opendir(directory);
  if (open_directory == nullptr) return corpus;
  while (const dirent* file = readdir(open_directory)) {
    if (file->d_name[0] == '.') continue;
    std::ifstream stream(std::string(directory) + "/" + file->d_name,
                         std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(stream),
                        std::istreambuf_iterator<char>());
  }
  closedir(open_directory);
  std::sort(corpus.begin(), corpus.end());
  return corpus;
}

// Changes, removes, repeats and inserts.
void Mutate(std::string* input, std::mt19937_64* random) {
  for (uint64_t left = 1 + (*random)() % 6; left > 0; left--) {
    const size_t index = input->empty() ? 0 : (*random)() % input->size();
    const size_t length = 1 + (*random)() % 16;
    switch ((*random)() % 6) {
      case 0:
        if (!input->empty()) (*input)[index] = static_cast<char>((*random)());
        break;
      case 1:
        if (!input->empty()) {
          const char extreme[] = {0, 1, 0x7f, -128, -1};
          (*input)[index] = extreme[(*random)() % 5];
        }
        break;
      case 2:
        input->erase(index, length);
        break;
      case 3:
        input->insert(index, input->substr(index, length));
        break;
      default:
        for (size_t i = 0; i < length; i++) {
          input->insert(index, 1, static_cast<char>((*random)()));
        }
    }
  }
  if (input->size() > 8192) input->resize(8192);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: %s RUNS SEED [CORPUS]\n", argv[0]);
    return 2;
  }
  signal(SIGALRM, [](int) {
    fprintf(stderr, "run %" PRIu64 " hangs\n", current_run.load());
    abort();
  });
  const uint64_t runs = strtoull(argv[1], nullptr, 10);
  std::mt19937_64 random(strtoull(argv[2], nullptr, 10));
  std::vector<std::string> corpus;
  if (argc > 3) corpus = ReadCorpus(argv[3]);
  corpus.emplace_back();
  for (uint64_t run = 0; run < runs; run++) {
    std::string input = corpus[run % corpus.size()];
    if (run >= corpus.size()) {
      // A quarter is noise.
      if (random() % 4 == 0) {
        input.clear();
        for (size_t left = random() % 512; left > 0; left--) {
          input += static_cast<char>(random());
        }
      }
      Mutate(&input, &random);
      // An input that has grown may be a better beginning.
      if (random() % 64 == 0 && corpus.size() < 256) corpus.push_back(input);
    }
    // An input that hangs is named by the number of its run.
    current_run = run;
    alarm(kSecondsPerInput);
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()),
                           input.size());
  }
  printf("%llu runs\n", static_cast<unsigned long long>(runs));
  return 0;
}
#endif
