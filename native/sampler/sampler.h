// The sampler of one JavaScript thread: owns its timer, ring, code map and
// aggregated stacks, and the callbacks by which V8 tells what happens.
//
// Life of a sample: the timer's signal interrupts the thread; the handler puts
// registers, frames and label id into the ring (HandleSignal); Drain(), on the
// same thread and before anything may move or replace code, turns addresses
// into functions and adds the sample to the stack table; the table is taken by
// JavaScript. Sampling never pauses.
#ifndef NATIVE_SAMPLER_SAMPLER_H_
#define NATIVE_SAMPLER_SAMPLER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/safe_memory.h"
#include "base/signal_safety.h"
#include "code/code_map.h"
#include "code/wasm_modules.h"
#include "handler/context_label.h"
#include "handler/cpu_timer.h"
#include "handler/label_word.h"
#include "handler/sample_ring.h"
#include "handler/stack_walker.h"
#include "resolve/code_finder.h"
#include "resolve/osr_code_finder.h"
#include "resolve/stack_resolver.h"
#include "resolve/stack_table.h"
#include "sampler/code_event_listener.h"
#include "sampler/collection_canary.h"
#include "uv.h"
#include "v8.h"
#include "v8_heap/script_lines.h"

namespace otelpyroscope {

enum class LabelSource : uint8_t { kLabelWord, kContextFrame };

// Plain numbers since Start().
struct SamplerMetrics {
  uint64_t signals = 0;
  uint64_t samples = 0;  // drained
  uint64_t dropped_samples = 0;
  uint64_t truncated_stacks = 0;
  uint64_t labelled_samples = 0;
  uint64_t stale_samples = 0;
  ResolveCounts resolve;
  uint64_t code_entries = 0;
  uint64_t code_bytes = 0;
  uint64_t handler_ns = 0;
  uint64_t drain_ns = 0;
  uint64_t jit_event_ns = 0;
};

// Everything but the GC helpers' part of OnJitCodeEvent() and HandleSignal()
// is for the isolate's thread alone.
class Sampler {
 public:
  // The part of a thread that hands on what its sampler has.
  class Owner {
   public:
    // Called from the loop for every WakeUp() and whenever samples wait.
    virtual void OnWoken() = 0;

   protected:
    ~Owner() = default;
  };

  // A sampler for the isolate of the calling thread. Null: too many threads.
  // Samplers are never freed, for a signal handler may still see them:
  // Release() puts one back for the next thread. Walks the heap, which is to be
  // small yet: when the package is loaded. `make_owner` is called once for each
  // sampler.
  static Sampler* Acquire(v8::Isolate* isolate, uv_loop_t* loop,
                          Owner* (*make_owner)());
  // Forgets, closes the wake-up handle, and puts the sampler back; then calls
  // `released(data)` from the loop. When the isolate's environment ends.
  void Release(void (*released)(void*), void* data);

  // Begins to sample every `interval_ns` of the thread's CPU time, with stacks
  // of up to `max_frames` frames. Returns 0 or an errno.
  int Start(uint64_t interval_ns, size_t max_frames);
  // Stops the timer. Where V8's code events are followed, goes on to note them,
  // so that the next Start() need not list all code again, and knows the loops
  // that V8 has replaced on the stack: it never lists those.
  void Stop();
  // Stops, and forgets the code.
  void Forget();

  // Moves all pending samples into the stack table. Less than 10 µs a sample.
  void Drain();
  // The same where V8 may be asked to tell of its code: not inside its
  // callbacks.
  void DrainInLoop();
  // Whether there is WebAssembly code to be named.
  bool WantsWasmNames() const { return wasm_modules_.HasUnlisted(); }
  // Has V8 name it. `clone` makes a clone of a module, as structuredClone()
  // does, or returns an empty handle. From JavaScript alone.
  template <typename Clone>
  void NameWasm(Clone clone) {
    if (!listening_ || !reads_heap_ || !WantsWasmNames()) return;
    code_events_.ListModules(isolate(), OnJitCodeEvent, clone);
    NameForeign(&stack_table_);
  }
  // Has the owner's OnWoken() called soon. Any thread, but not while Release()
  // may run.
  void WakeUp();
  // Whether the loop is to be woken for the first sample after
  // TakeFlushRequest(), so that somebody hands it on. Any thread.
  void SetFlushWanted(bool wanted) {
    flush_wanted_.store(wanted, std::memory_order_relaxed);
  }
  bool flush_requested() const {
    return flush_requested_.load(std::memory_order_relaxed);
  }
  void TakeFlushRequest() {
    flush_requested_.store(false, std::memory_order_relaxed);
  }
  // Signals since Start(). Any thread.
  uint64_t signals() const { return signals_.load(std::memory_order_relaxed); }
  // CPU time for which all samplers of the process have had signals. Any
  // thread. Never goes back.
  static uint64_t sampled_ns();
  uint64_t interval_ns() const {
    return interval_ns_.load(std::memory_order_relaxed);
  }
  // Null: none. Any thread.
  v8::Isolate* isolate() const {
    return isolate_.load(std::memory_order_acquire);
  }
  // Never freed either: the one that `make_owner` has made for this sampler.
  Owner* owner() const { return owner_; }
  StackTable* stack_table() { return &stack_table_; }
  // Whether the table has samples, or will with the next drain.
  bool HasSamples() const {
    return ring_.pending() != 0 || !stack_table_.stacks().empty();
  }
  // The 1-based line of an offset in a script's source, and the column if asked
  // for; 0 for unknown. Calls V8, which may collect, and so drain: not inside
  // callbacks of V8, and with no reference into the stack table.
  int LineOf(int script_id, int32_t offset, int* column) const;
  // Names what a table filled here has of code that is not on V8's heap. Only
  // as long as gone_modules() is what it was when the table was filled: else
  // other code may be at its addresses.
  void NameForeign(StackTable* table) const;
  uint64_t gone_modules() const { return gone_modules_; }

