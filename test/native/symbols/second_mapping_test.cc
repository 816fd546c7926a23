// Tests of the search for a second mapping of file bytes.
#include "symbols/second_mapping.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

#include "check.h"

namespace otelpyroscope {
namespace {

// As the kernel writes it, of Node 20 with its builtins mapped twice.
constexpr char kMaps[] =
    "00400000-00b72000 r--p 00000000 fe:00 77                     /usr/bin/n\n"
    "00b72000-025fe000 r-xp 00772000 fe:00 77                     /usr/bin/n\n"
    "7f0000000000-7f0000002000 rw-p 00000000 00:00 0 \n"
    "7f0000002000-7f0000003000 r-xp 014c4000 fe:00 78          /usr/bin/n b\n"
    "7f001fe40000-7f001ffd2000 r-xp 014c4000 fe:00 77          /usr/bin/n b\n"
    "7f0020000000-7f0020192000 r-xp 014c4000 fe:00 77          /usr/bin/n b\n"
    "not a mapping\n"
    "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0   [vsyscall]\n";

// The search over a text in place of /proc/self/maps.
std::optional<uintptr_t> FindInText(const std::string& text, uintptr_t address,
                                    size_t size, uintptr_t low,
                                    uintptr_t high) {
  char path[] = "/tmp/process-maps-XXXXXX";
  const int file = mkstemp(path);
  EXPECT_GE(file, 0);
  unlink(path);
  EXPECT_EQ(write(file, text.data(), text.size()), text.size());
  EXPECT_EQ(lseek(file, 0, SEEK_SET), 0);
  const std::optional<uintptr_t> found =
      FindSecondMappingIn(file, address, size, low, high);
  close(file);
  return found;
}

TEST(maps_tell_where_the_same_bytes_are_again) {
  const auto find = [](uintptr_t address, size_t size, uintptr_t high) {
    return *FindInText(kMaps, address, size, 0x7f0000000000, high);
  };
  EXPECT_EQ(find(0x18c4000, 0x192000, 0x7f0020000000), 0x7f001fe40000);
  EXPECT_EQ(find(0x18c5000, 0x1000, 0x7f0020000000), 0x7f001fe41000);
  // One byte more than is mapped again, or than may be.
  EXPECT_EQ(find(0x18c4000, 0x192001, 0x7f0020000000), 0);
  EXPECT_EQ(find(0x18c4000, 0x192000, 0x7f001ffd1fff), 0);
  EXPECT_EQ(find(0x18c4000, 0x192000, 0x7f001ffd2000), 0x7f001fe40000);
  // Bytes that are mapped once, or by no file, or in two pieces.
  EXPECT_EQ(find(0xb72000, 0x1000, 0x7f0020000000), 0);
  EXPECT_EQ(find(0x7f0000000000, 0x1000, 0x7f0020000000), 0);
  EXPECT_EQ(find(0xb71000, 0x2000, 0x7f0020000000), 0);
  EXPECT_EQ(find(1, 1, UINTPTR_MAX), 0);
}

// As of a library with V8 in it.
TEST(maps_may_list_the_original_behind_what_is_looked_for) {
  const auto find = [](uintptr_t low, uintptr_t high) {
    return *FindInText(kMaps, 0x7f0020000000, 0x192000, low, high);
  };
  EXPECT_EQ(find(0x7f0010000000, 0x7f0020000000), 0x7f001fe40000);
  EXPECT_EQ(find(0x18c4000, 0x1a56000), 0x18c4000);
  EXPECT_EQ(find(0x7f0020000000, UINTPTR_MAX), 0);
}

TEST(maps_of_any_text_are_survived) {
  const std::string maps = kMaps;
  for (size_t length = 0; length <= maps.size(); length++) {
    FindInText(maps.substr(0, length), 0x18c4000, 0x192000, 0, UINTPTR_MAX);
  }
  EXPECT_EQ(*FindInText("\n\n0-0 \n-\n", 0, 1, 0, UINTPTR_MAX), 0);
  EXPECT_EQ(*FindInText("1-2 r-xp 0 0:0 1", 1, 1, 0, UINTPTR_MAX), 0);
  EXPECT(!FindInText("", 0, 1, 0, UINTPTR_MAX).has_value());
}

// Escapes make a path of 4 KB up to four times as long.
TEST(maps_with_long_paths_are_read) {
  for (const size_t length : {100, 4095, 8191, 8192, 8193, 16384, 30000}) {
    const std::string path(length, '1');
    std::string maps = kMaps;
    maps.insert(maps.find("00b72000"),
                "00b70000-00b71000 r-xp 00000000 fe:00 76 " + path + "\n");
    EXPECT_EQ(
        *FindInText(maps, 0x18c4000, 0x192000, 0x7f0000000000, 0x7f0020000000),
        0x7f001fe40000);
  }
}

// A process with many threads, or that maps many files, has as many.
TEST(maps_of_sixty_thousand_lines_are_read_once) {
  std::string many;
  for (uintptr_t begin = 0x7e0000000000;
       begin < 0x7e0000000000 + 60000 * 0x2000; begin += 0x2000) {
    char line[100];
    const int length =
        snprintf(line, sizeof(line),
                 "%" PRIxPTR "-%" PRIxPTR " rw-p 00000000 00:00 0 \n", begin,
                 begin + 0x2000);
    many.append(line, static_cast<size_t>(length));
  }
  std::string maps = kMaps;
  maps.insert(maps.find("7f0000000000"), many);
  const int64_t before = check::ThreadCpuNs();
  EXPECT_EQ(
      *FindInText(maps, 0x18c4000, 0x192000, 0x7f0000000000, 0x7f0020000000),
      0x7f001fe40000);
  // 10 to 20 ms; with the rest of the text measured for each line, seconds.
  EXPECT_LE(check::ThreadCpuNs() - before, 500 * check::kMillisecond);
}

TEST(maps_of_this_process_are_read) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  char path[] = "/tmp/process-maps-XXXXXX";
  const int file = mkstemp(path);
  EXPECT_GE(file, 0);
  unlink(path);
  EXPECT_EQ(ftruncate(file, static_cast<off_t>(2 * page)), 0);
  void* first =
      mmap(nullptr, 2 * page, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
  void* second = mmap(nullptr, page, PROT_READ | PROT_EXEC, MAP_PRIVATE, file,
                      static_cast<off_t>(page));
  EXPECT(first != MAP_FAILED && second != MAP_FAILED);
  const uintptr_t original = reinterpret_cast<uintptr_t>(first) + page;
  EXPECT_EQ(*FindSecondMapping(original, page, 0, UINTPTR_MAX),
            reinterpret_cast<uintptr_t>(second));
  EXPECT_EQ(*FindSecondMapping(original - page, page, 0, UINTPTR_MAX), 0);
}

}  // namespace
}  // namespace otelpyroscope
