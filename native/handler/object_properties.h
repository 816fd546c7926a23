// Reads properties of JavaScript's objects from V8's heap, by their keys.
//
// The object's hidden class, its map, has a descriptor for each property: the
// key, and where objects of that class have the value. Or the object has its
// properties in a hash table: if one was deleted, or if they are many.
#ifndef NATIVE_HANDLER_OBJECT_PROPERTIES_H_
#define NATIVE_HANDLER_OBJECT_PROPERTIES_H_

#include <cstddef>
#include <cstdint>

#include "base/signal_safety.h"
#include "handler/heap_words.h"
#include "v8.h"
#include "v8_heap/layout.h"

namespace otelpyroscope {

// A property to be read.
struct Property {
  uintptr_t key = 0;    // the symbol, or the name as V8 keeps it; 0: none
  uintptr_t value = 0;  // 0: the object has none of its own, or no place for it
};

// Whether ReadProperties() reads the properties of known objects correctly, by
// reads that cannot fault. Called from JavaScript.
bool PropertiesAreAsKnown(v8::Isolate* isolate);

// Reads the value of a property from the place that its descriptor names.
template <typename Reader>
SIGNAL_SAFE uintptr_t ReadField(uintptr_t object, uintptr_t map,
                                uint64_t details) noexcept {
  const v8_layout::Layout& at = v8_layout::layout();
  uint8_t words = 0;
  uint8_t start = 0;
  if ((details & v8_layout::kDetailsNoField) != 0 ||
      !Reader::Read(map + at.map_instance_words, &words) ||
      !Reader::Read(map + at.map_properties_start, &start) || start > words) {
    return 0;
  }
  const uint64_t field =
      (details >> v8_layout::kDetailsFieldShift) & v8_layout::kDetailsFieldMask;
  const uint64_t inside = words - start;
  object -= v8_layout::kHeapObjectTag;
  uintptr_t value = 0;
  if (field < inside) {
    Reader::Read(object + (start + field) * sizeof(uintptr_t), &value);
    return value;
  }
  uintptr_t array = 0;
  uint64_t length = 0;
  // V8 may be about to replace the array by a longer one.
  if (!Reader::Read(object + at.object_properties, &array) ||
      !IsObject(array)) {
    return 0;
  }
  array -= v8_layout::kHeapObjectTag;
  if (ReadSmi<Reader>(array + at.property_array_length, &length) &&
      field - inside < (length & v8_layout::kPropertyArrayLengthMask)) {
    Reader::Read(array + at.array_data + (field - inside) * sizeof(uintptr_t),
                 &value);
  }
  return value;
}

// Reads the value of a property from a hash table.
template <typename Reader>
SIGNAL_SAFE uintptr_t ReadEntry(uintptr_t table, uintptr_t name) noexcept {
  // Half of a table is empty, so that far fewer are looked at.
  constexpr uint64_t kMaxLooks = 64;
  const v8_layout::Layout& at = v8_layout::layout();
  uint32_t hash = 0;
  uint64_t capacity = 0;
  uint64_t length = 0;
  const uintptr_t data = table - v8_layout::kHeapObjectTag + at.array_data;
  if (!Reader::Read(name - v8_layout::kHeapObjectTag + at.name_hash, &hash) ||
      !ReadSmi<Reader>(table - v8_layout::kHeapObjectTag + at.array_length,
                       &length) ||
      !ReadSmi<Reader>(
          data + v8_layout::kDictionaryCapacity * sizeof(uintptr_t),
          &capacity) ||
      v8_layout::kDictionaryFirst + capacity * v8_layout::kDictionaryEntry >
          length) {
    return 0;
  }
  uint64_t entry = hash >> v8_layout::kNameHashShift;
  for (uint64_t looks = 1; looks <= capacity && looks <= kMaxLooks; looks++) {
    entry &= capacity - 1;
    const uintptr_t place = data + (v8_layout::kDictionaryFirst +
                                    entry * v8_layout::kDictionaryEntry) *
                                       sizeof(uintptr_t);
    uintptr_t key = 0;
    uintptr_t value = 0;
    if (!Reader::Read(place, &key)) return 0;
    if (key == name) {
      Reader::Read(place + sizeof(uintptr_t), &value);
      return value;
    }
    entry += looks;
  }
  return 0;
}

// Reads `count` properties of the object at this address; it may be any word
// that was found in an object.
template <typename Reader>
SIGNAL_SAFE void ReadProperties(uintptr_t object, Property* properties,
                                size_t count) noexcept {
  const v8_layout::Layout& at = v8_layout::layout();
  uintptr_t map = 0;
  uint32_t flags = 0;
  if (!ReadMap<Reader>(object, &map)) return;
  map -= v8_layout::kHeapObjectTag;
  if (!Reader::Read(map + at.map_flags, &flags)) return;
  if ((flags & v8_layout::kMapHasDictionary) != 0) {
    uintptr_t table = 0;
    if (!Reader::Read(object - v8_layout::kHeapObjectTag + at.object_properties,
                      &table) ||
        !IsObject(table)) {
      return;
    }
    for (size_t i = 0; i < count; i++) {
      if (properties[i].key == 0) continue;
      properties[i].value = ReadEntry<Reader>(table, properties[i].key);
    }
    return;
  }
  uintptr_t descriptor = 0;
  if (!Reader::Read(map + at.map_descriptors, &descriptor) ||
      !IsObject(descriptor)) {
    return;
  }
  descriptor += at.descriptors_data - v8_layout::kHeapObjectTag;
  for (uint32_t left = (flags >> v8_layout::kMapDescriptorsShift) &
                       v8_layout::kMapDescriptorsMask;
       left > 0; left--, descriptor += v8_layout::kDescriptorBytes) {
    uintptr_t key = 0;
    if (!Reader::Read(descriptor, &key)) return;
    for (size_t i = 0; i < count; i++) {
      uint64_t details = 0;
      if (properties[i].key == key && key != 0 &&
          ReadSmi<Reader>(descriptor + v8_layout::kDescriptorDetails,
                          &details)) {
        properties[i].value = ReadField<Reader>(object, map, details);
      }
    }
  }
}

}  // namespace otelpyroscope

#endif  // NATIVE_HANDLER_OBJECT_PROPERTIES_H_
