// Defines every private offset of V8 that this project relies on: one table per
// version.
//
// None of these is part of V8's API. Each is checked at run time before it is
// trusted (layout_check.h, and the files that use it), and a failed check turns
// the feature off. Offsets are in bytes from the untagged start of an object,
// for 64-bit builds without pointer compression. The table may be read from any
// thread, and in the signal handler.
//
// The objects that a frame leads to; names in lower case are those of Layout:
//
//   frame of JavaScript
//   ├ frame_function_below ─ JSFunction
//   │  └ function_shared ─ SharedFunctionInfo
//   │     ├ shared_name ─ String, or ScopeInfo: name (scope_names) and start
//   │     │               (scope_position) of the function
//   │     ├ shared_data ─ BytecodeArray, InterpreterData with one
//   │     │               (interpreter_data_bytecode), or Code (baseline)
//   │     ├ function_literal_id: number of the function in its script
//   │     └ function_script ─ Script
//   │        ├ script_id, script_line_offset, script_column_offset
//   │        ├ script_name ─ String: the URL
//   │        └ script_source ─ String
//   ├ frame_context_below ─ Context
//   ├ frame_bytecode_below ─ BytecodeArray, in interpreted frames
//   │  └ bytecode_positions_before_start ─ source position table
//   └ frame_offset_below: offset in the BytecodeArray
//
//   machine code, found from a return address
//   └ code_pointer_before_start ─ Code
//      ├ instruction_start, instruction_size
//      ├ source_position_table ─ of baseline code: bytecode offset table
//      └ deoptimization_data ─ DeoptimizationData; of baseline code:
//         │                    BytecodeArray
//         ├ function_index ─ SharedFunctionInfo of the function
//         ├ literals_index ─ SharedFunctionInfos of inlined functions
//         └ inlining_positions_index ─ InliningPositions: the inlined calls
//
//   isolate
//   └ continuation_data ─ JSMap: Node's AsyncContextFrame
//      └ js_map_table ─ OrderedHashMap: AsyncLocalStorage → its store
//
//   object of JavaScript, such as a context of OpenTelemetry
//   ├ map ─ Map
//   │  └ map_descriptors ─ DescriptorArray: key and place of each property
//   ├ object_properties ─ PropertyArray, or NameDictionary: a hash table
//   └ object_elements ─ FixedArray
#ifndef NATIVE_V8_HEAP_LAYOUT_H_
#define NATIVE_V8_HEAP_LAYOUT_H_

#include <cstddef>
#include <cstdint>

#include "base/signal_safety.h"
#include "v8-internal.h"
#include "v8-version.h"

namespace otelpyroscope {
namespace v8_layout {

// V8 12.4 (Node 22) is the first with continuation-preserved embedder data at
// an offset that its headers contain. Node 20 keeps its context elsewhere.
#if V8_MAJOR_VERSION >= 12
#define OTELPYROSCOPE_HAS_CONTINUATION_DATA 1
#endif

// In these builds of V8 the heap differs from the table, or a handle is not a
// pointer to a word with the object: nothing is read there, and V8's code
// events are listened to. The headers are compared with the running V8
// (exported_offsets.h), because all builds have the same NODE_MODULE_VERSION.
#if defined(V8_COMPRESS_POINTERS) || defined(V8_ENABLE_SANDBOX) || \
    defined(V8_MAP_PACKING) || defined(V8_ENABLE_DIRECT_HANDLE) || \
    defined(V8_ENABLE_DIRECT_LOCAL)
constexpr bool kHeapIsReadable = false;
#else
constexpr bool kHeapIsReadable = true;
#endif

// Tagging: a pointer to an object ends in 01, a small integer is the upper
// half of a word whose lower half is zero.
constexpr uintptr_t kTagMask = 3;
constexpr uintptr_t kHeapObjectTag = 1;
constexpr int kSmiShift = 32;
// A cheap check of words that may be anything: objects begin at whole words, in
// the lower half of the address space.
SIGNAL_SAFE constexpr bool MayBeObject(uintptr_t word) noexcept {
  return word % sizeof(uintptr_t) == kHeapObjectTag && word >> 47 == 0 &&
         word >> 32 != 0;
}

// Flags in the first number of an entry of a source position table: one for
// statements, and another one since V8 14.
constexpr int kPositionFlagBits = V8_MAJOR_VERSION >= 14 ? 2 : 1;

// Instance types are not here: the binary exports them (v8dbg_ symbols).
struct Layout {
  // Every object: its map (hidden class). Every map: the type of its instances;
  // of objects of JavaScript, their size and the start of their properties, in
  // words, one byte each; flags, 32 bits; and its DescriptorArray, in which the
  // descriptors of the properties begin at `descriptors_data`.
  size_t map;
  size_t map_instance_words;
  size_t map_properties_start;
  size_t map_instance_type;
  size_t map_flags;
  size_t map_descriptors;
  size_t descriptors_data;
  // Objects of JavaScript: the PropertyArray with the properties for which they
  // have no room, and the FixedArray of an array's elements. PropertyArray: its
  // length, the lower bits of a small integer. JSArray: its length, one too.
  size_t object_properties;
  size_t object_elements;
  size_t property_array_length;
  size_t js_array_length;
  // Arrays of tagged words or of bytes: their length, a small integer, and the
  // start of their elements.
  size_t array_length;
  size_t array_data;

