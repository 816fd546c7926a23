// Which function owns an address: V8's code ranges, kept from its JIT events.
#ifndef NATIVE_CODE_MAP_H_
#define NATIVE_CODE_MAP_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace otelpyroscope {

enum class CodeKind : uint8_t {
  kMachineCode,      // Sparkplug, Maglev, TurboFan
  kBytecode,         // interpreted; the range is the bytecode array
  kBuiltin,          // part of V8
  kBytecodeHandler,  // the interpreter itself: its frame is the next one
  kOther,            // regular expressions, WebAssembly, stubs
};

// One range of code. `name` is V8's, without its kind: "*fn url:line:col" for
// functions (the first character tells the tier).
struct CodeEntry {
  uintptr_t start = 0;
  size_t size = 0;
  CodeKind kind = CodeKind::kOther;
  int script_id = 0;  // 0: none
  uint64_t sequence = 0;
  std::string name;
  // StackTable's number for this entry, good while its generation is.
  mutable uint64_t table_generation = 0;
  mutable uint32_t table_function = 0;
};

// Code that the garbage collector has moved.
struct CodeMove {
  uintptr_t from = 0;
  uintptr_t to = 0;
  // Samples that begin before this position of the ring are older.
  uint64_t ring_position = 0;
};

// Not thread-safe: the isolate's thread only, outside the signal handler.
class CodeMap {
 public:
  // About 40 MiB. When full, the oldest quarter of the functions that no
  // sample has hit is forgotten: eval storms produce such code.
  static constexpr size_t kMaxEntries = 200000;

  // Adds code by the name of its V8 event ("JS:*fn url:1:2"). What it overlaps
  // is gone: V8 never tells when it frees code, only when it reuses the place.
  void Add(uintptr_t start, size_t size, bool is_bytecode, int script_id,
           std::string_view event_name);

  // Applies moves in the order in which they happened.
  void ApplyMoves(const CodeMove* moves, size_t count);

  // The code that contains `address`, or null.
  const CodeEntry* Find(uintptr_t address) const;

  // The URL of a script as its top-level code tells it, or empty.
  std::string_view ScriptUrl(int script_id) const;

  void Clear();

  size_t entries() const { return entries_.size(); }
  // Memory held, in bytes, roughly.
  size_t bytes() const;
  // Changes with every change of the map.
  uint64_t version() const { return version_; }

 private:
  using Entries = std::map<uintptr_t, CodeEntry>;

  // The last answers of Find(): the same few call sites make most frames.
  struct CacheLine {
    uintptr_t address = 0;
    uint64_t version = 0;
    const CodeEntry* entry = nullptr;
  };
  static constexpr size_t kCacheLines = 1024;

  void EraseOverlapping(uintptr_t start, size_t size);
  void Insert(CodeEntry&& entry);
  void ForgetOldest();
  void LearnScriptUrl(int script_id, std::string_view name);

  Entries entries_;
  std::unordered_map<int, std::string> script_urls_;
  uint64_t next_sequence_ = 1;
  uint64_t version_ = 1;
  size_t name_bytes_ = 0;
  mutable CacheLine cache_[kCacheLines];
};

// A function's name taken apart.
struct FunctionName {
  std::string_view name;  // empty: anonymous
  std::string_view url;   // empty: none
  int line = 0;           // 1-based; 0: unknown
  int column = 0;
};

// Splits "*fn url:line:col". Both function names and URLs may contain spaces:
// `url`, where known, tells where to cut.
FunctionName ParseFunctionName(std::string_view text, std::string_view url);

}  // namespace otelpyroscope

#endif  // NATIVE_CODE_MAP_H_
