// From the frames of a sample to entries of the code map.
#include "heap_code.h"

#include <string>
#include <utility>

#include "heap_function.h"
#include "heap_reader.h"
#include "inlining.h"
#include "layout_check.h"

namespace otelpyroscope {
namespace {

// What V8 has made for something that is no function, such as a regular
// expression, and that nothing on the stack names.
constexpr char kGeneratedCode[] = "(generated code)";

// Whether the sample's stack may show the function of the innermost frame, on
// which the leaf runs: see ResolveStack(). `entry`: what the leaf is in.
bool MayShowOwner(const SampleHeader& header, const CodeEntry* entry,
                  const CodeMap& code_map) {
  if (header.function == 0 || header.fast_call != 0 ||
      header.external_callback != 0) {
    return false;
  }
  if (entry != nullptr) {
    return entry->kind == CodeKind::kBytecodeHandler ||
           entry->kind == CodeKind::kBuiltin;
  }
  return header.stack_top != 0 || code_map.IsGenerated(header.pc);
}

}  // namespace

bool HeapCode::Init(v8::Isolate* isolate) {
  isolate_ = isolate;
  failures_ = successes_ = 0;
  misses_.Clear();
  const void* builtins = nullptr;
  size_t size = 0;
  isolate->GetEmbeddedCodeRange(&builtins, &size);
#if !defined(__aarch64__)
  builtins_ = BuiltinTable::Get(reinterpret_cast<uintptr_t>(builtins), size);
#endif
  if (builtins_ != nullptr) CheckBuiltins(*builtins_);
  return builtins_ != nullptr && CodeReader::KnowsFunctions();
}

void HeapCode::Learn(const SampleHeader& header, const uintptr_t* frames,
                     const StackTable& table, CodeMap* code_map,
                     ScriptLines* lines, WasmModules* wasm_modules,
                     ResolveCounts* counts) {
  code_map_ = code_map;
  lines_ = lines;
  wasm_modules_ = wasm_modules;
  counts_ = counts;
  code_map->MakeRoom();
  const uintptr_t* functions = frames + header.frame_count;
  words_ = functions + header.frame_count;
  words_end_ = words_ + header.stack_words;
  LearnLeaf(header);
  words_end_ = words_;
  for (uint32_t i = 0; i < header.frame_count; i++) {
    if (table.FindCaller(frames[i], *code_map) != nullptr) continue;
    LearnOne(frames[i], false, functions[i], 0);
  }
  NoteWasm(header, frames, table);
}

// Notes the modules of unknown WebAssembly code. Only where the innermost code
// is V8's, whose frame pointers are frame pointers: then what is found from
// them is alive. Native code may keep anything in that register.
void HeapCode::NoteWasm(const SampleHeader& header, const uintptr_t* frames,
                        const StackTable& table) {
  if (header.vm_state != v8::JS || header.fast_call != 0 ||
      header.external_callback != 0) {
    return;
  }
  const auto is_foreign = [&](uintptr_t address) {
    return !code_map_->IsGenerated(address) &&
           code_map_->Find(address) == nullptr && !table.IsInFile(address);
  };
  const bool leaf_is_foreign = is_foreign(header.pc);
  if (!leaf_is_foreign && !code_map_->IsGenerated(header.pc) &&
      code_map_->Find(header.pc) == nullptr) {
    return;
  }
  const auto note = [&](uintptr_t instance) {
    if (instance == 0 || heap::IsFunction(instance)) return;
    wasm_modules_->NoteUnknownCode(isolate_, instance);
  };
  if (leaf_is_foreign) note(header.function);
  const uintptr_t* functions = frames + header.frame_count;
  for (uint32_t i = 0; i < header.frame_count; i++) {
    if (functions[i] != 0 && is_foreign(frames[i] - 1)) note(functions[i]);
  }
}

void HeapCode::FindAgain(const SampleHeader& header, const uintptr_t* frames,
                         CodeMap* code_map) {
  code_map->FindAgain(header.pc);
  for (uint32_t i = 0; i < header.frame_count; i++) {
    // A return address is behind its call; a place in bytecode is exact.
    code_map->FindAgain(frames[i]);
    code_map->FindAgain(frames[i] - 1);
  }
}

void HeapCode::LearnLeaf(const SampleHeader& header) {
  LearnOne(header.pc, true, header.function, header.called_function);
  const CodeEntry* entry = code_map_->Find(header.pc);
  if (entry != nullptr && entry->name_is_guess && words_ != words_end_) {
    const uintptr_t code = CodeObject::Of(entry->start, entry->size);
    if (code != 0) NameRegExp({entry->start, entry->size, code});
    return;
  }
  const bool is_function =
      entry != nullptr && entry->kind == CodeKind::kMachineCode;
  // What stands at the top of the stack may be the return address of a leaf
  // without a frame, or anything. Where it is known, whose frame it is does not
  // have to be read.
  if (code_map_->IsGenerated(header.stack_top) &&
      code_map_->Find(header.stack_top - 1) == nullptr &&
      !(is_function &&
        CodeReader::FunctionOf(header.function) == entry->function->id)) {
    is_guess_ = true;
    LearnOne(header.stack_top, false, header.function, 0);
    is_guess_ = false;
  }
  if (!MayShowOwner(header, entry, *code_map_)) return;
  // The innermost frame's function, which the interpreter or a builtin may be
  // running. Native code, and a builtin that native code has just called, may
  // have anything where they have their frame.
  uintptr_t shared = 0;
  uintptr_t start = 0;
  size_t size = 0;
  if (!heap::ReadShared(header.function, &shared)) return;
  is_guess_ = entry == nullptr || entry->kind != CodeKind::kBytecodeHandler;
  FunctionOf(shared);
  const uintptr_t running = CodeReader::BytecodeStart(header.bytecode_array);
  if (code_map_->Find(running) == nullptr &&
      heap::ReadBytecodeOf(shared, &start, &size) && start == running) {
    LearnBytecode(start, header.function);
  }
  is_guess_ = false;
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
  // Code that was here before the last collection and is still.
  if (code_map_->FindAgain(inside) != nullptr ||
      (!is_exact && code_map_->FindAgain(address) != nullptr)) {
    return;
  }
  const Builtin* builtin = builtins_->Find(code_map_->OriginalOf(inside));
  if (builtin != nullptr) {
    code_map_->AddBuiltin(*builtin);
  } else if (code_map_->IsGenerated(inside)) {
    LearnMachineCode(inside, function, other);
  } else if (!is_exact) {
    LearnBytecode(address, function);
  }
}

void HeapCode::LearnMachineCode(uintptr_t address, uintptr_t function,
                                uintptr_t other) {
  FoundCode found;
  if (misses_.Contains(address)) return;
  if (!CodeObject::Find(address, &found)) {
    misses_.Add(address);
    CountFailure();
    return;
  }
  uintptr_t shared = 0;
  uintptr_t bytecode = 0;
  size_t size = 0;
  if (CodeObject::ReadOwner(found.code, &shared)) {
    LearnOptimized(found, shared);
  } else if (heap::ReadBytecodeOfCode(found.code, &bytecode, &size)) {
    // At its first instructions, a function has its caller's frame.
    if (!LearnBaseline(found, bytecode, other, false)) {
      LearnBaseline(found, bytecode, function, !is_guess_);
    }
  } else if (!NameRegExp(found)) {
    // The frame of a wrapper around WebAssembly has a function of no script.
    if (CodeReader::FunctionOf(function).known()) {
      CountFailure();
      return;
    }
    code_map_->AddNamed(found.start, found.size, kGeneratedCode, nullptr, true);
  }
  successes_++;
}

// Code that is there for certain could not be read.
void HeapCode::CountFailure() {
  if (is_guess_) return;
  failures_++;
  counts_->layout_fallbacks++;
}

std::unique_ptr<const CodeAnchor> HeapCode::AnchorOf(uintptr_t object,
                                                     const AnchorWords& words) {
  if (is_guess_ || code_map_->entries() >= kMaxAnchored) return nullptr;
  return std::make_unique<HeapAnchor>(isolate_, object, words);
}

std::unique_ptr<const CodeAnchor> HeapCode::AnchorOf(const FoundCode& found) {
  AnchorWords words;
  return CodeObject::ReadAnchorWords(found.code, &words)
             ? AnchorOf(found.code, words)
             : nullptr;
}

void HeapCode::LearnOptimized(const FoundCode& found, uintptr_t shared) {
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
                     std::move(owner), std::move(positions), AnchorOf(found));
}

