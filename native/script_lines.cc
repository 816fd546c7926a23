// Weak handles on scripts, and their line tables.
#include "script_lines.h"

namespace otelpyroscope {

void ScriptLines::Note(v8::Isolate* isolate, int script_id,
                       v8::Local<v8::UnboundScript> script) {
  // V8 hands out a script as one of its functions, which may die before it.
  const auto known = scripts_.find(script_id);
  if (known != scripts_.end() && !known->second.IsEmpty()) return;
  if (scripts_.size() >= kMaxScripts) scripts_.clear();
  v8::Global<v8::UnboundScript>& handle = scripts_[script_id];
  handle.Reset(isolate, script);
  handle.SetWeak();
}

int ScriptLines::LineOf(v8::Isolate* isolate, int script_id,
                        int32_t offset) const {
  const auto found = scripts_.find(script_id);
  if (found == scripts_.end() || found->second.IsEmpty()) return 0;
  v8::HandleScope scope(isolate);
  return found->second.Get(isolate)->GetLineNumber(offset) + 1;
}

}  // namespace otelpyroscope
