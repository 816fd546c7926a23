// The symbols are called "Builtins_…", in the executable or in the library that
// contains V8.
#include "symbols/builtin_table.h"

#include <unistd.h>

#include <algorithm>
#include <string_view>

#include "symbols/elf_file.h"
#include "symbols/loaded_files.h"

namespace otelpyroscope {
namespace {

constexpr std::string_view kPrefix = "Builtins_";
constexpr std::string_view kHandlerSuffix = "Handler";
// V8 has about 2,000 builtins; with fewer, the symbols are others.
constexpr size_t kFewest = 1000;

}  // namespace

const BuiltinTable* BuiltinTable::Get(uintptr_t start, size_t size) {
  // There is one V8 in the process, and all isolates have the same builtins.
  static const BuiltinTable* const table = Read(start, size);
  return table;
}

const BuiltinTable* BuiltinTable::Read(uintptr_t start, size_t size) {
  const std::optional<LoadedFile> loaded = LoadedFileOf(start);
  if (!loaded.has_value() || size > UINT32_MAX) return nullptr;
  const int file = OpenLoadedFile(*loaded);
  if (file < 0) return nullptr;
  ElfFunctions symbols;
  std::vector<std::string> names;
  const bool is_read = ReadElfRow(file, start - loaded->bias,
                                  static_cast<uint32_t>(size), &symbols) &&
                       ReadElfNames(file, symbols, &names);
  close(file);
  if (!is_read) return nullptr;
  auto* table = new BuiltinTable;
  for (size_t i = 0; i < names.size(); i++) {
    std::string_view name = names[i];
    if (!name.starts_with(kPrefix)) continue;
    name.remove_prefix(kPrefix.size());
    Builtin builtin;
    builtin.start = start + symbols.functions[i].start;
    builtin.size = symbols.functions[i].size;
    builtin.name = name;
    table->builtins_.push_back(std::move(builtin));
  }
  // The interpreter's builtins are the last ones, in a row.
  for (auto last = table->builtins_.rbegin(); last != table->builtins_.rend();
       ++last) {
    if (!last->name.ends_with(kHandlerSuffix)) break;
    last->is_bytecode_handler = true;
  }
  if (table->builtins_.size() >= kFewest &&
      table->builtins_.back().is_bytecode_handler) {
    return table;
  }
  delete table;
  return nullptr;
}

const Builtin* BuiltinTable::Find(uintptr_t address) const {
  const auto after = std::upper_bound(
      builtins_.begin(), builtins_.end(), address,
      [](uintptr_t value, const Builtin& b) { return value < b.start; });
  if (after == builtins_.begin()) return nullptr;
  const Builtin& found = *std::prev(after);
  return address - found.start < found.size ? &found : nullptr;
}

}  // namespace otelpyroscope
