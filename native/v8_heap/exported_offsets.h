// Compares the table of offsets and V8's headers with the offsets that the
// running binary exports for debuggers. Any thread; not in the signal handler.
#ifndef NATIVE_V8_HEAP_EXPORTED_OFFSETS_H_
#define NATIVE_V8_HEAP_EXPORTED_OFFSETS_H_

#include <cstdint>

namespace otelpyroscope {

// Returns false if the binary exports another offset than the table has.
// Offsets that it does not export are not compared.
bool TableIsAsExported();

// Whether the running V8 was built as the headers that this was compiled with:
// whether it compresses pointers, and whether handles are pointers to words.
// `handle` is a handle on an object. All builds have the same
// NODE_MODULE_VERSION, and the headers' inline functions are wrong in another
// build.
bool BuildIsAsCompiled(uintptr_t handle);

}  // namespace otelpyroscope

#endif  // NATIVE_V8_HEAP_EXPORTED_OFFSETS_H_
