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

}  // namespace v8_layout
}  // namespace otelpyroscope

#endif  // NATIVE_V8_LAYOUT_H_
