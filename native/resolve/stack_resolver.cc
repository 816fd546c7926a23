#include "resolve/stack_resolver.h"

#include <algorithm>
#include <cstdint>

#include "v8.h"
#include "v8_heap/code_reader.h"

namespace otelpyroscope {
namespace {

bool IsFunction(const CodeEntry* entry) {
  return entry != nullptr && entry->kind != CodeKind::kBytecodeHandler;
}

// Returns the code of a return address, or of a position in a bytecode array.
const CodeEntry* FindCaller(const CodeMap& code_map, uintptr_t address) {
  // A position in bytecode is exact. A return address follows its call, which
  // may be the last instruction of its code.
  const CodeEntry* entry = code_map.Find(address);
  if (entry != nullptr && entry->kind == CodeKind::kBytecode) return entry;
  entry = code_map.Find(address - 1);
  if (entry != nullptr) return entry;
  // At its entry, an interpreted function is one byte before its bytecode
  // (kFunctionEntryBytecodeOffset): for instance while it is compiled.
  entry = code_map.Find(address + 1);
  const bool at_entry = entry != nullptr && entry->kind == CodeKind::kBytecode;
  return at_entry ? entry : nullptr;
}

// One sample on its way into the table.
class Resolver {
 public:
  Resolver(const SampleHeader& header, const uintptr_t* frames,
           bool heap_unchanged, const CodeMap& code_map, StackTable* table,
           ResolveCounts* counts)
      : header_(header),
        frames_(frames),
        heap_unchanged_(heap_unchanged),
        code_map_(code_map),
        table_(table),
        counts_(counts) {}

  void PushAll();

 private:
  size_t PushLeaf();
  void PushOwner();
  const CodeFunction* FrameOwner() const;
  bool MayReturnTo(uintptr_t address) const;
  bool OwnsFrame(const CodeEntry& entry) const;
  void PushCaller(uintptr_t address);
  void PushFrameless();
  void PushUnknown(uintptr_t address);
  void PushNative(uintptr_t address);
  void PushNativeCall();
  void PushRunning(const CodeEntry& entry);
  void PushCode(const CodeEntry& entry, int64_t offset);
  const CodePositions* PositionsOf(const CodeEntry& entry);

