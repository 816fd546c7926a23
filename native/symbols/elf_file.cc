// Files are 64-bit ELF in the byte order of this machine.
#include "symbols/elf_file.h"

#include <elf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "names/demangle.h"

namespace otelpyroscope {
namespace {

// Files have a few dozen sections.
constexpr size_t kMaxSections = 10000;
constexpr size_t kSymbolsPerRead = 2048;
// The distance, in symbols, between two probes of FindRow().
constexpr size_t kSymbolsPerProbe = 512;
// Bytes of names that are read in one piece.
constexpr uint64_t kMaxNamesBytes = 4 << 20;
// A function without a size ends where the next one begins, at most this far
// away.
constexpr uint32_t kMaxGuessedSize = 1 << 16;
// The same where the table has exported functions alone: behind musl's
// memset(), which has 196 bytes, are its system calls.
constexpr uint32_t kMaxGuessedSizeOfExport = 192;
// How many functions may lie inside another one.
constexpr int kMaxNested = 4;

bool ReadAt(int file, uint64_t offset, void* to, size_t size) {
  char* next = static_cast<char*>(to);
  while (size > 0) {
    const ssize_t length = pread(file, next, size, static_cast<off_t>(offset));
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) return false;
    next += length;
    offset += static_cast<uint64_t>(length);
    size -= static_cast<size_t>(length);
  }
  return true;
}

bool IsInFile(uint64_t offset, uint64_t size, uint64_t file_size) {
  return offset <= file_size && size <= file_size - offset;
}

bool ReadSections(int file, uint64_t file_size,
                  std::vector<Elf64_Shdr>* sections) {
  Elf64_Ehdr header;
  if (!ReadAt(file, 0, &header, sizeof(header))) return false;
  const unsigned char byte_order =
      std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;
  if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
      header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_ident[EI_DATA] != byte_order ||
      header.e_shentsize != sizeof(Elf64_Shdr) || header.e_shnum == 0 ||
      header.e_shnum > kMaxSections) {
    return false;
  }
  const size_t bytes = header.e_shnum * sizeof(Elf64_Shdr);
  if (!IsInFile(header.e_shoff, bytes, file_size)) return false;
  sections->resize(header.e_shnum);
  return ReadAt(file, header.e_shoff, sections->data(), bytes);
}

// Returns the first table of that type whose string table is in the file, or
// null.
const Elf64_Shdr* FindTable(const std::vector<Elf64_Shdr>& sections,
                            uint32_t type, uint64_t file_size) {
  for (const Elf64_Shdr& section : sections) {
    if (section.sh_type != type || section.sh_entsize != sizeof(Elf64_Sym) ||
        section.sh_link >= sections.size() ||
        !IsInFile(section.sh_offset, section.sh_size, file_size)) {
      continue;
    }
    const Elf64_Shdr& names = sections[section.sh_link];
    if (names.sh_type == SHT_STRTAB &&
        IsInFile(names.sh_offset, names.sh_size, file_size)) {
      return &section;
    }
  }
  return nullptr;
}

bool IsFunction(const Elf64_Sym& symbol) {
  const int type = ELF64_ST_TYPE(symbol.st_info);
  return (type == STT_FUNC || type == STT_GNU_IFUNC) &&
         symbol.st_shndx != SHN_UNDEF && symbol.st_name != 0;
}

// Addresses [base, base + size), and the symbols [begin, end) of a table.
struct Wanted {
  uint64_t base;
  uint32_t size;
  size_t begin;
  size_t end;

  bool Includes(const Elf64_Sym& symbol) const {
    return IsFunction(symbol) && symbol.st_value >= base &&
           symbol.st_value - base < size;
  }
};

bool ReadSymbols(int file, const Elf64_Shdr& table, size_t begin, size_t count,
                 Elf64_Sym* symbols) {
  return ReadAt(file, table.sh_offset + begin * sizeof(Elf64_Sym), symbols,
                count * sizeof(Elf64_Sym));
}

