// Samples one JavaScript thread: owns its timer, ring, code map and added-up
// stacks, and the callbacks of V8.
//
// Life of a sample: the timer's signal interrupts the thread; the handler
// writes registers, frames and label id into the ring (HandleSignal); Drain(),
// on the same thread and before anything may move or replace code, turns
// addresses into functions and adds the sample to the stack table; JavaScript
// takes the table. Sampling never pauses.
#ifndef NATIVE_SAMPLER_SAMPLER_H_
#define NATIVE_SAMPLER_SAMPLER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/safe_memory.h"
#include "base/signal_safety.h"
#include "code/code_map.h"
#include "code/source_map_texts.h"
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

enum class LabelSource : uint8_t { kLabelWord, kStores };

struct SamplingOptions {
  uint64_t interval_ns = 0;  // of the thread's CPU time
  size_t max_frames = 0;     // of a stack
  SampleClock clock = SampleClock::kTick;
};

// Counts since Start().
struct SamplerMetrics {
  struct {
    SampleClock in_use = SampleClock::kTick;
    int refusal = 0;  // see CpuTimer::refusal()
  } clock;
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

// On the isolate's thread alone, outside the signal handler, except
// HandleSignal() and what it calls, the GC helpers' part of OnJitCodeEvent(),
// and functions that any thread may call.
class Sampler {
 public:
  // The part of a thread that delivers the samples.
  class Owner {
   public:
    // Called in the event loop for every WakeUp() and whenever samples wait.
    virtual void OnWoken() = 0;

   protected:
    ~Owner() = default;
  };

  // Returns a sampler for the isolate of the calling thread, or null if there
  // are too many threads. Samplers are never freed, because a signal handler
  // may still see them: Release() makes one available to the next thread. Walks
  // the heap, so it is called when the package is loaded and the heap is small.
  // `make_owner` is called once for each sampler.
  static Sampler* Acquire(v8::Isolate* isolate, uv_loop_t* loop,
                          Owner* (*make_owner)());
  // Called when the isolate's environment ends: forgets, closes the wake-up
  // handle, and makes the sampler available; then calls `released(data)` in the
  // event loop.
  void Release(void (*released)(void*), void* data);

  // Starts to sample. Returns 0 or an errno. From JavaScript, and in an
  // interrupt of V8.
  int Start(const SamplingOptions& options);
  // Stops the timer, and drains. Where V8's code events are listened to,
  // listening goes on, so that the next Start() need not list all code again,
  // and knows the code that has replaced running loops on the stack: V8 never
  // lists that. From JavaScript, and in an interrupt of V8.
  void Stop();
  // Stops, and forgets the code. From JavaScript.
  void Forget();

  // Moves all pending samples into the stack table, in less than 10 µs a
  // sample. Anywhere on the isolate's thread outside the signal handler, also
  // in callbacks of the collector and of code events.
  void Drain();
  // Does the same where V8 may be called: in the event loop or from JavaScript,
  // not inside V8's callbacks.
  void DrainInLoop();
  // Whether there is WebAssembly code without names.
  bool WantsWasmNames() const { return wasm_modules_.HasUnlisted(); }
  // Has V8 name it. `clone` returns a clone of a module, as structuredClone()
  // does, or an empty handle. From JavaScript alone.
  template <typename Clone>
  void NameWasm(Clone clone) {
    if (!listening_ || !reads_heap_ || !WantsWasmNames()) return;
    code_events_.ListModules(isolate(), OnJitCodeEvent, clone);
    NameForeign(&stack_table_);
  }
  // Lets the event loop call the owner's OnWoken() soon. Any thread, but not
  // while Release() may run.
  void WakeUp();
  // Sets whether the event loop is woken for the first sample after
  // TakeFlushRequest(), so that samples are delivered soon. Any thread.
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
  // Returns the CPU time for which all samplers of the process have had
  // signals. Any thread. Never decreases.
  static uint64_t sampled_ns();
  uint64_t interval_ns() const {
    return interval_ns_.load(std::memory_order_relaxed);
  }
  // Null if the sampler is available. Any thread.
  v8::Isolate* isolate() const {
    return isolate_.load(std::memory_order_acquire);
  }
  // The owner that `make_owner` made for this sampler; never freed either.
  Owner* owner() const { return owner_; }
  StackTable* stack_table() { return &stack_table_; }
  // Whether the table has samples, or will have after the next drain.
  bool HasSamples() const {
    return ring_.pending() != 0 || !stack_table_.stacks().empty();
  }
  // Returns the 1-based line of an offset in a script's source, and the column
  // if asked for; 0 for unknown. Calls V8, which may collect, and so drain: not
  // inside callbacks of V8, and with no reference into the stack table held.
  int LineOf(int script_id, int32_t offset, int* column) const;
  // Returns the file of an evaluated script, or "": see ScriptLines. Where
  // LineOf() may be called.
  std::string EvaluatedFileOf(int script_id, uint32_t text_hash);
  // Returns the number of a script's source map, or 0: see ScriptMaps. Where
  // LineOf() may be called.
  uint32_t SourceMapOf(int script_id);
  // Names code that is not on V8's heap, in a table that was filled here. Only
  // while collected_modules() has the value that it had when the table was
  // filled: later, other code may be at its addresses.
  void NameForeign(StackTable* table) const;
  uint64_t collected_modules() const { return collected_modules_; }

