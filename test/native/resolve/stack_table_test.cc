// Tests of the stack table: equal samples add up, different ones stay apart,
// and a full table keeps the CPU and the label.
#include "resolve/stack_table.h"

#include <dlfcn.h>

#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

#include "check.h"

extern "C" __attribute__((noinline)) int stack_table_test_native_function(
    int value) {
  asm volatile("" : "+r"(value));
  return value + 1;
}

namespace otelpyroscope {
namespace {

// "label|leaf;...;root" of every stack with its weight.
std::unordered_map<std::string, uint64_t> Contents(const StackTable& table) {
  std::unordered_map<std::string, uint64_t> contents;
  for (const auto& [key, weight] : table.stacks()) {
    std::string text = std::to_string(static_cast<uint32_t>(key[0])) + "|";
    for (size_t i = 1; i < key.size(); i++) {
      if (i > 1) text += ';';
      text += table.functions()[table.frames()[key[i]].function].name;
    }
    contents[text] += weight;
  }
  return contents;
}

struct Program {
  CodeMap map;
  StackTable table;

  Program() {
    map.Add(0x1000, 16, false, {1, -1}, "JS:*leaf file:///a.js:10:1");
    map.Add(0x2000, 16, false, {1, -1}, "JS:~root file:///a.js:20:1");
    // The same function as the first, in another tier.
    map.Add(0x3000, 16, true, {1, -1}, "JS:~leaf file:///a.js:10:1");
    map.Add(0x4000, 16, false, {0, -1}, "Builtin:ArrayMap");
    map.Add(0x5000, 16, false, {1, -1}, "JS:* file:///a.js:30:1");
  }

