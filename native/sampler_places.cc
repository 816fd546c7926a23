// The samplers of all threads: which thread has which, and how it is woken.
#include <utility>

#include "sampler.h"
#include "v8-profiler.h"

namespace otelpyroscope {
namespace {

// One for each thread that has loaded the addon. Leaked and trivially
// destructible; what the entries point to is never freed.
std::atomic<Sampler*> samplers[CpuTimer::kMaxTimers];

}  // namespace

Sampler* Sampler::Acquire(v8::Isolate* isolate, uv_loop_t* loop,
                          void (*woken)(Sampler*)) {
  uv_async_t* wake_up = new uv_async_t;
  if (uv_async_init(loop, wake_up, OnWakeUp) != 0) {
    delete wake_up;
    return nullptr;
  }
  uv_unref(reinterpret_cast<uv_handle_t*>(wake_up));
  for (std::atomic<Sampler*>& place : samplers) {
    // Acquire pairs with the exchange below on the thread that made it.
    Sampler* sampler = place.load(std::memory_order_acquire);
    if (sampler == nullptr) {
      Sampler* created = new Sampler;
      if (place.compare_exchange_strong(sampler, created)) {
        sampler = created;
      } else {
        delete created;  // another thread was first: `sampler` is its
      }
    }
    v8::Isolate* nobody = nullptr;
    if (!sampler->isolate_.compare_exchange_strong(nobody, isolate)) continue;
    // Without it V8 keeps too few positions in optimized code to find an
    // inlined leaf. It walks the heap each time (120 ms at 650 MB): once, while
    // the heap is small. Cannot be undone for the isolate.
    v8::CpuProfiler::UseDetailedSourcePositionsForProfiling(isolate);
    wake_up->data = sampler;
    sampler->woken_ = woken;
    sampler->wake_up_.store(wake_up, std::memory_order_relaxed);
    return sampler;
  }
  uv_close(reinterpret_cast<uv_handle_t*>(wake_up), [](uv_handle_t* handle) {
    delete reinterpret_cast<uv_async_t*>(handle);
  });
  return nullptr;
}

void Sampler::Release(void (*released)(void*), void* data) {
  Forget();
  stack_table_.Clear();
  SetLabelSource(LabelSource::kSlot);
  async_context_.Reset();
  label_slot_.Clear();
  flush_wanted_.store(false, std::memory_order_relaxed);
  flush_requested_.store(false, std::memory_order_relaxed);
  released_ = released;
  released_data_ = data;
  uv_async_t* wake_up = wake_up_.exchange(nullptr, std::memory_order_relaxed);
  uv_close(reinterpret_cast<uv_handle_t*>(wake_up), [](uv_handle_t* handle) {
    Sampler* sampler = static_cast<Sampler*>(handle->data);
    void (*released)(void*) = sampler->released_;
    void* data = sampler->released_data_;
    delete reinterpret_cast<uv_async_t*>(handle);
    // From here on another thread may take the sampler.
    sampler->isolate_.store(nullptr, std::memory_order_release);
    released(data);
  });
}

Sampler* Sampler::OfIsolate(v8::Isolate* isolate) {
  for (const std::atomic<Sampler*>& place : samplers) {
    Sampler* sampler = place.load(std::memory_order_acquire);
    if (sampler == nullptr) return nullptr;
    if (sampler->isolate_.load(std::memory_order_acquire) == isolate) {
      return sampler;
    }
  }
  return nullptr;
}

void Sampler::PauseTimerOf(v8::Isolate* isolate) {
  Sampler* sampler = OfIsolate(isolate);
  if (sampler == nullptr) return;
  sampler->timer_.Pause();
  sampler->WakeUp();
}

void Sampler::OnWakeUp(uv_async_t* handle) {
  Sampler* sampler = static_cast<Sampler*>(handle->data);
  sampler->timer_.Resume();
  if (!sampler->stack_table_.symbols()) sampler->stack_table_.LearnSymbols(0);
  sampler->DrainInLoop();
  sampler->woken_(sampler);
}

void Sampler::WakeUp() {
  uv_async_t* wake_up = wake_up_.load(std::memory_order_relaxed);
  if (wake_up != nullptr) uv_async_send(wake_up);
}

}  // namespace otelpyroscope
