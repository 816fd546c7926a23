// Maps addresses to functions: the ranges of V8's code, read from its heap or
// from its code events.
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
  kBytecode,         // interpreted; the range is the bytecode
  kBuiltin,          // part of V8
  kBytecodeHandler,  // the interpreter: its frame is the next one
  kOther,            // regular expressions, WebAssembly, stubs
};

// Returns the index of the line for `address` in a cache with one address per
// line.
constexpr size_t CacheLineOf(uintptr_t address, size_t lines) {
  return (address ^ (address >> 10)) % lines;
}

// The function that code of one or more tiers belongs to.
struct CodeFunction : std::enable_shared_from_this<CodeFunction> {
  // V8's name, without kind and tier: "fn url:line:col" for functions of
  // scripts. Empty if the function was read from the heap.
  std::string name;
  FunctionId id;
  bool in_script = false;
  std::unique_ptr<const HeapFunction> from_heap;
  // StackTable's number for this function, valid while its generation is.
  mutable uint64_t table_generation = 0;
  mutable uint32_t table_function = 0;
};

enum class CodeTier : uint8_t { kBytecode, kBaseline, kOptimized };

// Checks whether a piece of code on V8's heap is still where it was.
class CodeAnchor {
 public:
  virtual ~CodeAnchor() = default;
  // Whether it is the same code, at the same address, with the same tables.
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
  // Whether a sample has hit the code; the positions are read then, see
  // code_reader.h.
  mutable bool hit = false;
  mutable bool positions_read = false;
  mutable std::shared_ptr<const CodePositions> positions;
  // Not on V8's heap, so that it does not move.
  bool off_heap = false;
  uint32_t module = 0;  // number of the WebAssembly module, or 0
  // The generation in which it was last known to be here, see MarkStale(), and
  // what can check whether it still is; null if nothing can.
  mutable uint64_t generation = 0;
  std::unique_ptr<const CodeAnchor> anchor;
  bool name_is_guess = false;
  // The neighbours in the list of entries by age.
  CodeEntry* older = nullptr;
  CodeEntry* newer = nullptr;
};

// A move of code by the garbage collector.
struct CodeMove {
  uintptr_t from = 0;
  uintptr_t to = 0;
  // Samples before this position of the ring are older than the move.
  uint64_t ring_position = 0;
};

// Not thread-safe: on the isolate's thread only, outside the signal handler.
// The drain and V8's callbacks may call everything: nothing here touches V8's
// heap, except FindAgain(), which reads the words of anchors.
class CodeMap {
 public:
  // About 40 MiB. When full, each new range replaces the oldest one of a
  // function that no sample has hit since it was last checked: repeated eval()
  // produces such code.
  static constexpr size_t kMaxEntries = 200000;
  // Functions read from the heap: about 10 MiB. When full, all are forgotten,
  // and read again as samples hit them.
  static constexpr size_t kMaxKept = 20000;
  // Code that no sample has hit for this many collections is forgotten.
  static constexpr uint64_t kMaxAge = 16;

  // Adds code by the name of its V8 event ("JS:*fn url:1:2"). Removes ranges
  // that it overlaps: V8 never reports that it frees code, only that it reuses
  // the addresses.
  void Add(uintptr_t start, size_t size, bool is_bytecode, FunctionId id,
           std::string_view event_name);

  // Adds optimized code of a known function that V8 has not reported. Returns
  // false if the function is not known.
  bool AddFound(uintptr_t start, size_t size, FunctionId id);

  // Adds code that was read from V8's heap. `function` is one of this map's.
  void AddRead(uintptr_t start, size_t size, CodeTier tier,
               std::shared_ptr<CodeFunction> function,
               std::shared_ptr<const CodePositions> positions,
               std::unique_ptr<const CodeAnchor> anchor = nullptr);
  // Adds code that belongs to no function of a script. `is_guess`: a later
  // sample may find a better name.
  void AddNamed(uintptr_t start, size_t size, std::string_view name,
                std::unique_ptr<const CodeAnchor> anchor = nullptr,
                bool is_guess = false);
  // Adds code that is not on V8's heap, by the name of its event. `module` is
  // the number that ForgetModule() takes.
  void AddOffHeap(uintptr_t start, size_t size, std::string_view event_name,
                  uint32_t module = 0);
  void ForgetModule(uint32_t module);
  void AddBuiltin(const Builtin& builtin);

