// The functions get the sampler as their data: it is never freed.
#include "addon/label_functions.h"

#include "addon/js_values.h"
#include "handler/context_label.h"
#include "handler/label_word.h"

namespace otelpyroscope {
namespace {

Sampler* SamplerOf(const Napi::CallbackInfo& info) {
  return static_cast<Sampler*>(info.Data());
}

ContextLabel* ContextOf(const Napi::CallbackInfo& info) {
  return SamplerOf(info)->context_label();
}

void SetLabelStorage(const Napi::CallbackInfo& info) {
  ContextLabel* context = ContextOf(info);
  if (info[0].IsNull()) {
    context->ForgetStorage();
  } else {
    context->SetStorage(v8::Isolate::GetCurrent(), ToV8(info[0]));
  }
}

Napi::Value LabelCpuNanos(const Napi::CallbackInfo& info) {
  return Napi::Float64Array::New(
      info.Env(), SampledLabels::kSize,
      Napi::ArrayBuffer::New(info.Env(),
                             SamplerOf(info)->sampled_labels()->cpu_ns(),
                             SampledLabels::kSize * sizeof(double)),
      0);
}

Napi::Value ProbeLabel(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(),
                           ContextOf(info)->Probe(v8::Isolate::GetCurrent()));
}

Napi::Value FindContexts(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(
      info.Env(), ContextOf(info)->FindContexts(v8::Isolate::GetCurrent(),
                                                ToV8(info[0]).As<v8::Object>(),
                                                ToV8(info[1]).As<v8::Name>()));
}

Napi::Value SetContextKeys(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(),
                            ContextOf(info)->carried()->SetKeys(
                                v8::Isolate::GetCurrent(), ToV8(info[0]),
                                ToV8(info[1]).As<v8::Name>()));
}

void ForgetContexts(const Napi::CallbackInfo& info) {
  ContextOf(info)->carried()->Forget();
}

Napi::Value LearnResources(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(
      info.Env(), ContextOf(info)->resource()->Learn(
                      v8::Isolate::GetCurrent(), ToV8(info[0]).As<v8::Object>(),
                      ToV8(info[1]).As<v8::Symbol>()));
}

void LearnOutermostResource(const Napi::CallbackInfo& info) {
  ContextOf(info)->resource()->LearnOutermost(v8::Isolate::GetCurrent(),
                                              ToV8(info[0]).As<v8::Object>());
}

Napi::Value SetLabelSource(const Napi::CallbackInfo& info) {
  const bool is_word = info[0].As<Napi::String>().Utf8Value() == "label-word";
  return Napi::Boolean::New(info.Env(), SamplerOf(info)->SetLabelSource(
                                            is_word ? LabelSource::kLabelWord
                                                    : LabelSource::kStores));
}

// The memory belongs to the sampler, which is never freed: no finalizer.
Napi::Int32Array ArrayOver(Napi::Env env, LabelWord* word) {
  return Napi::Int32Array::New(
      env, 1, Napi::ArrayBuffer::New(env, word->address(), sizeof(int32_t)), 0);
}

}  // namespace

void AddLabelFunctions(Napi::Env env, Sampler* sampler, Napi::Object binding) {
  const auto add = [&](const char* name, auto function) {
    binding[name] = Napi::Function::New(env, function, name, sampler);
  };
  add("setLabelStorage", SetLabelStorage);
  add("labelCpuNanos", LabelCpuNanos);
  add("probeLabel", ProbeLabel);
  add("setLabelSource", SetLabelSource);
  add("findContexts", FindContexts);
  add("setContextKeys", SetContextKeys);
  add("forgetContexts", ForgetContexts);
  add("learnResources", LearnResources);
  add("learnOutermostResource", LearnOutermostResource);
  v8::Local<v8::Function> can_read_context;
  if (sampler->context_label()
          ->NewCanReadContext(v8::Isolate::GetCurrent())
          .ToLocal(&can_read_context)) {
    binding["canReadContext"] = FromV8(env, can_read_context);
  }
  binding["labelWord"] = ArrayOver(env, sampler->label_word());
  binding["endedLabel"] =
      ArrayOver(env, sampler->context_label()->carried()->ended());
  binding["sampledLabels"] = Napi::Uint8Array::New(
      env, SampledLabels::kSize,
      Napi::ArrayBuffer::New(env, sampler->sampled_labels()->marks(),
                             SampledLabels::kSize),
      0);
}

}  // namespace otelpyroscope
