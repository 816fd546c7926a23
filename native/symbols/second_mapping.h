// Where else in this process a piece of a mapped file is mapped.
#ifndef NATIVE_SYMBOLS_SECOND_MAPPING_H_
#define NATIVE_SYMBOLS_SECOND_MAPPING_H_

#include <cstddef>
#include <cstdint>
#include <optional>

namespace otelpyroscope {

// The lowest executable mapping within [low, high), outside of the original
// one, of the file bytes that are mapped at [address, address + size), which
// must all be in one mapping. 0: there is none; nothing: the system does not
// tell. Reads /proc/self/maps once, up to `address` and `high`, in time that is
// linear in the mappings below those.
std::optional<uintptr_t> FindSecondMapping(uintptr_t address, size_t size,
                                           uintptr_t low, uintptr_t high);

// The same over an open file with the text of /proc/self/maps, which is read in
// pieces, from where it stands.
std::optional<uintptr_t> FindSecondMappingIn(int maps, uintptr_t address,
                                             size_t size, uintptr_t low,
                                             uintptr_t high);

}  // namespace otelpyroscope

#endif  // NATIVE_SYMBOLS_SECOND_MAPPING_H_
