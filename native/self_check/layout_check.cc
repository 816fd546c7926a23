#include "self_check/layout_check.h"

#include <atomic>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/safe_memory.h"
#include "self_check/known_stack.h"
#include "v8_heap/code_object.h"
#include "v8_heap/code_reader.h"
#include "v8_heap/exported_offsets.h"
#include "v8_heap/handle_address.h"
#include "v8_heap/heap_function.h"
#include "v8_heap/heap_reader.h"
#include "v8_heap/heap_string.h"

namespace otelpyroscope {
namespace {

using Trust = CodeReader::Trust;

// V8 numbers the functions of a script from 1, in order. The first has a table
// of exception handlers, which looks like a table of positions except for its
// contents; it and the second make the known stack. Each has its name in
// another way, and other numbers of parameters and of variables in its context.
// For @, see SourceOfScript().
constexpr std::string_view kSource =
    "[function(f,g){try{return f(g)}finally{1}},function(f){return f(1)+1},\n"
    "function named(a){const b=a;return()=>a+b},\r\n"
    " {inferred:function(a,b,c,d){return 2}}.inferred,\n"
    "function one(a,b){let c=a;return()=>c},\n"
    "function many(){let @;return()=>[@]},\n"
    "class Made{constructor(a,b,c){this.a=a}},\n"
    "(class{static #p=1;static saved(a){return()=>this.#p+a}}).saved]";
struct KnownFunction {
  std::string_view name;
  int literal;  // -1: it depends on the version of V8
};
constexpr KnownFunction kFunctions[] = {
    {"", 1},    {"", 2},     {"named", 3}, {"inferred", 5},
    {"one", 6}, {"many", 8}, {"Made", -1}, {"saved", -1},
};
constexpr size_t kFunctionCount = std::size(kFunctions);
// More than v8_layout::kMaxScopeNames, the most names that a ScopeInfo itself
// contains.
constexpr int kVariables = 80;
// The start and the end of the first two functions' code.
constexpr std::string_view kBegins[] = {"(f,g){try", "(f){return f(1)"};
constexpr std::string_view kEnds[] = {",function(f)", ",\nfunction named"};
// The ScopeInfo of a module has one more field.
constexpr std::string_view kModuleSource =
    "export let a=1;let b=2,c=3;export const f=(d)=>a+b+c+d";
// The position that the sources are given.
constexpr std::string_view kScriptName = "otelpyroscope:layout-check";
constexpr int kLineOffset = 3;
constexpr int kColumnOffset = 7;

// Parts of strings, in characters of one byte and of two.
constexpr std::string_view kFirstPart = "0123456789";
constexpr std::string_view kSecondPart = "\u00e9\u20ac\U0001f600 and more";
constexpr std::string_view kPattern = "a+b";
constexpr std::string_view kRegExpName = "(regexp) /a+b/dimsy";

// How often the test is repeated if V8 refuses, or if something is not found: a
// collection may have interfered.
constexpr int kMaxTries = 3;

std::string SourceOfScript() {
  std::string variables;
  for (int i = 0; i < kVariables; i++) {
    if (i != 0) variables += ',';
    variables += 'v' + std::to_string(i);
  }
  std::string source(kSource);
  for (size_t at = source.find('@'); at != source.npos; at = source.find('@')) {
    source.replace(at, 1, variables);
  }
  return source;
}

// A function as V8 describes it.
struct AskedFunction {
  v8::Local<v8::Function> function;
  int script_id = 0;
  int line = 0;
  int column = 0;
};

// The parts about which the table is right.
struct Findings {
  bool ids = false;        // of functions and scripts
  bool positions = false;  // of bytecode
  bool stack = false;
  bool names = false;  // and where functions begin

  bool all() const { return ids && positions && stack && names; }
};

class Trial {
 public:
  explicit Trial(v8::Isolate* isolate)
      : isolate_(isolate), context_(isolate->GetCurrentContext()) {}

  // Returns false if V8 has refused something, so that nothing is known.
  bool Run(Findings* findings);
  void RememberMaps() const;
  void NoteBuiltins() const;

 private:
  v8::Local<v8::String> NewString(std::string_view text) const;
  v8::ScriptOrigin Origin(bool is_module) const;
  bool MakeFunctions();
  v8::Local<v8::Data> NewModule() const;
  void CheckFunction(size_t i, Findings* findings) const;
  bool HasRightPositions(size_t i) const;
  bool IsRightAboutModule() const;
  bool IsRightAboutStrings() const;
  bool IsRightAboutRegExp() const;

