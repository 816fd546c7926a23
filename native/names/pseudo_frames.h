// The names in parentheses: of frames that are no function of the program, and
// of functions and code that have no name of their own. In ARCHITECTURE, "What
// frames are called" says when each appears.
#ifndef NATIVE_NAMES_PSEUDO_FRAMES_H_
#define NATIVE_NAMES_PSEUDO_FRAMES_H_

#include <cstdint>

namespace otelpyroscope {

// Frames that are no function of the program.
enum class PseudoFrame : uint8_t {
  kGarbageCollector,
  kNative,
  kEventLoop,
  kUnresolved,
  kTruncated,
  kOverflow,
  kDropped,
};

constexpr const char* PseudoFrameName(PseudoFrame frame) {
  switch (frame) {
    case PseudoFrame::kGarbageCollector:
      return "(garbage collector)";
    case PseudoFrame::kNative:
      return "(native code)";
    case PseudoFrame::kEventLoop:
      return "(event loop)";
    case PseudoFrame::kUnresolved:
      return "(unresolved)";
    case PseudoFrame::kTruncated:
      return "(truncated)";
    case PseudoFrame::kOverflow:
      return "(stack table full)";
    case PseudoFrame::kDropped:
      return "(dropped samples)";
  }
  return "(unresolved)";
}

constexpr char kAnonymousFunction[] = "(anonymous)";
// Code that V8 has made for something that is no function, and that nothing on
// the stack names.
constexpr char kGeneratedCode[] = "(generated code)";
// Before the source and the flags of a regular expression.
constexpr char kRegExpPrefix[] = "(regexp) /";

}  // namespace otelpyroscope

#endif  // NATIVE_NAMES_PSEUDO_FRAMES_H_
