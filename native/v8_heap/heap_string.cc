#include "v8_heap/heap_string.h"

#include <algorithm>
#include <vector>

#include "base/safe_memory.h"
#include "v8_heap/heap_reader.h"
#include "v8_heap/layout.h"

namespace otelpyroscope {
namespace heap {
namespace {

using v8_layout::kHeapObjectTag;
using v8_layout::layout;

// Parts of a string that is made of others; deeper ones are not names.
constexpr int kMaxStringParts = 64;

// Copies the characters [begin, begin + count) of a sequential string.
bool ReadChars(uintptr_t string, const StringShape& shape, size_t begin,
               size_t count, std::u16string* chars) {
  if (begin > shape.length || count > shape.length - begin) return false;
  const uintptr_t data = string - kHeapObjectTag + layout().string_data;
  if (!shape.one_byte) {
    const size_t before = chars->size();
    chars->resize(before + count);
    return count == 0 ||
           SafeMemory::Read(data + begin * sizeof(char16_t),
                            chars->data() + before, count * sizeof(char16_t));
  }
  std::vector<uint8_t> bytes(count);
  if (count != 0 && !SafeMemory::Read(data + begin, bytes.data(), count)) {
    return false;
  }
  chars->append(bytes.begin(), bytes.end());
  return true;
}

// Appends the characters from `begin` on, until there are `max_chars`.
bool AppendString(uintptr_t string, size_t begin, size_t max_chars, int* parts,
                  std::u16string* chars) {
  StringShape shape;
  if (++*parts > kMaxStringParts || !ReadShape(string, &shape) ||
      begin > shape.length) {
    return false;
  }
  const size_t room = max_chars - chars->size();
  const v8_layout::Layout& at = layout();
  uintptr_t first = 0;
  uintptr_t second = 0;
  uint64_t offset = 0;
  switch (shape.representation) {
    case v8_layout::kSequentialString:
      return ReadChars(string, shape, begin,
                       std::min(room, shape.length - begin), chars);
    case v8_layout::kThinString:
      return ReadWord(string, at.thin_actual, &first) &&
             AppendString(first, begin, max_chars, parts, chars);
    case v8_layout::kSlicedString: {
      if (!ReadWord(string, at.sliced_parent, &first) ||
          !ReadSmi(string, at.sliced_offset, &offset)) {
        return false;
      }
      const size_t end = chars->size() + std::min(room, shape.length - begin);
      return AppendString(first, offset + begin, end, parts, chars);
    }
    case v8_layout::kConsString:
      return begin == 0 && ReadWord(string, at.cons_first, &first) &&
             ReadWord(string, at.cons_second, &second) &&
             AppendString(first, 0, max_chars, parts, chars) &&
             (chars->size() >= max_chars ||
              AppendString(second, 0, max_chars, parts, chars));
    default:
      return false;
  }
}

void AppendUtf8(uint32_t c, std::string* text) {
  const auto put = [text](uint32_t byte) {
    text->push_back(static_cast<char>(byte));
  };
  if (c < 0x80) return put(c);
  if (c < 0x800) {
    put(0xc0 | c >> 6);
  } else {
    if (c < 0x10000) {
      put(0xe0 | c >> 12);
    } else {
      put(0xf0 | c >> 18);
      put(0x80 | (c >> 12 & 0x3f));
    }
    put(0x80 | (c >> 6 & 0x3f));
  }
  put(0x80 | (c & 0x3f));
}

// Half a surrogate pair becomes the replacement character, as V8 writes it.
std::string ToUtf8(const std::u16string& chars) {
  std::string text;
  for (size_t i = 0; i < chars.size(); i++) {
    uint32_t c = chars[i];
    const bool is_high = c >= 0xd800 && c < 0xdc00;
    if (is_high && i + 1 < chars.size() && chars[i + 1] >= 0xdc00 &&
        chars[i + 1] < 0xe000) {
      c = 0x10000 + ((c - 0xd800) << 10) + (chars[++i] - 0xdc00u);
    } else if (c >= 0xd800 && c < 0xe000) {
      c = 0xfffd;
    }
    AppendUtf8(c, &text);
  }
  return text;
}

}  // namespace

bool ReadShape(uintptr_t string, StringShape* shape) {
  const uint16_t type = InstanceType(string);
  int32_t length = 0;
  // Type 0 is an internalized string of two-byte characters.
  if (!IsObject(string) || type >= v8_layout::kFirstNonString ||
      !ReadInt(string, layout().string_length, &length) || length < 0) {
    return false;
  }
  shape->representation = type & v8_layout::kStringRepresentation;
  shape->one_byte = (type & v8_layout::kOneByteString) != 0;
  shape->length = static_cast<size_t>(length);
  return true;
}

bool ReadString(uintptr_t string, size_t max_chars, std::string* text) {
  std::u16string chars;
  int parts = 0;
  if (!AppendString(string, 0, max_chars, &parts, &chars)) return false;
  *text = ToUtf8(chars);
  return true;
}

}  // namespace heap
}  // namespace otelpyroscope
