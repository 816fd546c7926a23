#include "handler/context_label.h"

#include "base/safe_memory.h"
#include "handler/heap_words.h"
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

template <typename Reader>
SIGNAL_SAFE bool ReadInstanceType(uintptr_t object, uint16_t* type) noexcept {
  uintptr_t map = 0;
  return ReadMap<Reader>(object, &map) &&
         Reader::Read(map - kHeapObjectTag + layout().map_instance_type, type);
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

// The stores of two storages in a context frame; 0: none.
struct Stores {
  uint64_t number = 0;   // the small integer under the first key
  uintptr_t object = 0;  // the word under the second key
};

// Finds both in the JSMap `map`. A key of 0 is not looked for.
template <typename Reader>
SIGNAL_SAFE Stores FindStores(uintptr_t map, uintptr_t number_key,
                              uintptr_t object_key,
                              uint16_t map_type) noexcept {
  const Layout& at = layout();
  Stores stores;
  HashMap found;
  if (!ReadHashMap<Reader>(map, map_type, &found)) return stores;
  // A scan of a handful of entries is faster than finding the key's hash.
  uintptr_t entry =
      found.table + at.hash_map_data + found.buckets * at.hash_map_bucket_bytes;
  for (uint64_t left = found.elements + found.deleted; left > 0; left--) {
    uintptr_t key = 0;
    if (!Reader::Read(entry, &key) || key == 0) return stores;
    if (key == number_key) {
      uintptr_t value = 0;
      Reader::Read(entry + at.hash_map_value, &value);
      stores.number = LabelIdIn(value);
    } else if (key == object_key) {
      Reader::Read(entry + at.hash_map_value, &stores.object);
    }
    entry += at.hash_map_entry_bytes;
  }
  return stores;
}

// Returns the small integer alone, or 0.
template <typename Reader>
uint32_t FindNumber(uintptr_t map, uintptr_t key, uint16_t map_type) {
  return static_cast<uint32_t>(
      FindStores<Reader>(map, key, 0, map_type).number);
}

// Finds both among the properties of the running resource.
template <typename Reader>
SIGNAL_SAFE Stores FindStores(const RunningResource& resource,
                              uintptr_t number_key,
                              uintptr_t object_key) noexcept {
  Property properties[] = {{number_key, 0}, {object_key, 0}};
  resource.Read<Reader>(properties, 2);
  return {LabelIdIn(properties[0].value), properties[1].value};
}

v8::Local<v8::Value> RunningFrame(v8::Isolate* isolate) {
#if V8_MAJOR_VERSION >= 14
  const v8::Local<v8::Data> data =
      isolate->GetContinuationPreservedEmbedderDataV2();
  if (!data.IsEmpty() && data->IsValue()) return data.As<v8::Value>();
  return v8::Undefined(isolate);
#elif defined(OTELPYROSCOPE_HAS_CONTINUATION_DATA)
  return isolate->GetContinuationPreservedEmbedderData();
#else
  return v8::Undefined(isolate);
#endif
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

void ContextLabel::SetStorage(v8::Isolate* isolate, v8::Local<v8::Value> key) {
  ForgetStorage();
  storage_.Reset(isolate, key);
  std::atomic_signal_fence(std::memory_order_release);
  has_storage_.store(true, std::memory_order_relaxed);
  reads_frames_.store(map_instance_type_ != 0, std::memory_order_relaxed);
}

void ContextLabel::ForgetStorage() {
  reads_frames_.store(false, std::memory_order_relaxed);
  has_storage_.store(false, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_acq_rel);
  storage_.Reset();
  carried_.ended()->Clear();
}

void ContextLabel::Reset() {
  ForgetStorage();
  carried_.Forget();
  resource_.Forget();
}

bool ContextLabel::FindContexts(v8::Isolate* isolate,
                                v8::Local<v8::Object> context,
                                v8::Local<v8::Name> id) {
  carried_.Forget();
  const v8::Local<v8::Context> current = isolate->GetCurrentContext();
  const v8::Local<v8::Value> frame = RunningFrame(isolate);
  if (!frame->IsMap()) return false;
  const v8::Local<v8::Array> entries = frame.As<v8::Map>()->AsArray();
  v8::Local<v8::Value> storage;
  for (uint32_t i = 0; i + 1 < entries->Length(); i += 2) {
    v8::Local<v8::Value> key;
    v8::Local<v8::Value> store;
    if (!entries->Get(current, i).ToLocal(&key) ||
        !entries->Get(current, i + 1).ToLocal(&store)) {
      return false;
    }
    if (store != context) continue;
    if (!key->IsObject() || !storage.IsEmpty()) return false;
    storage = key;
  }
  return !storage.IsEmpty() && carried_.SetKeys(isolate, storage, id);
}

template <typename Reader>
SIGNAL_SAFE uint32_t ContextLabel::Find(v8::Isolate* isolate,
                                        uint16_t map_type) const noexcept {
  const uintptr_t key =
      has_storage_.load(std::memory_order_relaxed) ? ObjectIn(storage_) : 0;
  Stores stores;
  if (resource_.usable()) {
    stores = FindStores<Reader>(resource_, key, carried_.storage());
  } else {
    uintptr_t frame = 0;
    if (!Reader::Read(
            reinterpret_cast<uintptr_t>(isolate) + layout().continuation_data,
            &frame)) {
      return 0;
    }
    stores = FindStores<Reader>(frame, key, carried_.storage(), map_type);
  }
  if (stores.number == kNoLabels) return 0;
  if (stores.number != 0) return static_cast<uint32_t>(stores.number);
  return carried_.Read<Reader>(stores.object);
}

uint32_t ContextLabel::Probe(v8::Isolate* isolate) {
  if (resource_.usable()) return Find<SafeMemory>(isolate, 0);
#ifdef OTELPYROSCOPE_HAS_CONTINUATION_DATA
  if (!v8_layout::kHeapIsReadable || storage_.IsEmpty()) return 0;
  v8::HandleScope scope(isolate);
  v8::Local<v8::Object> map;
  if (!KnownMap(isolate).ToLocal(&map)) return 0;
  const v8::Global<v8::Object> known_map(isolate, map);
  uintptr_t map_object = 0;
  uint16_t type = 0;
  if (!SafeMemory::Read(HandleLocation(known_map), &map_object) ||
      !IsAsKnown(map_object, &type)) {
    return 0;
  }
  const uint32_t id = Find<SafeMemory>(isolate, type);
  if (id == 0) return 0;
  map_instance_type_ = type;
  std::atomic_signal_fence(std::memory_order_release);
  reads_frames_.store(true, std::memory_order_relaxed);
  return id;
#else
  return 0;
#endif
}

SIGNAL_SAFE uint32_t
ContextLabel::ReadLabel(v8::Isolate* isolate) const noexcept {
  return usable() ? Find<PlainReader>(isolate, map_instance_type_) : 0;
}

v8::MaybeLocal<v8::Function> ContextLabel::NewCanReadContext(
    v8::Isolate* isolate) {
  return v8::Function::New(
      isolate->GetCurrentContext(),
      [](const v8::FunctionCallbackInfo<v8::Value>& info) {
        const auto* self = reinterpret_cast<const ContextLabel*>(
            info.Data().As<v8::BigInt>()->Uint64Value());
        info.GetReturnValue().Set(
            info[0]->IsObject() &&
            self->carried_.CanRead(info[0].As<v8::Object>()));
      },
      // v8::External is meant for addresses, but each V8 creates it in another
      // way.
      v8::BigInt::NewFromUnsigned(isolate, reinterpret_cast<uintptr_t>(this)),
      1, v8::ConstructorBehavior::kThrow);
}

}  // namespace otelpyroscope
