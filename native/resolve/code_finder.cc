#include "resolve/code_finder.h"

#include <string>
#include <utility>

#include "names/pseudo_frames.h"
#include "self_check/layout_check.h"
#include "v8_heap/code_reader.h"
#include "v8_heap/heap_function.h"
#include "v8_heap/heap_reader.h"

namespace otelpyroscope {
namespace {

// Whether the sample's stack may contain the function of the innermost frame,
// on which the leaf runs: see ResolveStack(). `entry` is the leaf's code.
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

bool CodeFinder::Init(v8::Isolate* isolate) {
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
  return builtins_ != nullptr && CodeReader::CanIdentifyFunctions();
}

// How an address came to be in a sample. That decides whether the objects that
// it leads to are certainly alive.
enum class Origin : uint8_t {
  // V8 lists it as a frame, or the thread runs there: alive.
  kListedByV8,
  // Found on the stack, where native code may keep anything: it may be left
  // from something dead, and a handle on that would corrupt V8's heap.
  kFoundOnStack,
};

class CodeFinder::Learner {
 public:
  Learner(CodeFinder* finder, const SampleHeader& header,
          const uintptr_t* frames)
      : finder_(finder),
        header_(header),
        frames_(frames),
        functions_(frames + header.frame_count),
        code_map_(finder->code_map_) {}

  void LearnAll();

 private:
  // Words of the stack that may include the JSRegExp of a leaf without a
  // function.
  struct StackWords {
    const uintptr_t* begin = nullptr;
    const uintptr_t* end = nullptr;

    bool empty() const { return begin == end; }
  };

  void LearnLeaf();
  void LearnOwner(const CodeEntry* leaf);
  void LearnOne(uintptr_t address, bool is_exact, uintptr_t function,
                uintptr_t other_function, StackWords words, Origin origin);
  void LearnMachineCode(uintptr_t address, uintptr_t function,
                        uintptr_t other_function, StackWords words,
                        Origin origin);
  void LearnOptimized(const FoundCode& found, uintptr_t shared, Origin origin);
  bool LearnBaseline(const FoundCode& found, uintptr_t bytecode,
                     uintptr_t function, bool is_certain, Origin origin);
  void LearnBytecode(uintptr_t address, uintptr_t function, Origin origin);
  bool NameRegExp(const FoundCode& found, StackWords words, Origin origin);
  void NoteWasm();
  void CountFailure(Origin origin);
  std::shared_ptr<CodeFunction> FunctionOf(uintptr_t shared, Origin origin);
  std::unique_ptr<const CodeAnchor> AnchorOf(uintptr_t object,
                                             const AnchorWords& words,
                                             Origin origin);
  std::unique_ptr<const CodeAnchor> AnchorOf(const FoundCode& found,
                                             Origin origin);

  // Each handle costs a collection some nanoseconds.
  static constexpr size_t kMaxAnchored = 20000;