  LabelWord* label_word() { return &label_word_; }
  SampledLabels* sampled_labels() { return &sampled_labels_; }
  ContextLabel* context_label() { return &context_label_; }
  // False: the continuation is not readable.
  bool SetLabelSource(LabelSource source);

  SamplerMetrics metrics() const;
  // Frames of a table filled here that were named in vain.
  void CountUnresolved(uint64_t frames) {
    metrics_.resolve.unresolved_frames += frames;
  }

  // For a process that is about to exit: no signal is sent from here on.
  static void StopAllTimers() { CpuTimer::StopAll(); }
  // For a thread that may be about to become another program, which a signal of
  // ours would end: none is sent until the loop turns. Nothing where the
  // isolate has no sampler (any more).
  static void PauseTimerOf(v8::Isolate* isolate);

 private:
  Sampler() = default;

  SIGNAL_SAFE static void HandleSignal(void* self, uint32_t weight,
                                       void* ucontext) noexcept;
  SIGNAL_SAFE void FillSample(uintptr_t* record, uint32_t weight,
                              const void* ucontext) noexcept;
  SIGNAL_SAFE uint32_t CurrentLabel(bool isolate_runs,
                                    uint16_t vm_state) const noexcept;

  static void OnGcPrologue(v8::Isolate* isolate, v8::GCType type,
                           v8::GCCallbackFlags flags, void* self);
  static void OnGcEpilogue(v8::Isolate* isolate, v8::GCType type,
                           v8::GCCallbackFlags flags, void* self);
  static void OnJitCodeEvent(const v8::JitCodeEvent* event);
  static void OnWakeUp(uv_async_t* handle);
  static Sampler* OfIsolate(v8::Isolate* isolate);

  void Listen();
  // Code may have moved, or be gone: what is known of it has to be checked.
  // `is_repeated`: for a collection for which it may have been done already.
  void ForgetAddresses(bool is_repeated);
  // The whole heap may have been collected until now.
  void NoteCollection();
  // Arms the canary where it is not alive.
  void WatchForCollections();
  // Has V8 tell of all its code, where the heap cannot be read. Walks the heap.
  void ListenToCodeEvents();
  void ForgetGoneModules();
  bool NeedsCodeEvents() const;
  // At most `*left` samples, which it counts down; all others are dropped.
  void DrainUntil(uint64_t ring_position, bool heap_unchanged, size_t* left);
  void Resolve(const SampleHeader& header, const uintptr_t* frames,
               bool heap_unchanged);

  // For how long after the start native code is not indexed.
  static constexpr int kIndexDelayMs = 1000;
  // The loop is woken for every so many samples: drains of well under 1 ms.
  static constexpr uint32_t kWakeUpSamples = 64;
  // How many more samples a drain resolves than twice those that it finds.
  static constexpr size_t kSpareSamples = 64;

  // Null: free for the next thread. GC helpers look for their sampler by it.
  std::atomic<v8::Isolate*> isolate_{nullptr};
  bool listening_ = false;
  bool reads_heap_ = false;    // or else learns of all code from V8's events
  uint64_t gone_modules_ = 0;  // of WebAssembly, up to now

  // Read by the signal handler.
  CpuTimer timer_;
  SampleRing ring_;
  StackWalker stack_walker_;
  LabelWord label_word_;
  SampledLabels sampled_labels_;
  ContextLabel context_label_;
  std::atomic<LabelSource> label_source_{LabelSource::kLabelWord};
  // The label when the collection began: its CPU belongs to that code, and the
  // heap cannot be read meanwhile.
  std::atomic<uint32_t> gc_label_{0};
  std::atomic<uint32_t> gc_depth_{0};
  // Position behind the newest sample that has frames.
  std::atomic<uint64_t> framed_head_{0};
  std::atomic<uv_async_t*> wake_up_{nullptr};
  std::atomic<uint64_t> interval_ns_{0};
  std::atomic<bool> flush_wanted_{false};
  std::atomic<bool> flush_requested_{false};
  std::atomic<uint64_t> signals_{0};
  std::atomic<uint64_t> handler_ns_{0};

  // Outside the handler.
  SafeMemory::Cache heap_cache_;  // of a drain, in which the heap rests
  // Alive as long as waiting samples are of the heap as it is.
  CollectionCanary canary_;
  // Samples that begin before this position of the ring may be older than the
  // last collection of the whole heap.
  uint64_t stale_until_ = 0;
  CodeMap code_map_;
  CodeFinder code_finder_;
  OsrCodeFinder osr_code_finder_;
  ScriptLines script_lines_;
  WasmModules wasm_modules_;
  StackTable stack_table_;
  SamplerMetrics metrics_;
  CodeEventListener code_events_{&code_map_, &wasm_modules_, &script_lines_,
                                 &metrics_.jit_event_ns};
  Owner* owner_ = nullptr;
  void (*released_)(void*) = nullptr;
  void* released_data_ = nullptr;
};

}  // namespace otelpyroscope

#endif  // NATIVE_SAMPLER_SAMPLER_H_