// Narrows `wanted` to adjacent symbols, as one object file's are. Changes
// nothing if the probes find none.
void FindRow(int file, const Elf64_Shdr& table, Wanted* wanted) {
  size_t first = SIZE_MAX;
  size_t last = 0;
  for (size_t i = wanted->begin; i < wanted->end; i += kSymbolsPerProbe) {
    Elf64_Sym symbol;
    if (!ReadSymbols(file, table, i, 1, &symbol)) return;
    if (!wanted->Includes(symbol)) continue;
    if (first == SIZE_MAX) {
      first = i;
    } else if (i - last != kSymbolsPerProbe) {
      return;
    }
    last = i;
  }
  if (first == SIZE_MAX) return;
  wanted->begin = first - std::min(first, kSymbolsPerProbe);
  wanted->end = std::min(wanted->end, last + kSymbolsPerProbe);
}

bool ReadTable(int file, const Elf64_Shdr& table, const Wanted& wanted,
               ElfFunctions* out) {
  std::vector<Elf64_Sym> symbols(
      std::min(wanted.end - wanted.begin, kSymbolsPerRead));
  for (size_t begin = wanted.begin; begin < wanted.end;
       begin += kSymbolsPerRead) {
    const size_t length = std::min(kSymbolsPerRead, wanted.end - begin);
    if (!ReadSymbols(file, table, begin, length, symbols.data())) return false;
    for (size_t i = 0; i < length; i++) {
      const Elf64_Sym& symbol = symbols[i];
      if (!wanted.Includes(symbol) || symbol.st_name >= out->names_size) {
        continue;
      }
      if (out->functions.size() >= ElfFunctions::kMaxFunctions) return true;
      ElfFunction function;
      function.start = static_cast<uint32_t>(symbol.st_value - out->base);
      function.size = static_cast<uint32_t>(
          std::min<uint64_t>(symbol.st_size, UINT32_MAX - function.start));
      function.name = symbol.st_name;
      out->functions.push_back(function);
    }
  }
  return true;
}

// Sorts by start, in three passes over 11 bits each: a tenth of std::sort()'s
// time on the hundred thousand functions of Node.js.
void SortByStart(std::vector<ElfFunction>* functions) {
  constexpr unsigned kBits = 11;
  constexpr size_t kDigits = size_t{1} << kBits;
  std::vector<ElfFunction> sorted(functions->size());
  for (unsigned shift = 0; shift < 32; shift += kBits) {
    const auto digit = [shift](const ElfFunction& function) {
      return (function.start >> shift) % kDigits;
    };
    std::vector<uint32_t> starts(kDigits + 1);
    for (const ElfFunction& function : *functions) {
      starts[digit(function) + 1]++;
    }
    for (size_t i = 1; i < kDigits; i++) starts[i] += starts[i - 1];
    for (const ElfFunction& function : *functions) {
      sorted[starts[digit(function)]++] = function;
    }
    functions->swap(sorted);
  }
}

// Keeps one function for each start (the largest of several names), and gives
// each a size.
void Arrange(std::vector<ElfFunction>* functions, uint32_t max_guessed_size) {
  SortByStart(functions);
  for (auto begin = functions->begin(); begin != functions->end();) {
    const auto end = std::find_if(
        begin, functions->end(),
        [begin](const ElfFunction& f) { return f.start != begin->start; });
    std::sort(begin, end, [](const ElfFunction& a, const ElfFunction& b) {
      return a.size != b.size ? a.size > b.size : a.name < b.name;
    });
    begin = end;
  }
  const auto end = std::unique(functions->begin(), functions->end(),
                               [](const ElfFunction& a, const ElfFunction& b) {
                                 return a.start == b.start;
                               });
  functions->erase(end, functions->end());
  functions->shrink_to_fit();
  for (size_t i = 0; i < functions->size(); i++) {
    ElfFunction& function = (*functions)[i];
    if (function.size != 0) continue;
    function.size = max_guessed_size;
    if (i + 1 < functions->size()) {
      const uint32_t gap = (*functions)[i + 1].start - function.start;
      function.size = std::min(gap, max_guessed_size);
    }
  }
}

