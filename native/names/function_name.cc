#include "names/function_name.h"

#include <charconv>

namespace otelpyroscope {
namespace {

// Returns the index at which the URL begins, after a function name that may
// contain spaces: the first space before text that looks like a URL, else the
// first space.
size_t GuessUrl(std::string_view text) {
  for (size_t space = text.find(' '); space != std::string_view::npos;
       space = text.find(' ', space + 1)) {
    const std::string_view rest = text.substr(space + 1);
    if (rest.starts_with('/') || rest.starts_with("file:") ||
        rest.starts_with("node:") || rest.starts_with("data:") ||
        rest.starts_with("evalmachine.") || rest.starts_with("[")) {
      return space;
    }
  }
  return text.find(' ');
}

}  // namespace

bool TakeNumber(std::string_view* text, int* number) {
  const size_t colon = text->rfind(':');
  if (colon == std::string_view::npos) return false;
  const char* first = text->data() + colon + 1;
  const char* last = text->data() + text->size();
  const auto result = std::from_chars(first, last, *number);
  if (result.ec != std::errc() || result.ptr != last) return false;
  text->remove_suffix(text->size() - colon);
  return true;
}

FunctionName ParseFunctionName(std::string_view text, std::string_view url) {
  FunctionName result;
  std::string_view rest = text;
  if (!TakeNumber(&rest, &result.column) || !TakeNumber(&rest, &result.line)) {
    result.line = result.column = 0;
    if (text.starts_with(' ')) {  // a script's top level: " url"
      result.url = text.substr(1);
      result.line = 1;
    } else {
      result.name = text;
    }
    return result;
  }
  size_t space = std::string_view::npos;
  if (!url.empty() && rest.size() > url.size() && rest.ends_with(url) &&
      rest[rest.size() - url.size() - 1] == ' ') {
    space = rest.size() - url.size() - 1;
  } else {
    space = GuessUrl(rest);
  }
  if (space == std::string_view::npos) {
    result.name = rest;
    return result;
  }
  result.name = rest.substr(0, space);
  result.url = rest.substr(space + 1);
  return result;
}

}  // namespace otelpyroscope
