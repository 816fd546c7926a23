// Tests of the index of what is loaded, on this program itself.
#include "symbols/symbol_index.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "check.h"

namespace otelpyroscope {

// Not inlined, and with a symbol of its own.
__attribute__((noinline)) int FunctionOfTheTest(int value) {
  asm volatile("" : "+r"(value));
  return value + 1;
}

namespace {

// Long enough for a loaded machine: a test of the outcome, not of the time.
constexpr int kWaitMs = 10000;

uintptr_t AddressOf(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer);
}

TEST(symbols_of_this_program_and_its_libraries) {
  SymbolIndex::Prepare();
  const SymbolIndex::Snapshot symbols = SymbolIndex::Current(kWaitMs);
  EXPECT(symbols != nullptr);
  const uintptr_t start =
      AddressOf(reinterpret_cast<const void*>(&FunctionOfTheTest));
  for (const uintptr_t address : {start, start + 3}) {
    EXPECT_EQ(symbols->FunctionAt(address), start);
    EXPECT(symbols->Name(address) == "otelpyroscope::FunctionOfTheTest");
  }
  const uintptr_t in_libc = AddressOf(dlsym(RTLD_DEFAULT, "lfind"));
  const std::string name = symbols->Name(symbols->FunctionAt(in_libc));
  EXPECT(name == "lfind");
  EXPECT_EQ(symbols->FunctionAt(0), 0);
  EXPECT_EQ(symbols->FunctionAt(UINTPTR_MAX), 0);
  int local = 0;
  EXPECT_EQ(symbols->FunctionAt(AddressOf(&local)), 0);
  EXPECT(symbols->Name(AddressOf(&local)).empty());
  EXPECT(!symbols->IsInAddon(start));
  EXPECT_GE(symbols->bytes(), 1000);
}

// Where a file has no symbol, the file is the name.
TEST(symbols_that_are_not_there_make_room_for_the_file) {
  SymbolIndex::Prepare();
  const SymbolIndex::Snapshot symbols = SymbolIndex::Current(kWaitMs);
  Dl_info info;
  EXPECT(dladdr(dlsym(RTLD_DEFAULT, "lfind"), &info) != 0);
  const uintptr_t file = AddressOf(info.dli_fbase);
  EXPECT_EQ(symbols->FunctionAt(file + 1), file);
  EXPECT(symbols->Name(file).starts_with("libc.") ||
         symbols->Name(file).starts_with("ld-musl"));
}

TEST(symbols_of_what_is_loaded_later) {
  SymbolIndex::Prepare();
  const SymbolIndex::Snapshot before = SymbolIndex::Current(kWaitMs);
  // Small, on every system with a compiler, and not linked to this program.
  void* library = dlopen("libanl.so.1", RTLD_NOW);
  if (library == nullptr) library = dlopen("libgomp.so.1", RTLD_NOW);
  if (library == nullptr) library = dlopen("libz.so.1", RTLD_NOW);
  EXPECT(library != nullptr);
  const char* names[] = {"getaddrinfo_a", "omp_get_num_threads", "deflate"};
  const void* function = nullptr;
  for (const char* name : names) {
    if (function == nullptr) function = dlsym(library, name);
  }
  EXPECT(function != nullptr);
  SymbolIndex::Prepare();
  const SymbolIndex::Snapshot after = SymbolIndex::Current(kWaitMs);
  EXPECT(after != before);
  EXPECT(after->FunctionAt(AddressOf(function)) != 0);
  EXPECT(!after->Name(AddressOf(function)).empty());
  const uintptr_t own =
      AddressOf(reinterpret_cast<const void*>(&FunctionOfTheTest));
  EXPECT(after->Name(own) == "otelpyroscope::FunctionOfTheTest");
  SymbolIndex::Prepare();
  EXPECT(SymbolIndex::Current(kWaitMs) == after);
}

TEST(symbols_are_for_any_thread) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) {
    threads.emplace_back([] {
      const uintptr_t own =
          AddressOf(reinterpret_cast<const void*>(&FunctionOfTheTest));
      for (int round = 0; round < 50; round++) {
        SymbolIndex::Prepare();
        const SymbolIndex::Snapshot symbols = SymbolIndex::Current(kWaitMs);
        EXPECT(symbols != nullptr);
        EXPECT_EQ(symbols->FunctionAt(own + 1), own);
        EXPECT(symbols->Name(own) == "otelpyroscope::FunctionOfTheTest");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace otelpyroscope
