// What V8's heap tells of code: what is kept of it, and for how long.
#include <iterator>
#include <utility>

#include "code_map.h"
#include "event_names.h"

namespace otelpyroscope {

void CodeMap::AddRead(uintptr_t start, size_t size, CodeTier tier,
                      std::shared_ptr<CodeFunction> function,
                      std::shared_ptr<const CodePositions> positions,
                      std::unique_ptr<const CodeAnchor> anchor) {
  CodeEntry entry;
  entry.anchor = std::move(anchor);
  entry.start = start;
  entry.size = size;
  entry.kind = tier == CodeTier::kBytecode ? CodeKind::kBytecode
                                           : CodeKind::kMachineCode;
  entry.baseline = tier == CodeTier::kBaseline;
  entry.optimized = tier == CodeTier::kOptimized;
  entry.function = std::move(function);
  entry.positions_read = true;
  entry.positions = std::move(positions);
  Insert(std::move(entry));
}

void CodeMap::AddNamed(uintptr_t start, size_t size, std::string_view name,
                       std::unique_ptr<const CodeAnchor> anchor,
                       bool is_guess) {
  CodeEntry entry;
  entry.anchor = std::move(anchor);
  entry.start = start;
  entry.size = size;
  entry.name_is_guess = is_guess;
  entry.function = FunctionOf(FunctionId(), false, name);
  Insert(std::move(entry));
}

void CodeMap::AddOffHeap(uintptr_t start, size_t size,
                         std::string_view event_name, uint32_t module) {
  if (size == 0) return;
  CodeEntry entry;
  entry.module = module;
  entry.start = start;
  entry.size = size;
  entry.off_heap = true;
  const std::string_view wasm = WasmName(event_name);
  entry.function =
      FunctionOf(FunctionId(), false, wasm.empty() ? event_name : wasm);
  Insert(std::move(entry));
}

void CodeMap::ForgetModule(uint32_t module) {
  for (auto place = entries_.begin(); place != entries_.end();) {
    place = place->second.module == module ? Erase(place) : std::next(place);
  }
}

void CodeMap::AddBuiltin(const Builtin& builtin) {
  CodeEntry entry;
  entry.start = builtin.start;
  entry.size = builtin.size;
  entry.off_heap = true;
  entry.kind = builtin.is_bytecode_handler ? CodeKind::kBytecodeHandler
                                           : CodeKind::kBuiltin;
  entry.function = FunctionOf(FunctionId(), false, builtin.name);
  Insert(std::move(entry));
}

std::shared_ptr<CodeFunction> CodeMap::Keep(HeapFunction&& function) {
  auto kept = std::make_shared<CodeFunction>();
  kept->id = function.id;
  kept->in_script = true;
  name_bytes_ += sizeof(CodeFunction) + sizeof(HeapFunction) +
                 function.name.size() + function.url.size();
  kept->from_heap = std::make_unique<const HeapFunction>(std::move(function));
  functions_[kept->id.key()] = kept.get();
  kept_.push_back(kept);
  return kept;
}

std::shared_ptr<CodeFunction> CodeMap::FindKept(FunctionId id) const {
  const auto found = functions_.find(id.key());
  return found == functions_.end() ? nullptr
                                   : found->second->shared_from_this();
}

void CodeMap::ForgetPlaces() {
  generation_++;
  NoteLoss();
  forgotten_changes_ = changes_;
  if (generation_ % kMaxAge != 0) return;
  for (auto place = entries_.begin(); place != entries_.end();) {
    const bool is_old = !IsGood(place->second) &&
                        place->second.generation + kMaxAge < generation_;
    place = is_old ? Erase(place) : std::next(place);
  }
  forgotten_changes_ = changes_;
}

const CodeEntry* CodeMap::FindAgain(uintptr_t address) {
  const CodeEntry* entry = EntryAt(OriginalOf(address));
  if (entry == nullptr || IsGood(*entry) || entry->anchor == nullptr ||
      !entry->anchor->Holds()) {
    return nullptr;
  }
  entry->generation = generation_;
  changes_++;
  return entry;
}

}  // namespace otelpyroscope
