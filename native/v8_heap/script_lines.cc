#include "v8_heap/script_lines.h"

#include "v8_heap/handle_address.h"

namespace otelpyroscope {
namespace {

// Scripts that are checked for one that V8 has freed: no event of V8 may take
// long.
constexpr int kMaxChecked = 8;

}  // namespace

void ScriptLines::Note(v8::Isolate* isolate, int script_id,
                       v8::Local<v8::UnboundScript> script) {
  // V8 represents a script by one of its functions, which may die before it.
  const auto known = scripts_.find(script_id);
  if (known != scripts_.end() && !known->second.IsEmpty()) return;
  if (known == scripts_.end() && scripts_.size() >= kMaxScripts) ForgetOne();
  v8::Global<v8::UnboundScript>& handle = scripts_[script_id];
  handle.Reset(isolate, script);
  handle.SetWeak();
}

void ScriptLines::Note(v8::Isolate* isolate, int script_id, uintptr_t shared) {
  Note(isolate, script_id, HandleOn<v8::UnboundScript>(&shared));
}

void ScriptLines::ForgetOne() {
  auto next = scripts_.upper_bound(clock_);
  for (int i = 0; next == scripts_.end() || i < kMaxChecked; i++, ++next) {
    if (next == scripts_.end()) next = scripts_.begin();
    if (next->second.IsEmpty()) break;
  }
  clock_ = next->first;
  scripts_.erase(next);
}

int ScriptLines::LineOf(v8::Isolate* isolate, int script_id, int32_t offset,
                        int* column) const {
  const auto found = scripts_.find(script_id);
  if (found == scripts_.end() || found->second.IsEmpty()) return 0;
  v8::HandleScope scope(isolate);
  const v8::Local<v8::UnboundScript> script = found->second.Get(isolate);
  if (column != nullptr) *column = script->GetColumnNumber(offset) + 1;
  return script->GetLineNumber(offset) + 1;
}

}  // namespace otelpyroscope
