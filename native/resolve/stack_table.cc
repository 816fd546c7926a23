#include "resolve/stack_table.h"

#include <algorithm>
#include <utility>

#include "names/function_name.h"

namespace otelpyroscope {
namespace {

// V8 joins the parts with spaces and colons, which names may contain as well.
std::string ContentKey(const FunctionInfo& info) {
  std::string key = info.name;
  key += '\0';
  key += info.url;
  key += '\0';
  key += std::to_string(info.line);
  key += ':';
  key += std::to_string(info.column);
  // Nothing else tells evaluated scripts apart, or starts without a line.
  if (info.start < 0 && !IsOfEvaluated(info.url)) return key;
  key += ':';
  key += std::to_string(info.script_id);
  key += ':';
  key += std::to_string(info.start);
  return key;
}

bool IsUnnamed(const FunctionInfo& function) {
  return function.native_address != 0 && function.name.empty();
}

}  // namespace

StackTable::StackTable() { key_.reserve(256); }

void StackTable::Push(const CodeFunction& function, const CodeMap& code_map,
                      int32_t position) {
  if (function.table_generation != generation_) {
    FunctionInfo info;
    if (function.from_heap != nullptr) {
      const HeapFunction& known = *function.from_heap;
      info.name = known.name.empty() ? kAnonymousFunction : known.name;
      info.url = known.url;
      info.line = known.line;
      info.column = known.column;
      info.script_id = known.id.script_id;
      info.text_hash = known.text_hash;
      if (known.line == 0) info.start = known.start;
    } else if (function.in_script) {
      const FunctionName parsed = ParseFunctionName(
          function.name, code_map.ScriptUrl(function.id.script_id));
      info.name = parsed.name.empty() ? kAnonymousFunction : parsed.name;
      info.url = parsed.url;
      info.line = parsed.line;
      info.column = parsed.column;
      info.script_id = function.id.script_id;
    } else {
      info.name = function.name;
    }
    function.table_function = FunctionNumber(std::move(info));
    function.table_generation = generation_;
  }
  FrameInfo frame;
  frame.function = function.table_function;
  if (position >= 0) {
    frame.script_id = function.id.script_id;
    frame.position = position;
  }
  PushFrame(frame);
}

void StackTable::Push(PseudoFrame frame) {
  FrameInfo frame_info;
  frame_info.function = NumberOf(frame);
  PushFrame(frame_info);
}

bool StackTable::IsInFile(uintptr_t address) const {
  if (symbols_ != nullptr) return symbols_->FunctionAt(address) != 0;
  return files_.empty() || std::any_of(files_.begin(), files_.end(),
                                       [address](const LoadedFile& file) {
                                         return file.Contains(address);
                                       });
}

bool StackTable::PushNative(uintptr_t address) {
  bool known = false;
  if (symbols_ == nullptr) {
    known = IsInFile(address);
  } else {
    const uintptr_t function = symbols_->FunctionAt(address);
    known = function != 0;
    // Else the address itself: its file may have been loaded after the index
    // was made, and NameNatives() then finds it in a newer one.
    if (known) address = function;
  }
  FrameInfo frame;
  const auto found = native_numbers_.find(address);
  if (found != native_numbers_.end()) {
    frame.function = found->second;
  } else if (HasRoomForFunction()) {
    frame.function = static_cast<uint32_t>(functions_.size());
    native_numbers_.emplace(address, frame.function);
    FunctionInfo info;
    info.native_address = address;
    functions_.push_back(std::move(info));
  } else {
    Push(PseudoFrame::kOverflow);
    return true;
  }
  if (!known) functions_[frame.function].foreign_frames++;
  PushFrame(frame);
  return known;
}

void StackTable::NameNatives() {
  if (symbols_ == nullptr) return;
  const Reader reader(this);
  for (FunctionInfo& function : functions_) {
    if (IsUnnamed(function)) {
      function.name = symbols_->Name(function.native_address);
    }
  }
}

uint64_t StackTable::NameAllNatives(int wait_ms) {
  LearnSymbols(0);
  NameNatives();
  if (std::any_of(functions_.begin(), functions_.end(), IsUnnamed)) {
    LearnSymbols(wait_ms);
    NameNatives();
  }
  return NameUnknown();
}

uint64_t StackTable::NameUnknown() {
  const PseudoFrame name =
      symbols_ == nullptr ? PseudoFrame::kNative : PseudoFrame::kUnresolved;
  uint64_t unresolved = 0;
  for (FunctionInfo& function : functions_) {
    if (!IsUnnamed(function)) continue;
    function.name = PseudoFrameName(name);
    unresolved += function.foreign_frames;
  }
  return unresolved;
}

uint64_t StackTable::ForgetForeign() {
  uint64_t unresolved = 0;
  std::erase_if(native_numbers_, [&](const auto& entry) {
    const auto& [address, number] = entry;
    if (IsInFile(address)) return false;
    FunctionInfo& function = functions_[number];
    if (IsUnnamed(function)) {
      function.name = PseudoFrameName(PseudoFrame::kUnresolved);
      unresolved += function.foreign_frames;
    }
    return true;
  });
  return unresolved;
}

void StackTable::LearnSymbols(int wait_ms) {
  SymbolIndex::Prepare();
  symbols_ = SymbolIndex::Current(wait_ms);
}

void StackTable::Commit(uint64_t weight) {
  auto found = stacks_.find(key_);
  if (found == stacks_.end() && stacks_.size() >= kMaxStacks) {
    key_.resize(1);
    Push(PseudoFrame::kOverflow);
    found = stacks_.find(key_);
    // There may be many labels: beyond the second limit the label is dropped
    // too.
    if (found == stacks_.end() && stacks_.size() >= 2 * kMaxStacks) {
      key_[0] = 0;
      found = stacks_.find(key_);
    }
  }
  if (found != stacks_.end()) {
    found->second += weight;
  } else {
    stacks_.emplace(key_, weight);
  }
}

const StackTable::Caller* StackTable::FindCaller(
    uintptr_t address, const CodeMap& code_map) const {
  if (callers_.empty()) return nullptr;
  const Caller& caller = callers_[CacheLineOf(address, kCallers)];
  return caller.address == address && caller.stamp == StampOf(code_map)
             ? &caller
             : nullptr;
}

void StackTable::RememberCaller(uintptr_t address, const CodeMap& code_map,
                                size_t depth) {
  const size_t count = key_.size() - depth;
  if (count > Caller::kMaxFrames) return;
  callers_.resize(kCallers);
  Caller& caller = callers_[CacheLineOf(address, kCallers)];
  caller.address = address;
  caller.stamp = StampOf(code_map);
  caller.count = static_cast<uint32_t>(count);
  key_.copy(caller.frames, count, depth);
}

void StackTable::MoveTo(StackTable* taken) {
  stacks_.swap(taken->stacks_);
  functions_.swap(taken->functions_);
  frames_.swap(taken->frames_);
  lines_.swap(taken->lines_);
  columns_.swap(taken->columns_);
  taken->filled_starts_ = filled_starts_;
  taken->filled_urls_ = filled_urls_;
  taken->filled_maps_ = filled_maps_;
  taken->symbols_ = symbols_;
  taken->files_ = files_;
  Clear();
}

void StackTable::Clear() {
  stacks_.clear();
  functions_.clear();
  function_numbers_.clear();
  native_numbers_.clear();
  text_bytes_ = 0;
  filled_starts_ = 0;
  filled_urls_ = 0;
  filled_maps_ = 0;
  frames_.clear();
  lines_.clear();
  columns_.clear();
  frame_numbers_.clear();
  generation_++;
}

uint32_t StackTable::FunctionNumber(FunctionInfo&& info) {
  std::string key = ContentKey(info);
  const auto known = function_numbers_.find(key);
  if (known != function_numbers_.end()) return known->second;
  if (!HasRoomForFunction()) return NumberOf(PseudoFrame::kOverflow);
  const uint32_t number = static_cast<uint32_t>(functions_.size());
  text_bytes_ += info.name.size() + info.url.size();
  function_numbers_.emplace(std::move(key), number);
  functions_.push_back(std::move(info));
  return number;
}

// Returns the number of the pseudo-frame's function. There is always room for
// these few.
uint32_t StackTable::NumberOf(PseudoFrame frame) {
  FunctionInfo info;
  info.name = PseudoFrameName(frame);
  const auto [inserted, is_new] = function_numbers_.try_emplace(
      ContentKey(info), static_cast<uint32_t>(functions_.size()));
  if (is_new) functions_.push_back(std::move(info));
  return inserted->second;
}

void StackTable::PushFrame(const FrameInfo& frame) {
  auto found = frame_numbers_.find(frame);
  if (found == frame_numbers_.end()) {
    FrameInfo added = frame;
    if (frames_.size() >= kMaxFrames) {
      added = FrameInfo();
      added.function = NumberOf(PseudoFrame::kOverflow);
    }
    const auto [inserted, is_new] = frame_numbers_.try_emplace(
        added, static_cast<uint32_t>(frames_.size()));
    if (is_new) frames_.push_back(added);
    found = inserted;
  }
  key_.push_back(static_cast<char32_t>(found->second));
}

size_t StackTable::FrameHash::operator()(const FrameInfo& frame) const {
  uint64_t hash = frame.function;
  for (const int32_t part : {frame.script_id, frame.position}) {
    hash = (hash ^ static_cast<uint32_t>(part)) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 32;
  }
  return hash;
}

}  // namespace otelpyroscope
