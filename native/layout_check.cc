// A small script, and what must be found of its functions.
#include "layout_check.h"

#include <cstring>
#include <string>
#include <vector>

#include "heap_function.h"
#include "heap_reader.h"
#include "heap_string.h"
#include "inlining.h"
#include "object_handle.h"

namespace otelpyroscope {
namespace {

using Trust = CodeReader::Trust;

// V8 numbers the functions of a script from 1, in order. The first has a table
// of exception handlers, which looks like a table of positions but for its
// contents. The third has variables in its context, and is called to make the
// fourth. Each has its name in another way; the last element is a string that
// is a part of another.
constexpr char kSource[] =
    "[function(f){try{return f()}finally{f()}},function(){return 1},\n"
    "function named(a){const b=a;return()=>a+b},\r\n"
    " {inferred:function(){return 2}}.inferred,\n"
    "(s=>s.substring(1,20))('0123456789abcdefghijklmnop')]";
constexpr int kFunctions = 4;
constexpr int kLiterals[kFunctions] = {1, 2, 3, 5};
constexpr int kString = kFunctions;
// Of the first two, whose bytecode is looked at.
constexpr const char* kBegins[] = {"(f){try", "(){return 1"};
constexpr const char* kEnds[] = {"},function", "},\nfunction"};
// Where the source is said to begin.
constexpr char kName[] = "otelpyroscope:layout-check";
constexpr int kLineOffset = 3;
constexpr int kColumnOffset = 7;

v8::Local<v8::String> NewString(v8::Isolate* isolate, const char* text) {
  return v8::String::NewFromUtf8(isolate, text).ToLocalChecked();
}

v8::MaybeLocal<v8::Value> RunSource(v8::Isolate* isolate,
                                    v8::Local<v8::Context> context) {
#if V8_MAJOR_VERSION < 12
  v8::ScriptOrigin origin(isolate, NewString(isolate, kName), kLineOffset,
                          kColumnOffset);
#else
  v8::ScriptOrigin origin(NewString(isolate, kName), kLineOffset,
                          kColumnOffset);
#endif
  v8::Local<v8::Script> script;
  if (!v8::Script::Compile(context, NewString(isolate, kSource), &origin)
           .ToLocal(&script)) {
    return {};
  }
  return script->Run(context);
}

std::string TextOf(v8::Isolate* isolate, v8::Local<v8::Value> value) {
  const v8::String::Utf8Value text(isolate, value);
  return *text == nullptr ? std::string() : std::string(*text);
}

// Whether the bytecode of function `i` has the positions that it must have: its
// last bytecode is the Return, of one byte.
bool HasRightPositions(uintptr_t shared, int i) {
  uintptr_t start = 0;
  size_t size = 0;
  std::vector<CodePosition> positions;
  if (!heap::ReadBytecodeOf(shared, &start, &size) ||
      !CodeReader::CheckBytecode(start, size, &positions) ||
      positions.empty()) {
    return false;
  }
  const auto begin = strstr(kSource, kBegins[i]) - kSource;
  const auto end = strstr(kSource, kEnds[i]) - kSource;
  for (const CodePosition& entry : positions) {
    if (entry.position.inlining_id != -1 ||
        entry.position.script_offset < begin ||
        entry.position.script_offset > end) {
      return false;
    }
  }
  return i == 0 || positions.back().code_offset == size - 1;
}

// Whether the heap says of a function what V8 says.
bool IsRightAbout(v8::Isolate* isolate, v8::Local<v8::Function> function,
                  uintptr_t shared) {
  HeapFunction read;
  if (!heap::ReadFunction(shared, &read)) return false;
  std::string name = TextOf(isolate, function->GetName());
  if (name.empty()) name = TextOf(isolate, function->GetInferredName());
  return read.name == name && read.url == kName &&
         read.line == function->GetScriptLineNumber() + 1 &&
         read.column == function->GetScriptColumnNumber() + 1;
}

bool IsRightAbout(v8::Isolate* isolate, v8::Local<v8::Value> string) {
  std::string read;
  return heap::ReadString(ObjectOf(string), heap::kMaxNameChars, &read) &&
         read == TextOf(isolate, string);
}

// Strings that are joined, and that stand for an equal one.
bool IsRightAboutJoined(v8::Isolate* isolate, v8::Local<v8::Context> context) {
  const v8::Local<v8::String> joined =
      v8::String::Concat(isolate, NewString(isolate, "0123456789"),
                         NewString(isolate, "\u00e9\u20ac\U0001f600 and more"));
  if (!IsRightAbout(isolate, joined)) return false;
  // The name of a property is kept once.
  const v8::Local<v8::Object> object = v8::Object::New(isolate);
  return object->Set(context, joined, joined).FromMaybe(false) &&
         IsRightAbout(isolate, joined);
}

// V8 has one map for all of these, and one for all scripts.
void KnowMapsOf(uintptr_t shared) {
  uintptr_t script = 0;
  heap::KnowMapOf(shared);
  if (heap::ReadScript(shared, &script)) heap::KnowMapOf(script);
}

}  // namespace

void CheckLayout(v8::Isolate* isolate) {
  if (CodeReader::GetTrust() != Trust::kUnchecked) return;
  if (!CodeReader::Possible()) {
    CodeReader::SetTrust(Trust::kNone);
    return;
  }
  if (!isolate->InContext()) return;
  const v8::HandleScope scope(isolate);
  const v8::Local<v8::Context> context = isolate->GetCurrentContext();
  const v8::TryCatch try_catch(isolate);
  v8::Local<v8::Value> list;
  v8::Local<v8::Value> elements[kFunctions + 1];
  // Refused where the isolate is being terminated: then the next one tries.
  if (!RunSource(isolate, context).ToLocal(&list) || !list->IsArray()) return;
  for (uint32_t i = 0; i <= kFunctions; i++) {
    if (!list.As<v8::Array>()->Get(context, i).ToLocal(&elements[i])) return;
  }
  // V8 compiles a function when it is called.
  for (int i = 0; i < kFunctions; i++) {
    if (elements[i]
            .As<v8::Function>()
            ->Call(context, v8::Undefined(isolate), 1, &elements[1])
            .IsEmpty()) {
      return;
    }
  }
  CodeReader::SetTrust(Trust::kNone);
  bool names_are_right = IsRightAbout(isolate, elements[kString]) &&
                         IsRightAboutJoined(isolate, context);
  uintptr_t shared = 0;
  for (int i = 0; i < kFunctions; i++) {
    const auto function = elements[i].As<v8::Function>();
    const FunctionId id = CodeReader::FunctionOf(ObjectOf(function));
    if (id.literal_id != kLiterals[i] || id.script_id != function->ScriptId() ||
        !heap::ReadShared(ObjectOf(function), &shared)) {
      return;
    }
    if (i < 2 && !HasRightPositions(shared, i)) {
      CodeReader::SetTrust(Trust::kFunctions);
      return;
    }
    names_are_right =
        names_are_right && IsRightAbout(isolate, function, shared);
  }
  KnowMapsOf(shared);
  CodeReader::SetTrust(Trust::kAll);
  CodeReader::SetKnowsFunctions(names_are_right);
}

}  // namespace otelpyroscope