  LabelWord* label_word() { return &label_word_; }
  SampledLabels* sampled_labels() { return &sampled_labels_; }
  ContextLabel* context_label() { return &context_label_; }
  // Returns false if the continuation is not readable. From JavaScript.
  bool SetLabelSource(LabelSource source);

  SamplerMetrics metrics() const;
  // Counts frames of a table filled here whose code remained unknown.
  void CountUnresolved(uint64_t frames) {
    metrics_.resolve.unresolved_frames += frames;
  }

  // For a process that is about to exit: no signal is sent from here on. Any
  // thread.
  static void StopAllTimers() { CpuTimer::StopAll(); }
  // For a thread that may be about to become another program, which a signal of
  // ours would end: none is sent until the event loop runs. Does nothing if the
  // isolate has no sampler. On the isolate's thread.
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
  static void OnBeforeCall(v8::Isolate* isolate);
  static void OnJitCodeEvent(const v8::JitCodeEvent* event);
  static void OnWakeUp(uv_async_t* handle);
  static Sampler* OfIsolate(v8::Isolate* isolate);

  void Listen();
  // Marks known code as stale, because V8 may have moved or freed it.
  // `is_repeated`: it may have been marked for this collection already. Called
  // in the drain and in callbacks of the collector.
  void ForgetAddresses(bool is_repeated);
  // Records that the whole heap may have been collected until now.
  void NoteCollection();
  // Arms the canary if it is not alive.
  void WatchForCollections();
  // Has V8 report all its code, where the heap cannot be read. Walks the heap.
  void ListenToCodeEvents();
  // Forgets the code of WebAssembly modules that the collector has freed. In
  // the event loop and from JavaScript.
  void ForgetCollectedModules();
  bool NeedsCodeEvents() const;
  // Resolves at most `*left` samples, which it counts down; all others are
  // dropped.
  void DrainUntil(uint64_t ring_position, bool heap_unchanged, size_t* left);
  void Resolve(const SampleHeader& header, const uintptr_t* frames,
               bool heap_unchanged);

  // How long after the start native code is not indexed.
  static constexpr int kIndexDelayMs = 1000;
  // The event loop is woken after this many signals, to drain and to prepare
  // the flush. Collections drain as well, but cannot prepare: they must not
  // keep the loop from being woken. With 64, the lines of as many scripts were
  // found in one turn (4 ms for scripts of 35 KB, Node 20).
  static constexpr uint64_t kWakeUpSignals = 16;
  // A drain resolves this many samples, plus twice those that it finds.
  static constexpr size_t kSpareSamples = 64;

  // Null: available to the next thread. GC helpers find their sampler by it.
  std::atomic<v8::Isolate*> isolate_{nullptr};
  bool listening_ = false;
  bool reads_heap_ = false;         // else V8's events report all code
  uint64_t collected_modules_ = 0;  // WebAssembly modules freed so far

  // Read by the signal handler.
  CpuTimer timer_;
  SampleRing ring_;
  StackWalker stack_walker_;
  LabelWord label_word_;
  SampledLabels sampled_labels_;
  ContextLabel context_label_;
  std::atomic<LabelSource> label_source_{LabelSource::kLabelWord};
  // The label at the start of the collection: its CPU belongs to that code, and
  // the heap cannot be read meanwhile.
  std::atomic<uint32_t> gc_label_{0};
  std::atomic<uint32_t> gc_depth_{0};
  // Position after the newest sample that has frames.
  std::atomic<uint64_t> framed_head_{0};
  std::atomic<uv_async_t*> wake_up_{nullptr};
  std::atomic<uint64_t> interval_ns_{0};
  std::atomic<bool> flush_wanted_{false};
  std::atomic<bool> flush_requested_{false};
  std::atomic<uint64_t> signals_{0};
  std::atomic<uint64_t> handler_ns_{0};

  // Outside the handler.
  SafeMemory::Cache heap_cache_;  // of a drain: the heap does not change
  // Alive while no collection of the whole heap has happened since waiting
  // samples were taken.
  CollectionCanary canary_;
  // Samples that begin before this position of the ring may be older than the
  // last collection of the whole heap.
  uint64_t stale_until_ = 0;
  CodeMap code_map_;
  OsrCodeFinder osr_code_finder_;
  ScriptLines script_lines_;
  ScriptMaps script_maps_{&script_lines_};
  WasmModules wasm_modules_;
  StackTable stack_table_;
  SamplerMetrics metrics_;
  CodeFinder code_finder_{&stack_table_, &code_map_, &script_lines_,
                          &wasm_modules_, &metrics_.resolve};
  CodeEventListener code_events_{&code_map_, &wasm_modules_, &script_lines_,
                                 &metrics_.jit_event_ns};
  Owner* owner_ = nullptr;
  void (*released_)(void*) = nullptr;
  void* released_data_ = nullptr;
};

}  // namespace otelpyroscope

#endif  // NATIVE_SAMPLER_SAMPLER_H_
