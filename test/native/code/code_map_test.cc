// Tests of the code map: ranges, what reuses them, moves, limits, and V8's
// names taken apart.
#include "code/code_map.h"

#include <cstdint>
#include <string>
#include <vector>

#include "check.h"
#include "names/function_name.h"

namespace otelpyroscope {
namespace {

void AddCode(CodeMap* map, uintptr_t start, size_t size, const char* name,
             int script_id = 0) {
  map->Add(start, size, false, {script_id, -1}, name);
}

// The name of the code that owns an address; empty: nobody.
std::string NameAt(const CodeMap& map, uintptr_t address) {
  const CodeEntry* entry = map.Find(address);
  return entry == nullptr ? "" : entry->function->name;
}

TEST(code_is_found_within_its_range) {
  CodeMap map;
  AddCode(&map, 0x1000, 0x100, "JS:*a file:///a.js:1:1");
  AddCode(&map, 0x1100, 0x10, "JS:*b file:///a.js:2:1");
  for (int twice = 0; twice < 2; twice++) {
    EXPECT(NameAt(map, 0xfff).empty());
    EXPECT(NameAt(map, 0x1000) == "a file:///a.js:1:1");
    EXPECT(NameAt(map, 0x10ff) == "a file:///a.js:1:1");
    EXPECT(NameAt(map, 0x1100) == "b file:///a.js:2:1");
    EXPECT(NameAt(map, 0x110f) == "b file:///a.js:2:1");
    EXPECT(NameAt(map, 0x1110).empty());
    EXPECT(NameAt(map, ~uintptr_t{0}).empty());
  }
  EXPECT_EQ(map.entries(), 2);
}

TEST(code_has_a_kind) {
  CodeMap map;
  const auto kind_of = [&map](const char* name, bool is_bytecode) {
    map.Add(0x1000, 8, is_bytecode, {}, name);
    return map.Find(0x1000)->kind;
  };
  EXPECT(kind_of("JS:*f a.js:1:1", false) == CodeKind::kMachineCode);
  EXPECT(kind_of("Function:^f a.js:1:1", false) == CodeKind::kMachineCode);
  EXPECT(kind_of("JS:~f a.js:1:1", true) == CodeKind::kBytecode);
  EXPECT(kind_of("Builtin:ArrayMap", false) == CodeKind::kBuiltin);
  EXPECT(kind_of("BytecodeHandler:Add", false) == CodeKind::kBytecodeHandler);
  EXPECT(kind_of("RegExp:x+", false) == CodeKind::kOther);
  EXPECT_EQ(map.entries(), 1);
}

// V8 does not tell when it frees code.
TEST(code_that_reuses_an_address_replaces_what_was_there) {
  CodeMap map;
  for (uintptr_t i = 0; i < 10; i++) {
    AddCode(&map, 0x1000 + i * 0x100, 0x100, "JS:*old a.js:1:1");
  }
  EXPECT(NameAt(map, 0x1350) == "old a.js:1:1");
  // From the middle of the third to the first byte of the sixth.
  AddCode(&map, 0x1250, 0x2b1, "JS:*new a.js:2:1");
  EXPECT(NameAt(map, 0x11ff) == "old a.js:1:1");
  EXPECT(NameAt(map, 0x1200).empty());
  EXPECT(NameAt(map, 0x1250) == "new a.js:2:1");
  EXPECT(NameAt(map, 0x1350) == "new a.js:2:1");
  EXPECT(NameAt(map, 0x1500) == "new a.js:2:1");
  EXPECT(NameAt(map, 0x1501).empty());
  EXPECT(NameAt(map, 0x1600) == "old a.js:1:1");
  EXPECT_EQ(map.entries(), 2 + 1 + 4);
}

TEST(code_without_a_length_replaces_nothing) {
  CodeMap map;
  const FunctionId first = {1, 1};
  map.Add(0x1000, 0x100, false, first, "JS:*first a.js:1:1");
  map.Add(0x1000, 0, false, {1, 2}, "JS:*second a.js:2:1");
  EXPECT(NameAt(map, 0x1000) == "first a.js:1:1");
  EXPECT(map.FindFunction(first) != nullptr);
  EXPECT(map.FindFunction({1, 2}) == nullptr);
  map.Add(0x2000, 0x100, false, first, "JS:^first a.js:1:1");
  EXPECT(NameAt(map, 0x2000) == "first a.js:1:1");
  EXPECT_EQ(map.entries(), 2);
}

TEST(code_moves) {
  CodeMap map;
  AddCode(&map, 0x1000, 0x100, "JS:*a a.js:1:1");
  AddCode(&map, 0x2000, 0x100, "JS:*b a.js:2:1");
  AddCode(&map, 0x5000, 0x100, "JS:*freed a.js:3:1");
  EXPECT(!NameAt(map, 0x1080).empty());
  const std::vector<CodeMove> moves = {
      {0x1000, 0x5080, 0},  // over code that must be gone
      {0x2000, 0x6000, 0},
      {0x9000, 0xa000, 0},  // never heard of
  };
  map.ApplyMoves(moves.data(), moves.size());
  EXPECT(NameAt(map, 0x1080).empty());
  EXPECT(NameAt(map, 0x2000).empty());
  EXPECT(NameAt(map, 0x5000).empty());
  EXPECT(NameAt(map, 0x5080) == "a a.js:1:1");
  EXPECT(NameAt(map, 0x517f) == "a a.js:1:1");
  EXPECT(NameAt(map, 0x60ff) == "b a.js:2:1");
  EXPECT(NameAt(map, 0xa000).empty());
  EXPECT_EQ(map.entries(), 2);
}

TEST(code_moves_to_where_other_code_has_left) {
  CodeMap map;
  AddCode(&map, 0x1000, 0x100, "JS:*a a.js:1:1");
  AddCode(&map, 0x2000, 0x100, "JS:*b a.js:2:1");
  AddCode(&map, 0x3000, 0x100, "JS:*c a.js:3:1");
  // Helper threads tell of one collection's moves in any order.
  const std::vector<CodeMove> moves = {
      {0x2000, 0x4000, 0}, {0x1000, 0x2000, 0}, {0x3000, 0x1080, 0}};
  map.ApplyMoves(moves.data(), moves.size());
  EXPECT(NameAt(map, 0x4000) == "b a.js:2:1");
  EXPECT(NameAt(map, 0x2000) == "a a.js:1:1");
  EXPECT(NameAt(map, 0x1080) == "c a.js:3:1");
  EXPECT(NameAt(map, 0x1000).empty());
  EXPECT_EQ(map.entries(), 3);
}

TEST(code_moves_on_in_the_next_collection) {
  CodeMap map;
  AddCode(&map, 0x1000, 0x100, "JS:*a a.js:1:1");
  AddCode(&map, 0x2000, 0x100, "JS:*b a.js:2:1");
  // There and back again, and a swap of places over two collections.
  const std::vector<CodeMove> moves = {{0x1000, 0x3000, 0},
                                       {0x2000, 0x4000, 0},
                                       {0x3000, 0x2000, 0},
                                       {0x4000, 0x1000, 0}};
  map.ApplyMoves(moves.data(), moves.size());
  EXPECT(NameAt(map, 0x2000) == "a a.js:1:1");
  EXPECT(NameAt(map, 0x1000) == "b a.js:2:1");
  EXPECT_EQ(map.entries(), 2);
}

TEST(code_lookups_are_never_older_than_the_map) {
  CodeMap map;
  for (int i = 0; i < 2000; i++) {
    const uintptr_t start = 0x1000 + static_cast<uintptr_t>(i % 37) * 0x40;
    const std::string name = "JS:*f" + std::to_string(i) + " a.js:1:1";
    AddCode(&map, start, 0x40, name.c_str());
    EXPECT(NameAt(map, start + 0x3f) == name.substr(4));
    if (i % 5 == 0) {
      const CodeMove move = {start, 0x100000, 0};
      map.ApplyMoves(&move, 1);
      EXPECT(NameAt(map, start + 0x3f).empty());
      EXPECT(NameAt(map, 0x10003f) == name.substr(4));
    }
  }
  map.Clear();
  EXPECT(NameAt(map, 0x10003f).empty());
  EXPECT_EQ(map.entries(), 0);
  EXPECT_EQ(map.bytes(), 0);
}

TEST(code_storm_is_bounded_and_spares_sampled_code) {
  CodeMap map;
  AddCode(&map, 0x1000, 0x10, "Builtin:ArrayMap");
  AddCode(&map, 0x2000, 0x10, "JS:*sampled a.js:1:1");
  map.Find(0x2000)->hit = true;
  constexpr uintptr_t kCode = CodeMap::kMaxEntries + CodeMap::kMaxEntries / 2;
  for (uintptr_t i = 0; i < kCode; i++) {
    AddCode(&map, 0x100000 + i * 16, 16, "JS:~ evalmachine.<anonymous>:1:1");
    EXPECT_LE(map.entries(), CodeMap::kMaxEntries);
  }
  EXPECT_EQ(map.entries(), CodeMap::kMaxEntries);
  EXPECT_LE(map.bytes(), size_t{64} << 20);
  EXPECT(NameAt(map, 0x1000) == "ArrayMap");
  EXPECT(!NameAt(map, 0x2000).empty());
  EXPECT(!NameAt(map, 0x100000 + (kCode - 1) * 16).empty());
  EXPECT(NameAt(map, 0x100000).empty());
}

// All of it in use: builtins stay longer than functions, and the map is
// bounded.
TEST(code_that_is_all_in_use_is_bounded) {
  CodeMap map;
  AddCode(&map, 0x1000, 0x10, "Builtin:ArrayMap");
  for (uintptr_t i = 0; i < 2 * CodeMap::kMaxEntries; i++) {
    const uintptr_t start = 0x100000 + i * 16;
    AddCode(&map, start, 16, "JS:~ evalmachine.<anonymous>:1:1");
    map.Find(start)->hit = true;
    EXPECT_LE(map.entries(), CodeMap::kMaxEntries + CodeMap::kMaxEntries / 4);
  }
  EXPECT(NameAt(map, 0x1000) == "ArrayMap");
  EXPECT(NameAt(map, 0x100000).empty());
}

TEST(code_urls_are_bounded) {
  CodeMap map;
  constexpr int kScripts = 50000;
  int known = 0;
  for (int id = 1; id <= kScripts; id++) {
    AddCode(&map, 0x1000, 8, "Script:~ a.js", id);
    EXPECT(map.ScriptUrl(id) == "a.js");
  }
  for (int id = 1; id <= kScripts; id++) known += !map.ScriptUrl(id).empty();
  EXPECT_EQ(known, 20000);
}

TEST(code_knows_the_url_of_its_script) {
  CodeMap map;
  EXPECT(map.ScriptUrl(7).empty());
  AddCode(&map, 0x1000, 8, "JS:~f file:///with space/a.js:3:4", 7);
  EXPECT(map.ScriptUrl(7).empty());  // where does the name end?
  AddCode(&map, 0x2000, 8, "JS:~ file:///with space/a.js:1:1", 7);
  EXPECT(map.ScriptUrl(7) == "file:///with space/a.js");
  AddCode(&map, 0x3000, 8, "Script:~ node:fs", 8);
  EXPECT(map.ScriptUrl(8) == "node:fs");
}

HeapFunction FunctionNumber(int literal_id) {
  HeapFunction function;
  function.id = {5, literal_id};
  function.name = "f" + std::to_string(literal_id);
  return function;
}

class TestAnchor final : public CodeAnchor {
 public:
  explicit TestAnchor(const bool* holds) : holds_(holds) {}
  bool Holds() const override { return *holds_; }

