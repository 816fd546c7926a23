// What went wrong, or could not be known, while samples were resolved: counted.
#ifndef NATIVE_RESOLVE_RESOLVE_COUNTS_H_
#define NATIVE_RESOLVE_RESOLVE_COUNTS_H_

#include <cstdint>

namespace otelpyroscope {

// What resolving samples has met.
struct ResolveCounts {
  uint64_t unresolved_frames = 0;  // of addresses that are nobody's
  uint64_t inlined_frames = 0;
  uint64_t layout_fallbacks = 0;  // failed checks of V8's memory layout
  // Frames that are neither in a file nor where V8 puts JavaScript:
  // WebAssembly's, most likely. They may be named later.
  uint64_t foreign_frames = 0;
};

}  // namespace otelpyroscope

#endif  // NATIVE_RESOLVE_RESOLVE_COUNTS_H_
