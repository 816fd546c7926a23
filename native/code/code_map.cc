#include "code/code_map.h"

#include <algorithm>
#include <utility>

#include "names/code_event_names.h"
#include "names/function_name.h"

namespace otelpyroscope {
namespace {

// Roughly the size of a tree node with its allocation overhead.
constexpr size_t kEntryBytes = sizeof(CodeEntry) + 64;

// URLs, one for each script. When full, each new one replaces another, and the
// names of that script are split by a guess.
constexpr size_t kMaxScriptUrls = 20000;

// Entries that are checked for one that can be forgotten: no event of V8 may
// take long. If none is found the map grows, up to its limit and a quarter.
constexpr int kMaxChecked = 16;

bool IsOfScript(const CodeEntry& entry) {
  return entry.kind == CodeKind::kMachineCode ||
         entry.kind == CodeKind::kBytecode;
}

struct KindPrefix {
  std::string_view prefix;
  CodeKind kind;
};

constexpr KindPrefix kPrefixes[] = {
    {"JS:", CodeKind::kMachineCode},
    {"Function:", CodeKind::kMachineCode},
    {"Script:", CodeKind::kMachineCode},
    {"Eval:", CodeKind::kMachineCode},
    {"Builtin:", CodeKind::kBuiltin},
    {"BytecodeHandler:", CodeKind::kBytecodeHandler},
};

// Removes the tier: "~" interpreter, "^" Sparkplug, "+" Maglev, "*" TurboFan,
// with an "o" before it for on-stack replacement (V8 14), and a "'" after it
// for code that is specialized to one context (since V8 13).
std::string_view WithoutTier(std::string_view name) {
  constexpr std::string_view kTiers = "~^+*'";
  const size_t at = name.starts_with('o') ? 1 : 0;
  if (at < name.size() && kTiers.find(name[at]) != std::string_view::npos) {
    name.remove_prefix(at + 1);
    if (name.starts_with('\'')) name.remove_prefix(1);
  }
  return name;
}

}  // namespace

void CodeMap::Add(uintptr_t start, size_t size, bool is_bytecode, FunctionId id,
                  std::string_view event_name) {
  // An empty range contains no address, and would replace one that it does not
  // overlap.
  if (size == 0) return;
  CodeEntry entry;
  entry.start = start;
  entry.size = size;
  const std::string regexp = RegExpNameOf(event_name);
  const std::string_view wasm =
      id.script_id == 0 ? WasmName(event_name) : std::string_view();
  if (!regexp.empty() || !wasm.empty()) {
    event_name = regexp.empty() ? wasm : regexp;
  } else {
    for (const KindPrefix& candidate : kPrefixes) {
      if (!event_name.starts_with(candidate.prefix)) continue;
      event_name.remove_prefix(candidate.prefix.size());
      entry.kind = candidate.kind;
      break;
    }
  }
  if (is_bytecode) entry.kind = CodeKind::kBytecode;
  const bool in_script = IsOfScript(entry);
  if (in_script) {
    const std::string_view name = WithoutTier(event_name);
    const std::string_view tier =
        event_name.substr(0, event_name.size() - name.size());
    entry.optimized = entry.kind == CodeKind::kMachineCode && !tier.empty() &&
                      tier.find_first_of("~^") == std::string_view::npos;
    entry.baseline = tier == "^";
    event_name = name;
    if (id.script_id != 0) LearnScriptUrl(id.script_id, name);
  }
  entry.function = FunctionOf(id, in_script, event_name);
  Insert(std::move(entry));
}

bool CodeMap::AddFound(uintptr_t start, size_t size, FunctionId id) {
  const auto known = functions_.find(id.key());
  if (known == functions_.end()) return false;
  CodeEntry entry;
  entry.start = start;
  entry.size = size;
  entry.kind = CodeKind::kMachineCode;
  entry.optimized = true;
  entry.function = known->second->shared_from_this();
  Insert(std::move(entry));
  return true;
}

std::shared_ptr<CodeFunction> CodeMap::FunctionOf(FunctionId id, bool in_script,
                                                  std::string_view name) {
  CodeFunction** indexed = nullptr;
  if (id.known()) {
    indexed = &functions_.try_emplace(id.key(), nullptr).first->second;
    if (*indexed != nullptr) return (*indexed)->shared_from_this();
  }
  auto function = std::make_shared<CodeFunction>();
  if (indexed != nullptr) *indexed = function.get();
  function->name = name;
  function->id = id;
  function->in_script = in_script;
  name_bytes_ += sizeof(CodeFunction) + function->name.capacity();
  return function;
}

const CodeFunction* CodeMap::FindFunction(FunctionId id) const {
  const auto found = functions_.find(id.key());
  return found == functions_.end() ? nullptr : found->second;
}

void CodeMap::ApplyMoves(const CodeMove* moves, size_t count) {
  // All removals come before all insertions, because code may move to where
  // other code has just left. But code that moves a second time belongs to the
  // next collection: `landed` finds the border.
  size_t begin = 0;
  while (begin < count) {
    std::unordered_map<uintptr_t, bool> landed;
    size_t end = begin;
    for (; end < count && !landed.contains(moves[end].from); end++) {
      landed.emplace(moves[end].to, true);
    }
    std::vector<CodeEntry> moving;
    for (size_t i = begin; i < end; i++) {
      const auto found = entries_.find(moves[i].from);
      if (found == entries_.end()) continue;
      TakeFromOrder(&found->second);
      moving.push_back(std::move(found->second));
      moving.back().start = moves[i].to;
      entries_.erase(found);
    }
    for (CodeEntry& entry : moving) {
      Insert(std::move(entry));
    }
    begin = end;
  }
  NoteLoss();
}

const CodeEntry* CodeMap::Find(uintptr_t address) const {
  address = OriginalOf(address);
  CacheLine& line = cache_[CacheLineOf(address, kCacheLines)];
  if (line.address == address &&
      line.stamp == (line.entry == nullptr ? changes_ : losses_)) {
    return line.entry;
  }
  const CodeEntry* entry = EntryAt(address);
  if (entry != nullptr && IsFresh(*entry)) {
    line = {address, losses_, entry};
  } else {
    line = {address, changes_, nullptr};
  }
  return line.entry;
}

const CodeEntry* CodeMap::EntryAt(uintptr_t address) const {
  const auto after = entries_.upper_bound(address);
  if (after == entries_.begin()) return nullptr;
  const CodeEntry& entry = std::prev(after)->second;
  return address - entry.start < entry.size ? &entry : nullptr;
}

std::string_view CodeMap::ScriptUrl(int script_id) const {
  const auto found = script_urls_.find(script_id);
  return found == script_urls_.end() ? std::string_view() : found->second;
}

void CodeMap::Clear() {
  entries_.clear();
  functions_.clear();
  kept_.clear();
  script_urls_.clear();
  oldest_ = newest_ = nullptr;
  name_bytes_ = 0;
  NoteLoss();
}

size_t CodeMap::bytes() const {
  return entries_.size() * kEntryBytes + name_bytes_;
}

void CodeMap::Insert(CodeEntry&& entry) {
  const uintptr_t start = entry.start;
  const uintptr_t end = start + entry.size;
  auto after = entries_.lower_bound(start);
  if (after != entries_.begin()) {
    const auto before = std::prev(after);
    if (before->first + before->second.size > start) after = before;
  }
  while (after != entries_.end() && after->first < end) after = Erase(after);
  entry.generation = generation_;
  const auto inserted = entries_.emplace_hint(after, start, std::move(entry));
  AppendToOrder(&inserted->second);
  if (entries_.size() > kMaxEntries) ForgetOne();
  changes_++;
}

CodeMap::Entries::iterator CodeMap::Erase(Entries::iterator entry) {
  const std::shared_ptr<CodeFunction>& function = entry->second.function;
  if (function.use_count() == 1) {
    name_bytes_ -= sizeof(CodeFunction) + function->name.capacity();
    if (function->id.known()) functions_.erase(function->id.key());
  }
  TakeFromOrder(&entry->second);
  NoteLoss();
  return entries_.erase(entry);
}

void CodeMap::AppendToOrder(CodeEntry* entry) {
  entry->older = newest_;
  entry->newer = nullptr;
  (newest_ == nullptr ? oldest_ : newest_->newer) = entry;
  newest_ = entry;
}

void CodeMap::TakeFromOrder(CodeEntry* entry) {
  (entry->older == nullptr ? oldest_ : entry->older->newer) = entry->newer;
  (entry->newer == nullptr ? newest_ : entry->newer->older) = entry->older;
}

void CodeMap::ForgetOne() {
  NoteLoss();  // so that samples mark the ranges that they hit again
  const bool must = entries_.size() > kMaxEntries + kMaxEntries / 4;
  for (int i = 0; i < kMaxChecked; i++) {
    CodeEntry* entry = oldest_;
    if (must || (IsOfScript(*entry) && !entry->hit)) {
      Erase(entries_.find(entry->start));
      return;
    }
    entry->hit = false;
    TakeFromOrder(entry);
    AppendToOrder(entry);
  }
}

void CodeMap::LearnScriptUrl(int script_id, std::string_view name) {
  // Code without a function name is the script's top-level code (" url") or an
  // anonymous function (" url:1:1"): its URL is certain.
  std::string_view url = name;
  if (!url.starts_with(' ') || script_urls_.contains(script_id)) return;
  url.remove_prefix(1);
  std::string_view without_position = url;
  int number = 0;
  if (TakeNumber(&without_position, &number) &&
      TakeNumber(&without_position, &number)) {
    url = without_position;
  }
  if (url.empty()) return;
  if (script_urls_.size() >= kMaxScriptUrls) {
    auto next = script_urls_.upper_bound(url_clock_);
    if (next == script_urls_.end()) next = script_urls_.begin();
    url_clock_ = next->first;
    script_urls_.erase(next);
  }
  script_urls_.emplace(script_id, url);
}

// --- Code that was read from V8's heap ---

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
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    entry = entry->second.module == module ? Erase(entry) : std::next(entry);
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

void CodeMap::MarkStale() {
  generation_++;
  NoteLoss();
  stale_changes_ = changes_;
  if (generation_ % kMaxAge != 0) return;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const bool is_old = !IsFresh(entry->second) &&
                        entry->second.generation + kMaxAge < generation_;
    entry = is_old ? Erase(entry) : std::next(entry);
  }
  stale_changes_ = changes_;
}

const CodeEntry* CodeMap::FindAgain(uintptr_t address) {
  const CodeEntry* entry = EntryAt(OriginalOf(address));
  if (entry == nullptr || IsFresh(*entry) || entry->anchor == nullptr ||
      !entry->anchor->Holds()) {
    return nullptr;
  }
  entry->generation = generation_;
  changes_++;
  return entry;
}

}  // namespace otelpyroscope