  v8::Isolate* const isolate_;
  const v8::Local<v8::Context> context_;
  AskedFunction functions_[kFunctionCount];
};

v8::Local<v8::String> Trial::NewString(std::string_view text) const {
  return v8::String::NewFromUtf8(isolate_, text.data(),
                                 v8::NewStringType::kNormal,
                                 static_cast<int>(text.size()))
      .ToLocalChecked();
}

v8::ScriptOrigin Trial::Origin(bool is_module) const {
  return v8::ScriptOrigin(
#if V8_MAJOR_VERSION < 12
      isolate_,
#endif
      NewString(kScriptName), kLineOffset, kColumnOffset, false, -1,
      v8::Local<v8::Value>(), false, false, is_module);
}

// Compiles all functions, and asks V8 about them.
bool Trial::MakeFunctions() {
  v8::ScriptCompiler::Source source(NewString(SourceOfScript()), Origin(false));
  v8::Local<v8::Script> script;
  v8::Local<v8::Value> list;
  if (!v8::ScriptCompiler::Compile(context_, &source,
                                   v8::ScriptCompiler::kEagerCompile)
           .ToLocal(&script) ||
      !script->Run(context_).ToLocal(&list) || !list->IsArray()) {
    return false;
  }
  for (uint32_t i = 0; i < kFunctionCount; i++) {
    v8::Local<v8::Value> element;
    if (!list.As<v8::Array>()->Get(context_, i).ToLocal(&element) ||
        !element->IsFunction()) {
      return false;
    }
    const auto function = element.As<v8::Function>();
    functions_[i] = {function, function->ScriptId(),
                     function->GetScriptLineNumber() + 1,
                     function->GetScriptColumnNumber() + 1};
  }
  return true;
}

// The module is compiled only: to run it would need promises, and hooks of the
// application.
v8::Local<v8::Data> Trial::NewModule() const {
  v8::ScriptCompiler::Source source(NewString(kModuleSource), Origin(true));
  v8::Local<v8::Module> module;
  if (!v8::ScriptCompiler::CompileModule(isolate_, &source).ToLocal(&module)) {
    return {};
  }
  return module->GetUnboundModuleScript();
}

void Trial::CheckFunction(size_t i, Findings* findings) const {
  const AskedFunction& asked = functions_[i];
  const KnownFunction& known = kFunctions[i];
  uintptr_t shared = 0;
  HeapFunction read;
  const bool is_read = heap::ReadShared(ObjectOf(asked.function), &shared) &&
                       heap::ReadFunction(shared, &read);
  if (read.id.script_id != asked.script_id || !read.id.known() ||
      (known.literal != -1 && read.id.literal_id != known.literal)) {
    findings->ids = false;
  }
  if (!is_read || read.name != known.name || read.url != kScriptName ||
      read.line != asked.line || read.column != asked.column) {
    findings->names = false;
  }
}

// Whether the bytecode has the positions that it must have: its last bytecode
// is the Return, of one byte.
bool Trial::HasRightPositions(size_t i) const {
  uintptr_t shared = 0;
  uintptr_t start = 0;
  size_t size = 0;
  std::vector<CodePosition> positions;
  if (!heap::ReadShared(ObjectOf(functions_[i].function), &shared) ||
      !heap::ReadBytecodeOf(shared, &start, &size) ||
      !CodeReader::CheckBytecode(start, size, &positions) ||
      positions.empty()) {
    return false;
  }
  const int begin = static_cast<int>(kSource.find(kBegins[i]));
  const int end = static_cast<int>(kSource.find(kEnds[i]));
  for (const CodePosition& entry : positions) {
    if (entry.position.inlining_id != -1 ||
        entry.position.script_offset < begin ||
        entry.position.script_offset > end) {
      return false;
    }
  }
  return i == 0 || positions.back().code_offset == size - 1;
}

bool Trial::IsRightAboutModule() const {
  const v8::Local<v8::Data> module = NewModule();
  HeapFunction read;
  return !module.IsEmpty() && heap::ReadFunction(ObjectOf(module), &read) &&
         read.id.literal_id == 0 && read.name.empty() &&
         read.url == kScriptName && read.start == 0 &&
         read.line == kLineOffset + 1 && read.column == kColumnOffset + 1;
}

bool IsRead(v8::Local<v8::String> string, std::string_view text) {
  std::string read;
  return heap::ReadString(ObjectOf(string), heap::kMaxNameChars, &read) &&
         read == text;
}

// Tests a string that is joined, one that stands for an equal one, and one that
// is a part of another: V8's own source of a function.
bool Trial::IsRightAboutStrings() const {
  const std::string text = std::string(kFirstPart) + std::string(kSecondPart);
  const v8::Local<v8::String> joined = v8::String::Concat(
      isolate_, NewString(kFirstPart), NewString(kSecondPart));
  if (!IsRead(joined, text)) return false;
  // V8 keeps the name of a property once.
  const v8::Local<v8::Object> object = v8::Object::New(isolate_);
  v8::Local<v8::String> part;
  const size_t begin = kSource.find("function named");
  const size_t end = kSource.find(",\r\n");
  return object->CreateDataProperty(context_, joined, joined)
             .FromMaybe(false) &&
         IsRead(joined, text) &&
         functions_[2].function->FunctionProtoToString(context_).ToLocal(
             &part) &&
         IsRead(part, kSource.substr(begin, end - begin));
}

bool Trial::IsRightAboutRegExp() const {
  using Flags = v8::RegExp::Flags;
  const int flags = Flags::kHasIndices | Flags::kIgnoreCase |
                    Flags::kMultiline | Flags::kDotAll | Flags::kSticky;
  v8::Local<v8::RegExp> expression;
  std::string name;
  return v8::RegExp::New(context_, NewString(kPattern),
                         static_cast<Flags>(flags))
             .ToLocal(&expression) &&
         heap::ReadRegExpName(ObjectOf(expression), &name) &&
         name == kRegExpName;
}

bool Trial::Run(Findings* findings) {
  if (!MakeFunctions()) return false;
  KnownStackResult stack;
  const KnownCall call = {functions_[1].function, functions_[0].function,
                          kColumnOffset};
  if (!CheckKnownStack(isolate_, call, &stack)) return false;
  findings->names =
      IsRightAboutModule() && IsRightAboutStrings() && IsRightAboutRegExp();
  // From here on V8 is not called, so that nothing moves.
  const auto cache = std::make_unique<SafeMemory::Cache>();
  const SafeMemory::Reading reading(cache.get());
  findings->stack = stack.frames_right;
  findings->positions =
      stack.positions_right && HasRightPositions(0) && HasRightPositions(1);
  findings->ids = true;
  for (size_t i = 0; i < kFunctionCount; i++) {
    CheckFunction(i, findings);
  }
  return true;
}

// V8 has one map for all of these, and one for all scripts.
void Trial::RememberMaps() const {
  uintptr_t shared = 0;
  uintptr_t script = 0;
  if (!heap::ReadShared(ObjectOf(functions_[0].function), &shared)) return;
  heap::RememberMapOf(shared);
  if (heap::ReadScript(shared, &script)) heap::RememberMapOf(script);
}

// Up to V8 12, a function points to its code: here, that of two builtins.
void Trial::NoteBuiltins() const {
  v8::Local<v8::Function> native;
  CodeObject::NoteBuiltinOf(ObjectOf(functions_[0].function));
  if (v8::Function::New(context_,
                        [](const v8::FunctionCallbackInfo<v8::Value>&) {})
          .ToLocal(&native)) {
    CodeObject::NoteBuiltinOf(ObjectOf(native));
  }
}

void TryTable(v8::Isolate* isolate) {
  static std::atomic<int> refusals{0};
  const v8::HandleScope scope(isolate);
  const v8::TryCatch try_catch(isolate);
  Findings found;
  for (int i = 0; i < kMaxTries && !found.all(); i++) {
    found = Findings();
    Trial trial(isolate);
    if (!trial.Run(&found) || try_catch.HasCaught()) {
      // The termination of this thread is no finding about the table.
      if (!try_catch.HasTerminated() && ++refusals == kMaxTries) {
        CodeReader::SetTrust(Trust::kNone);
      }
      return;
    }
    if (found.all()) {
      trial.RememberMaps();
      trial.NoteBuiltins();
    }
  }
  CodeReader::SetCanIdentifyFunctions(found.names);
  CodeReader::SetTrust(!found.ids                         ? Trust::kNone
                       : !found.positions || !found.stack ? Trust::kFunctions
                                                          : Trust::kAll);
}

// Set while a thread tests the table, which may be interrupted.
std::atomic_flag is_trying = ATOMIC_FLAG_INIT;

}  // namespace

void CheckLayout(v8::Isolate* isolate) {
  if (CodeReader::GetTrust() != Trust::kUnchecked || !isolate->InContext() ||
      is_trying.test_and_set(std::memory_order_acquire)) {
    return;
  }
  if (!CodeReader::Possible() || !TableIsAsExported()) {
    CodeReader::SetTrust(Trust::kNone);
  } else if (CodeReader::GetTrust() == Trust::kUnchecked) {
    TryTable(isolate);
  }
  is_trying.clear(std::memory_order_release);
}

void CheckBuiltins(const BuiltinTable& builtins) {
  if (!CodeReader::Available() || CodeObject::AgreesWith(builtins)) return;
  CodeReader::SetTrust(Trust::kFunctions);
}

}  // namespace otelpyroscope