  // Forgets everything if there is no room to keep more. Called before each
  // sample.
  void MakeRoom() {
    if (kept_.size() >= kMaxKept) Clear();
  }
  // Keeps a function that was read from the heap, until Clear().
  std::shared_ptr<CodeFunction> Keep(HeapFunction&& function);
  // Returns a function that is kept, or null.
  std::shared_ptr<CodeFunction> FindKept(FunctionId id) const;

  // Marks all code on V8's heap as stale: it may have moved, or its addresses
  // be reused. Find() ignores stale entries until FindAgain() has checked that
  // they are still there. An entry that is not found again for kMaxAge calls is
  // forgotten. Called in callbacks of the collector.
  void MarkStale();
  // Whether anything may have been added or found again since MarkStale().
  bool HasFreshEntries() const { return changes_ != stale_changes_; }
  // Returns the stale code at `address` if its anchor still holds, or null.
  // From then on Find() returns it again.
  const CodeEntry* FindAgain(uintptr_t address);

  // Applies moves in the order in which they happened.
  void ApplyMoves(const CodeMove* moves, size_t count);

  // Returns the code that contains `address`, or null.
  const CodeEntry* Find(uintptr_t address) const;

  // Returns the function while code of it is known, or null.
  const CodeFunction* FindFunction(FunctionId id) const;

  // Returns the URL of a script by the name of its top-level code, or "".
  std::string_view ScriptUrl(int script_id) const;

  // Sets V8's code range: [start, start + size).
  void SetGeneratedRange(uintptr_t start, size_t size) {
    generated_start_ = start;
    generated_size_ = size;
  }
  // Whether V8 generated the code at this address, in the map or not.
  bool IsGenerated(uintptr_t address) const {
    return address - generated_start_ < generated_size_;
  }

  // Sets the second mapping at `copy` from which V8 runs its builtins, while it
  // reports only the addresses of the first: [original, original + size).
  void SetBuiltinsCopy(uintptr_t copy, uintptr_t original, size_t size) {
    copy_start_ = copy;
    copy_size_ = size;
    copy_original_ = original;
    NoteLoss();
  }

  // 0 if there is none.
  uintptr_t builtins_copy() const { return copy_start_; }

  // Returns the address that V8 reports for the code at `address`.
  uintptr_t OriginalOf(uintptr_t address) const {
    return address - copy_start_ < copy_size_
               ? address - copy_start_ + copy_original_
               : address;
  }

  void Clear();

  size_t entries() const { return entries_.size(); }
  // Memory that the map takes, in bytes, roughly.
  size_t bytes() const;
  // A number that changes whenever something that was found may not be found
  // again, or not unchanged. New ranges elsewhere do not change it.
  uint64_t losses() const { return losses_; }

 private:
  using Entries = std::map<uintptr_t, CodeEntry>;

  // The last results of Find(): the same few call sites make most frames.
  struct CacheLine {
    uintptr_t address = 0;
    uint64_t stamp = 0;  // losses_, or, where nothing was found, changes_
    const CodeEntry* entry = nullptr;
  };
  static constexpr size_t kCacheLines = 1024;

  bool IsFresh(const CodeEntry& entry) const {
    return entry.generation == generation_ || entry.off_heap;
  }
  // Returns the range that contains an address, stale or not; or null.
  const CodeEntry* EntryAt(uintptr_t address) const;
  // Inserts the entry as the newest, and removes ranges that it overlaps.
  void Insert(CodeEntry&& entry);
  Entries::iterator Erase(Entries::iterator entry);
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
  // Functions with a known id; their entries own them.
  std::unordered_map<uint64_t, CodeFunction*> functions_;
  std::vector<std::shared_ptr<CodeFunction>> kept_;
  std::map<int, std::string> script_urls_;
  int url_clock_ = 0;  // the script after which the next URL is forgotten
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