  CodeFinder* const finder_;
  const SampleHeader& header_;
  const uintptr_t* const frames_;
  const uintptr_t* const functions_;  // of the frames, in the same order
  CodeMap* const code_map_;
};

void CodeFinder::Learn(const SampleHeader& header, const uintptr_t* frames) {
  code_map_->MakeRoom();
  Learner(this, header, frames).LearnAll();
}

void CodeFinder::Learner::LearnAll() {
  const StackTable& table = *finder_->table_;
  LearnLeaf();
  for (uint32_t i = 0; i < header_.frame_count; i++) {
    if (table.FindCaller(frames_[i], *code_map_) != nullptr) continue;
    LearnOne(frames_[i], false, functions_[i], 0, {}, Origin::kListedByV8);
  }
  NoteWasm();
}

void CodeFinder::Learner::LearnLeaf() {
  const StackWords words{
      functions_ + header_.frame_count,
      functions_ + header_.frame_count + header_.stack_words};
  LearnOne(header_.pc, true, header_.function, header_.called_function, words,
           Origin::kListedByV8);
  const CodeEntry* entry = code_map_->Find(header_.pc);
  if (entry != nullptr && entry->name_is_guess && !words.empty()) {
    const uintptr_t code = CodeObject::Of(entry->start, entry->size);
    if (code != 0) {
      NameRegExp({entry->start, entry->size, code}, words, Origin::kListedByV8);
    }
    return;
  }
  const bool is_function =
      entry != nullptr && entry->kind == CodeKind::kMachineCode;
  // The top of the stack may be the return address of a leaf without a frame,
  // or anything. If the leaf is known, the owner of the frame does not have to
  // be read.
  if (code_map_->IsGenerated(header_.stack_top) &&
      code_map_->Find(header_.stack_top - 1) == nullptr &&
      !(is_function &&
        CodeReader::FunctionOf(header_.function) == entry->function->id)) {
    LearnOne(header_.stack_top, false, header_.function, 0, words,
             Origin::kFoundOnStack);
  }
  if (MayShowOwner(header_, entry, *code_map_)) LearnOwner(entry);
}

// Reads the innermost frame's function, which the interpreter or a builtin may
// be running. Native code, and a builtin that native code has just called, may
// have anything where they have their frame.
void CodeFinder::Learner::LearnOwner(const CodeEntry* leaf) {
  uintptr_t shared = 0;
  uintptr_t start = 0;
  size_t size = 0;
  if (!heap::ReadShared(header_.function, &shared)) return;
  const Origin origin =
      leaf != nullptr && leaf->kind == CodeKind::kBytecodeHandler
          ? Origin::kListedByV8
          : Origin::kFoundOnStack;
  FunctionOf(shared, origin);
  const uintptr_t running = CodeReader::BytecodeStart(header_.bytecode_array);
  if (code_map_->Find(running) == nullptr &&
      heap::ReadBytecodeOf(shared, &start, &size) && start == running) {
    LearnBytecode(start, header_.function, origin);
  }
}

// Records the modules of unknown WebAssembly code. Only if the innermost code
// is V8's, whose frame pointers are frame pointers: then the objects found from
// them are alive. Native code may keep anything in that register.
void CodeFinder::Learner::NoteWasm() {
  if (header_.vm_state != v8::JS || header_.fast_call != 0 ||
      header_.external_callback != 0) {
    return;
  }
  const auto is_foreign = [&](uintptr_t address) {
    return !code_map_->IsGenerated(address) &&
           code_map_->Find(address) == nullptr &&
           !finder_->table_->IsInFile(address);
  };
  const bool leaf_is_foreign = is_foreign(header_.pc);
  if (!leaf_is_foreign && !code_map_->IsGenerated(header_.pc) &&
      code_map_->Find(header_.pc) == nullptr) {
    return;
  }
  const auto note = [&](uintptr_t instance) {
    if (instance == 0 || heap::IsFunction(instance)) return;
    finder_->wasm_modules_->NoteUnknownCode(finder_->isolate_, instance);
  };
  if (leaf_is_foreign) note(header_.function);
  for (uint32_t i = 0; i < header_.frame_count; i++) {
    if (functions_[i] != 0 && is_foreign(frames_[i] - 1)) note(functions_[i]);
  }
}

// `other_function`: another function that the code may belong to.
void CodeFinder::Learner::LearnOne(uintptr_t address, bool is_exact,
                                   uintptr_t function, uintptr_t other_function,
                                   StackWords words, Origin origin) {
  // A return address follows its call, which may be its code's last
  // instruction; a position in bytecode is exact, or just before it.
  const CodeEntry* known = code_map_->Find(address);
  if (is_exact ? known != nullptr
               : (known != nullptr && known->kind == CodeKind::kBytecode) ||
                     code_map_->Find(address - 1) != nullptr) {
    return;
  }
  const uintptr_t inside = is_exact ? address : address - 1;
  // The code was here before the last collection and still is.
  if (code_map_->FindAgain(inside) != nullptr ||
      (!is_exact && code_map_->FindAgain(address) != nullptr)) {
    return;
  }
  const Builtin* builtin =
      finder_->builtins_->Find(code_map_->OriginalOf(inside));
  if (builtin != nullptr) {
    code_map_->AddBuiltin(*builtin);
  } else if (code_map_->IsGenerated(inside)) {
    LearnMachineCode(inside, function, other_function, words, origin);
  } else if (!is_exact) {
    LearnBytecode(address, function, origin);
  }
}

void CodeFinder::Learner::LearnMachineCode(uintptr_t address,
                                           uintptr_t function,
                                           uintptr_t other_function,
                                           StackWords words, Origin origin) {
  FoundCode found;
  if (finder_->misses_.Contains(address)) return;
  if (!CodeObject::Find(address, &found)) {
    finder_->misses_.Add(address);
    CountFailure(origin);
    return;
  }
  uintptr_t shared = 0;
  uintptr_t bytecode = 0;
  size_t size = 0;
  if (CodeObject::ReadOwner(found.code, &shared)) {
    LearnOptimized(found, shared, origin);
  } else if (heap::ReadBytecodeOfCode(found.code, &bytecode, &size)) {
    // At its first instructions, a function has its caller's frame.
    if (!LearnBaseline(found, bytecode, other_function, false, origin)) {
      LearnBaseline(found, bytecode, function, origin == Origin::kListedByV8,
                    origin);
    }
  } else if (!NameRegExp(found, words, origin)) {
    // The frame of a wrapper around WebAssembly has a function of no script.
    if (CodeReader::FunctionOf(function).known()) {
      CountFailure(origin);
      return;
    }
    code_map_->AddNamed(found.start, found.size, kGeneratedCode, nullptr, true);
  }
  finder_->successes_++;
}

// Counts code that certainly exists but could not be read.
void CodeFinder::Learner::CountFailure(Origin origin) {
  if (origin == Origin::kFoundOnStack) return;
  finder_->failures_++;
  finder_->counts_->layout_fallbacks++;
}

std::unique_ptr<const CodeAnchor> CodeFinder::Learner::AnchorOf(
    uintptr_t object, const AnchorWords& words, Origin origin) {
  if (origin == Origin::kFoundOnStack || code_map_->entries() >= kMaxAnchored) {
    return nullptr;
  }
  return std::make_unique<HeapCodeAnchor>(finder_->isolate_, object, words);
}

std::unique_ptr<const CodeAnchor> CodeFinder::Learner::AnchorOf(
    const FoundCode& found, Origin origin) {
  AnchorWords words;
  return CodeObject::ReadAnchorWords(found.code, &words)
             ? AnchorOf(found.code, words, origin)
             : nullptr;
}

void CodeFinder::Learner::LearnOptimized(const FoundCode& found,
                                         uintptr_t shared, Origin origin) {
  std::shared_ptr<CodeFunction> owner = FunctionOf(shared, origin);
  if (owner == nullptr) return;
  auto positions = CodeReader::ReadOptimized(
      found.start, found.size, &finder_->counts_->layout_fallbacks);
  if (positions != nullptr) {
    for (const InlinedCall& call : positions->inlined) {
      if (call.shared != 0) FunctionOf(call.shared, origin);
    }
  }
  code_map_->AddRead(found.start, found.size, CodeTier::kOptimized,
                     std::move(owner), std::move(positions),
                     AnchorOf(found, origin));
}

// The caller of a regular expression has it on its stack.
bool CodeFinder::Learner::NameRegExp(const FoundCode& found, StackWords words,
                                     Origin origin) {
  std::string name;
  for (const uintptr_t* word = words.begin; word != words.end; word++) {
    if (!heap::ReadRegExp(*word, found.code, &name)) continue;
    code_map_->AddNamed(found.start, found.size, name, AnchorOf(found, origin));
    return true;
  }
  return false;
}

// Baseline code refers to its bytecode, not to its function. `is_certain`: if
// the code belongs to a function, it is `function`.
bool CodeFinder::Learner::LearnBaseline(const FoundCode& found,
                                        uintptr_t bytecode, uintptr_t function,
                                        bool is_certain, Origin origin) {
  uintptr_t shared = 0;
  uintptr_t own_bytecode = 0;
  size_t size = 0;
  if (function == 0 || !heap::ReadShared(function, &shared)) return false;
  // V8 discards the bytecode of functions that were not called for long, even
  // if they have not returned yet.
  if (heap::ReadBytecodeOf(shared, &own_bytecode, &size)
          ? bytecode != own_bytecode
          : !is_certain) {
    return false;
  }
  std::shared_ptr<CodeFunction> owner = FunctionOf(shared, origin);
  if (owner == nullptr) return false;
  code_map_->AddRead(
      found.start, found.size, CodeTier::kBaseline, std::move(owner),
      CodeReader::ReadBaseline(found.start, found.size,
                               &finder_->counts_->layout_fallbacks),
      AnchorOf(found, origin));
  return true;
}

// `address` may be one byte before the bytecode: at the function's entry.
void CodeFinder::Learner::LearnBytecode(uintptr_t address, uintptr_t function,
                                        Origin origin) {
  uintptr_t shared = 0;
  uintptr_t start = 0;
  size_t size = 0;
  if (function == 0 || !heap::ReadShared(function, &shared)) return;
  const bool has_bytecode = heap::ReadBytecodeOf(shared, &start, &size);
  if (!has_bytecode || address + 1 - start > size) {
    // A function may run other bytecode than its own: V8 discards that if it
    // was not called for long, even if it has not returned yet, and a debugger
    // lets it run a copy, which is as long. Bytecode of another length is
    // another function's.
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
  std::shared_ptr<CodeFunction> owner = FunctionOf(shared, origin);
  if (owner == nullptr) return;
  AnchorWord table;
  if (!CodeReader::ReadBytecodeTable(start, &table.address, &table.value)) {
    return;
  }
  code_map_->AddRead(
      start, size, CodeTier::kBytecode, std::move(owner),
      CodeReader::ReadBytecode(start, size,
                               &finder_->counts_->layout_fallbacks),
      AnchorOf(CodeReader::BytecodeArrayAt(start), {table}, origin));
}

std::shared_ptr<CodeFunction> CodeFinder::Learner::FunctionOf(uintptr_t shared,
                                                              Origin origin) {
  FunctionId id;
  if (!heap::ReadFunctionId(shared, &id)) return nullptr;
  if (origin == Origin::kListedByV8) {
    finder_->lines_->Note(finder_->isolate_, id.script_id, shared);
  }
  std::shared_ptr<CodeFunction> known = code_map_->FindKept(id);
  if (known != nullptr) return known;
  HeapFunction function;
  if (!heap::ReadFunction(shared, &function)) return nullptr;
  return code_map_->Keep(std::move(function));
}

void CodeFinder::FindAgain(const SampleHeader& header,
                           const uintptr_t* frames) {
  code_map_->FindAgain(header.pc);
  for (uint32_t i = 0; i < header.frame_count; i++) {
    // A return address follows its call; a position in bytecode is exact.
    code_map_->FindAgain(frames[i]);
    code_map_->FindAgain(frames[i] - 1);
  }
}

}  // namespace otelpyroscope
