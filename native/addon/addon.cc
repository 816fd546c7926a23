// Exports the addon's functions to JavaScript: converts values and registers
// hooks.
//
// src/addon/loader.ts describes the exports. JavaScript must check `abi` and
// `sameBuild` before it uses anything else: Node-API modules carry no version
// check, and the rest of this library fits the V8 of one Node ABI only, built
// in one way. All functions are called from JavaScript on the environment's
// thread, except the hooks.
#include <napi.h>
#include <node.h>
#include <node_version.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "addon/batch_arrays.h"
#include "addon/js_values.h"
#include "addon/label_functions.h"
#include "code/source_map_texts.h"
#include "handler/ending_signal.h"
#include "sampler/sampler.h"
#include "self_check/layout_check.h"
#include "threads/end_watch.h"
#include "threads/profile_windows.h"
#include "threads/profiled_thread.h"
#include "v8_heap/exported_offsets.h"
#ifdef OTELPYROSCOPE_TESTING
#include "v8_heap/layout.h"
#endif

namespace otelpyroscope {
namespace {

// The state of one environment, from open() to its end.
struct Environment {
  napi_env env = nullptr;
  ProfiledThread* thread = nullptr;
  napi_ref wake = nullptr;   // called in the event loop: see CallWake()
  napi_ref clone = nullptr;  // structuredClone()
};

ProfiledThread* ThreadOf(const Napi::CallbackInfo& info) {
  return static_cast<Environment*>(info.Data())->thread;
}

Sampler* SamplerOf(const Napi::CallbackInfo& info) {
  return ThreadOf(info)->sampler();
}

void SetLabelTable(const Napi::CallbackInfo& info) {
  ThreadOf(info)->label_reader()->SetTable(v8::Isolate::GetCurrent(),
                                           ToV8(info[0]).As<v8::Object>());
}

Napi::Value JoinOrLeaveSession(const Napi::CallbackInfo& info) {
  CheckLayout(v8::Isolate::GetCurrent());
  const char* state = "idle";
  switch (ThreadOf(info)->JoinOrLeaveSession()) {
    case ProfiledThread::State::kIdle:
      break;
    case ProfiledThread::State::kSampling:
      state = "sampling";
      break;
    case ProfiledThread::State::kRefused:
      state = "refused";
      break;
  }
  return Napi::String::New(info.Env(), state);
}

void Forget(const Napi::CallbackInfo& info) { SamplerOf(info)->Forget(); }

Napi::Value OpenWindow(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  CheckLayout(v8::Isolate::GetCurrent());
  if (info[2].As<Napi::Boolean>().Value()) SourceMapTexts::Get().Want();
  SamplingOptions sampling;
  sampling.interval_ns = uint64_t{ToUint32(info[0])} * 1000;
  sampling.max_frames = ToUint32(info[1]);
  sampling.clock = ToSampleClock(info[3]);
  const ProfiledThread::Opened opened = ThreadOf(info)->OpenWindow(sampling);
  if (opened.error != 0) {
    return Napi::String::New(env, strerror(opened.error));
  }
  return ToArray(
      env, {opened.window, static_cast<uint32_t>(opened.interval_ns / 1000)});
}

Napi::Value SourceMapText(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto text = SourceMapTexts::Get().Find(ToUint32(info[0]));
  if (text == nullptr) return env.Undefined();
  Napi::Object result = Napi::Object::New(env);
  result["url"] = Napi::String::New(env, text->url);
  result["data"] =
      Napi::Buffer<char>::Copy(env, text->data.data(), text->data.size());
  return result;
}

void BeginClose(const Napi::CallbackInfo& info) {
  ThreadOf(info)->BeginClose(ToUint32(info[0]));
}

Napi::Value Rotate(const Napi::CallbackInfo& info) {
  const uint64_t segment = ThreadOf(info)->Rotate(ToUint32(info[0]));
  return Napi::Number::New(info.Env(), static_cast<double>(segment));
}

Napi::Value IsComplete(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(
      info.Env(),
      ThreadOf(info)->IsComplete(ToUint32(info[0]), ToUint64(info[1])));
}

void RequestFlushWithoutLabels(const Napi::CallbackInfo& info) {
  ThreadOf(info)->RequestFlushWithoutLabels(ToUint32(info[0]),
                                            ToUint64(info[1]));
}

Napi::Value Take(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const ProfileWindows::Taken taken =
      ThreadOf(info)->Take(ToUint32(info[0]), ToUint64(info[1]));
  Napi::Array batches = Napi::Array::New(env, taken.batches.size());
  for (uint32_t i = 0; i < taken.batches.size(); i++) {
    batches[i] = ToObject(env, *taken.batches[i]);
  }
  Napi::Object result = Napi::Object::New(env);
  result["batches"] = batches;
  result["others"] = Napi::Number::New(env, static_cast<double>(taken.others));
  return result;
}

// Returns a clone of the module, made by JavaScript, or an empty handle if that
// fails.
v8::Local<v8::Value> CloneModule(const Environment& environment,
                                 v8::Local<v8::Object> module) {
  const Napi::Env env(environment.env);
  napi_value clone = nullptr;
  napi_value result = nullptr;
  napi_value thrown = nullptr;
  const napi_value argument = FromV8(env, module);
  if (napi_get_reference_value(env, environment.clone, &clone) == napi_ok &&
      napi_call_function(env, env.Undefined(), clone, 1, &argument, &result) ==
          napi_ok) {
    return ToV8(Napi::Value(env, result));
  }
  napi_get_and_clear_last_exception(env, &thrown);
  return {};
}

Napi::Value BeginFlush(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  ProfiledThread* thread = ThreadOf(info);
  const bool read = info[0].As<Napi::Boolean>().Value();
  const auto* environment = static_cast<Environment*>(info.Data());
  thread->sampler()->DrainInLoop();
  thread->sampler()->NameWasm([environment](v8::Local<v8::Object> module) {
    return CloneModule(*environment, module);
  });
  std::vector<uint32_t> ids;
  Napi::Array batches = Napi::Array::New(env);
  for (const ProfiledThread::DetachedSamples& detached : thread->BeginFlush()) {
    const std::vector<uint32_t> more = LabelIdsOf(*detached.batch);
    ids.insert(ids.end(), more.begin(), more.end());
    if (read) batches[batches.Length()] = ToObject(env, *detached.batch);
  }
  Napi::Object result = Napi::Object::New(env);
  result["labelIds"] = ToArray(env, ids);
  result["batches"] = batches;
  result["hasListeners"] = Napi::Boolean::New(env, thread->HasListeners());
  return result;
}

void EndFlush(const Napi::CallbackInfo& info) {
  auto labels = std::make_shared<LabelTexts>();
  if (info[0].IsTypedArray() && info[1].IsArray()) {
    const auto sets = info[0].As<Napi::Uint32Array>();
    const auto texts = info[1].As<Napi::Array>();
    uint32_t next = 0;
    for (size_t i = 0; i + 1 < sets.ElementLength(); i += 2) {
      std::vector<std::string>& set = (*labels)[sets[i]];
      for (uint32_t left = sets[i + 1]; left > 0; left--) {
        const Napi::Value text = texts[next++];
        set.push_back(text.IsString() ? text.As<Napi::String>().Utf8Value()
                                      : std::string());
      }
    }
  }
  // Else labels may be missing: the end of the environment delivers the
  // samples.
  if (!CanAccessObjects(info.Env())) return;
  ThreadOf(info)->EndFlush(std::move(labels));
}

Napi::Value Metrics(const Napi::CallbackInfo& info) {
  Sampler* sampler = SamplerOf(info);
  sampler->Drain();  // so that all samples of the counted signals are counted
  // Whoever drains must ask for the names: where metrics are read often, there
  // are never enough samples for the handler to wake the loop.
  if (sampler->WantsWasmNames()) sampler->WakeUp();
  return ToObject(info.Env(), sampler->metrics());
}

void CallWake(void* data) {
  const auto* environment = static_cast<Environment*>(data);
  const napi_env env = environment->env;
  // Calls fail if the environment is being terminated; that is ignored.
  napi_handle_scope scope = nullptr;
  napi_value wake = nullptr;
  napi_value global = nullptr;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  if (napi_get_reference_value(env, environment->wake, &wake) == napi_ok &&
      napi_get_global(env, &global) == napi_ok) {
    napi_make_callback(env, nullptr, global, wake, 0, nullptr, nullptr);
  }
  napi_value thrown = nullptr;
  napi_get_and_clear_last_exception(env, &thrown);
  napi_close_handle_scope(env, scope);
}

void OnEnvironmentEnd(napi_async_cleanup_hook_handle hook, void* data) {
  auto* environment = static_cast<Environment*>(data);
  ProfiledThread* thread = environment->thread;
  napi_delete_reference(environment->env, environment->wake);
  napi_delete_reference(environment->env, environment->clone);
  delete environment;
  thread->Release(
      [](void* hook) {
        napi_remove_async_cleanup_hook(
            static_cast<napi_async_cleanup_hook_handle>(hook));
      },
      hook);
}

// process.exit() on the main thread runs no environment hook, but static
// destructors: no signal may arrive from then on.
void StopTimersAtExit() {
  static std::atomic<bool> registered{false};
  if (!registered.exchange(true)) std::atexit(Sampler::StopAllTimers);
}

// process.execve() runs no other hook. This one also runs before process.kill()
// of the own process, which may survive it.
void PauseTimerAtExecve(v8::Isolate* isolate) {
  node::Environment* environment =
      node::GetCurrentEnvironment(isolate->GetCurrentContext());
  if (environment == nullptr) return;
  node::AtExit(
      environment,
      [](void* data) {
        Sampler::PauseTimerOf(static_cast<v8::Isolate*>(data));
      },
      isolate);
}

// open(name, wake, clone) returns an object with the functions of this thread,
// or undefined if 1,024 threads have one already. Called once for each
// environment.
Napi::Value Open(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return env.Undefined();
  // The table must be tested before an interrupt may start sampling.
  CheckLayout(v8::Isolate::GetCurrent());
  auto* environment = new Environment;
  environment->env = env;
  environment->thread = ProfiledThread::Acquire(
      v8::Isolate::GetCurrent(), loop, info[0].As<Napi::String>().Utf8Value(),
      CallWake, environment);
  if (environment->thread == nullptr) {
    delete environment;
    return env.Undefined();
  }
  napi_create_reference(env, info[1], 1, &environment->wake);
  napi_create_reference(env, info[2], 1, &environment->clone);
  StopTimersAtExit();
  PauseTimerAtExecve(v8::Isolate::GetCurrent());
  napi_add_async_cleanup_hook(env, OnEnvironmentEnd, environment, nullptr);

  Napi::Object binding = Napi::Object::New(env);
  const auto add = [&](const char* name, auto function) {
    binding[name] = Napi::Function::New(env, function, name, environment);
  };
  add("setLabelTable", SetLabelTable);
  add("joinOrLeaveSession", JoinOrLeaveSession);
  add("forget", Forget);
  add("openWindow", OpenWindow);
  add("sourceMapText", SourceMapText);
  add("beginClose", BeginClose);
  add("rotate", Rotate);
  add("isComplete", IsComplete);
  add("requestFlushWithoutLabels", RequestFlushWithoutLabels);
  add("take", Take);
  add("beginFlush", BeginFlush);
  add("endFlush", EndFlush);
  add("metrics", Metrics);
  AddLabelFunctions(env, environment->thread->sampler(), binding);
  return binding;
}

// The function that writes the profile before a signal ends the process.
struct FinishFunction {
  napi_env env = nullptr;
  napi_ref function = nullptr;
};

// Returns whether the process may end: also where JavaScript throws.
bool CallFinish(void* data) {
  const auto* finish = static_cast<FinishFunction*>(data);
  const napi_env env = finish->env;
  napi_handle_scope scope = nullptr;
  napi_value function = nullptr;
  napi_value global = nullptr;
  napi_value result = nullptr;
  bool is_done = true;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return true;
  // Not as a callback of the event loop: those of the program must not run.
  if (napi_get_reference_value(env, finish->function, &function) == napi_ok &&
      napi_get_global(env, &global) == napi_ok &&
      napi_call_function(env, global, function, 0, nullptr, &result) ==
          napi_ok) {
    napi_get_value_bool(env, result, &is_done);
  }
  napi_value thrown = nullptr;
  napi_get_and_clear_last_exception(env, &thrown);
  napi_close_handle_scope(env, scope);
  return is_done;
}

// watchEnd(finish, pid, startTime) returns false if the system refuses it.
// Called once, on the main thread.
Napi::Value WatchEnd(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) {
    return Napi::Boolean::New(env, false);
  }
  auto* finish = new FinishFunction{env, nullptr};
  napi_create_reference(env, info[0], 1, &finish->function);
  const EndWatch::Runner runner{static_cast<pid_t>(ToUint32(info[1])),
                                ToUint64(info[2])};
  const bool is_watching = EndWatch::Start(v8::Isolate::GetCurrent(), loop,
                                           runner, CallFinish, finish);
  napi_add_async_cleanup_hook(
      env,
      [](napi_async_cleanup_hook_handle hook, void*) {
        EndWatch::Stop(
            [](void* hook) {
              napi_remove_async_cleanup_hook(
                  static_cast<napi_async_cleanup_hook_handle>(hook));
            },
            hook);
      },
      nullptr, nullptr);
  return Napi::Boolean::New(env, is_watching);
}

// setFinished(): see EndWatch::SetFinished().
void SetFinished(const Napi::CallbackInfo&) { EndWatch::SetFinished(); }

// catchSignal(number): see EndingSignal.
void CatchSignal(const Napi::CallbackInfo& info) {
  EndingSignal::Catch(static_cast<int>(ToUint32(info[0])));
}

#ifdef OTELPYROSCOPE_TESTING
// Makes an entry of the table of V8's offsets wrong; called before open().
Napi::Value ShiftLayoutForTest(const Napi::CallbackInfo& info) {
  return Napi::String::New(
      info.Env(), v8_layout::ShiftEntry(ToUint32(info[0]), info[1].ToNumber()));
}
#endif

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports["abi"] = Napi::Number::New(env, NODE_MODULE_VERSION);
  // A value of Node-API is one of V8's handles.
  exports["sameBuild"] = Napi::Boolean::New(
      env, BuildIsAsCompiled(
               reinterpret_cast<uintptr_t>(static_cast<napi_value>(exports))));
  exports["open"] = Napi::Function::New(env, Open, "open");
  exports["watchEnd"] = Napi::Function::New(env, WatchEnd, "watchEnd");
  exports["setFinished"] = Napi::Function::New(env, SetFinished, "setFinished");
  exports["catchSignal"] = Napi::Function::New(env, CatchSignal, "catchSignal");
#ifdef OTELPYROSCOPE_TESTING
  exports["shiftLayoutForTest"] = Napi::Function::New(env, ShiftLayoutForTest);
#endif
  return exports;
}

NODE_API_MODULE(otelpyroscope, Init)

}  // namespace
}  // namespace otelpyroscope
