#include "code/wasm_modules.h"

#include "uv.h"
#include "v8_heap/handle_address.h"
#include "v8_heap/heap_reader.h"

namespace otelpyroscope {
namespace {

// Words of an object that are searched for a reference; V8's instances have
// about 40.
constexpr size_t kMaxWords = 128;
// Instances that are remembered; when full, all are forgotten.
constexpr size_t kMaxInstances = 1024;

// Returns the first object of that type that `object` refers to, or 0.
uintptr_t FindReference(uintptr_t object, uint16_t type) {
  for (size_t i = 1; type != 0 && i < kMaxWords; i++) {
    uintptr_t word = 0;
    if (!heap::ReadWord(object, i * sizeof(uintptr_t), &word)) return 0;
    if (heap::InstanceType(word) == type) return word;
  }
  return 0;
}

// Returns the WasmModuleObject of the instance that a frame has: V8 11 keeps
// the WasmInstanceObject there, later versions an object that refers to it.
uintptr_t FindModule(uintptr_t instance) {
  const InstanceTypes& types = InstanceTypes::OfThisV8();
  if (heap::InstanceType(instance) == 0) return 0;
  const uintptr_t object = heap::InstanceType(instance) == types.wasm_instance
                               ? 0
                               : FindReference(instance, types.wasm_instance);
  return FindReference(object != 0 ? object : instance, types.wasm_module);
}

}  // namespace

void WasmModules::NoteUnknownCode(v8::Isolate* isolate, uintptr_t instance) {
  const auto known = by_instance_.find(instance);
  if (known != by_instance_.end()) {
    const auto module = modules_.find(known->second);
    if (module != modules_.end()) module->second.unknown_frames++;
    return;
  }
  if (by_instance_.size() >= kMaxInstances) by_instance_.clear();
  uint32_t& number = by_instance_[instance];
  number = 0;
  const uintptr_t object = FindModule(instance);
  if (object == 0) return;
  for (auto& [candidate, module] : modules_) {
    if (ObjectOf(module.object) == object) number = candidate;
  }
  if (number == 0) {
    if (modules_.size() >= kMaxModules) return;
    number = ++last_number_;
    Module& module = modules_[number];
    module.object.Reset(isolate, HandleOn<v8::Object>(&object));
    module.object.SetWeak();
  }
  modules_[number].unknown_frames++;
}

bool WasmModules::IsUnlisted(const Module& module, uint64_t now_ns) {
  return module.unknown_frames >= kUnknownFrames &&
         module.next_listing_ns <= now_ns && !module.object.IsEmpty();
}

bool WasmModules::HasUnlisted() const {
  if (modules_.empty()) return false;
  const uint64_t now_ns = uv_hrtime();
  for (const auto& [number, module] : modules_) {
    if (IsUnlisted(module, now_ns)) return true;
  }
  return false;
}

uint32_t WasmModules::NextUnlisted(v8::Isolate* isolate,
                                   v8::Local<v8::Object>* object) {
  const uint64_t now_ns = uv_hrtime();
  for (auto& [number, module] : modules_) {
    if (!IsUnlisted(module, now_ns)) continue;
    module.unknown_frames = 0;
    *object = module.object.Get(isolate);
    return number;
  }
  return 0;
}

void WasmModules::Keep(v8::Isolate* isolate, uint32_t number,
                       v8::Local<v8::Value> clone, uint64_t cost_ns) {
  const auto found = modules_.find(number);
  if (found == modules_.end()) return;
  found->second.clone.Reset(isolate, clone);
  found->second.next_listing_ns = uv_hrtime() + kTimeShare * cost_ns;
}

uint32_t WasmModules::NextCollected() const {
  for (const auto& [number, module] : modules_) {
    if (module.object.IsEmpty()) return number;
  }
  return 0;
}

void WasmModules::Clear() {
  modules_.clear();
  by_instance_.clear();
}

}  // namespace otelpyroscope