  void Sample(uint32_t label, const std::vector<uintptr_t>& stack,
              uint64_t weight = 1) {
    table.Begin(label);
    for (const uintptr_t address : stack) {
      table.Push(*map.Find(address)->function, map);
    }
    table.Commit(weight);
  }
};

TEST(stacks_add_up_by_label_and_function) {
  Program program;
  program.Sample(1, {0x1000, 0x2000}, 2);
  program.Sample(1, {0x3000, 0x2000}, 3);
  program.Sample(2, {0x1000, 0x2000}, 5);
  program.Sample(1, {0x2000}, 7);
  program.Sample(0, {0x4000, 0x5000}, 11);
  auto contents = Contents(program.table);
  EXPECT_EQ(contents.size(), 4);
  EXPECT_EQ(contents["1|leaf;root"], 5);
  EXPECT_EQ(contents["2|leaf;root"], 5);
  EXPECT_EQ(contents["1|root"], 7);
  EXPECT_EQ(contents["0|ArrayMap;(anonymous)"], 11);
  EXPECT_EQ(program.table.functions().size(), 4);
  const FunctionInfo& leaf = program.table.functions()[0];
  EXPECT(leaf.name == "leaf");
  EXPECT(leaf.url == "file:///a.js");
  EXPECT_EQ(leaf.line, 10);
}

TEST(stacks_differ_by_the_position_in_a_function) {
  Program program;
  const CodeFunction& leaf = *program.map.Find(0x1000)->function;
  for (const int32_t position : {100, 200, 100, -1}) {
    program.table.Begin(1);
    program.table.Push(leaf, program.map, position);
    program.table.Commit(1);
  }
  EXPECT_EQ(program.table.stacks().size(), 3);
  EXPECT_EQ(program.table.functions().size(), 1);
  EXPECT_EQ(program.table.frames().size(), 3);
  EXPECT_EQ(program.table.frames()[0].position, 100);
  EXPECT_EQ(program.table.frames()[0].script_id, 1);
  EXPECT_EQ(program.table.frames()[1].position, 200);
  EXPECT_EQ(program.table.frames()[2].position, -1);
}

TEST(stacks_have_frames_that_are_no_functions) {
  Program program;
  program.table.Begin(3);
  program.table.Push(PseudoFrame::kGarbageCollector);
  program.table.Commit(1);
  program.table.Begin(3);
  program.table.Push(PseudoFrame::kNative);
  program.table.Push(PseudoFrame::kTruncated);
  program.table.Commit(1);
  auto contents = Contents(program.table);
  EXPECT_EQ(contents["3|(garbage collector)"], 1);
  EXPECT_EQ(contents["3|(native code);(truncated)"], 1);
}

TEST(stacks_start_anew_after_clear) {
  Program program;
  program.Sample(1, {0x1000, 0x2000});
  program.table.Clear();
  EXPECT_EQ(program.table.stacks().size(), 0);
  EXPECT_EQ(program.table.functions().size(), 0);
  // Numbers that the code map's entries remember are of the old table.
  program.Sample(1, {0x5000});
  program.Sample(1, {0x2000});
  auto contents = Contents(program.table);
  EXPECT_EQ(contents.size(), 2);
  EXPECT_EQ(contents["1|(anonymous)"], 1);
  EXPECT_EQ(contents["1|root"], 1);
}

// The frames that the table knows of a caller, innermost first; "-": none.
std::string KnownFrames(const Program& program, uintptr_t address) {
  const StackTable::Caller* caller =
      program.table.FindCaller(address, program.map);
  if (caller == nullptr) return "-";
  std::string text;
  for (uint32_t i = 0; i < caller->count; i++) {
    const FrameInfo& frame = program.table.frames()[caller->frames[i]];
    text += program.table.functions()[frame.function].name + ";";
  }
  return text;
}

void RememberCaller(Program* program, uintptr_t address, size_t inlined) {
  const CodeFunction& leaf = *program->map.Find(0x1000)->function;
  const CodeFunction& root = *program->map.Find(0x2000)->function;
  program->table.Begin(1);
  program->table.Push(root, program->map);
  const size_t depth = program->table.depth();
  for (size_t i = 0; i < inlined; i++) {
    program->table.Push(leaf, program->map, static_cast<int32_t>(i));
  }
  program->table.Push(root, program->map);
  program->table.RememberCaller(address, program->map, depth);
  program->table.Commit(1);
}

TEST(stacks_know_callers_that_they_had_before) {
  Program program;
  EXPECT(KnownFrames(program, 0x2004) == "-");
  RememberCaller(&program, 0x2004, 2);
  EXPECT(KnownFrames(program, 0x2004) == "leaf;leaf;root;");
  EXPECT(KnownFrames(program, 0x2005) == "-");
  // Code elsewhere changes nothing.
  program.map.Add(0x9000, 16, false, {1, -1}, "JS:~new file:///a.js:40:1");
  EXPECT(KnownFrames(program, 0x2004) == "leaf;leaf;root;");
  // The same stack by what is known.
  program.table.Begin(1);
  program.table.Push(*program.map.Find(0x2000)->function, program.map);
  program.table.Push(*program.table.FindCaller(0x2004, program.map));
  program.table.Commit(2);
  const auto contents = Contents(program.table);
  EXPECT_EQ(contents.size(), 1);
  EXPECT_EQ(contents.at("1|root;leaf;leaf;root"), 3);
}

TEST(stacks_know_callers_as_long_as_their_numbers_are_good) {
  Program program;
  StackTable taken;
  RememberCaller(&program, 0x2004, 1);
  program.table.MoveTo(&taken);
  EXPECT(KnownFrames(program, 0x2004) == "-");
  RememberCaller(&program, 0x2004, 1);
  EXPECT(KnownFrames(program, 0x2004) == "leaf;root;");
  // Other code in its place, and a collection.
  program.map.Add(0x2000, 16, false, {1, -1}, "JS:~other file:///a.js:20:1");
  EXPECT(KnownFrames(program, 0x2004) == "-");
  RememberCaller(&program, 0x2004, 0);
  EXPECT(KnownFrames(program, 0x2004) == "other;");
  program.map.MarkStale();
  EXPECT(KnownFrames(program, 0x2004) == "-");
}

TEST(stacks_know_no_callers_with_too_many_inlined_functions) {
  Program program;
  RememberCaller(&program, 0x2004, StackTable::Caller::kMaxFrames - 1);
  EXPECT(KnownFrames(program, 0x2004) != "-");
  RememberCaller(&program, 0x3004, StackTable::Caller::kMaxFrames);
  EXPECT(KnownFrames(program, 0x3004) == "-");
}

TEST(stacks_move_to_another_table_and_start_anew) {
  Program program;
  StackTable taken;
  program.Sample(1, {0x1000, 0x2000}, 3);
  program.table.MoveTo(&taken);
  program.Sample(1, {0x2000}, 4);
  auto contents = Contents(taken);
  EXPECT_EQ(contents.size(), 1);
  EXPECT_EQ(contents["1|leaf;root"], 3);
  program.table.MoveTo(&taken);
  contents = Contents(taken);
  EXPECT_EQ(contents.size(), 1);
  EXPECT_EQ(contents["1|root"], 4);
  EXPECT_EQ(program.table.functions().size(), 0);
}

TEST(stacks_with_native_functions_are_named_at_last) {
  Program program;
  const uintptr_t native =
      reinterpret_cast<uintptr_t>(&stack_table_test_native_function);
  const auto push = [&](uintptr_t address) {
    program.table.Begin(1);
    program.table.PushNative(address);
    program.table.Push(PseudoFrame::kEventLoop);
    program.table.Commit(1);
  };
  push(native);  // no index yet: addresses stay apart, but get their names
  push(native + 1);
  program.table.NameNatives();
  EXPECT_EQ(Contents(program.table)["1|;(event loop)"], 2);
  program.table.LearnSymbols(10000);
  program.table.NameNatives();
  EXPECT_EQ(program.table.NameUnknown(), 0);
  EXPECT_EQ(program.table.stacks().size(), 2);
  const char* name = "1|stack_table_test_native_function;(event loop)";
  EXPECT_EQ(Contents(program.table)[name], 2);
  program.table.Clear();
  push(native);
  push(native + 1);
  EXPECT_EQ(program.table.stacks().size(), 1);
  program.table.NameNatives();
  EXPECT_EQ(Contents(program.table)[name], 2);
  int nobodys = 0;
  EXPECT(!program.table.PushNative(reinterpret_cast<uintptr_t>(&nobodys)));
}

TEST(stacks_with_native_functions_have_a_name_without_an_index) {
  Program program;
  program.table.Begin(1);
  program.table.PushNative(
      reinterpret_cast<uintptr_t>(&stack_table_test_native_function));
  program.table.Commit(1);
  program.table.NameUnknown();
  EXPECT_EQ(Contents(program.table)["1|(native code)"], 1);
}

TEST(stacks_with_functions_of_a_file_loaded_meanwhile_are_named_at_last) {
  Program program;
  program.table.LearnSymbols(10000);
  // Small, one of them on every system with a compiler, and not linked to this
  // program.
  const char* const files[] = {"libgomp.so.1", "libz.so.1",
                               "libthread_db.so.1"};
  const char* const names[] = {"omp_get_num_threads", "deflate", "td_init"};
  uintptr_t loaded = 0;
  for (size_t i = 0; i < std::size(files) && loaded == 0; i++) {
    void* library = dlopen(files[i], RTLD_LAZY);
    if (library == nullptr) continue;
    loaded = reinterpret_cast<uintptr_t>(dlsym(library, names[i]));
  }
  EXPECT(loaded != 0);
  program.table.Begin(1);
  EXPECT(!program.table.PushNative(loaded));
  program.table.Commit(1);
  int nobodys = 0;
  program.table.Begin(2);
  EXPECT(!program.table.PushNative(reinterpret_cast<uintptr_t>(&nobodys)));
  program.table.Commit(1);
  EXPECT_EQ(program.table.NameAllNatives(10000), 1);
  auto contents = Contents(program.table);
  EXPECT_EQ(contents["2|(unresolved)"], 1);
  EXPECT_EQ(contents["1|(unresolved)"], 0);
  EXPECT_EQ(contents.size(), 3);
}

TEST(stacks_moved_before_there_is_an_index_have_names_of_foreign_functions) {
  Program program;
  StackTable taken;
  program.table.LearnFiles();
  const auto push = [&](uintptr_t address) {
    program.table.Begin(1);
    program.table.PushNative(address);
    program.table.Commit(1);
  };
  int nobodys = 0;
  push(reinterpret_cast<uintptr_t>(&nobodys));
  push(reinterpret_cast<uintptr_t>(&stack_table_test_native_function));
  program.table.MoveTo(&taken);
  taken.NameForeign([](uintptr_t) { return "foreign"; });
  taken.NameUnknown();
  auto contents = Contents(taken);
  EXPECT_EQ(contents["1|foreign"], 1);
  EXPECT_EQ(contents["1|(native code)"], 1);
}

TEST(stacks_learn_late_where_functions_begin) {
  CodeMap map;
  HeapFunction function;
  function.id = {7, 1};
  function.name = "f";
  function.url = "file:///a.js";
  function.start = 90;
  HeapFunction other = function;
  other.id.literal_id = 2;
  other.line = 3;
  other.column = 4;
  const auto late = map.Keep(std::move(function));
  const auto early = map.Keep(std::move(other));
  StackTable table;
  table.Begin(0);
  table.Push(*late, map);
  table.Push(*early, map);
  table.Commit(1);
  EXPECT_EQ(table.functions().size(), 2);
  EXPECT_EQ(table.functions()[0].line, 0);
  int asked = 0;
  for (int i = 0; i < 2; i++) {
    table.FillLines([&asked](int script_id, int32_t offset, int* column) {
      asked++;
      if (column != nullptr) *column = 8;
      return script_id == 7 && offset == 90 ? 12 : 0;
    });
  }
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(table.functions()[0].line, 12);
  EXPECT_EQ(table.functions()[0].column, 8);
  EXPECT(table.functions()[0].url == "file:///a.js");
  EXPECT_EQ(table.functions()[1].line, 3);
}

TEST(stacks_tell_evaluated_functions_of_one_name_apart) {
  CodeMap map;
  HeapFunction function;
  function.id = {7, 1};
  function.name = "f";
  function.line = 3;
  function.column = 4;
  HeapFunction other = function;
  other.id.script_id = 8;
  HeapFunction in_file = function;
  in_file.id.script_id = 9;
  in_file.url = "file:///a.js";
  HeapFunction same_file = in_file;
  same_file.id.script_id = 10;
  StackTable table;
  table.Begin(0);
  for (HeapFunction* one : {&function, &other, &in_file, &same_file}) {
    table.Push(*map.Keep(std::move(*one)), map);
  }
  table.Commit(1);
  EXPECT_EQ(table.functions().size(), 3);
  table.FillUrls([](int script_id, uint32_t) {
    return script_id == 7 ? std::string("a.ejs") : std::string();
  });
  EXPECT(table.functions()[0].url == "a.ejs");
  EXPECT(table.functions()[1].url.empty());
  EXPECT(table.functions()[2].url == "file:///a.js");
  table.FillMaps([](int script_id) { return script_id == 8 ? 5u : 0u; });
  EXPECT_EQ(table.functions()[1].source_map, 5);
  EXPECT_EQ(table.functions()[2].source_map, 0);
}

TEST(stacks_beyond_the_limit_keep_label_and_weight) {
  Program program;
  constexpr uint32_t kStacks = StackTable::kMaxStacks;
  for (uint32_t i = 0; i < kStacks; i++) program.Sample(i + 1, {0x1000});
  EXPECT_EQ(program.table.stacks().size(), kStacks);
  program.Sample(7, {0x2000}, 3);
  program.Sample(7, {0x2000, 0x1000}, 4);
  program.Sample(8, {0x1000}, 9);  // one that is known
  auto contents = Contents(program.table);
  EXPECT_EQ(contents["7|(stack table full)"], 7);
  EXPECT_EQ(contents["8|leaf"], 10);
  // And a second limit, for labels.
  uint64_t total = 0;
  for (uint32_t i = 0; i < 2 * kStacks; i++) {
    program.Sample(1000000 + i, {0x2000});
  }
  for (const auto& [key, weight] : program.table.stacks()) total += weight;
  EXPECT_EQ(total, uint64_t{kStacks} + 3 + 4 + 9 + 2 * uint64_t{kStacks});
  EXPECT_LE(program.table.stacks().size(), 2 * size_t{kStacks} + 1);
}

// A call of V8's for a line may collect, and the collection drains into the
// very table whose lines are being filled in.
TEST(stacks_may_be_added_while_lines_are_asked_for) {
  CodeMap map;
  StackTable table;
  int added = 0;
  const auto add = [&](int32_t position) {
    HeapFunction function;
    function.id = {7, ++added};
    function.name = "f" + std::to_string(added);
    function.start = added;
    table.Begin(0);
    table.Push(*map.Keep(std::move(function)), map, position);
    table.Commit(1);
  };
  add(5000);
  const auto line_of = [&](int, int32_t offset, int* column) {
    // Enough for vectors to move, more than once.
    if (added < 3000) {
      for (int i = 0; i < 100; i++) add(5000 + added);
    }
    if (column != nullptr) *column = 1;
    return offset + 10;
  };
  table.FillLines(line_of);
  table.FillLines(line_of);
  EXPECT_EQ(table.functions().size(), static_cast<size_t>(added));
  EXPECT_EQ(table.lines().size(), table.frames().size());
  for (size_t i = 0; i < table.frames().size(); i++) {
    const FrameInfo& frame = table.frames()[i];
    const FunctionInfo& function = table.functions()[frame.function];
    EXPECT(function.name == "f" + std::to_string(function.line - 10));
    EXPECT_EQ(table.lines()[i], static_cast<uint32_t>(frame.position) + 10);
  }
}

TEST(stacks_without_lines_have_those_of_their_functions) {
  Program program;
  program.table.Begin(0);
  program.table.Push(*program.map.Find(0x1000)->function, program.map, 100);
  program.table.Push(PseudoFrame::kTruncated);
  program.table.Commit(1);
  program.table.FillLinesWithStarts();
  EXPECT_EQ(program.table.lines().size(), 2);
  EXPECT_EQ(program.table.lines()[0], 10);
  EXPECT_EQ(program.table.lines()[1], 0);
}

// Code that is generated without end makes functions without end.
TEST(functions_beyond_the_limit_keep_label_and_weight) {
  CodeMap map;
  StackTable table;
  constexpr uint32_t kMore = StackTable::kMaxFunctions + 1000;
  for (uint32_t i = 0; i < kMore; i++) {
    CodeFunction function;
    function.name = "f" + std::to_string(i) + " /eval.js:1:1";
    function.in_script = true;
    table.Begin(i % 2);
    table.Push(function, map);
    table.Commit(1);
  }
  // The pseudo frame is one more.
  EXPECT_EQ(table.functions().size(), StackTable::kMaxFunctions + 1);
  auto contents = Contents(table);
  EXPECT_EQ(contents["0|(stack table full)"], 500);
  EXPECT_EQ(contents["1|(stack table full)"], 500);
  EXPECT_EQ(contents["1|f1"], 1);
  // Native functions are functions as well.
  table.Begin(3);
  EXPECT(table.PushNative(0x1234));
  table.Commit(1);
  EXPECT_EQ(Contents(table)["3|(stack table full)"], 1);
}

TEST(names_of_functions_are_bounded_in_bytes) {
  CodeMap map;
  StackTable table;
  const std::string text(4096, 'x');
  constexpr size_t kFit = StackTable::kMaxTextBytes / 4096;
  for (size_t i = 0; i < kFit + 100; i++) {
    CodeFunction function;
    function.name = text + std::to_string(i);
    table.Begin(0);
    table.Push(function, map);
    table.Commit(1);
  }
  EXPECT_LE(table.functions().size(), kFit + 1);
}

TEST(frames_beyond_the_limit_keep_label_and_weight) {
  Program program;
  const CodeFunction& leaf = *program.map.Find(0x1000)->function;
  for (size_t i = 0; i < StackTable::kMaxFrames + 10; i++) {
    program.table.Begin(1);
    program.table.Push(leaf, program.map, static_cast<int32_t>(i));
    // Only every eighth is a stack of its own: stacks have a limit as well.
    if (i % 8 == 0 || i >= StackTable::kMaxFrames) program.table.Commit(1);
  }
  EXPECT_EQ(program.table.frames().size(), StackTable::kMaxFrames + 1);
  EXPECT_EQ(Contents(program.table)["1|(stack table full)"], 10);
}

}  // namespace
}  // namespace otelpyroscope
