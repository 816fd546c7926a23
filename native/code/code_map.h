// Which function owns an address: V8's code ranges, kept from its JIT events.
#ifndef NATIVE_CODE_CODE_MAP_H_
#define NATIVE_CODE_CODE_MAP_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "symbols/builtin_table.h"
#include "v8_heap/heap_function.h"
#include "v8_heap/source_positions.h"

namespace otelpyroscope {

enum class CodeKind : uint8_t {
  kMachineCode,      // Sparkplug, Maglev, TurboFan
  kBytecode,         // interpreted; the range is the bytecode array
  kBuiltin,          // part of V8
  kBytecodeHandler,  // the interpreter itself: its frame is the next one
  kOther,            // regular expressions, WebAssembly, stubs
};

// Where a cache of so many lines, one for each address, has that of `address`.
constexpr size_t CacheLineOf(uintptr_t address, size_t lines) {
  return (address ^ (address >> 10)) % lines;
}

// What code of one or more tiers belongs to.
struct CodeFunction : std::enable_shared_from_this<CodeFunction> {
  // V8's, without kind and tier, "fn url:line:col" for functions of scripts.
  // Empty where the heap has told of the function.
  std::string name;
  FunctionId id;
  bool in_script = false;
  std::unique_ptr<const HeapFunction> from_heap;
  // StackTable's number for this function, good while its generation is.
  mutable uint64_t table_generation = 0;
  mutable uint32_t table_function = 0;
};

enum class CodeTier : uint8_t { kBytecode, kBaseline, kOptimized };

// Knows whether a piece of code on V8's heap is still where it was.
class CodeAnchor {
 public:
  virtual ~CodeAnchor() = default;
  // Whether it is the same code, in the same place, with the same tables.
  virtual bool Holds() const = 0;
};

// One range of code.
struct CodeEntry {
  uintptr_t start = 0;
  size_t size = 0;
  CodeKind kind = CodeKind::kOther;
  bool optimized = false;  // by Maglev or TurboFan: calls may be inlined
  bool baseline = false;   // by Sparkplug
  std::shared_ptr<CodeFunction> function;
  // Read when a sample first hits the code, see code_reader.h.
  mutable bool hit = false;
  mutable bool positions_read = false;
  mutable std::shared_ptr<const CodePositions> positions;
  // Not on V8's heap: it stays where it is.
  bool off_heap = false;
  uint32_t module = 0;  // of WebAssembly: its number; 0: it has none
  // When it was last known to be here, see MarkStale(), and what knows
  // whether it still is; null: nothing does.
  mutable uint64_t generation = 0;
  std::unique_ptr<const CodeAnchor> anchor;
  bool name_is_guess = false;
  // The map's order of age.
  CodeEntry* older = nullptr;
  CodeEntry* newer = nullptr;
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
  // About 40 MiB. When full, each new code replaces the oldest of a function
  // that no sample has hit since it was looked at last: eval storms produce
  // such code.
  static constexpr size_t kMaxEntries = 200000;
  // Functions of the heap that are kept: about 10 MiB. When full, all is
  // forgotten, and read again as samples hit it.
  static constexpr size_t kMaxKept = 20000;
  // Collections after which code that nobody has seen again is forgotten.
  static constexpr uint64_t kMaxAge = 16;

  // Adds code by the name of its V8 event ("JS:*fn url:1:2"). What it overlaps
  // is gone: V8 never tells when it frees code, only when it reuses the place.
  void Add(uintptr_t start, size_t size, bool is_bytecode, FunctionId id,
           std::string_view event_name);

  // Adds optimized code of a known function that V8 has not told of. False: the
  // function is not known.
  bool AddFound(uintptr_t start, size_t size, FunctionId id);

  // Adds code that V8's heap tells of. `function` is one of this map's.
  void AddRead(uintptr_t start, size_t size, CodeTier tier,
               std::shared_ptr<CodeFunction> function,
               std::shared_ptr<const CodePositions> positions,
               std::unique_ptr<const CodeAnchor> anchor = nullptr);
  // Code of no function of a script.
  // `is_guess`: a later sample may know a better name.
  void AddNamed(uintptr_t start, size_t size, std::string_view name,
                std::unique_ptr<const CodeAnchor> anchor = nullptr,
                bool is_guess = false);
  // Code that is not on V8's heap, by the name of its event. `module`: the
  // number by which ForgetModule() knows it.
  void AddOffHeap(uintptr_t start, size_t size, std::string_view event_name,
                  uint32_t module = 0);
  void ForgetModule(uint32_t module);
  void AddBuiltin(const Builtin& builtin);