 private:
  const bool* holds_;
};

TEST(code_read_from_the_heap_outlives_its_address) {
  bool holds = true;
  CodeMap map;
  const auto kept = map.Keep(FunctionNumber(3));
  map.AddRead(0x1000, 16, CodeTier::kBytecode, kept, nullptr);
  map.AddRead(0x2000, 16, CodeTier::kBaseline, kept, nullptr,
              std::make_unique<TestAnchor>(&holds));
  map.AddRead(0x3000, 16, CodeTier::kOptimized, kept, nullptr,
              std::make_unique<TestAnchor>(&holds));
  EXPECT(map.Find(0x100f)->kind == CodeKind::kBytecode);
  EXPECT(map.Find(0x2000)->baseline && !map.Find(0x2000)->optimized);
  EXPECT(map.Find(0x3000)->optimized && !map.Find(0x3000)->baseline);
  EXPECT(map.Find(0x3000)->function == kept);
  map.MarkStale();
  EXPECT(map.Find(0x1000) == nullptr && map.Find(0x3000) == nullptr);
  EXPECT(map.FindAgain(0x1008) == nullptr);  // nothing holds on to it
  EXPECT(map.FindAgain(0x3010) == nullptr);
  EXPECT_EQ(map.FindAgain(0x300f)->start, 0x3000);
  EXPECT(map.Find(0x3008)->optimized && map.FindAgain(0x3008) == nullptr);
  EXPECT(map.Find(0x1000) == nullptr && map.Find(0x2000) == nullptr);
  holds = false;
  EXPECT(map.FindAgain(0x2000) == nullptr && map.Find(0x2000) == nullptr);
  EXPECT(map.Find(0x3008) != nullptr);
  map.MarkStale();
  EXPECT(map.FindAgain(0x3008) == nullptr);
  // An entry that is not found again for long is forgotten.
  for (uint64_t i = 0; i < 3 * CodeMap::kMaxAge; i++) map.MarkStale();
  EXPECT_EQ(map.entries(), 0);
  holds = true;
  EXPECT(map.FindAgain(0x3000) == nullptr);
  EXPECT(map.FindKept({5, 3}) == kept);
  EXPECT(map.FindFunction({5, 3})->from_heap->name == "f3");
  EXPECT(map.FindKept({5, 4}) == nullptr);
  map.Clear();
  EXPECT(map.FindKept({5, 3}) == nullptr);
  EXPECT_EQ(map.bytes(), 0);
}

TEST(code_without_a_function_is_forgotten_with_its_address) {
  CodeMap map;
  map.AddNamed(0x1000, 16, "(regexp) /a/");
  EXPECT(NameAt(map, 0x1008) == "(regexp) /a/");
  EXPECT(map.Find(0x1008)->kind == CodeKind::kOther);
  map.AddOffHeap(0x5000, 16, "JS:wasm-function[3]-3-liftoff");
  map.MarkStale();
  EXPECT(NameAt(map, 0x1008).empty());
  EXPECT(NameAt(map, 0x5008) == "wasm-function[3]");
  const size_t with_both = map.bytes();
  for (uint64_t i = 0; i < 3 * CodeMap::kMaxAge; i++) map.MarkStale();
  EXPECT(map.bytes() < with_both);
  EXPECT(NameAt(map, 0x5008) == "wasm-function[3]");
}

TEST(code_of_builtins_may_be_added_again) {
  CodeMap map;
  map.SetBuiltinsCopy(0x9000, 0x1000, 0x1000);
  for (int i = 0; i < 3; i++) {
    map.AddBuiltin({0x1000, 0x40, false, "ArrayMap"});
    map.AddBuiltin({0x1040, 0x40, true, "LdaZeroHandler"});
    EXPECT(NameAt(map, 0x9010) == "ArrayMap");
    EXPECT(map.Find(0x9010)->kind == CodeKind::kBuiltin);
    EXPECT(map.Find(0x1050)->kind == CodeKind::kBytecodeHandler);
    // They stay where they are.
    map.MarkStale();
    EXPECT(NameAt(map, 0x9010) == "ArrayMap");
  }
  EXPECT_EQ(map.OriginalOf(0x9fff), 0x1fff);
  EXPECT_EQ(map.OriginalOf(0xa000), 0xa000);
}

TEST(code_functions_that_are_kept_are_bounded) {
  CodeMap map;
  for (int i = 0; i < static_cast<int>(CodeMap::kMaxKept); i++) {
    map.MakeRoom();
    map.Keep(FunctionNumber(i));
  }
  EXPECT(map.FindKept({5, 0}) != nullptr);
  map.MakeRoom();
  EXPECT(map.FindKept({5, 0}) == nullptr);
  EXPECT_EQ(map.bytes(), 0);
}

void ExpectName(const char* text, const char* known_url, const char* name,
                const char* url, int line, int column) {
  const FunctionName parsed = ParseFunctionName(text, known_url);
  EXPECT(parsed.name == name);
  EXPECT(parsed.url == url);
  EXPECT_EQ(parsed.line, line);
  EXPECT_EQ(parsed.column, column);
}

TEST(names_of_every_tier_are_of_one_function) {
  CodeMap map;
  uintptr_t start = 0x1000;
  for (const char* tier : {"~", "^", "+", "*", "'", "o+", "o*", "o'"}) {
    const std::string text =
        "JS:" + std::string(tier) + "render file:///a.js:12:7";
    map.Add(start, 8, false, {5, 3}, text);
    const CodeEntry* entry = map.Find(start);
    EXPECT(entry->function->name == "render file:///a.js:12:7");
    EXPECT(entry->function.get() == map.FindFunction({5, 3}));
    EXPECT(entry->optimized == (*tier != '~' && *tier != '^'));
    start += 8;
  }
  EXPECT(map.FindFunction({5, 4}) == nullptr);
  EXPECT(map.FindFunction({6, 3}) == nullptr);
  // Gone with the last code of it.
  map.Add(0x1000, 8 * 7, false, {5, 9}, "JS:*other a.js:1:1");
  EXPECT(map.FindFunction({5, 3}) != nullptr);
  map.Add(0x1000 + 8 * 7, 8, false, {5, 9}, "JS:*other a.js:1:1");
  EXPECT(map.FindFunction({5, 3}) == nullptr);
  EXPECT(map.FindFunction({5, 9}) != nullptr);
  map.Clear();
  EXPECT(map.FindFunction({5, 9}) == nullptr);
  EXPECT_EQ(map.bytes(), 0);
}

// Code that is specialized to one context, since V8 13.
TEST(names_with_a_mark_behind_the_tier) {
  CodeMap map;
  for (const char* tier : {"*'", "+'", "o*'"}) {
    const std::string text =
        "JS:" + std::string(tier) + "render file:///a.js:12:7";
    AddCode(&map, 0x1000, 8, text.c_str());
    EXPECT(NameAt(map, 0x1000) == "render file:///a.js:12:7");
    EXPECT(map.Find(0x1000)->optimized);
  }
}

TEST(names_of_code_that_is_no_function_of_javascript) {
  CodeMap map;
  AddCode(&map, 0x1000, 8, "RegExp:a b:1:2");
  EXPECT(NameAt(map, 0x1000) == "(regexp) /a b:1:2/");
  AddCode(&map, 0x1000, 8, "RegExp.> src: 'a' flags: 'g'");
  EXPECT(NameAt(map, 0x1000) == "(regexp) /a/g");
  AddCode(&map, 0x1000, 8, "JS:wasm-function[3]-3-liftoff");
  EXPECT(NameAt(map, 0x1000) == "wasm-function[3]");
  EXPECT(map.Find(0x1000)->kind == CodeKind::kOther);
}

TEST(code_of_builtins_is_found_in_their_copy) {
  CodeMap map;
  AddCode(&map, 0x1010, 0x10, "Builtin:ArrayMap");
  EXPECT(NameAt(map, 0x50018).empty());
  map.SetBuiltinsCopy(0x50000, 0x1000, 0x40);
  EXPECT(NameAt(map, 0x50018) == "ArrayMap");
  EXPECT(NameAt(map, 0x1018) == "ArrayMap");
  EXPECT(NameAt(map, 0x50008).empty());
  AddCode(&map, 0x1040, 0x10, "Builtin:Outside");
  EXPECT(NameAt(map, 0x50040).empty());
}

TEST(names_with_spaces_and_colons) {
  ExpectName("get size file:///a.js:1:2", "file:///a.js", "get size",
             "file:///a.js", 1, 2);
  ExpectName("get size file:///a.js:1:2", "", "get size", "file:///a.js", 1, 2);
  ExpectName("a:b:1 /x y/z.js:10:20", "/x y/z.js", "a:b:1", "/x y/z.js", 10,
             20);
  ExpectName("f node:internal/fs:10:20", "", "f", "node:internal/fs", 10, 20);
  ExpectName(" file:///a.js:5:6", "", "", "file:///a.js", 5, 6);
  ExpectName(" file:///a.js", "", "", "file:///a.js", 1, 0);
  ExpectName("orange a.js:1:2", "", "orange", "a.js", 1, 2);
}

TEST(names_of_nothing_in_particular) {
  ExpectName("", "", "", "", 0, 0);
  ExpectName("f", "", "f", "", 0, 0);
  ExpectName("f :1:2", "", "f", "", 1, 2);
  ExpectName(" :99999999999:1", "", "", ":99999999999:1", 1, 0);
}

}  // namespace
}  // namespace otelpyroscope
