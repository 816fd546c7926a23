// From the frames of a sample to entries of the code map.
#include "heap_code.h"

#include <string>
#include <utility>

#include "heap_function.h"
#include "heap_reader.h"
#include "inlining.h"

namespace otelpyroscope {
namespace {

// What V8 has made for something that is no function, such as a regular
// expression, and that nothing on the stack names.
constexpr char kGeneratedCode[] = "(generated code)";

}  // namespace

bool HeapCode::Init(v8::Isolate* isolate) {
  isolate_ = isolate;
  const void* builtins = nullptr;
  size_t size = 0;
  isolate->GetEmbeddedCodeRange(&builtins, &size);
  builtins_ = BuiltinTable::Get(reinterpret_cast<uintptr_t>(builtins), size);
  return builtins_ != nullptr && CodeReader::KnowsFunctions();
}

void HeapCode::Learn(const SampleHeader& header, const uintptr_t* frames,
                     CodeMap* code_map, ScriptLines* lines,
                     ResolveCounts* counts) {
  code_map_ = code_map;
  lines_ = lines;
  counts_ = counts;
  code_map->MakeRoom();
  const uintptr_t* functions = frames + header.frame_count;
  words_ = functions + header.frame_count;
  words_end_ = words_ + header.stack_words;
  LearnLeaf(header);
  words_end_ = words_;
  for (uint32_t i = 0; i < header.frame_count; i++) {
    LearnOne(frames[i], false, functions[i], 0);
  }
}

void HeapCode::LearnLeaf(const SampleHeader& header) {
  LearnOne(header.pc, true, header.function, header.called_function);
  const CodeEntry* entry = code_map_->Find(header.pc);
  if (entry != nullptr && entry->name_is_guess && words_ != words_end_) {
    NameRegExp({entry->start, entry->size,
                CodeObject::Of(entry->start, entry->size)});
  }
  // What stands at the top of the stack may be the return address of a leaf
  // without a frame.
  if (code_map_->IsGenerated(header.stack_top)) {
    LearnOne(header.stack_top, false, header.function, 0);
  }
  // The innermost frame's function, which the interpreter may be in.
  uintptr_t shared = 0;
  uintptr_t start = 0;
  size_t size = 0;
  if (header.function == 0 || !heap::ReadShared(header.function, &shared)) {
    return;
  }
  FunctionOf(shared);
  if (heap::ReadBytecodeOf(shared, &start, &size) &&
      start == CodeReader::BytecodeStart(header.bytecode_array)) {
    LearnBytecode(start, header.function);
  }
}

// `other`: another function that it may be of.
void HeapCode::LearnOne(uintptr_t address, bool is_exact, uintptr_t function,
                        uintptr_t other) {
  // A return address is behind its call, which may be its code's last
  // instruction; a place in bytecode is exact, or just before it.
  const CodeEntry* known = code_map_->Find(address);
  if (is_exact ? known != nullptr
               : (known != nullptr && known->kind == CodeKind::kBytecode) ||
                     code_map_->Find(address - 1) != nullptr) {
    return;
  }
  const uintptr_t inside = is_exact ? address : address - 1;
  const Builtin* builtin = builtins_->Find(code_map_->OriginalOf(inside));
  if (builtin != nullptr) {
    code_map_->AddBuiltin(*builtin);
  } else if (code_map_->IsGenerated(inside)) {
    LearnMachineCode(inside, function, other);
  } else {
    LearnBytecode(address, function);
  }
}

void HeapCode::LearnMachineCode(uintptr_t address, uintptr_t function,
                                uintptr_t other) {
  FoundCode found;
  uintptr_t shared = 0;
  if (misses_.contains(address)) return;
  if (!CodeObject::Find(address, &found)) {
    if (misses_.size() >= kMaxMisses) misses_.clear();
    misses_.insert(address);
    return;
  }
  if (CodeObject::ReadOwner(found.code, &shared)) {
    std::shared_ptr<CodeFunction> owner = FunctionOf(shared);
    if (owner == nullptr) return;
    auto positions = CodeReader::ReadOptimized(found.start, found.size,
                                               &counts_->layout_fallbacks);
    if (positions != nullptr) {
      for (const InlinedCall& call : positions->inlined) {
        if (call.shared != 0) FunctionOf(call.shared);
      }
    }
    code_map_->AddRead(found.start, found.size, CodeTier::kOptimized,
                       std::move(owner), std::move(positions));
    return;
  }
  uintptr_t bytecode = 0;
  size_t size = 0;
  if (heap::ReadBytecodeOfCode(found.code, &bytecode, &size)) {
    if (!LearnBaseline(found, function)) LearnBaseline(found, other);
    return;
  }
  if (!NameRegExp(found)) {
    code_map_->AddNamed(found.start, found.size, kGeneratedCode, true);
  }
}

// What has called a regular expression has it on its stack.
bool HeapCode::NameRegExp(const FoundCode& found) {
  std::string name;
  for (const uintptr_t* word = words_; word != words_end_; word++) {
    if (!heap::ReadRegExp(*word, found.code, &name)) continue;
    code_map_->AddNamed(found.start, found.size, name);
    return true;
  }
  return false;
}

// Baseline code does not say whose it is, but of which bytecode.
bool HeapCode::LearnBaseline(const FoundCode& found, uintptr_t function) {
  uintptr_t shared = 0;
  uintptr_t bytecode = 0;
  uintptr_t own_bytecode = 0;
  size_t size = 0;
  if (function == 0 || !heap::ReadShared(function, &shared) ||
      !heap::ReadBytecodeOf(shared, &own_bytecode, &size) ||
      !heap::ReadBytecodeOfCode(found.code, &bytecode, &size) ||
      bytecode != own_bytecode) {
    return false;
  }
  std::shared_ptr<CodeFunction> owner = FunctionOf(shared);
  if (owner == nullptr) return false;
  code_map_->AddRead(found.start, found.size, CodeTier::kBaseline,
                     std::move(owner),
                     CodeReader::ReadBaseline(found.start, found.size,
                                              &counts_->layout_fallbacks));
  return true;
}

// `address` may be one byte before the bytecode: at the function's entry.
void HeapCode::LearnBytecode(uintptr_t address, uintptr_t function) {
  uintptr_t shared = 0;
  uintptr_t start = 0;
  size_t size = 0;
  if (function == 0 || !heap::ReadShared(function, &shared) ||
      !heap::ReadBytecodeOf(shared, &start, &size) ||
      address + 1 - start > size || code_map_->Find(start) != nullptr) {
    return;
  }
  std::shared_ptr<CodeFunction> owner = FunctionOf(shared);
  if (owner == nullptr) return;
  code_map_->AddRead(
      start, size, CodeTier::kBytecode, std::move(owner),
      CodeReader::ReadBytecode(start, size, &counts_->layout_fallbacks));
}

std::shared_ptr<CodeFunction> HeapCode::FunctionOf(uintptr_t shared) {
  FunctionId id;
  if (!heap::ReadFunctionId(shared, &id)) return nullptr;
  lines_->Note(isolate_, id.script_id, shared);
  std::shared_ptr<CodeFunction> known = code_map_->FindKept(id);
  if (known != nullptr) return known;
  HeapFunction function;
  if (!heap::ReadFunction(shared, &function)) return nullptr;
  return code_map_->Keep(std::move(function));
}

}  // namespace otelpyroscope