  // Forgets all where there is no room to keep more. Before a sample.
  void MakeRoom() {
    if (kept_.size() >= kMaxKept) Clear();
  }
  // Keeps what the heap says of a function, until Clear().
  std::shared_ptr<CodeFunction> Keep(HeapFunction&& function);
  // A function that is kept, or null.
  std::shared_ptr<CodeFunction> FindKept(FunctionId id) const;

  // From here on, code on V8's heap may have moved, or its place be reused:
  // what is known is not found until FindAgain() has seen that it is still
  // there. Forgotten when nobody has for kMaxAge calls.
  void MarkStale();
  // Whether anything may have been learnt or found again since then.
  bool HasFreshEntries() const { return changes_ != stale_changes_; }
  // The code at `address` from before, if its anchor still holds. It is found
  // by Find() again.
  const CodeEntry* FindAgain(uintptr_t address);

  // Applies moves in the order in which they happened.
  void ApplyMoves(const CodeMove* moves, size_t count);

  // The code that contains `address`, or null.
  const CodeEntry* Find(uintptr_t address) const;

  // The function, as long as code of it is known; or null.
  const CodeFunction* FindFunction(FunctionId id) const;

  // The URL of a script as its top-level code tells it, or empty.
  std::string_view ScriptUrl(int script_id) const;

  // Where V8 puts the code that it generates: [start, start + size).
  void SetGeneratedRange(uintptr_t start, size_t size) {
    generated_start_ = start;
    generated_size_ = size;
  }
  // Whether code at this address was generated by V8, known here or not.
  bool IsGenerated(uintptr_t address) const {
    return address - generated_start_ < generated_size_;
  }

  // V8 runs its builtins from a second mapping at `copy`, and tells only the
  // addresses of the first: [original, original + size).
  void SetBuiltinsCopy(uintptr_t copy, uintptr_t original, size_t size) {
    copy_start_ = copy;
    copy_size_ = size;
    copy_original_ = original;
    NoteLoss();
  }

  // 0: there is none.
  uintptr_t builtins_copy() const { return copy_start_; }

  // The address at which V8 tells of what is at `address`.
  uintptr_t OriginalOf(uintptr_t address) const {
    return address - copy_start_ < copy_size_
               ? address - copy_start_ + copy_original_
               : address;
  }

  void Clear();

  size_t entries() const { return entries_.size(); }
  // Memory held, in bytes, roughly.
  size_t bytes() const;
  // Changes whenever something that was found may be found no more, or not as
  // it was. What is new elsewhere does not count.
  uint64_t losses() const { return losses_; }

 private:
  using Entries = std::map<uintptr_t, CodeEntry>;

  // The last answers of Find(): the same few call sites make most frames.
  struct CacheLine {
    uintptr_t address = 0;
    uint64_t stamp = 0;  // losses_, or, where nothing was found, changes_
    const CodeEntry* entry = nullptr;
  };
  static constexpr size_t kCacheLines = 1024;

  bool IsGood(const CodeEntry& entry) const {
    return entry.generation == generation_ || entry.off_heap;
  }
  // The range around an address, whether it is good or not; or null.
  const CodeEntry* EntryAt(uintptr_t address) const;
  // As the newest. What it overlaps is gone.
  void Insert(CodeEntry&& entry);
  Entries::iterator Erase(Entries::iterator place);
  void AppendToOrder(CodeEntry* entry);
  void TakeFromOrder(CodeEntry* entry);
  std::shared_ptr<CodeFunction> FunctionOf(FunctionId id, bool in_script,
                                           std::string_view name);
  void ForgetOne();
  void NoteLoss() {
    losses_++;
    changes_++;
  }
  void LearnScriptUrl(int script_id, std::string_view name);

  Entries entries_;
  // Functions with a known id; owned by their entries.
  std::unordered_map<uint64_t, CodeFunction*> functions_;
  std::vector<std::shared_ptr<CodeFunction>> kept_;
  std::map<int, std::string> script_urls_;
  int url_clock_ = 0;  // the script behind which the next URL is forgotten
  uintptr_t generated_start_ = 0;
  size_t generated_size_ = 0;
  uintptr_t copy_start_ = 0;
  size_t copy_size_ = 0;
  uintptr_t copy_original_ = 0;
  uint64_t generation_ = 0;
  CodeEntry* oldest_ = nullptr;
  CodeEntry* newest_ = nullptr;
  uint64_t losses_ = 1;
  uint64_t changes_ = 1;
  uint64_t stale_changes_ = 0;  // changes_ at the last MarkStale()
  size_t name_bytes_ = 0;
  mutable CacheLine cache_[kCacheLines];
};

}  // namespace otelpyroscope

#endif  // NATIVE_CODE_CODE_MAP_H_
