// Finds where else in this process a part of a mapped file is mapped. Any
// thread, but not the signal handler.
#ifndef NATIVE_SYMBOLS_SECOND_MAPPING_H_
#define NATIVE_SYMBOLS_SECOND_MAPPING_H_

#include <cstddef>
#include <cstdint>
#include <optional>

namespace otelpyroscope {

// Returns the address of the lowest executable mapping within [low, high),
// other than the original one, of the file bytes that are mapped at [address,
// address + size), which must be in one mapping. Returns 0 if there is none,
// and nothing if the list of mappings cannot be read. Reads /proc/self/maps
// once, up to `address` and `high`, in time that grows with the number of
// mappings below those.
std::optional<uintptr_t> FindSecondMapping(uintptr_t address, size_t size,
                                           uintptr_t low, uintptr_t high);

// Does the same with an open file that contains the text of /proc/self/maps.
// The file is read in pieces, from its current position.
std::optional<uintptr_t> FindSecondMappingIn(int maps, uintptr_t address,
                                             size_t size, uintptr_t low,
                                             uintptr_t high);

}  // namespace otelpyroscope

#endif  // NATIVE_SYMBOLS_SECOND_MAPPING_H_
