// What the running binary tells debuggers of V8, to compare the table and the
// headers with.
#ifndef NATIVE_V8_HEAP_EXPORTED_OFFSETS_H_
#define NATIVE_V8_HEAP_EXPORTED_OFFSETS_H_

#include <cstdint>

namespace otelpyroscope {

// False: the binary says otherwise than the table. What it does not tell is
// taken as it is.
bool TableIsAsExported();

// Whether the running V8 is built as the headers say that this was compiled
// with: whether it compresses pointers, and whether handles are pointers to
// words. `handle`: one on an object. All builds have the same
// NODE_MODULE_VERSION, and what the headers have inline is wrong in another.
bool BuildIsAsCompiled(uintptr_t handle);

}  // namespace otelpyroscope

#endif  // NATIVE_V8_HEAP_EXPORTED_OFFSETS_H_
