// Finds the native function at an address, by the symbols of the executable and
// of everything that is loaded.
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

// The index of the files that are loaded at one moment. It never changes, so
// any thread may use it without a lock; a new one is made when more is loaded.
// About 1.6 MB for Node itself. None of its functions may be called in the
// signal handler.
class SymbolIndex {
 public:
  using Snapshot = std::shared_ptr<const SymbolIndex>;

  // Starts a thread that indexes the files loaded since the last call, in some
  // 20 ms the first time. Returns at once. The thread waits `delay_ms` before
  // it begins, unless the index is asked for: a program that starts has other
  // work.
  static void Prepare(int delay_ms = 0);
  // Returns the newest index, or null if there is none (yet). Waits at most
  // `wait_ms` for one that is being made.
  static Snapshot Current(int wait_ms);

  // Returns an address that identifies the function that contains `address`, or
  // the whole file if it has no symbol there; or 0 if `address` is in no file.
  // Takes well below 1 µs, no lock, and does not allocate: may be called in the
  // drain and in callbacks of the collector.
  uintptr_t FunctionAt(uintptr_t address) const;
  // Whether `address` is in an addon ("x.node"). As FunctionAt().
  bool IsInAddon(uintptr_t address) const;
  // Returns the readable name of the function, or of the file ("libc.so.6") if
  // that has no symbol there; or "" if `address` is in no file. Reads files, so
  // not in the drain.
  std::string Name(uintptr_t address) const;

  // Memory that the index takes, in bytes, roughly.
  size_t bytes() const;

 private:
  // A loaded file. Indexes that contain it share it.
  struct Module;
  struct State;

  SymbolIndex() = default;

  static State& GetState();
  static void* Build(void* state);
  static Snapshot IndexLoaded(const SymbolIndex* before);
  const Module* ModuleAt(uintptr_t address) const;

  // Names that are cached; when full, all are forgotten. About 1 MB.
  static constexpr size_t kMaxNames = 10000;

  std::vector<std::shared_ptr<const Module>> modules_;  // sorted by address
  mutable std::mutex names_mutex_;
  mutable std::unordered_map<uintptr_t, std::string> names_;
};

}  // namespace otelpyroscope

#endif  // NATIVE_SYMBOLS_SYMBOL_INDEX_H_