// What has called a regular expression has it on its stack.
bool HeapCode::NameRegExp(const FoundCode& found) {
  std::string name;
  for (const uintptr_t* word = words_; word != words_end_; word++) {
    if (!heap::ReadRegExp(*word, found.code, &name)) continue;
    code_map_->AddNamed(found.start, found.size, name, AnchorOf(found));
    return true;
  }
  return false;
}

// Baseline code does not say whose it is, but of which bytecode. `is_certain`:
// that the code, if it is anybody's, is that function's.
bool HeapCode::LearnBaseline(const FoundCode& found, uintptr_t bytecode,
                             uintptr_t function, bool is_certain) {
  uintptr_t shared = 0;
  uintptr_t own_bytecode = 0;
  size_t size = 0;
  if (function == 0 || !heap::ReadShared(function, &shared)) return false;
  // V8 throws away the bytecode of functions that were not called for long,
  // even where they have not returned yet.
  if (heap::ReadBytecodeOf(shared, &own_bytecode, &size)
          ? bytecode != own_bytecode
          : !is_certain) {
    return false;
  }
  std::shared_ptr<CodeFunction> owner = FunctionOf(shared);
  if (owner == nullptr) return false;
  code_map_->AddRead(found.start, found.size, CodeTier::kBaseline,
                     std::move(owner),
                     CodeReader::ReadBaseline(found.start, found.size,
                                              &counts_->layout_fallbacks),
                     AnchorOf(found));
  return true;
}

