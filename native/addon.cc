// The addon's face to JavaScript: converts values and registers hooks.
//
// What it exports is described in src/native.ts. Nothing but `abi` may be used
// before JavaScript has compared it: Node-API modules carry no version check,
// and the rest of this library knows the V8 of one Node ABI only.
#include <napi.h>
#include <node_version.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <string>

#include "sampler.h"

namespace otelpyroscope {
namespace {

v8::Local<v8::Value> ToV8(const Napi::Value& value) {
  const napi_value handle = value;
  v8::Local<v8::Value> local;
  static_assert(sizeof(local) == sizeof(handle));
  memcpy(static_cast<void*>(&local), &handle, sizeof(local));
  return local;
}

Sampler* SamplerOf(const Napi::CallbackInfo& info) {
  return static_cast<Sampler*>(info.Data());
}

void SetLabelStorage(const Napi::CallbackInfo& info) {
  AsyncContext* context = SamplerOf(info)->async_context();
  if (info[0].IsObject()) {
    context->SetStorage(v8::Isolate::GetCurrent(),
                        ToV8(info[0]).As<v8::Object>());
  } else {
    context->Reset();
  }
}

Napi::Value ProbeContinuationLabel(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), SamplerOf(info)->async_context()->Probe(
                                           v8::Isolate::GetCurrent()));
}

Napi::Value SetLabelSource(const Napi::CallbackInfo& info) {
  const bool continuation =
      info[0].As<Napi::String>().Utf8Value() == "continuation";
  return Napi::Boolean::New(
      info.Env(),
      SamplerOf(info)->SetLabelSource(continuation ? LabelSource::kContinuation
                                                   : LabelSource::kSlot));
}

Napi::Value Start(const Napi::CallbackInfo& info) {
  const uint32_t interval_us = info[0].As<Napi::Number>().Uint32Value();
  const uint32_t max_frames = info[1].As<Napi::Number>().Uint32Value();
  const int error =
      SamplerOf(info)->Start(uint64_t{interval_us} * 1000, max_frames);
  return Napi::String::New(info.Env(), error == 0 ? "" : strerror(error));
}

void Stop(const Napi::CallbackInfo& info) { SamplerOf(info)->Stop(); }

void Forget(const Napi::CallbackInfo& info) { SamplerOf(info)->Forget(); }

Napi::Value Take(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Sampler* sampler = SamplerOf(info);
  sampler->Complete();
  StackTable* table = sampler->stack_table();

  const auto& functions = table->functions();
  Napi::Array names = Napi::Array::New(env, 2 * functions.size());
  Napi::Uint32Array start_lines = Napi::Uint32Array::New(env, functions.size());
  Napi::Uint32Array start_columns =
      Napi::Uint32Array::New(env, functions.size());
  for (uint32_t i = 0; i < functions.size(); i++) {
    names[2 * i] = Napi::String::New(env, functions[i].name);
    names[2 * i + 1] = Napi::String::New(env, functions[i].url);
    start_lines[i] = static_cast<uint32_t>(functions[i].line);
    start_columns[i] = static_cast<uint32_t>(functions[i].column);
  }

  const auto& frame_infos = table->frames();
  Napi::Uint32Array frames =
      Napi::Uint32Array::New(env, 2 * frame_infos.size());
  for (size_t i = 0; i < frame_infos.size(); i++) {
    frames[2 * i] = frame_infos[i].function;
    frames[2 * i + 1] = static_cast<uint32_t>(sampler->LineOf(frame_infos[i]));
  }

  size_t words = 0;
  for (const auto& [key, weight] : table->stacks()) words += key.size() + 2;
  Napi::Uint32Array stacks = Napi::Uint32Array::New(env, words);
  uint32_t* next = stacks.Data();
  for (const auto& [key, weight] : table->stacks()) {
    *next++ = static_cast<uint32_t>(weight);
    *next++ = static_cast<uint32_t>(key.size() - 1);
    for (const char32_t word : key) *next++ = static_cast<uint32_t>(word);
  }
  table->Clear();

  Napi::Object result = Napi::Object::New(env);
  result["names"] = names;
  result["startLines"] = start_lines;
  result["startColumns"] = start_columns;
  result["frames"] = frames;
  result["stacks"] = stacks;
  return result;
}

Napi::Value Metrics(const Napi::CallbackInfo& info) {
  const SamplerMetrics metrics = SamplerOf(info)->metrics();
  Napi::Object result = Napi::Object::New(info.Env());
  const auto set = [&](const char* name, uint64_t value) {
    result[name] = Napi::Number::New(info.Env(), static_cast<double>(value));
  };
  set("signals", metrics.signals);
  set("samples", metrics.samples);
  set("droppedSamples", metrics.dropped_samples);
  set("truncatedStacks", metrics.truncated_stacks);
  set("labelledSamples", metrics.labelled_samples);
  set("staleSamples", metrics.stale_samples);
  set("unresolvedFrames", metrics.resolve.unresolved_frames);
  set("inlinedFrames", metrics.resolve.inlined_frames);
  set("layoutFallbacks", metrics.resolve.layout_fallbacks);
  set("codeEntries", metrics.code_entries);
  set("codeBytes", metrics.code_bytes);
  set("handlerNanos", metrics.handler_ns);
  set("drainNanos", metrics.drain_ns);
  set("jitEventNanos", metrics.jit_event_ns);
  return result;
}

void OnEnvironmentEnd(napi_async_cleanup_hook_handle hook, void* sampler) {
  static_cast<Sampler*>(sampler)->Release(
      [](void* data) {
        napi_remove_async_cleanup_hook(
            static_cast<napi_async_cleanup_hook_handle>(data));
      },
      hook);
}

// process.exit() on the main thread runs no environment hook, but still static
// destructors: no signal may arrive from then on.
void StopTimersAtExit() {
  static std::atomic<bool> registered{false};
  if (!registered.exchange(true)) std::atexit(Sampler::StopAllTimers);
}

// The sampler of this thread, as an object, or undefined when 1,024 threads
// have one already. Called once for each environment.
Napi::Value Open(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return env.Undefined();
  Sampler* sampler = Sampler::Acquire(v8::Isolate::GetCurrent(), loop);
  if (sampler == nullptr) return env.Undefined();
  StopTimersAtExit();
  napi_add_async_cleanup_hook(env, OnEnvironmentEnd, sampler, nullptr);

  Napi::Object binding = Napi::Object::New(env);
  const auto add = [&](const char* name, auto function) {
    binding[name] = Napi::Function::New(env, function, name, sampler);
  };
  add("setLabelStorage", SetLabelStorage);
  add("probeContinuationLabel", ProbeContinuationLabel);
  add("setLabelSource", SetLabelSource);
  add("start", Start);
  add("stop", Stop);
  add("forget", Forget);
  add("take", Take);
  add("metrics", Metrics);
  // Memory of the sampler, which is never freed: no finalizer.
  binding["labelSlot"] = Napi::Int32Array::New(
      env, 1,
      Napi::ArrayBuffer::New(env, sampler->label_slot()->address(),
                             sizeof(int32_t)),
      0);
  binding["sampledLabels"] = Napi::Uint8Array::New(
      env, SampledLabels::kSize,
      Napi::ArrayBuffer::New(env, sampler->sampled_labels()->address(),
                             SampledLabels::kSize),
      0);
  return binding;
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports["abi"] = Napi::Number::New(env, NODE_MODULE_VERSION);
  exports["open"] = Napi::Function::New(env, Open, "open");
  return exports;
}

NODE_API_MODULE(otelpyroscope, Init)

}  // namespace
}  // namespace otelpyroscope
