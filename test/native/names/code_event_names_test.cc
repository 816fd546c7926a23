// Tests of the names of regular expressions and WebAssembly functions, as V8
// 11.3, 12.4, 13.6 and 14 were seen to spell them.
#include "names/code_event_names.h"

#include <string>

#include "check.h"

namespace otelpyroscope {
namespace {

TEST(event_names_of_regular_expressions) {
  EXPECT(RegExpNameOf("RegExp:a+(b|c)*d$") == "(regexp) /a+(b|c)*d$/");
  EXPECT(RegExpNameOf("RegExp.> src: 'x'y+' flags: 'gi'") ==
         "(regexp) /x'y+/gi");
  EXPECT(RegExpNameOf("RegExp.< src: '' flags: ''") == "(regexp) //");
  EXPECT(RegExpNameOf("RegExp.< src: 'a\nb' flags: 's'") == "(regexp) /a b/s");
  EXPECT(RegExpNameOf("RegExp.> src: 'cut off") == "(regexp) /cut off/");
  EXPECT(RegExpNameOf("RegExp.> src: '' flags: '' flags: 'y'") ==
         "(regexp) /' flags: '/y");
  EXPECT(RegExpNameOf("JS:*RegExp a.js:1:1").empty());
  EXPECT(RegExpNameOf("RegExpish").empty());
  EXPECT(RegExpNameOf("RegExp").empty());
  EXPECT(RegExpNameOf("RegExp.").empty());
}

TEST(event_names_of_long_regular_expressions_are_cut) {
  std::string source;
  for (int i = 0; i < 500; i++) source += "é";
  const std::string name =
      RegExpNameOf("RegExp.> src: 'a" + source + "' flags: 'u'");
  EXPECT(name == "(regexp) /a" + source.substr(0, 2 * 59) + "…/u");
}

TEST(event_names_of_web_assembly) {
  EXPECT(WasmName("JS:wasm-function[3]-3-liftoff") == "wasm-function[3]");
  EXPECT(WasmName("JS:wasm-function[12]-12-turbofan") == "wasm-function[12]");
  EXPECT(WasmName("JS:spin loop-0-turbofan") == "spin loop");
  EXPECT(WasmName("JS:*a-1-liftoff") == "*a");
  EXPECT(WasmName("JS:-3-liftoff").empty());
  EXPECT(WasmName("JS:f-liftoff").empty());
  EXPECT(WasmName("JS:f3-liftoff").empty());
  EXPECT(WasmName("JS:*f file:///a-1-liftoff:1:2").empty());
  EXPECT(WasmName("Builtin:x-1-liftoff").empty());
}

}  // namespace
}  // namespace otelpyroscope