// `address` may be one byte before the bytecode: at the function's entry.
void HeapCode::LearnBytecode(uintptr_t address, uintptr_t function) {
  uintptr_t shared = 0;
  uintptr_t start = 0;
  size_t size = 0;
  if (function == 0 || !heap::ReadShared(function, &shared)) return;
  const bool has_bytecode = heap::ReadBytecodeOf(shared, &start, &size);
  if (!has_bytecode || address + 1 - start > size) {
    // A function may run other bytecode than its own: V8 throws that away where
    // it was not called for long, even if it has not returned yet, and a
    // debugger has it run a copy, which is as long. Other bytecode is another
    // function's.
    const size_t own_size = size;
    if (!heap::FindBytecode(address, &start, &size) ||
        (has_bytecode && size != own_size)) {
      return;
    }
  }
  if (code_map_->Find(start) != nullptr ||
      code_map_->FindAgain(start) != nullptr) {
    return;
  }
  std::shared_ptr<CodeFunction> owner = FunctionOf(shared);
  if (owner == nullptr) return;
  AnchorWord table;
  if (!CodeReader::ReadBytecodeTable(start, &table.address, &table.value)) {
    return;
  }
  code_map_->AddRead(
      start, size, CodeTier::kBytecode, std::move(owner),
      CodeReader::ReadBytecode(start, size, &counts_->layout_fallbacks),
      AnchorOf(CodeReader::BytecodeArrayAt(start), {table}));
}

std::shared_ptr<CodeFunction> HeapCode::FunctionOf(uintptr_t shared) {
  FunctionId id;
  if (!heap::ReadFunctionId(shared, &id)) return nullptr;
  if (!is_guess_) lines_->Note(isolate_, id.script_id, shared);
  std::shared_ptr<CodeFunction> known = code_map_->FindKept(id);
  if (known != nullptr) return known;
  HeapFunction function;
  if (!heap::ReadFunction(shared, &function)) return nullptr;
  return code_map_->Keep(std::move(function));
}

}  // namespace otelpyroscope
