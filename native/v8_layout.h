// Every private offset of V8 that this project relies on.
//
// None of these is part of V8's API. Each is checked at run time before it is
// trusted (see the file that uses it), and a failed check turns the feature
// off instead of reading on. Offsets are in bytes from the untagged start of
// an object, for 64-bit builds without pointer compression, and are the same
// in the V8 of Node 20, 22, 24 and 26 unless a version is named.
#ifndef NATIVE_V8_LAYOUT_H_
#define NATIVE_V8_LAYOUT_H_

#include <cstddef>
#include <cstdint>

#include "v8-internal.h"
#include "v8-version.h"

namespace otelpyroscope {
namespace v8_layout {

// V8 12.4 (Node 22) is the first with continuation-preserved embedder data at
// a place known to its headers. Node 20 keeps its context elsewhere.
#if V8_MAJOR_VERSION >= 12
#define OTELPYROSCOPE_HAS_CONTINUATION_DATA 1
constexpr int kContinuationDataOffset =
    v8::internal::Internals::kContinuationPreservedEmbedderDataOffset;
#endif

#ifdef V8_COMPRESS_POINTERS
constexpr bool kHeapIsReadable = false;
#else
constexpr bool kHeapIsReadable = true;
#endif

// Tagging: a pointer to an object ends in 01, a small integer is the upper
// half of a word whose lower half is zero.
constexpr uintptr_t kTagMask = 3;
constexpr uintptr_t kHeapObjectTag = 1;
constexpr int kSmiShift = 32;

// Every object: its map (hidden class); every map: the type of its instances.
constexpr size_t kMapOffset = 0;
constexpr size_t kMapInstanceTypeOffset = 12;

// JSMap (the AsyncContextFrame of Node is one) and its OrderedHashMap.
constexpr size_t kJsMapTableOffset = 24;
constexpr size_t kHashMapElementsOffset = 16;
constexpr size_t kHashMapDeletedOffset = 24;
constexpr size_t kHashMapBucketsOffset = 32;
constexpr size_t kHashMapDataOffset = 40;
constexpr size_t kHashMapBucketBytes = 8;
constexpr size_t kHashMapEntryBytes = 24;  // key, value, chain
constexpr size_t kHashMapValueOffset = 8;  // in an entry

// Arrays of tagged words or of bytes: their length, a small integer, and where
// their elements begin.
constexpr size_t kArrayLengthOffset = 8;
constexpr size_t kArrayDataOffset = 16;

// An inlined call in optimized code: a packed position, the index of the
// function in the literals (-1: the function itself), and padding.
constexpr size_t kInliningPositionBytes = 16;
constexpr size_t kInlinedFunctionOffset = 8;

// What differs between the versions, and is needed to find where code came
// from. Instance types are not here: the binary tells them (v8dbg_ symbols).
struct CodeLayout {
  // The word that many bytes before the code points to its Code object.
  size_t code_pointer_before_start;
  // Code
  size_t deoptimization_data;
  size_t source_position_table;
  size_t instruction_start;
  size_t instruction_size;
  // DeoptimizationData: indices of its elements
  size_t literals_index;
  size_t inlining_positions_index;
  // SharedFunctionInfo
  size_t function_literal_id;
  size_t script;
  // BytecodeArray: from its object, and the pointer to its position table
  size_t bytecode_header;
  size_t bytecode_positions_before_start;
};
constexpr size_t kInlinedCountIndex = 1;

// Script: its id, a small integer.
constexpr size_t kScriptIdOffset = 64;

// V8 11.3 is in Node 20, 12.4 in 22, 13.6 in 24, 14 in 26.
#if V8_MAJOR_VERSION == 11
#define OTELPYROSCOPE_HAS_CODE_LAYOUT 1
constexpr CodeLayout kCodeLayout = {8, 16, 24, 40, 56, 2, 7, 52, 32, 54, 22};
#elif V8_MAJOR_VERSION == 12
#define OTELPYROSCOPE_HAS_CODE_LAYOUT 1
constexpr CodeLayout kCodeLayout = {24, 8, 16, 40, 52, 2, 7, 52, 32, 64, 40};
#elif V8_MAJOR_VERSION == 13 || V8_MAJOR_VERSION == 14
#define OTELPYROSCOPE_HAS_CODE_LAYOUT 1
constexpr CodeLayout kCodeLayout = {24, 8, 16, 40, 56, 3, 8, 60, 40, 64, 40};
#else
constexpr CodeLayout kCodeLayout = {};
#endif

// Flags in the first number of an entry of a source position table: one for
// statements, and another one since V8 14.
constexpr int kPositionFlagBits = V8_MAJOR_VERSION >= 14 ? 2 : 1;

}  // namespace v8_layout
}  // namespace otelpyroscope

#endif  // NATIVE_V8_LAYOUT_H_