  const SampleHeader& header_;
  const uintptr_t* frames_;
  const bool heap_unchanged_;
  const CodeMap& code_map_;
  StackTable* const table_;
  ResolveCounts* const counts_;
};

void Resolver::PushAll() {
  if (header_.vm_state == v8::GC) {
    table_->Push(PseudoFrame::kGarbageCollector);
  } else if (header_.frame_count == 0) {
    PushFrameless();
  } else {
    const size_t done = PushLeaf();
    PushOwner();
    for (size_t i = done; i < header_.frame_count; i++) {
      PushCaller(frames_[i]);
    }
    if (header_.truncated) table_->Push(PseudoFrame::kTruncated);
  }
}

void Resolver::PushNative(uintptr_t address) {
  if (!table_->PushNative(address)) counts_->foreign_frames++;
}

// Pushes native code, or generated code that V8 has not reported.
void Resolver::PushUnknown(uintptr_t address) {
  if (!code_map_.IsGenerated(address)) {
    PushNative(address);
  } else {
    counts_->unresolved_frames++;
    table_->Push(PseudoFrame::kUnresolved);
  }
}

// Pushes the native function that JavaScript has called, which V8 reports.
void Resolver::PushNativeCall() {
  // All functions of an addon may be called through one of Node's: if the addon
  // itself is running, its own function is more precise.
  const SymbolIndex* symbols = table_->symbols();
  if (symbols != nullptr && symbols->IsInAddon(header_.pc) &&
      !symbols->IsInAddon(header_.external_callback)) {
    PushNative(header_.pc);
  }
  PushNative(header_.external_callback);
}

// Pushes a stack for which V8 returned no frames.
void Resolver::PushFrameless() {
  const CodeEntry* entry = code_map_.Find(header_.pc);
  if (IsFunction(entry)) {
    PushRunning(*entry);
  } else if (entry == nullptr) {
    PushUnknown(header_.pc);
  }
  if (header_.vm_state == kNotAsked) {
    table_->Push(PseudoFrame::kNative);
  } else if (entry != nullptr || code_map_.IsGenerated(header_.pc)) {
    // V8 sees no frame in the first and last instructions of a function.
    table_->Push(PseudoFrame::kTruncated);
  } else {
    table_->Push(PseudoFrame::kEventLoop);
  }
}

// Pushes the innermost frame, which GetStackSample leaves out. Returns the
// number of the sample's frames that are done.
size_t Resolver::PushLeaf() {
  const CodeEntry* entry = code_map_.Find(header_.pc);
  if (header_.fast_call != 0) {
    // The caller is the first frame. If it is at its instructions around the
    // call, it is the leaf as well. The call may also be to a regular
    // expression.
    if (entry != nullptr) {
      if (IsFunction(entry) && entry != FindCaller(code_map_, frames_[0])) {
        PushRunning(*entry);
      }
    } else if (header_.external_callback != 0) {
      PushNativeCall();
    } else {
      PushUnknown(header_.pc);
    }
    return 0;
  }
  if (entry != nullptr && entry->kind == CodeKind::kBytecodeHandler) {
    // The interpreter: the next frame is the one that it runs, and its
    // registers have a newer position than the frame.
    const CodeEntry* caller = FindCaller(code_map_, frames_[0]);
    const CodeEntry* running =
        code_map_.Find(CodeReader::BytecodeStart(header_.bytecode_array));
    if (running != nullptr && running != caller &&
        running->kind == CodeKind::kBytecode && OwnsFrame(*running)) {
      // V8 11 does not recognize a handler in its copy of the builtins.
      PushCode(*running, CodeReader::BytecodeOffset(
                             header_.bytecode_array, header_.bytecode_offset,
                             running->start, running->size));
      return 0;
    }
    if (caller == nullptr || caller->kind != CodeKind::kBytecode) return 0;
    PushCode(*caller, CodeReader::BytecodeOffset(header_.bytecode_array,
                                                 header_.bytecode_offset,
                                                 caller->start, caller->size));
    return 1;
  }
  if (entry != nullptr) {
    // On its way from the interpreter into generated code, a function has one
    // frame, which V8 does not leave out.
    const CodeEntry* next = FindCaller(code_map_, frames_[0]);
    if (next != nullptr && next->kind == CodeKind::kBytecode &&
        next->function == entry->function) {
      return 0;
    }
    PushRunning(*entry);
    return 0;
  }
  if (header_.external_callback != 0) {
    PushNativeCall();
    return 0;
  }
  if (header_.vm_state == v8::JS && header_.stack_top != 0 &&
      !code_map_.IsGenerated(header_.pc)) {
    // A leaf without a frame of its own, called from generated code. A leaf
    // with a frame has anything at the top of the stack, old return addresses
    // too: the function there must be the innermost frame's.
    entry = FindCaller(code_map_, header_.stack_top);
    if (IsFunction(entry) && OwnsFrame(*entry)) {
      PushCode(*entry,
               static_cast<int64_t>(header_.stack_top - 1 - entry->start));
      return 0;
    }
  }
  PushUnknown(header_.pc);
  return 0;
}

// Returns the function of the innermost frame, or null if it is unknown or a
// builtin.
const CodeFunction* Resolver::FrameOwner() const {
  if (header_.function == 0 || !heap_unchanged_ || !CodeReader::Available()) {
    return nullptr;
  }
  return code_map_.FindFunction(CodeReader::FunctionOf(header_.function));
}

// Whether there is code at an address that is at the top of the stack.
bool Resolver::MayReturnTo(uintptr_t address) const {
  return code_map_.IsGenerated(address) || code_map_.Find(address) != nullptr;
}

bool Resolver::OwnsFrame(const CodeEntry& entry) const {
  return FrameOwner() == entry.function.get();
}

// Pushes the function of the innermost frame if the leaf runs on that frame: a
// builtin without a frame of its own runs on its caller's, which GetStackSample
// leaves out, and so does a function at its first and last instructions.
void Resolver::PushOwner() {
  const CodeEntry* entry = code_map_.Find(header_.pc);
  const bool in_function = entry != nullptr &&
                           entry->kind == CodeKind::kMachineCode &&
                           MayReturnTo(header_.stack_top);
  // Native code may have anything where generated code has its frame.
  const bool in_builtin = entry == nullptr ? code_map_.IsGenerated(header_.pc)
                                           : entry->kind == CodeKind::kBuiltin;
  if (!(in_builtin || in_function) || header_.fast_call != 0 ||
      header_.external_callback != 0) {
    return;
  }
  const CodeFunction* owner = FrameOwner();
  if (owner == nullptr || (in_function && owner->id == entry->function->id)) {
    return;
  }
  // On the way into and out of V8's C++, the frame is not left out.
  const CodeEntry* next = FindCaller(code_map_, frames_[0]);
  if (next != nullptr && next->function.get() == owner) return;
  const CodeEntry* caller = FindCaller(code_map_, header_.stack_top);
  if (caller != nullptr && caller->function.get() == owner) {
    PushCode(*caller,
             static_cast<int64_t>(header_.stack_top - 1 - caller->start));
  } else {
    table_->Push(*owner, code_map_);
  }
}

void Resolver::PushCaller(uintptr_t address) {
  if (const auto* known = table_->FindCaller(address, code_map_)) {
    table_->Push(*known);
    // The last frame is the function itself.
    counts_->inlined_frames += std::max(known->count, 1u) - 1;
    return;
  }
  const size_t depth = table_->depth();
  const uint64_t fallbacks = counts_->layout_fallbacks;
  const CodeEntry* entry = FindCaller(code_map_, address);
  if (entry == nullptr) {
    // Native functions that have called JavaScript are listed by their entry.
    PushUnknown(address);
    return;
  }
  if (IsFunction(entry)) {
    // A return address follows its call; a position in bytecode is exact.
    const uintptr_t instruction =
        entry->kind == CodeKind::kBytecode ? address : address - 1;
    PushCode(*entry, static_cast<int64_t>(instruction - entry->start));
  }
  // Failures are counted each time, and positions that could not be read now
  // may be readable later.
  if (heap_unchanged_ && counts_->layout_fallbacks == fallbacks) {
    table_->RememberCaller(address, code_map_, depth);
  }
}

// Pushes the functions that run at the sample's pc, which is in this code.
void Resolver::PushRunning(const CodeEntry& entry) {
  const CodePositions* code = PositionsOf(entry);
  if (code != nullptr && code->HidesInlined()) {
    counts_->unknown_inlined++;
    table_->Push(PseudoFrame::kOwnOrInlined);
  }
  PushCode(entry, static_cast<int64_t>(header_.pc - entry.start));
}

// Pushes the functions at `offset` of the code, inlined ones first; -1: the
// offset is unknown.
void Resolver::PushCode(const CodeEntry& entry, int64_t offset) {
  entry.hit = true;
  const CodeFunction& function = *entry.function;
  const CodePositions* code = offset >= 0 ? PositionsOf(entry) : nullptr;
  const SourcePosition* at =
      code == nullptr
          ? nullptr
          : FindPosition(code->positions, static_cast<size_t>(offset));
  if (at == nullptr) {
    table_->Push(function, code_map_);
    return;
  }
  SourcePosition position = *at;
  while (position.inlining_id >= 0) {
    const InlinedCall& call =
        code->inlined[static_cast<size_t>(position.inlining_id)];
    const CodeFunction* inlined =
        call.is_itself ? &function : code_map_.FindFunction(call.function);
    if (inlined != nullptr) {
      counts_->inlined_frames++;
      table_->Push(*inlined, code_map_, position.script_offset);
    } else {
      // The inlined function's own code was freed, and with it its name: the
      // CPU is attributed to its caller.
      counts_->layout_fallbacks++;
    }
    position = call.call;
  }
  table_->Push(function, code_map_, position.script_offset);
}

const CodePositions* Resolver::PositionsOf(const CodeEntry& entry) {
  if (!entry.positions_read) {
    if (!heap_unchanged_) return nullptr;
    entry.positions_read = true;
    if (entry.optimized) {
      entry.positions = CodeReader::ReadOptimized(entry.start, entry.size,
                                                  &counts_->layout_fallbacks);
    } else if (entry.baseline) {
      entry.positions = CodeReader::ReadBaseline(entry.start, entry.size,
                                                 &counts_->layout_fallbacks);
    } else if (entry.kind == CodeKind::kBytecode) {
      entry.positions = CodeReader::ReadBytecode(entry.start, entry.size,
                                                 &counts_->layout_fallbacks);
    }
  }
  return entry.positions.get();
}

}  // namespace

void ResolveStack(const SampleHeader& header, const uintptr_t* frames,
                  bool heap_unchanged, const CodeMap& code_map,
                  StackTable* table, ResolveCounts* counts) {
  table->Begin(header.label);
  Resolver(header, frames, heap_unchanged, code_map, table, counts).PushAll();
  table->Commit(header.weight);
}

}  // namespace otelpyroscope
