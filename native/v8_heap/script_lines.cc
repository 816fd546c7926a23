#include "v8_heap/script_lines.h"

#include <cstdio>

#include "v8_heap/handle_address.h"

namespace otelpyroscope {
namespace {

// Scripts that are checked for one that V8 has freed: no event of V8 may take
// long.
constexpr int kMaxChecked = 8;
constexpr int kMaxUrlChars = 1024;

std::string ToText(v8::Isolate* isolate, v8::Local<v8::Value> string) {
  const v8::String::Utf8Value text(isolate, string);
  return *text == nullptr
             ? std::string()
             : std::string(*text, static_cast<size_t>(text.length()));
}

// Returns "" for a long string, and for what is none.
std::string ShortText(v8::Isolate* isolate, v8::Local<v8::Value> value) {
  return value->IsString() && value.As<v8::String>()->Length() <= kMaxUrlChars
             ? ToText(isolate, value)
             : std::string();
}

// Returns the URL of the script's `//# sourceURL`. EJS writes it in quotes.
std::string SourceUrl(v8::Isolate* isolate,
                      v8::Local<v8::UnboundScript> script) {
  std::string url = ShortText(isolate, script->GetSourceURL());
  if (url.size() > 2 && url.front() == '"' && url.back() == '"') {
    url = url.substr(1, url.size() - 2);
  }
  return url;
}

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

bool ScriptLines::ReadInlineMap(v8::Isolate* isolate, int script_id,
                                size_t max_bytes, InlineMap* map) const {
  const auto found = scripts_.find(script_id);
  if (found == scripts_.end() || found->second.IsEmpty()) return false;
  v8::HandleScope scope(isolate);
  const v8::Local<v8::UnboundScript> script = found->second.Get(isolate);
  const v8::Local<v8::Value> url = script->GetSourceMappingURL();
  if (!url->IsString()) return false;
  // No other URL is as long.
  map->is_too_long =
      static_cast<size_t>(url.As<v8::String>()->Length()) > max_bytes;
  if (map->is_too_long) return true;
  map->data = ToText(isolate, url);
  if (!map->data.starts_with("data:")) return false;
  map->url = ShortText(isolate, script->GetScriptName());
  if (map->url.empty()) map->url = SourceUrl(isolate, script);
  return true;
}

std::string ScriptLines::EvaluatedFileOf(v8::Isolate* isolate, int script_id,
                                         uint32_t text_hash) {
  std::string file;
  const auto found = scripts_.find(script_id);
  if (found != scripts_.end() && !found->second.IsEmpty()) {
    v8::HandleScope scope(isolate);
    file = SourceUrl(isolate, found->second.Get(isolate));
  }
  if (file.empty() && text_hash != 0) {
    char name[16];
    snprintf(name, sizeof(name), "eval:%08x", text_hash);
    file = name;
  }
  if (file.empty() || evaluated_files_.contains(file)) return file;
  if (evaluated_files_.size() >= kMaxEvaluatedFiles) return "";
  evaluated_files_.insert(file);
  return file;
}

}  // namespace otelpyroscope
