#include "names/demangle.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace otelpyroscope {
namespace {

constexpr std::string_view kOperator = "operator";
constexpr std::string_view kUnnamed = "(anonymous namespace)::";

bool IsWord(char letter) {
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
         (letter >= '0' && letter <= '9') || letter == '_' || letter == '$';
}

// Whether the text ends in the keyword "operator", not in a name like
// "my_operator".
bool EndsInOperator(std::string_view text) {
  if (!text.ends_with(kOperator)) return false;
  text.remove_suffix(kOperator.size());
  return text.empty() || !IsWord(text.back());
}

// Returns the position after the bracket that closes the one at `begin`, or the
// end of the text.
size_t SkipBrackets(std::string_view text, size_t begin) {
  size_t depth = 0;
  for (size_t i = begin; i < text.size(); i++) {
    const char letter = text[i];
    // "->" and comparisons in parentheses do not close template arguments.
    if (letter == '>' && i > 0 && text[i - 1] == '-') continue;
    if (letter == '(' || letter == '<') depth++;
    if ((letter == ')' || letter == '>') && --depth == 0) return i + 1;
  }
  return text.size();
}

// Copies an operator's name: "operator()", "operator<<", "operator->", that of
// a literal and the like. Returns the position after it, which is greater than
// `begin`.
size_t CopyOperator(std::string_view text, size_t begin, std::string* out) {
  constexpr std::string_view kSigns = "+-*/%^&|~!=<>,";
  size_t end = begin;
  if (text.substr(begin).starts_with("()") ||
      text.substr(begin).starts_with("[]") ||
      text.substr(begin).starts_with("\"\"")) {
    end = begin + 2;
  } else {
    while (end < text.size() && end - begin < 3 &&
           kSigns.find(text[end]) != std::string_view::npos) {
      end++;
    }
    // "operator<<int>" is "operator<" with arguments, "operator<< <int>" is
    // not.
    if (text.substr(begin, end - begin) == "<<" && end < text.size() &&
        IsWord(text[end])) {
      end--;
    }
    if (end == begin) end++;
  }
  out->append(text.substr(begin, end - begin));
  return end;
}

// Copies the name of a lambda as GNU's C++ library writes it, "{lambda#2}",
// where the text has LLVM's "'lambda0'". Returns the position after it, or
// `begin` if there is none.
size_t CopyLambda(std::string_view text, size_t begin, std::string* out) {
  constexpr std::string_view kLambda = "'lambda";
  constexpr size_t kMaxDigits = 6;
  if (!text.substr(begin).starts_with(kLambda)) return begin;
  const size_t digits = begin + kLambda.size();
  size_t end = digits;
  int index = 0;
  while (end < text.size() && text[end] >= '0' && text[end] <= '9') {
    if (end - digits == kMaxDigits) return begin;
    index = index * 10 + (text[end++] - '0');
  }
  if (end == text.size() || text[end] != '\'') return begin;
  // The first one has no index, the second one 0.
  const int number = end == digits ? 1 : index + 2;
  out->append("{lambda#").append(std::to_string(number)).append("}");
  return end + 1;
}

// Returns the text without everything in brackets of any kind.
std::string WithoutArguments(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const char letter = text[i];
    const size_t after_lambda = CopyLambda(text, i, &out);
    if (after_lambda > i) {
      i = after_lambda;
    } else if (EndsInOperator(out) && !IsWord(letter) && letter != ' ') {
      i = CopyOperator(text, i, &out);
    } else if (text.substr(i).starts_with(kUnnamed)) {
      i += kUnnamed.size();
    } else if (letter == '(' || letter == '<') {
      i = SkipBrackets(text, i);
    } else if (letter == '[') {  // "[abi:cxx11]", "[clone .cold]"
      const size_t end = text.find(']', i);
      i = end == std::string_view::npos ? text.size() : end + 1;
    } else {
      out += letter;
      i++;
    }
  }
  return out;
}

void RemoveSuffix(std::string* text, std::string_view suffix) {
  if (text->ends_with(suffix)) text->resize(text->size() - suffix.size());
}

