// Defines the names in parentheses: those of frames that are not functions of
// the program, and of functions and code without a name of their own. In
// ARCHITECTURE, "What frames are called" describes when each appears;
// TypeScript's own are in src/util/pseudo-frames.ts.
#ifndef NATIVE_NAMES_PSEUDO_FRAMES_H_
#define NATIVE_NAMES_PSEUDO_FRAMES_H_

#include <cstdint>

namespace otelpyroscope {

// A frame that is not a function of the program.
enum class PseudoFrame : uint8_t {
  kGarbageCollector,
  kOwnOrInlined,
  kNative,
  kEventLoop,
  kUnresolved,
  kTruncated,
  kOverflow,
  kDropped,
};

// Returns the frame's name in profiles. Any thread.
constexpr const char* PseudoFrameName(PseudoFrame frame) {
  switch (frame) {
    case PseudoFrame::kGarbageCollector:
      return "(garbage collector)";
    case PseudoFrame::kOwnOrInlined:
      return "(own or inlined code)";
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
// V8's code that belongs to no function and that nothing on the stack names.
constexpr char kGeneratedCode[] = "(generated code)";
// Precedes the source and the flags of a regular expression.
constexpr char kRegExpPrefix[] = "(regexp) /";

}  // namespace otelpyroscope

#endif  // NATIVE_NAMES_PSEUDO_FRAMES_H_
