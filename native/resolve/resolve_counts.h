// Counts what went wrong, or remained unknown, while samples were resolved.
#ifndef NATIVE_RESOLVE_RESOLVE_COUNTS_H_
#define NATIVE_RESOLVE_RESOLVE_COUNTS_H_

#include <cstdint>

namespace otelpyroscope {

// Counts since sampling started.
struct ResolveCounts {
  uint64_t unresolved_frames = 0;  // addresses that belong to no known code
  uint64_t inlined_frames = 0;
  // Samples in code with inlined functions of which V8 does not tell which one
  // runs.
  uint64_t unknown_inlined = 0;
  uint64_t layout_fallbacks = 0;  // failed checks of V8's memory layout
  // Frames that are neither in a file nor in V8's code range: WebAssembly's,
  // most likely. They may be named later.
  uint64_t foreign_frames = 0;
};

}  // namespace otelpyroscope

#endif  // NATIVE_RESOLVE_RESOLVE_COUNTS_H_
