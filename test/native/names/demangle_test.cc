// Tests of native functions' names: what is left of a symbol.
#include "names/demangle.h"

#include <cstdint>
#include <random>
#include <string>

#include "check.h"

namespace otelpyroscope {
namespace {

void ExpectName(const char* symbol, const char* name) {
  const std::string found = ReadableSymbol(symbol);
  if (found != name) {
    check::Fail(__FILE__, __LINE__, (found + " for " + symbol).c_str());
  }
}

TEST(symbols_of_cpp) {
  ExpectName(
      "_ZN4node2fsL12ReadFileUtf8ERKN2v820FunctionCallbackInfoINS1_5ValueEEE",
      "node::fs::ReadFileUtf8");
  ExpectName("_ZNSt6vectorIiSaIiEE9push_backEOi", "std::vector::push_back");
  ExpectName("_ZNK3foo3bar3bazEv", "foo::bar::baz");
  ExpectName("_ZN12_GLOBAL__N_13fooEv", "foo");
  ExpectName("_ZN2v88internal10JsonParserIhE14ParseJsonValueEv",
             "v8::internal::JsonParser::ParseJsonValue");
  // A template has its return type in front.
  ExpectName("_Z3addIiET_S0_S0_", "add");
  ExpectName("_ZN3FooIiEcvbEv", "Foo::operator bool");
  ExpectName("_ZN3FoolsEi", "Foo::operator<<");
  ExpectName("_ZN3FooclEi", "Foo::operator()");
  ExpectName("_ZN3FooltIiEEbT_", "Foo::operator<");
  ExpectName("_ZN3FooptEv", "Foo::operator->");
  ExpectName("_Znwm", "operator new");
  // Literals of the user's own.
  ExpectName("_ZN1nli3_kbEy", "n::operator\"\" _kb");
  ExpectName("_ZN1nli2_tIJLc49ELc50EEEEiv", "n::operator\"\" _t");
  // No operator of C++, and no reason to look for ever.
  ExpectName("operator:", "operator:");
  EXPECT(ShortFunctionName("operator)operator'") == "operator)operator'");
  ExpectName("_ZThn16_N3Foo3barEv", "Foo::bar");
  ExpectName("_ZZN3foo3barEvENKUlvE_clEv", "foo::bar::{lambda#1}::operator()");
  ExpectName("_ZZN3foo3barEvENKUliE0_clEi", "foo::bar::{lambda#2}::operator()");
  ExpectName("_Z11my_operatorILi3EEvv", "my_operator");
}

// LLVM's C++ library, which the published binaries are built with, has other
// names for lambdas; the compiler of this test may have GNU's library.
TEST(symbols_of_lambdas_are_as_gnus_whatever_demangles_them) {
  EXPECT(ShortFunctionName("f()::'lambda'()::operator()() const") ==
         "f::{lambda#1}::operator()");
  EXPECT(ShortFunctionName("f()::'lambda'(int)::operator()(int) const") ==
         "f::{lambda#1}::operator()");
  EXPECT(ShortFunctionName("f()::'lambda0'()::operator()() const") ==
         "f::{lambda#2}::operator()");
  EXPECT(ShortFunctionName("f()::'lambda12'()::operator()() const") ==
         "f::{lambda#14}::operator()");
  for (const std::string text : {"'lambda", "'lambda1", "'lambda9999999'"}) {
    EXPECT(ShortFunctionName(text) == text);
  }
}

TEST(symbols_of_other_languages) {
  ExpectName("epoll_pwait", "epoll_pwait");
  ExpectName("memcpy@@GLIBC_2.14", "memcpy");
  ExpectName("Builtins_ArrayMap", "ArrayMap");
  ExpectName("deflate_slow.constprop.0", "deflate_slow");
  ExpectName("_ZN3foo3barEv.cold", "foo::bar");
  ExpectName("main.(*T).run", "main.(*T).run");
  ExpectName("_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write");
  ExpectName("", "");
  ExpectName("_Z", "_Z");
  ExpectName("@", "@");
}

TEST(symbols_that_no_demangler_knows_keep_their_leading_names) {
  ExpectName("_ZN2v88internal11StringShape8DispatchIZ?",
             "v8::internal::StringShape::Dispatch");
  ExpectName("_ZNK12_GLOBAL__N_13foo3barI?", "foo::bar");
  ExpectName("_Z99999999999999999999x", "_Z99999999999999999999x");
  ExpectName("_Z9short", "_Z9short");
}

TEST(symbols_have_a_limit) {
  const std::string longest(5000, 'x');
  EXPECT(ReadableSymbol(longest) ==
         longest.substr(0, kMaxSymbolNameBytes) + "…");
  const std::string deep = "_Z1f" + std::string(3000, 'P') + "i";
  EXPECT_LE(ReadableSymbol(deep).size(), kMaxSymbolNameBytes + 3);
}

TEST(symbols_of_any_bytes_are_survived) {
  std::mt19937 random(1);
  constexpr char kLetters[] = "_ZNSt3foo4Bar5IiEvRKPUlE_clC1D2@.<>()[]{}- ";
  for (int i = 0; i < 20000; i++) {
    std::string symbol = i % 2 == 0 ? "_ZN" : "";
    for (size_t length = random() % 60; length > 0; length--) {
      symbol += kLetters[random() % (sizeof(kLetters) - 1)];
    }
    EXPECT_LE(ReadableSymbol(symbol).size(), kMaxSymbolNameBytes + 3);
    EXPECT_LE(ShortFunctionName(symbol).size(), symbol.size());
  }
}

}  // namespace
}  // namespace otelpyroscope