  // Isolate: the continuation-preserved embedder data.
  size_t continuation_data;
  // JSMap (Node's AsyncContextFrame is one) and its OrderedHashMap, whose
  // entries are key, value and chain.
  size_t js_map_table;
  size_t hash_map_elements;
  size_t hash_map_deleted;
  size_t hash_map_buckets;
  size_t hash_map_data;
  size_t hash_map_bucket_bytes;
  size_t hash_map_entry_bytes;
  size_t hash_map_value;

  // Name (symbols and strings): the word with its hash, 32 bits.
  size_t name_hash;

  // JSFunction: its SharedFunctionInfo. SharedFunctionInfo: the function's
  // number in its script, and the Script. Script: its id, a small integer.
  size_t function_shared;
  size_t function_literal_id;
  size_t function_script;
  size_t script_id;

  // SharedFunctionInfo: its name or ScopeInfo, and its bytecode, baseline code
  // or other data that it runs by.
  size_t shared_name;
  size_t shared_data;
  // Script: its source and its name; the line and the column at which the
  // source begins, small integers.
  size_t script_source;
  size_t script_name;
  size_t script_line_offset;
  size_t script_column_offset;

  // ScopeInfo: its flags, 32 bits; the number of its variables in the context,
  // a small integer; the start of their names; and the position of the function
  // in its source, a small integer, 0 if it follows the names.
  size_t scope_flags;
  size_t scope_locals;
  size_t scope_names;
  size_t scope_position;

  // String: its length; characters of a sequential one. Parts of the others.
  size_t string_length;
  size_t string_data;
  size_t cons_first;
  size_t cons_second;
  size_t thin_actual;
  size_t sliced_parent;
  size_t sliced_offset;

  // JSRegExp: its compiled data, its source, and its flags, a small integer.
  // Its code is among the first words of the data, or in an object there, at
  // this offset.
  size_t regexp_data;
  size_t regexp_source;
  size_t regexp_flags;
  size_t code_wrapper_code;

  // A frame of JavaScript: bytes below its frame pointer. Interpreted frames
  // have the bytecode array and the offset in it, a small integer.
  size_t frame_context_below;
  size_t frame_function_below;
  size_t frame_bytecode_below;
  size_t frame_offset_below;

  // BytecodeArray: from its object to the bytecode, and from the bytecode back
  // to the pointer to its position table. InterpreterData: its bytecode.
  size_t bytecode_header;
  size_t bytecode_positions_before_start;
  size_t interpreter_data_bytecode;

