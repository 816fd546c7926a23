// Decodes V8's source position tables: which position in the source an offset
// in code belongs to. Pure, from bytes to numbers; any thread.
//
// Format (V8's source-position-table.cc and source-position.h): entries of two
// variable-length integers, the differences to the entry before; the first
// entry's are to code offset -1, the function's entry. The lowest bits of the
// first integer are flags, the others the code offset; the second is a 64-bit
// position, zig-zag encoded. Bit 0 of a position is set if it is not in the
// script; bits 1-30 are the offset in the script plus 1, bits 31-46 the number
// of the inlined call plus 1.
#ifndef NATIVE_V8_HEAP_SOURCE_POSITIONS_H_
#define NATIVE_V8_HEAP_SOURCE_POSITIONS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "v8_heap/function_id.h"

namespace otelpyroscope {

// A position in a script's source, as V8 packs it in 64 bits.
struct SourcePosition {
  int32_t script_offset = -1;  // -1: unknown
  int32_t inlining_id = -1;    // index of the inlined call; -1: not inlined

  static SourcePosition Unpack(uint64_t bits);
};

struct CodePosition {
  uint32_t code_offset = 0;
  SourcePosition position;
};

// Decodes the table of `code_size` bytes of code, whose entries have
// `flag_bits` flags. Returns false if it is not a table: it ends in the middle
// of an entry, or an offset is outside of the code.
bool DecodeSourcePositions(const uint8_t* bytes, size_t size, size_t code_size,
                           int flag_bits, std::vector<CodePosition>* positions);

// Returns the position of the last entry at or before `offset`, or null.
const SourcePosition* FindPosition(const std::vector<CodePosition>& positions,
                                   size_t offset);

// A call whose callee V8 has inlined.
struct InlinedCall {
  FunctionId function;     // the callee
  bool is_itself = false;  // the callee is the function that inlines it
  SourcePosition call;  // position in the caller, which may be inlined itself
  // The callee's SharedFunctionInfo, valid until it can have moved.
  uintptr_t shared = 0;
};

// The positions and inlined calls of a piece of code.
struct CodePositions {
  std::vector<CodePosition> positions;
  std::vector<InlinedCall> inlined;  // a call's caller comes before it

  // Whether V8 has left the positions out, as it does in Maglev's code before
  // Node 24.20: which of the inlined functions runs is then unknown.
  bool HidesInlined() const { return positions.empty() && !inlined.empty(); }
};

}  // namespace otelpyroscope

#endif  // NATIVE_V8_HEAP_SOURCE_POSITIONS_H_
