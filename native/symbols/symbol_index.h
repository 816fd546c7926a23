// Which native function owns an address: the symbols of the executable and of
// everything that is loaded.
#ifndef NATIVE_SYMBOLS_SYMBOL_INDEX_H_
#define NATIVE_SYMBOLS_SYMBOL_INDEX_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "symbols/elf_file.h"

namespace otelpyroscope {

// What is loaded at one moment. Never changes, so any thread may ask without a
// lock; a new one is made when more is loaded. About 1.6 MB for Node itself.
class SymbolIndex {
 public:
  using Snapshot = std::shared_ptr<const SymbolIndex>;

  // Has what has been loaded since the last call indexed, on a thread of its
  // own: some 20 ms the first time. Returns at once; the thread waits so long
  // before it begins, unless the index is asked for: a program that starts has
  // other work.
  static void Prepare(int delay_ms = 0);
  // The newest index. One that is being made is waited for, at most so long.
  // Null: there is none (yet).
  static Snapshot Current(int wait_ms);

  // Stands for the function that contains `address`, or for the whole file
  // where that has no symbol there; 0: `address` is in no file. Well below 1
  // µs, no lock, no allocation.
  uintptr_t FunctionAt(uintptr_t address) const;
  // Whether `address` is in an addon ("x.node").
  bool IsInAddon(uintptr_t address) const;
  // The readable name of a function, or of the file ("libc.so.6") where that
  // has no symbol there; empty: `address` is in no file. Reads files.
  std::string Name(uintptr_t address) const;

  // Memory held, in bytes, roughly.
  size_t bytes() const;

 private:
  // A loaded file. Shared by the indexes that know it.
  struct Module;
  struct State;

  SymbolIndex() = default;

  static State& GetState();
  static void* Build(void* state);
  static Snapshot IndexLoaded(const SymbolIndex* before);
  const Module* ModuleAt(uintptr_t address) const;

  // Names kept; when full, all are forgotten. About 1 MB.
  static constexpr size_t kMaxNames = 10000;

  std::vector<std::shared_ptr<const Module>> modules_;  // by address
  mutable std::mutex names_mutex_;
  mutable std::unordered_map<uintptr_t, std::string> names_;
};

}  // namespace otelpyroscope

#endif  // NATIVE_SYMBOLS_SYMBOL_INDEX_H_
