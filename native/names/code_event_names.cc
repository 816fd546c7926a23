#include "names/code_event_names.h"

#include "names/pseudo_frames.h"

namespace otelpyroscope {

std::string RegExpName(std::string_view source, std::string_view flags) {
  std::string name = kRegExpPrefix;
  if (source.size() > kMaxRegExpBytes) {
    size_t cut = kMaxRegExpBytes;
    // Does not cut inside a UTF-8 character.
    while (cut > 0 && (source[cut] & 0xc0) == 0x80) cut--;
    name += source.substr(0, cut);
    name += "…";
  } else {
    name += source;
  }
  for (char& letter : name) {
    if (static_cast<unsigned char>(letter) < ' ') letter = ' ';
  }
  name += '/';
  name += flags;
  return name;
}

std::string RegExpNameOf(std::string_view event) {
  constexpr std::string_view kPrefix = "RegExp";
  constexpr std::string_view kSource = " src: '";
  constexpr std::string_view kFlags = "' flags: '";
  if (!event.starts_with(kPrefix)) return {};
  std::string_view source = event.substr(kPrefix.size());
  std::string_view flags;
  if (source.starts_with(':')) {
    source.remove_prefix(1);
  } else if (source.starts_with('.')) {
    const size_t begin = source.find(kSource);
    if (begin == std::string_view::npos) return {};
    source.remove_prefix(begin + kSource.size());
    // The source may contain quotes, so the last ones delimit it. V8's buffer
    // is bounded: a long source has no closing quote.
    const size_t end = source.rfind(kFlags);
    if (end != std::string_view::npos) {
      flags = source.substr(end + kFlags.size());
      if (flags.ends_with('\'')) flags.remove_suffix(1);
      source = source.substr(0, end);
    }
  } else {
    return {};
  }
  return RegExpName(source, flags);
}

std::string_view WasmName(std::string_view event) {
  constexpr std::string_view kPrefix = "JS:";
  constexpr std::string_view kTiers[] = {"-liftoff", "-turbofan"};
  if (!event.starts_with(kPrefix)) return {};
  event.remove_prefix(kPrefix.size());
  for (const std::string_view tier : kTiers) {
    if (!event.ends_with(tier)) continue;
    // The function's index precedes the tier: "name-3-liftoff".
    std::string_view name = event.substr(0, event.size() - tier.size());
    const size_t letters = name.find_last_not_of("0123456789");
    if (letters == std::string_view::npos || letters == 0 ||
        letters == name.size() - 1 || name[letters] != '-') {
      return {};
    }
    return name.substr(0, letters);
  }
  return {};
}

}  // namespace otelpyroscope
