// Reads /proc/self/maps.
#include "process_maps.h"

#include <fcntl.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <string>

namespace otelpyroscope {
namespace {

// More mappings than any process should have; the rest is not looked at.
constexpr size_t kMaxMapsBytes = size_t{16} << 20;

struct Mapping {
  uintptr_t begin = 0;
  uintptr_t end = 0;
  bool executable = false;
  uint64_t file_offset = 0;
  uint64_t device = 0;
  uint64_t inode = 0;  // 0: no file
};

bool ParseLine(const char* line, Mapping* mapping) {
  char permissions[5] = {};
  unsigned major = 0;
  unsigned minor = 0;
  if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %" SCNx64 " %x:%x %" SCNu64,
             &mapping->begin, &mapping->end, permissions, &mapping->file_offset,
             &major, &minor, &mapping->inode) != 7) {
    return false;
  }
  mapping->executable = permissions[2] == 'x';
  mapping->device = uint64_t{major} << 32 | minor;
  return true;
}

// Calls `look` with each mapping until it returns true.
template <typename Look>
void ForEachMapping(const char* maps, Look look) {
  for (const char* line = maps; line != nullptr && *line != '\0';) {
    Mapping mapping;
    if (ParseLine(line, &mapping) && look(mapping)) return;
    line = strchr(line, '\n');
    if (line != nullptr) line++;
  }
}

std::string ReadMaps() {
  std::string text;
  const int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (file < 0) return text;
  char part[4096];
  ssize_t length = 0;
  while (text.size() < kMaxMapsBytes &&
         (length = read(file, part, sizeof(part))) > 0) {
    text.append(part, static_cast<size_t>(length));
  }
  close(file);
  return text;
}

}  // namespace

uintptr_t FindSecondMappingIn(const char* maps, uintptr_t address, size_t size,
                              uintptr_t low, uintptr_t high) {
  Mapping original;
  ForEachMapping(maps, [&](const Mapping& mapping) {
    if (address < mapping.begin || address >= mapping.end) return false;
    original = mapping;
    return true;
  });
  if (original.inode == 0 || size > original.end - address) return 0;
  const uint64_t file_offset =
      original.file_offset + (address - original.begin);
  uintptr_t found = 0;
  ForEachMapping(maps, [&](const Mapping& mapping) {
    if (!mapping.executable || mapping.inode != original.inode ||
        mapping.device != original.device || mapping.begin == original.begin ||
        file_offset < mapping.file_offset) {
      return false;
    }
    const uint64_t inside = file_offset - mapping.file_offset;
    const uint64_t mapped = mapping.end - mapping.begin;
    if (inside > mapped || size > mapped - inside) return false;
    const uintptr_t begin = mapping.begin + inside;
    if (begin < low || begin >= high || size > high - begin) return false;
    found = begin;
    return true;
  });
  return found;
}

std::optional<uintptr_t> FindSecondMapping(uintptr_t address, size_t size,
                                           uintptr_t low, uintptr_t high) {
  const std::string maps = ReadMaps();
  if (maps.empty()) return std::nullopt;
  return FindSecondMappingIn(maps.c_str(), address, size, low, high);
}

}  // namespace otelpyroscope
