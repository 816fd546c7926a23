#include "addon/js_values.h"

#include <cerrno>
#include <cstring>
#include <string>

#include "addon/batch_arrays.h"

namespace otelpyroscope {
namespace {

struct ClockName {
  SampleClock clock;
  const char* name;
};
constexpr ClockName kClockNames[] = {
    {SampleClock::kTick, "tick"},
    {SampleClock::kPrecise, "precise"},
    {SampleClock::kPerf, "perf"},
    {SampleClock::kAuto, "auto"},
};

const char* NameOf(SampleClock clock) {
  for (const ClockName& each : kClockNames) {
    if (each.clock == clock) return each.name;
  }
  return "";
}

std::string TextOfRefusal(int refusal) {
  if (refusal == 0) return "";
  if (refusal == CpuTimer::kFiltered) return "seccomp";
  if (refusal == CpuTimer::kFreezes) return "Linux 6.16 or 6.17";
  if (refusal == EBUSY) return "SIGURG is in use";
  return strerror(refusal);
}

}  // namespace

v8::Local<v8::Value> ToV8(const Napi::Value& value) {
  const napi_value handle = value;
  v8::Local<v8::Value> local;
  static_assert(sizeof(local) == sizeof(handle));
  memcpy(static_cast<void*>(&local), &handle, sizeof(local));
  return local;
}

Napi::Value FromV8(Napi::Env env, v8::Local<v8::Value> value) {
  napi_value handle = nullptr;
  static_assert(sizeof(value) == sizeof(handle));
  memcpy(&handle, static_cast<const void*>(&value), sizeof(handle));
  return Napi::Value(env, handle);
}

uint32_t ToUint32(const Napi::Value& value) {
  return value.As<Napi::Number>().Uint32Value();
}

uint64_t ToUint64(const Napi::Value& value) {
  return static_cast<uint64_t>(value.As<Napi::Number>().Int64Value());
}

SampleClock ToSampleClock(const Napi::Value& value) {
  const std::string name = value.As<Napi::String>().Utf8Value();
  for (const ClockName& each : kClockNames) {
    if (name == each.name) return each.clock;
  }
  return SampleClock::kTick;
}

bool CanAccessObjects(Napi::Env env) {
  bool result = false;
  return napi_has_named_property(env, env.Global(), "Object", &result) ==
         napi_ok;
}

Napi::Value ToArray(Napi::Env env, const std::vector<uint32_t>& words) {
  napi_value buffer = nullptr;
  napi_value array = nullptr;
  void* data = nullptr;
  if (napi_create_arraybuffer(env, words.size() * sizeof(uint32_t), &data,
                              &buffer) != napi_ok) {
    return env.Undefined();
  }
  if (!words.empty()) {
    memcpy(data, words.data(), words.size() * sizeof(uint32_t));
  }
  if (napi_create_typedarray(env, napi_uint32_array, words.size(), buffer, 0,
                             &array) != napi_ok) {
    return env.Undefined();
  }
  return Napi::Value(env, array);
}

Napi::Value ToArray(Napi::Env env, const std::vector<std::string_view>& texts) {
  Napi::Array array = Napi::Array::New(env, texts.size());
  for (uint32_t i = 0; i < texts.size(); i++) {
    array[i] = Napi::String::New(env, texts[i].data(), texts[i].size());
  }
  return array;
}

Napi::Object ToObject(Napi::Env env, const SampleBatch& batch) {
  const BatchArrays flat = ToArrays(batch);
  Napi::Object result = Napi::Object::New(env);
  result["threadName"] = Napi::String::New(env, batch.thread_name);
  result["names"] = ToArray(env, flat.names);
  result["startLines"] = ToArray(env, flat.start_lines);
  result["startColumns"] = ToArray(env, flat.start_columns);
  result["sourceMaps"] = ToArray(env, flat.source_maps);
  result["frames"] = ToArray(env, flat.frames);
  result["frameColumns"] = ToArray(env, flat.frame_columns);
  result["stacks"] = ToArray(env, flat.stacks);
  result["labelSets"] = ToArray(env, flat.label_sets);
  result["labelTexts"] = ToArray(env, flat.label_texts);
  return result;
}

Napi::Object ToObject(Napi::Env env, const SamplerMetrics& metrics) {
  Napi::Object result = Napi::Object::New(env);
  const auto set = [&](const char* name, uint64_t value) {
    result[name] = Napi::Number::New(env, static_cast<double>(value));
  };
  result["clock"] = Napi::String::New(env, NameOf(metrics.clock.in_use));
  result["clockRefusal"] =
      Napi::String::New(env, TextOfRefusal(metrics.clock.refusal));
  set("signals", metrics.signals);
  set("samples", metrics.samples);
  set("droppedSamples", metrics.dropped_samples);
  set("truncatedStacks", metrics.truncated_stacks);
  set("labelledSamples", metrics.labelled_samples);
  set("staleSamples", metrics.stale_samples);
  set("unresolvedFrames", metrics.resolve.unresolved_frames);
  set("inlinedFrames", metrics.resolve.inlined_frames);
  set("unknownInlined", metrics.resolve.unknown_inlined);
  set("layoutFallbacks", metrics.resolve.layout_fallbacks);
  set("codeEntries", metrics.code_entries);
  set("codeBytes", metrics.code_bytes);
  set("handlerNanos", metrics.handler_ns);
  set("drainNanos", metrics.drain_ns);
  set("jitEventNanos", metrics.jit_event_ns);
  return result;
}

}  // namespace otelpyroscope
