// /proc/self/maps has one mapping per line, by rising address.
#include "symbols/second_mapping.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace otelpyroscope {
namespace {

// The kernel returns a page at a time. A line may be longer than this because
// of its path, which is not needed.
constexpr size_t kBufferBytes = 8192;
// Only V8 maps files in its code range.
constexpr size_t kMaxCandidates = 16;

struct Mapping {
  uintptr_t begin = 0;
  uintptr_t end = 0;
  bool executable = false;
  uint64_t file_offset = 0;
  uint64_t device = 0;
  uint64_t inode = 0;  // 0: no file

  bool Contains(uintptr_t address) const {
    return address >= begin && address < end;
  }
};

// Removes a number of that base, and the character after it, from the front of
// `text`. Returns false if `text` does not begin with a digit, or another
// character follows the number.
bool TakeNumber(std::string_view* text, unsigned base, char behind,
                uint64_t* number) {
  *number = 0;
  size_t length = 0;
  for (; length < text->size(); length++) {
    const char c = (*text)[length];
    unsigned digit = base;
    if (c >= '0' && c <= '9') digit = static_cast<unsigned>(c - '0');
    if (c >= 'a' && c <= 'f') digit = static_cast<unsigned>(c - 'a' + 10);
    if (digit >= base) break;
    *number = *number * base + digit;
  }
  if (length == 0 || length == text->size() || (*text)[length] != behind) {
    return false;
  }
  text->remove_prefix(length + 1);
  return true;
}

// "begin-end rwxp offset major:minor inode path", where a space follows the
// inode even without a path.
bool ParseLine(std::string_view line, Mapping* mapping) {
  uint64_t begin = 0;
  uint64_t end = 0;
  uint64_t major = 0;
  uint64_t minor = 0;
  if (!TakeNumber(&line, 16, '-', &begin) ||
      !TakeNumber(&line, 16, ' ', &end) || line.size() < 5 || line[4] != ' ') {
    return false;
  }
  mapping->executable = line[2] == 'x';
  line.remove_prefix(5);
  if (!TakeNumber(&line, 16, ' ', &mapping->file_offset) ||
      !TakeNumber(&line, 16, ':', &major) ||
      !TakeNumber(&line, 16, ' ', &minor) ||
      !TakeNumber(&line, 10, ' ', &mapping->inode)) {
    return false;
  }
  mapping->begin = static_cast<uintptr_t>(begin);
  mapping->end = static_cast<uintptr_t>(end);
  mapping->device = major << 32 | minor;
  return true;
}

// Calls `visit` with each mapping until it returns true. Returns false if
// nothing could be read.
template <typename Visit>
bool ForEachMapping(int maps, Visit visit) {
  char buffer[kBufferBytes];
  size_t used = 0;
  bool is_rest_of_line = false;  // the line was longer than the buffer
  bool has_read = false;
  while (true) {
    const ssize_t got = read(maps, buffer + used, sizeof(buffer) - used);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return has_read;
    has_read = true;
    used += static_cast<size_t>(got);
    std::string_view text(buffer, used);
    while (!text.empty()) {
      const size_t length = text.find('\n');
      const bool is_whole = length != std::string_view::npos;
      if (!is_whole && text.size() < sizeof(buffer)) break;
      Mapping mapping;
      const std::string_view line = text.substr(0, length);
      if (!is_rest_of_line && ParseLine(line, &mapping) && visit(mapping)) {
        return true;
      }
      is_rest_of_line = !is_whole;
      text.remove_prefix(is_whole ? length + 1 : text.size());
    }
    used = text.size();
    memmove(buffer, text.data(), used);
  }
}

}  // namespace

std::optional<uintptr_t> FindSecondMappingIn(int maps, uintptr_t address,
                                             size_t size, uintptr_t low,
                                             uintptr_t high) {
  Mapping original;
  // The original may be before or after the candidates.
  Mapping candidates[kMaxCandidates];
  size_t count = 0;
  const bool is_read = ForEachMapping(maps, [&](const Mapping& mapping) {
    if (mapping.Contains(address)) {
      original = mapping;
    } else if (mapping.executable && mapping.inode != 0 && mapping.end > low &&
               mapping.begin < high && count < kMaxCandidates) {
      candidates[count++] = mapping;
    }
    return mapping.end > address && mapping.end >= high;
  });
  if (!is_read) return std::nullopt;
  if (original.inode == 0 || size > original.end - address) return 0;
  const uint64_t file_offset =
      original.file_offset + (address - original.begin);
  for (size_t i = 0; i < count; i++) {
    const Mapping& mapping = candidates[i];
    if (mapping.inode != original.inode || mapping.device != original.device ||
        file_offset < mapping.file_offset) {
      continue;
    }
    const uint64_t inside = file_offset - mapping.file_offset;
    const uint64_t mapped = mapping.end - mapping.begin;
    if (inside > mapped || size > mapped - inside) continue;
    const uintptr_t begin = mapping.begin + inside;
    if (begin >= low && begin < high && size <= high - begin) return begin;
  }
  return 0;
}

std::optional<uintptr_t> FindSecondMapping(uintptr_t address, size_t size,
                                           uintptr_t low, uintptr_t high) {
  const int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (maps < 0) return std::nullopt;
  const std::optional<uintptr_t> found =
      FindSecondMappingIn(maps, address, size, low, high);
  close(maps);
  return found;
}

}  // namespace otelpyroscope
