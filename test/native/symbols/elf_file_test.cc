// Tests of the reader of symbol tables: this program's own, tables made by
// hand, and files that are cut, damaged or no ELF at all.
#include "symbols/elf_file.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "check.h"

namespace otelpyroscope {
namespace {

// A file in memory.
class File {
 public:
  explicit File(const std::string& bytes)
      : number_(memfd_create("elf", MFD_CLOEXEC)) {
    EXPECT_EQ(write(number_, bytes.data(), bytes.size()), bytes.size());
  }
  ~File() { close(number_); }
  int number() const { return number_; }

 private:
  int number_;
};

struct Symbol {
  std::string name;
  uint64_t value;
  uint64_t size;
  unsigned char type = STT_FUNC;
  uint16_t section = 1;
};

// An ELF file with nothing but symbols.
std::string Image(const std::vector<Symbol>& symbols,
                  uint32_t table_type = SHT_SYMTAB) {
  std::string names(1, '\0');
  std::vector<Elf64_Sym> table(1);
  memset(table.data(), 0, sizeof(Elf64_Sym));
  for (const Symbol& symbol : symbols) {
    Elf64_Sym entry = {};
    entry.st_name = static_cast<uint32_t>(names.size());
    entry.st_info = ELF64_ST_INFO(STB_LOCAL, symbol.type);
    entry.st_shndx = symbol.section;
    entry.st_value = symbol.value;
    entry.st_size = symbol.size;
    table.push_back(entry);
    names += symbol.name;
    names += '\0';
  }
  const size_t table_bytes = table.size() * sizeof(Elf64_Sym);
  Elf64_Ehdr header = {};
  memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_shentsize = sizeof(Elf64_Shdr);
  header.e_shnum = 3;
  header.e_shoff = sizeof(header) + table_bytes + names.size();
  Elf64_Shdr sections[3] = {};
  sections[1].sh_type = table_type;
  sections[1].sh_offset = sizeof(header);
  sections[1].sh_size = table_bytes;
  sections[1].sh_entsize = sizeof(Elf64_Sym);
  sections[1].sh_link = 2;
  sections[2].sh_type = SHT_STRTAB;
  sections[2].sh_offset = sizeof(header) + table_bytes;
  sections[2].sh_size = names.size();
  std::string image(reinterpret_cast<const char*>(&header), sizeof(header));
  image.append(reinterpret_cast<const char*>(table.data()), table_bytes);
  image += names;
  image.append(reinterpret_cast<const char*>(sections), sizeof(sections));
  return image;
}

// The name of the function at `address`; empty: none.
std::string NameAt(int file, const ElfFunctions& functions, uint64_t address) {
  const ElfFunction* function = functions.Find(address);
  return function == nullptr ? "" : ReadElfName(file, functions, *function);
}

TEST(elf_functions_by_address) {
  File file(Image({{"low", 0x1000, 0x10},
                   {"high", 0x3000, 0x20},
                   {"middle", 0x2000, 0x100},
                   {"inside", 0x2080, 0x10},
                   {"alias", 0x3000, 0x8},
                   {"data", 0x4000, 0x10, STT_OBJECT},
                   {"elsewhere", 0x5000, 0x10, STT_FUNC, SHN_UNDEF},
                   {"below", 0x500, 0x10},
                   {"chosen at start", 0x6000, 0x10, STT_GNU_IFUNC},
                   {"no size", 0x7000, 0},
                   {"next", 0x7100, 1},
                   {"", 0x8000, 0x10},
                   {"far", 0x300000000, 0x10}}));
  ElfFunctions functions;
  EXPECT(ReadElfFunctions(file.number(), 0x1000, &functions));
  const auto name = [&](uint64_t address) {
    return NameAt(file.number(), functions, address);
  };
  EXPECT(name(0xfff).empty());
  EXPECT(name(0x1000) == "low");
  EXPECT(name(0x100f) == "low");
  EXPECT(name(0x1010).empty());
  EXPECT(name(0x2000) == "middle");
  EXPECT(name(0x2080) == "inside");
  EXPECT(name(0x2090) == "middle");
  EXPECT(name(0x20ff) == "middle");
  EXPECT(name(0x301f) == "high");  // the larger of two names
  EXPECT(name(0x4000).empty());
  EXPECT(name(0x5000).empty());
  EXPECT(name(0x505).empty());
  EXPECT(name(0x6001) == "chosen at start");
  EXPECT(name(0x70ff) == "no size");
  EXPECT(name(0x7100) == "next");
  EXPECT(name(0x7101).empty());
  EXPECT(name(0x8000).empty());
  EXPECT(name(0x300000000).empty());
  EXPECT(name(UINT64_MAX).empty());
}

// 20,000 functions. Every `stride`th from the 3,000th on, 2,000 in all, is at
// [0x100000, 0x200000), the others behind that.
std::vector<Symbol> SymbolsWithSome(size_t stride) {
  std::vector<Symbol> symbols;
  for (uint32_t i = 0; i < 20000; i++) {
    const bool is_wanted =
        i >= 3000 && i < 3000 + 2000 * stride && i % stride == 0;
    symbols.push_back({"f", (is_wanted ? 0x100000 : 0x200000) + i * 4, 4});
  }
  return symbols;
}

TEST(elf_functions_in_a_row) {
  for (const size_t stride : {1, 3}) {
    File file(Image(SymbolsWithSome(stride)));
    ElfFunctions row;
    ElfFunctions all;
    EXPECT(ReadElfRow(file.number(), 0x100000, 0x100000, &row));
    EXPECT(ReadElfFunctions(file.number(), 0x100000, &all));
    EXPECT_EQ(row.functions.size(), 2000u);
    for (const ElfFunction& function : row.functions) {
      EXPECT(all.Find(row.base + function.start)->start == function.start);
    }
  }
}

TEST(elf_functions_that_are_not_there_are_no_row) {
  File file(Image(SymbolsWithSome(1)));
  ElfFunctions row;
  EXPECT(ReadElfRow(file.number(), 0x10, 0x100, &row));
  EXPECT(row.functions.empty());
}

TEST(elf_dynamic_symbols_serve_where_there_are_no_others) {
  File file(Image({{"exported", 0x1000, 0x10}}, SHT_DYNSYM));
  ElfFunctions functions;
  EXPECT(ReadElfFunctions(file.number(), 0, &functions));
  EXPECT(NameAt(file.number(), functions, 0x1008) == "exported");
}

// As musl's memset(), behind which is code that musl does not export.
TEST(elf_functions_without_a_size_are_short_where_others_may_be_hidden) {
  const std::vector<Symbol> symbols = {
      {"near", 0x1000, 0}, {"far", 0x1020, 0}, {"next", 0x2000, 1}};
  File exported(Image(symbols, SHT_DYNSYM));
  File all(Image(symbols));
  ElfFunctions functions;
  const auto name = [&](const File& file, uint64_t address) {
    EXPECT(ReadElfFunctions(file.number(), 0x1000, &functions));
    return NameAt(file.number(), functions, address);
  };
  EXPECT(name(exported, 0x101f) == "near");
  EXPECT(name(exported, 0x1020 + 191) == "far");
  EXPECT(name(exported, 0x1020 + 192).empty());
  EXPECT(name(exported, 0x2000) == "next");
  EXPECT(name(all, 0x1fff) == "far");
}

TEST(elf_files_without_symbols_are_told) {
  ElfFunctions functions;
  File other(Image({{"f", 0x1000, 0x10}}, SHT_NOTE));
  EXPECT(!ReadElfFunctions(other.number(), 0, &functions));
  File empty("");
  EXPECT(!ReadElfFunctions(empty.number(), 0, &functions));
  File text("#!/bin/sh\necho this is no ELF file, and longer than a header is");
  EXPECT(!ReadElfFunctions(text.number(), 0, &functions));
  EXPECT(!ReadElfFunctions(-1, 0, &functions));
  const int directory = open("/", O_RDONLY);
  EXPECT(!ReadElfFunctions(directory, 0, &functions));
  close(directory);
  for (const size_t index : {size_t{EI_CLASS}, size_t{EI_DATA}}) {
    std::string image = Image({{"f", 0x1000, 0x10}});
    image[index] = 7;
    File file(image);
    EXPECT(!ReadElfFunctions(file.number(), 0, &functions));
  }
}

// The result for a damaged file may be wrong or empty, but reading must end.
void ReadDamaged(const std::string& bytes) {
  File file(bytes);
  ElfFunctions functions;
  ElfFunctions row;
  const bool is_read = ReadElfFunctions(file.number(), 0, &functions);
  EXPECT(ReadElfRow(file.number(), 0x1000, 0x1000, &row) == is_read);
  EXPECT_LE(row.functions.size(), functions.functions.size());
  for (const ElfFunction& function : functions.functions) {
    ReadElfName(file.number(), functions, function);
  }
  for (uint64_t address = 0; address < 0x4000; address += 0x80) {
    NameAt(file.number(), functions, address);
  }
}

TEST(elf_files_cut_anywhere_are_survived) {
  const std::string image = Image({{"a", 0x1000, 0x10}, {"b", 0x2000, 0x10}});
  for (size_t length = 0; length < image.size(); length++) {
    ReadDamaged(image.substr(0, length));
  }
}

TEST(elf_files_with_damage_are_survived) {
  std::mt19937 random(1);
  const std::string image = Image({{"a", 0x1000, 0x10}, {"b", 0x2000, 0x10}});
  for (int i = 0; i < 5000; i++) {
    std::string damaged = image;
    for (size_t changes = 1 + random() % 4; changes > 0; changes--) {
      const size_t index = random() % damaged.size();
      damaged[index] =
          static_cast<char>(random() % 3 == 0 ? 0xff : random() % 256);
    }
    ReadDamaged(damaged);
  }
  for (int i = 0; i < 200; i++) {
    std::string noise = image.substr(0, sizeof(Elf64_Ehdr));
    while (noise.size() < 2000) noise += static_cast<char>(random());
    ReadDamaged(noise);
  }
}

// Names that claim to be outside of the string table, or the file shrinks.
TEST(elf_names_are_read_in_one_piece) {
  const File file(Image({{"first", 0x1000, 16},
                         {"behind", 0x1040, 16},
                         {"second", 0x1010, 16},
                         {"before", 0xfff, 16}}));
  ElfFunctions functions;
  std::vector<std::string> names;
  EXPECT(ReadElfRow(file.number(), 0x1000, 0x40, &functions));
  EXPECT(ReadElfNames(file.number(), functions, &names));
  EXPECT(names == (std::vector<std::string>{"first", "second"}));
  // The names of a file that is shorter than its tables say, and of no file.
  functions.names_offset += size_t{1} << 40;
  EXPECT(!ReadElfNames(file.number(), functions, &names));
  EXPECT(ReadElfNames(file.number(), ElfFunctions(), &names) && names.empty());
}

TEST(elf_names_are_bounded) {
  std::string image = Image({{"a", 0x1000, 0x10}});
  ElfFunctions functions;
  File file(image);
  EXPECT(ReadElfFunctions(file.number(), 0, &functions));
  ElfFunction function = functions.functions[0];
  EXPECT(ReadElfName(file.number(), functions, function) == "a");
  function.name = UINT32_MAX;
  EXPECT(ReadElfName(file.number(), functions, function).empty());
  function = functions.functions[0];
  EXPECT_EQ(ftruncate(file.number(), 100), 0);
  EXPECT(ReadElfName(file.number(), functions, function).empty());
  EXPECT(!ReadElfFunctions(file.number(), 0, &functions));
}

}  // namespace
}  // namespace otelpyroscope