  // The word this many bytes before machine code points to its Code object.
  size_t code_pointer_before_start;
  // Code. In baseline code, the first two are the bytecode and the bytecode
  // offset table.
  size_t deoptimization_data;
  size_t source_position_table;
  size_t instruction_start;
  size_t instruction_size;
  // DeoptimizationData: indices of its elements. The function is a
  // SharedFunctionInfo, or an object that has one at `function_wrapper_shared`.
  size_t inlined_count_index;
  size_t literals_index;
  size_t function_index;
  size_t inlining_positions_index;
  size_t function_wrapper_shared;
  // An inlined call in optimized code (InliningPosition): 64 bits of a packed
  // position, then 32 of the function's index in the literals (-1: the function
  // itself), and padding.
  size_t inlining_position_bytes;
};

// The Script in a DebugInfo, which replaces the Script in its
// SharedFunctionInfo in V8 11 alone, with a debugger or coverage.
constexpr size_t kDebugInfoScript = 24;

// The number of instance types after JSFunction's that are functions as well,
// in V8 11.
constexpr uint16_t kFunctionTypesBehindFirst = 15;

// Bits of a map's flags: whether the properties are in a hash table, and the
// number of descriptors that are of this map.
constexpr uint32_t kMapHasDictionary = 1 << 21;
constexpr uint32_t kMapDescriptorsShift = 10;
constexpr uint32_t kMapDescriptorsMask = 1023;
// A descriptor: the key, details, a small integer, and the type of the value.
// Details: not a field of the object (an accessor, or a constant elsewhere);
// and the number of the field.
constexpr size_t kDescriptorBytes = 24;
constexpr size_t kDescriptorDetails = 8;
constexpr uint64_t kDetailsNoField = 1 | 1 << 5;
constexpr uint64_t kDetailsFieldShift = 19;
constexpr uint64_t kDetailsFieldMask = 1023;
// The length in a PropertyArray; a hash has the upper bits.
constexpr uint64_t kPropertyArrayLengthMask = 1023;
// A hash table of properties (NameDictionary), an array: indices of its
// capacity, a power of two, and of its first entry: key, value and details.
constexpr size_t kDictionaryCapacity = 2;
constexpr size_t kDictionaryFirst = 6;
constexpr size_t kDictionaryEntry = 3;
// Bits of a name's hash word below the hash.
constexpr uint32_t kNameHashShift = 2;

// Instance types below the first are strings': how the characters are kept, and
// whether they are bytes.
constexpr uint16_t kFirstNonString = 128;
constexpr uint16_t kStringRepresentation = 7;
constexpr uint16_t kSequentialString = 0;
constexpr uint16_t kConsString = 1;
constexpr uint16_t kSlicedString = 3;
constexpr uint16_t kThinString = 5;
constexpr uint16_t kOneByteString = 8;

// Bits of a ScopeInfo's flags.
constexpr uint32_t kScopeTypeMask = 15;
constexpr uint32_t kModuleScope = V8_MAJOR_VERSION >= 13 ? 5 : 3;
// Whether a module's ScopeInfo has the number of its exports and imports before
// the names; V8 11 has it after everything that is read here.
constexpr bool kModuleCountIsFirst = V8_MAJOR_VERSION >= 12;
constexpr uint32_t kScopeHasSavedClass = 1 << 10;
constexpr uint32_t kScopeHasName = 3 << 12;
constexpr uint32_t kScopeHasInferredName = 1 << 14;
// With at most this many variables, their names are in the ScopeInfo itself,
// not in a hash table.
constexpr uint64_t kMaxScopeNames = 75;

// The lengths of bytecodes. If they are unknown for this V8, baseline code has
// no lines.
struct Bytecodes {
  // A digit for each bytecode: its length in bytes with the opcode, and how
  // many of its bytes become two after Wide, and four after ExtraWide.
  const char* lengths;
  const char* scalable;
};

// The table of the V8 that this was compiled for. Only the tests' own build
// (test/support/testing-build.mjs) can change it.
#ifdef OTELPYROSCOPE_TESTING
extern Layout table;
#else
extern const Layout table;
#endif

SIGNAL_SAFE inline const Layout& layout() noexcept { return table; }
// Whether there is a table for this V8's code.
bool HasCodeLayout();
const Bytecodes& bytecodes();

#ifdef OTELPYROSCOPE_TESTING
// Makes an entry of the table wrong, before anything was read by it. Returns
// the entry's name, or "" if there is no such entry.
const char* ShiftEntry(size_t entry, int bytes);
#endif

}  // namespace v8_layout
}  // namespace otelpyroscope

#endif  // NATIVE_V8_HEAP_LAYOUT_H_
