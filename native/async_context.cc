// The walk from the isolate to our entry in the running flow's context map.
#include "async_context.h"

#include <cstring>

#include "safe_memory.h"
#include "v8_layout.h"

namespace otelpyroscope {
namespace {

using namespace v8_layout;  // NOLINT(build/namespaces)

// More AsyncLocalStorages than any process has; the bound is for the case
// that the memory is not what we think it is.
constexpr uint64_t kMaxEntries = 4096;

// For the signal handler: the layout has been checked by then.
struct PlainReader {
  template <typename T>
  SIGNAL_SAFE static bool Read(uintptr_t address, T* to) noexcept {
    *to = *reinterpret_cast<const T*>(address);
    return true;
  }
};

SIGNAL_SAFE bool IsObject(uintptr_t word) noexcept {
  return (word & kTagMask) == kHeapObjectTag;
}

SIGNAL_SAFE bool IsSmi(uintptr_t word) noexcept {
  return static_cast<uint32_t>(word) == 0;
}

// The place in memory where V8 keeps the address of a handle's object.
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
         Reader::Read(object - kHeapObjectTag + kMapOffset, &map) &&
         IsObject(map) &&
         Reader::Read(map - kHeapObjectTag + kMapInstanceTypeOffset, type);
}

template <typename Reader>
SIGNAL_SAFE bool ReadSmi(uintptr_t address, uint64_t* value) noexcept {
  uintptr_t word = 0;
  if (!Reader::Read(address, &word) || !IsSmi(word)) return false;
  *value = word >> kSmiShift;
  return true;
}

// The small integer under `key` in the JSMap `context`, or 0.
template <typename Reader>
SIGNAL_SAFE uint32_t FindLabel(uintptr_t context, uintptr_t key,
                               uint16_t map_type) noexcept {
  uint16_t type = 0;
  if (!ReadInstanceType<Reader>(context, &type) || type != map_type) return 0;
  uintptr_t table = 0;
  if (!Reader::Read(context - kHeapObjectTag + kJsMapTableOffset, &table) ||
      !IsObject(table)) {
    return 0;
  }
  table -= kHeapObjectTag;
  uint64_t elements = 0;
  uint64_t deleted = 0;
  uint64_t buckets = 0;
  if (!ReadSmi<Reader>(table + kHashMapElementsOffset, &elements) ||
      !ReadSmi<Reader>(table + kHashMapDeletedOffset, &deleted) ||
      !ReadSmi<Reader>(table + kHashMapBucketsOffset, &buckets)) {
    return 0;
  }
  const uint64_t entries = elements + deleted;
  if (entries > kMaxEntries || buckets > kMaxEntries) return 0;
  // A scan of a handful of entries is faster than finding the key's hash.
  uintptr_t entry = table + kHashMapDataOffset + buckets * kHashMapBucketBytes;
  for (uint64_t i = 0; i < entries; i++, entry += kHashMapEntryBytes) {
    uintptr_t word = 0;
    if (!Reader::Read(entry, &word)) return 0;
    if (word != key) continue;
    uint64_t id = 0;
    if (!ReadSmi<Reader>(entry + kHashMapValueOffset, &id)) return 0;
    return id <= INT32_MAX ? static_cast<uint32_t>(id) : 0;
  }
  return 0;
}

}  // namespace

void AsyncContext::SetStorage(v8::Isolate* isolate,
                              v8::Local<v8::Object> storage) {
  Reset();
  storage_.Reset(isolate, storage);
  std::atomic_signal_fence(std::memory_order_release);
  usable_.store(map_instance_type_ != 0, std::memory_order_relaxed);
}

void AsyncContext::Reset() {
  usable_.store(false, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_acq_rel);
  storage_.Reset();
}

uint32_t AsyncContext::Probe(v8::Isolate* isolate) {
#ifdef OTELPYROSCOPE_HAS_CONTINUATION_DATA
  if (!kHeapIsReadable || storage_.IsEmpty()) return 0;
  v8::HandleScope scope(isolate);
  v8::Global<v8::Object> fresh_map(isolate, v8::Map::New(isolate));
  uintptr_t map_object = 0;
  uintptr_t key = 0;
  uintptr_t context = 0;
  uint16_t type = 0;
  if (!SafeMemory::Read(HandleLocation(fresh_map), &map_object) ||
      !ReadInstanceType<SafeMemory>(map_object, &type) ||
      !SafeMemory::Read(HandleLocation(storage_), &key) ||
      !SafeMemory::Read(
          reinterpret_cast<uintptr_t>(isolate) + kContinuationDataOffset,
          &context)) {
    return 0;
  }
  const uint32_t id = FindLabel<SafeMemory>(context, key, type);
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

SIGNAL_SAFE uint32_t
AsyncContext::ReadLabel(v8::Isolate* isolate) const noexcept {
#ifdef OTELPYROSCOPE_HAS_CONTINUATION_DATA
  if (!usable()) return 0;
  uintptr_t key = 0;
  uintptr_t context = 0;
  PlainReader::Read(HandleLocation(storage_), &key);
  PlainReader::Read(
      reinterpret_cast<uintptr_t>(isolate) + kContinuationDataOffset, &context);
  return FindLabel<PlainReader>(context, key, map_instance_type_);
#else
  static_cast<void>(isolate);
  return 0;
#endif
}

}  // namespace otelpyroscope
