// Converts between JavaScript's values and those of the other files. From
// JavaScript alone.
#ifndef NATIVE_ADDON_JS_VALUES_H_
#define NATIVE_ADDON_JS_VALUES_H_

#include <napi.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "sampler/sampler.h"
#include "threads/profile_windows.h"
#include "v8.h"

namespace otelpyroscope {

v8::Local<v8::Value> ToV8(const Napi::Value& value);
Napi::Value FromV8(Napi::Env env, v8::Local<v8::Value> value);
uint32_t ToUint32(const Napi::Value& value);
uint64_t ToUint64(const Napi::Value& value);
// Takes a SampleClock of src/util/sample-clock.ts.
SampleClock ToSampleClock(const Napi::Value& value);
// Whether objects can be accessed: no longer once the environment is being
// terminated, which may happen at any moment. What was read before a call that
// returns true has been read correctly.
bool CanAccessObjects(Napi::Env env);
// Returns a Uint32Array; undefined if the environment is being terminated,
// which may happen at any moment.
Napi::Value ToArray(Napi::Env env, const std::vector<uint32_t>& words);
Napi::Value ToArray(Napi::Env env, const std::vector<std::string_view>& texts);
// Returns a NativeForeignBatch of src/addon/loader.ts.
Napi::Object ToObject(Napi::Env env, const SampleBatch& batch);
// Returns a NativeMetrics of src/addon/loader.ts.
Napi::Object ToObject(Napi::Env env, const SamplerMetrics& metrics);

}  // namespace otelpyroscope

#endif  // NATIVE_ADDON_JS_VALUES_H_