// Removes suffixes like ".cold" and ".part.3", and a version after "@".
std::string WithoutToolSuffix(std::string symbol) {
  constexpr std::string_view kSuffixes[] = {".cold",  ".part.", ".constprop.",
                                            ".isra.", ".llvm.", ".lto_priv."};
  size_t end = symbol.find('@', 1);
  for (const std::string_view suffix : kSuffixes) {
    end = std::min(end, symbol.find(suffix, 1));
  }
  if (end != std::string::npos) symbol.resize(end);
  return symbol;
}

// Returns the plain names at the start of a mangled name
// ("_ZN4node2fs4ReadI…"), for names that the demangler cannot read; or "" if
// there are none.
std::string LeadingNames(std::string_view mangled) {
  constexpr std::string_view kDigits = "0123456789";
  std::string names;
  mangled.remove_prefix(2);  // "_Z"
  if (mangled.starts_with('N')) mangled.remove_prefix(1);
  while (!mangled.empty() && std::string_view("KVrORL").find(mangled[0]) !=
                                 std::string_view::npos) {
    mangled.remove_prefix(1);
  }
  while (true) {
    size_t length = 0;
    size_t digits = 0;
    while (digits < mangled.size() && digits < 4 &&
           kDigits.find(mangled[digits]) != std::string_view::npos) {
      length = length * 10 + static_cast<size_t>(mangled[digits++] - '0');
    }
    if (length == 0 || length > mangled.size() - digits) return names;
    const std::string_view name = mangled.substr(digits, length);
    mangled.remove_prefix(digits + length);
    if (name == "_GLOBAL__N_1") continue;  // an unnamed namespace
    if (!names.empty()) names += "::";
    names += name;
  }
}

// Rust's older scheme is that of C++ with a hash appended:
// "::h0123456789abcdef".
void RemoveRustHash(std::string* name) {
  constexpr size_t kHashLetters = 16;
  constexpr std::string_view kMark = "::h";
  if (name->size() < kHashLetters + kMark.size()) return;
  const size_t begin = name->size() - kHashLetters - kMark.size();
  if (name->compare(begin, kMark.size(), kMark) == 0 &&
      name->find_first_not_of("0123456789abcdef", begin + kMark.size()) ==
          std::string::npos) {
    name->resize(begin);
  }
}

}  // namespace

std::string ShortFunctionName(const std::string& demangled) {
  std::string name = WithoutArguments(demangled);
  for (const std::string_view suffix : {" &&", " &", " volatile", " const"}) {
    RemoveSuffix(&name, suffix);
  }
  while (name.ends_with(' ')) name.pop_back();
  // Skips the return type, "non-virtual thunk to" and the like, up to the last
  // space. The space in "operator new" or "operator bool" belongs to the name.
  size_t end = std::min(name.find("operator "), name.find("operator\"\" "));
  if (end != std::string::npos && end > 0 && IsWord(name[end - 1])) {
    end = std::string::npos;
  }
  const size_t space = end == 0 ? end - 1 : name.rfind(' ', end);
  if (space != std::string::npos) name.erase(0, space + 1);
  RemoveRustHash(&name);
  return name;
}

std::string ReadableSymbol(const std::string& symbol) {
  constexpr std::string_view kBuiltin = "Builtins_";
  std::string name = WithoutToolSuffix(symbol);
  if (name.starts_with(kBuiltin)) {
    name.erase(0, kBuiltin.size());
  } else if (name.starts_with("_Z")) {
    int status = 0;
    char* demangled =
        abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
    if (demangled != nullptr) {
      const std::string shorter = ShortFunctionName(demangled);
      if (!shorter.empty()) name = shorter;
      free(demangled);
    }
    if (name.starts_with("_Z")) {
      const std::string names = LeadingNames(name);
      if (!names.empty()) name = names;
    }
  }
  if (name.size() > kMaxSymbolNameBytes) {
    name.resize(kMaxSymbolNameBytes);
    name += "…";
  }
  return name;
}

}  // namespace otelpyroscope
