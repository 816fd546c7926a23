// Two small functions, and what must be found of them.
#include "layout_check.h"

#include <cstring>
#include <vector>

#include "inlining.h"

namespace otelpyroscope {
namespace {

using Trust = CodeReader::Trust;

// The first has a table of exception handlers, which looks like a table of
// positions but for its contents. In a script, the functions are numbered from
// 1 in order.
constexpr char kSource[] =
    "[function(f){try{return f()}finally{f()}},function(){return 1}]";
constexpr const char* kBegins[] = {"(f){try", "(){return 1"};
constexpr const char* kEnds[] = {"},function", "}]"};

v8::MaybeLocal<v8::Value> RunSource(v8::Isolate* isolate,
                                    v8::Local<v8::Context> context) {
  v8::Local<v8::String> source;
  v8::Local<v8::Script> script;
  if (!v8::String::NewFromUtf8(isolate, kSource).ToLocal(&source) ||
      !v8::Script::Compile(context, source).ToLocal(&script)) {
    return {};
  }
  return script->Run(context);
}

// Whether these are the positions of function `i`, whose last bytecode is the
// Return, of one byte.
bool AreRight(const std::vector<CodePosition>& positions, int i, size_t size) {
  const auto begin = strstr(kSource, kBegins[i]) - kSource;
  const auto end = strstr(kSource, kEnds[i]) - kSource;
  if (positions.empty()) return false;
  for (const CodePosition& entry : positions) {
    if (entry.position.inlining_id != -1 ||
        entry.position.script_offset < begin ||
        entry.position.script_offset > end) {
      return false;
    }
  }
  return i == 0 || positions.back().code_offset == size - 1;
}

}  // namespace

LayoutCheck::LayoutCheck(v8::Isolate* isolate) : scope_(isolate) {
  if (CodeReader::GetTrust() != Trust::kUnchecked) return;
  if (!CodeReader::Possible()) {
    CodeReader::SetTrust(Trust::kNone);
    return;
  }
  if (!isolate->InContext()) return;
  const v8::Local<v8::Context> context = isolate->GetCurrentContext();
  const v8::TryCatch try_catch(isolate);
  v8::Local<v8::Value> list;
  v8::Local<v8::Value> functions[2];
  // Refused where the isolate is being terminated: then the next one tries.
  if (!RunSource(isolate, context).ToLocal(&list) || !list->IsArray()) return;
  for (uint32_t i = 0; i < 2; i++) {
    if (!list.As<v8::Array>()->Get(context, i).ToLocal(&functions[i]) ||
        !functions[i]->IsFunction()) {
      return;
    }
  }
  // V8 compiles a function when it is called.
  if (functions[0]
          .As<v8::Function>()
          ->Call(context, v8::Undefined(isolate), 1, &functions[1])
          .IsEmpty()) {
    return;
  }
  for (int i = 0; i < 2; i++) {
    const auto function = functions[i].As<v8::Function>();
    functions_[i] = CodeReader::CheckFunction(function);
    if (functions_[i].literal_id == i + 1 &&
        functions_[i].script_id == function->ScriptId()) {
      continue;
    }
    CodeReader::SetTrust(Trust::kNone);
    return;
  }
  CodeReader::SetTrust(Trust::kFunctions);
}

void LayoutCheck::Finish(const CodeMap& code_map) {
  if (!functions_[0].known() || CodeReader::GetTrust() != Trust::kFunctions) {
    return;
  }
  for (int i = 0; i < 2; i++) {
    std::vector<CodePosition> positions;
    const CodeEntry* entry = code_map.FindBytecode(functions_[i]);
    if (entry == nullptr ||
        !CodeReader::CheckBytecode(entry->start, entry->size, &positions) ||
        !AreRight(positions, i, entry->size)) {
      CodeReader::SetTrust(Trust::kNone);
      return;
    }
  }
  CodeReader::SetTrust(Trust::kAll);
}

}  // namespace otelpyroscope