bool ReadFunctions(int file, uint64_t base, uint32_t size, bool in_a_row,
                   ElfFunctions* functions) {
  struct stat status;
  if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) return false;
  const uint64_t file_size = static_cast<uint64_t>(status.st_size);
  std::vector<Elf64_Shdr> sections;
  if (!ReadSections(file, file_size, &sections)) return false;
  const Elf64_Shdr* table = FindTable(sections, SHT_SYMTAB, file_size);
  if (table == nullptr) table = FindTable(sections, SHT_DYNSYM, file_size);
  if (table == nullptr) return false;
  functions->base = base;
  functions->names_offset = sections[table->sh_link].sh_offset;
  functions->names_size = sections[table->sh_link].sh_size;
  functions->functions.clear();
  Wanted wanted = {base, size, 0, table->sh_size / sizeof(Elf64_Sym)};
  if (in_a_row) FindRow(file, *table, &wanted);
  if (!ReadTable(file, *table, wanted, functions)) return false;
  Arrange(&functions->functions, table->sh_type == SHT_SYMTAB
                                     ? kMaxGuessedSize
                                     : kMaxGuessedSizeOfExport);
  return true;
}

}  // namespace

const ElfFunction* ElfFunctions::Find(uint64_t address) const {
  if (address < base || address - base > UINT32_MAX) return nullptr;
  const uint32_t offset = static_cast<uint32_t>(address - base);
  auto after = std::upper_bound(
      functions.begin(), functions.end(), offset,
      [](uint32_t value, const ElfFunction& f) { return value < f.start; });
  for (int i = 0; i < kMaxNested && after != functions.begin(); i++) {
    --after;
    if (offset - after->start < after->size) return &*after;
  }
  return nullptr;
}

bool ReadElfFunctions(int file, uint64_t base, ElfFunctions* functions) {
  return ReadFunctions(file, base, UINT32_MAX, false, functions);
}

bool ReadElfRow(int file, uint64_t base, uint32_t size,
                ElfFunctions* functions) {
  return ReadFunctions(file, base, size, true, functions);
}

std::string ReadElfName(int file, const ElfFunctions& functions,
                        const ElfFunction& function) {
  if (function.name >= functions.names_size) return {};
  std::string name;
  name.resize(std::min<uint64_t>(kMaxSymbolBytes,
                                 functions.names_size - function.name));
  if (!ReadAt(file, functions.names_offset + function.name, name.data(),
              name.size())) {
    return {};
  }
  name.resize(strnlen(name.data(), name.size()));
  return name;
}

bool ReadElfNames(int file, const ElfFunctions& functions,
                  std::vector<std::string>* names) {
  names->clear();
  uint64_t begin = UINT64_MAX;
  uint64_t end = 0;
  for (const ElfFunction& function : functions.functions) {
    begin = std::min<uint64_t>(begin, function.name);
    end = std::max<uint64_t>(end, uint64_t{function.name} + kMaxSymbolBytes);
  }
  end = std::min(end, functions.names_size);
  if (begin >= end) return functions.functions.empty();
  if (end - begin > kMaxNamesBytes) return false;
  std::string text(end - begin, '\0');
  if (!ReadAt(file, functions.names_offset + begin, text.data(), text.size())) {
    return false;
  }
  for (const ElfFunction& function : functions.functions) {
    const char* name = text.data() + (function.name - begin);
    const size_t room = text.size() - (function.name - begin);
    names->emplace_back(name, strnlen(name, std::min(room, kMaxSymbolBytes)));
  }
  return true;
}

}  // namespace otelpyroscope
