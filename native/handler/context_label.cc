#include "handler/context_label.h"

#include <cstring>

#include "base/safe_memory.h"
#include "v8_heap/heap_reader.h"
#include "v8_heap/layout.h"

namespace otelpyroscope {
namespace {

using v8_layout::kHeapObjectTag;
using v8_layout::kSmiShift;
using v8_layout::kTagMask;
using v8_layout::Layout;
using v8_layout::layout;

// No process has more AsyncLocalStorages; the bound is for memory that contains
// something else.
constexpr uint64_t kMaxEntries = 4096;

// Reads by plain loads, in the signal handler: the layout was checked before.
struct PlainReader {
  template <typename T>
  SIGNAL_SAFE static bool Read(uintptr_t address, T* to) noexcept {
    *to = *reinterpret_cast<const T*>(address);
    return true;
  }
};

SIGNAL_SAFE [[maybe_unused]] bool IsObject(uintptr_t word) noexcept {
  return (word & kTagMask) == kHeapObjectTag;
}

SIGNAL_SAFE [[maybe_unused]] bool IsSmi(uintptr_t word) noexcept {
  return static_cast<uint32_t>(word) == 0;
}

// Returns the address at which V8 keeps the address of a handle's object.
SIGNAL_SAFE [[maybe_unused]] uintptr_t HandleLocation(
    const v8::Global<v8::Object>& handle) noexcept {
  static_assert(sizeof(handle) == sizeof(uintptr_t));
  uintptr_t location;
  memcpy(&location, &handle, sizeof(location));
  return location;
}

template <typename Reader>
SIGNAL_SAFE bool ReadInstanceType(uintptr_t object, uint16_t* type) noexcept {
  uintptr_t map = 0;
  return IsObject(object) &&
         Reader::Read(object - kHeapObjectTag + layout().map, &map) &&
         IsObject(map) &&
         Reader::Read(map - kHeapObjectTag + layout().map_instance_type, type);
}

template <typename Reader>
SIGNAL_SAFE bool ReadSmi(uintptr_t address, uint64_t* value) noexcept {
  uintptr_t word = 0;
  if (!Reader::Read(address, &word) || !IsSmi(word)) return false;
  *value = word >> kSmiShift;
  return true;
}

// The table of a JSMap, and its sizes.
struct HashMap {
  uintptr_t table = 0;
  uint64_t elements = 0;
  uint64_t deleted = 0;
  uint64_t buckets = 0;
};

template <typename Reader>
SIGNAL_SAFE bool ReadHashMap(uintptr_t map, uint16_t map_type,
                             HashMap* found) noexcept {
  const Layout& at = layout();
  uint16_t type = 0;
  uintptr_t table = 0;
  uint64_t length = 0;
  if (!ReadInstanceType<Reader>(map, &type) || type != map_type ||
      !Reader::Read(map - kHeapObjectTag + at.js_map_table, &table) ||
      !IsObject(table)) {
    return false;
  }
  table -= kHeapObjectTag;
  found->table = table;
  if (!ReadSmi<Reader>(table + at.hash_map_elements, &found->elements) ||
      !ReadSmi<Reader>(table + at.hash_map_deleted, &found->deleted) ||
      !ReadSmi<Reader>(table + at.hash_map_buckets, &found->buckets) ||
      !ReadSmi<Reader>(table + at.array_length, &length)) {
    return false;
  }
  // There is room for two entries per bucket, and the table ends after it.
  const uint64_t room = 2 * found->buckets;
  return found->buckets <= kMaxEntries &&
         found->elements + found->deleted <= room &&
         at.array_data + length * sizeof(uintptr_t) ==
             at.hash_map_data + found->buckets * at.hash_map_bucket_bytes +
                 room * at.hash_map_entry_bytes;
}

// Returns the address of the small integer under `key` in the JSMap `map`, and
// its value; or 0.
template <typename Reader>
SIGNAL_SAFE uintptr_t FindNumberAddress(uintptr_t map, uintptr_t key,
                                        uint16_t map_type,
                                        uint32_t* number) noexcept {
  const Layout& at = layout();
  *number = 0;
  HashMap found;
  if (!ReadHashMap<Reader>(map, map_type, &found)) return 0;
  // A scan of a handful of entries is faster than finding the key's hash.
  uintptr_t entry =
      found.table + at.hash_map_data + found.buckets * at.hash_map_bucket_bytes;
  for (uint64_t left = found.elements + found.deleted; left > 0; left--) {
    uintptr_t word = 0;
    if (!Reader::Read(entry, &word)) return 0;
    if (word == key) {
      const uintptr_t address = entry + at.hash_map_value;
      uint64_t value = 0;
      if (!ReadSmi<Reader>(address, &value) || value > INT32_MAX) return 0;
      *number = static_cast<uint32_t>(value);
      return address;
    }
    entry += at.hash_map_entry_bytes;
  }
  return 0;
}

// Returns the small integer alone, or 0.
template <typename Reader>
uint32_t FindNumber(uintptr_t map, uintptr_t key, uint16_t map_type) {
  uint32_t number = 0;
  FindNumberAddress<Reader>(map, key, map_type, &number);
  return number;
}

#ifdef OTELPYROSCOPE_HAS_CONTINUATION_DATA
// The known map contains the keys 2 … 6, each with a hundred more as its value,
// after a deleted 1. No two of its sizes are equal.
constexpr int kLastKey = 6;
constexpr int kKeyToValue = 100;

v8::MaybeLocal<v8::Object> KnownMap(v8::Isolate* isolate) {
  const v8::Local<v8::Context> context = isolate->GetCurrentContext();
  const v8::Local<v8::Map> map = v8::Map::New(isolate);
  const v8::Local<v8::Value> first = v8::Integer::New(isolate, 1);
  for (int key = 1; key <= kLastKey; key++) {
    if (map->Set(context, v8::Integer::New(isolate, key),
                 v8::Integer::New(isolate, key + kKeyToValue))
            .IsEmpty()) {
      return {};
    }
  }
  if (!map->Delete(context, first).FromMaybe(false)) return {};
  return map;
}

// Whether the known map is read correctly. Returns the instance type of maps in
// `*type`.
bool IsAsKnown(uintptr_t map, uint16_t* type) {
  const uint16_t told = InstanceTypes::OfThisV8().js_map;
  HashMap found;
  if (!ReadInstanceType<SafeMemory>(map, type) ||
      (told != 0 && *type != told) ||
      !ReadHashMap<SafeMemory>(map, *type, &found) ||
      found.elements != kLastKey - 1 || found.deleted != 1 ||
      found.buckets != 4) {
    return false;
  }
  for (int key = 1; key <= kLastKey; key++) {
    const uint32_t expected =
        key == 1 ? 0 : static_cast<uint32_t>(key + kKeyToValue);
    if (FindNumber<SafeMemory>(map, static_cast<uintptr_t>(key) << kSmiShift,
                               *type) != expected) {
      return false;
    }
  }
  return true;
}
#endif

}  // namespace

void ContextLabel::SetStorage(v8::Isolate* isolate,
                              v8::Local<v8::Object> storage) {
  Reset();
  storage_.Reset(isolate, storage);
  std::atomic_signal_fence(std::memory_order_release);
  usable_.store(map_instance_type_ != 0, std::memory_order_relaxed);
}

void ContextLabel::Reset() {
  usable_.store(false, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_acq_rel);
  storage_.Reset();
}

uint32_t ContextLabel::Probe(v8::Isolate* isolate) {
#ifdef OTELPYROSCOPE_HAS_CONTINUATION_DATA
  if (!v8_layout::kHeapIsReadable || storage_.IsEmpty()) return 0;
  v8::HandleScope scope(isolate);
  v8::Local<v8::Object> map;
  if (!KnownMap(isolate).ToLocal(&map)) return 0;
  const v8::Global<v8::Object> known_map(isolate, map);
  uintptr_t map_object = 0;
  uintptr_t key = 0;
  uintptr_t context = 0;
  uint16_t type = 0;
  if (!SafeMemory::Read(HandleLocation(known_map), &map_object) ||
      !IsAsKnown(map_object, &type) ||
      !SafeMemory::Read(HandleLocation(storage_), &key) ||
      !SafeMemory::Read(
          reinterpret_cast<uintptr_t>(isolate) + layout().continuation_data,
          &context)) {
    return 0;
  }
  const uint32_t id = FindNumber<SafeMemory>(context, key, type);
  if (id == 0) return 0;
  map_instance_type_ = type;
  std::atomic_signal_fence(std::memory_order_release);
  usable_.store(true, std::memory_order_relaxed);
  return id;
#else
  static_cast<void>(isolate);
  return 0;
#endif
}

SIGNAL_SAFE uintptr_t ContextLabel::FindLabel(v8::Isolate* isolate,
                                              uint32_t* id) const noexcept {
  *id = 0;
#ifdef OTELPYROSCOPE_HAS_CONTINUATION_DATA
  if (!usable()) return 0;
  uintptr_t key = 0;
  uintptr_t context = 0;
  PlainReader::Read(HandleLocation(storage_), &key);
  PlainReader::Read(
      reinterpret_cast<uintptr_t>(isolate) + layout().continuation_data,
      &context);
  return FindNumberAddress<PlainReader>(context, key, map_instance_type_, id);
#else
  static_cast<void>(isolate);
  return 0;
#endif
}

SIGNAL_SAFE uint32_t
ContextLabel::ReadLabel(v8::Isolate* isolate) const noexcept {
  uint32_t id = 0;
  FindLabel(isolate, &id);
  return id;
}

bool ContextLabel::ReplaceLabel(v8::Isolate* isolate, uint32_t id) {
  uint32_t before = 0;
  const uintptr_t address = FindLabel(isolate, &before);
  if (address == 0 || id > INT32_MAX) return false;
  // V8 may be marking the map on another thread, which reads whole words. A
  // small integer needs no write barrier.
  std::atomic_ref<uintptr_t>(*reinterpret_cast<uintptr_t*>(address))
      .store(uintptr_t{id} << kSmiShift, std::memory_order_relaxed);
  return true;
}

v8::MaybeLocal<v8::Function> ContextLabel::NewReplaceLabel(
    v8::Isolate* isolate) {
  return v8::Function::New(
      isolate->GetCurrentContext(),
      [](const v8::FunctionCallbackInfo<v8::Value>& info) {
        if (!info[0]->IsUint32()) return;
        auto* self = reinterpret_cast<ContextLabel*>(
            info.Data().As<v8::BigInt>()->Uint64Value());
        info.GetReturnValue().Set(self->ReplaceLabel(
            info.GetIsolate(), info[0].As<v8::Uint32>()->Value()));
      },
      // v8::External is meant for addresses, but each V8 creates it in another
      // way.
      v8::BigInt::NewFromUnsigned(isolate, reinterpret_cast<uintptr_t>(this)),
      1, v8::ConstructorBehavior::kThrow);
}

}  // namespace otelpyroscope
