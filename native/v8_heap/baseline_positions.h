// Decodes the positions of baseline (Sparkplug) code: which bytecode an offset
// in it belongs to. Pure, from bytes to numbers; any thread.
//
// Format (V8's baseline-compiler.cc and bytecode-offset-iterator.h): unsigned
// variable-length integers, the length of the machine code of the prologue,
// then of each bytecode in order. The start of the next bytecode is known only
// from the bytecode itself (bytecodes.h): an opcode and its operands, which the
// prefixes Wide and ExtraWide make two or four bytes long.
#ifndef NATIVE_V8_HEAP_BASELINE_POSITIONS_H_
#define NATIVE_V8_HEAP_BASELINE_POSITIONS_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "v8_heap/source_positions.h"

namespace otelpyroscope {

// Contains a digit for each bytecode: its length with the opcode, and how many
// of its bytes become two after Wide and four after ExtraWide. Wide is the
// first bytecode and ExtraWide the second.
struct BytecodeLengths {
  std::string_view lengths;
  std::string_view scalable;
};

// Finds the offsets at which the bytecodes of an array begin. Returns false if
// they do not end exactly at its end, or if an opcode is unknown.
bool FindBytecodes(const uint8_t* bytecode, size_t size,
                   const BytecodeLengths& lengths,
                   std::vector<uint32_t>* starts);

// Whether every position is at the start of a bytecode.
bool AreOfBytecodes(const std::vector<CodePosition>& positions,
                    const std::vector<uint32_t>& starts);

// Decodes the positions of `code_size` bytes of baseline code from its bytecode
// offset table and from its bytecode's positions. Returns false if the table
// does not have exactly one length for each bytecode, or is longer than the
// code.
bool DecodeBaselinePositions(const uint8_t* table, size_t table_size,
                             size_t code_size,
                             const std::vector<uint32_t>& starts,
                             const std::vector<CodePosition>& bytecode,
                             std::vector<CodePosition>* positions);

}  // namespace otelpyroscope

#endif  // NATIVE_V8_HEAP_BASELINE_POSITIONS_H_
