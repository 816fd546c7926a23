#include "sampler/sampler.h"

#include <cerrno>
#include <new>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "code/code_ranges.h"
#include "v8-profiler.h"
#include "v8_heap/code_reader.h"

namespace otelpyroscope {
namespace {

// The sum of all samplers; never decreases. The rest of the process has used
// the process's CPU time less this.
std::atomic<uint64_t> process_sampled_ns{0};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

// One entry for each thread that has loaded the addon. Leaked and trivially
// destructible; the samplers are never freed.
std::atomic<Sampler*> samplers[kMaxTimers];

// While the thread samples itself by the precise clock. Never in the handler.
thread_local Sampler* sampler_of_thread = nullptr;

}  // namespace

// --- Inside the signal handler (see signal_safety.h) ---

SIGNAL_SAFE void Sampler::HandleSignal(void* self, uint32_t weight,
                                       void* ucontext) noexcept {
  Sampler* sampler = static_cast<Sampler*>(self);
  const uint64_t begin_ns = ClockNs(CLOCK_MONOTONIC);
  const uint64_t signals =
      sampler->signals_.fetch_add(1, std::memory_order_relaxed) + 1;
  process_sampled_ns.fetch_add(
      weight * sampler->interval_ns_.load(std::memory_order_relaxed),
      std::memory_order_relaxed);
  SampleRing& ring = sampler->ring_;
  uintptr_t* record =
      ring.Reserve(kSampleHeaderWords + sampler->stack_walker_.max_words());
  if (record == nullptr) {
    ring.Drop(weight);
  } else {
    sampler->FillSample(record, weight, ucontext);
  }
  const bool flush =
      sampler->flush_wanted_.load(std::memory_order_relaxed) &&
      !sampler->flush_requested_.exchange(true, std::memory_order_relaxed);
  if (flush || signals % kWakeUpSignals == 0) {
    uv_async_t* wake_up = sampler->wake_up_.load(std::memory_order_relaxed);
    if (wake_up != nullptr) uv_async_send(wake_up);
  }
  sampler->handler_ns_.fetch_add(ClockNs(CLOCK_MONOTONIC) - begin_ns,
                                 std::memory_order_relaxed);
}

SIGNAL_SAFE void Sampler::FillSample(uintptr_t* record, uint32_t weight,
                                     const void* ucontext) noexcept {
  SampleHeader* header = new (record) SampleHeader;
  void** frames = reinterpret_cast<void**>(record + kSampleHeaderWords);
  const bool isolate_runs = stack_walker_.Capture(ucontext, header, frames);
  header->weight = weight;
  header->in_collection = gc_depth_.load(std::memory_order_relaxed) != 0;
  header->label = CurrentLabel(isolate_runs, header->vm_state);
  if (header->label != 0) {
    sampled_labels_.Add(
        header->label,
        static_cast<double>(weight *
                            interval_ns_.load(std::memory_order_relaxed)));
  }
  ring_.Commit(SampleWords(*header));
  if (header->vm_state != v8::GC) {
    framed_head_.store(ring_.head(), std::memory_order_release);
  }
}

SIGNAL_SAFE uint32_t Sampler::CurrentLabel(bool isolate_runs,
                                           uint16_t vm_state) const noexcept {
  if (label_source_.load(std::memory_order_relaxed) ==
      LabelSource::kLabelWord) {
    return label_word_.Load();
  }
  if (gc_depth_.load(std::memory_order_relaxed) != 0) {
    return gc_label_.load(std::memory_order_relaxed);
  }
  // V8 has not announced this collection by a prologue, and may be moving the
  // heap: the sample gets no label.
  if (!isolate_runs || vm_state == v8::GC) return 0;
  return context_label_.ReadLabel(isolate_.load(std::memory_order_relaxed));
}

// --- Set-up and teardown ---

int Sampler::Start(const SamplingOptions& options) {
  if (!ring_.Allocate()) return ENOMEM;
  Drain();  // moves queued since Stop() have positions from before Reset()
  ring_.Reset();
  stale_until_ = 0;
  framed_head_.store(0, std::memory_order_relaxed);
  signals_.store(0, std::memory_order_relaxed);
  handler_ns_.store(0, std::memory_order_relaxed);
  interval_ns_.store(options.interval_ns, std::memory_order_relaxed);
  metrics_ = SamplerMetrics();
  SymbolIndex::Prepare(kIndexDelayMs);
  stack_table_.LearnFiles();
  v8::Isolate* isolate = isolate_.load(std::memory_order_relaxed);
  stack_walker_.Init(isolate, options.max_frames);
  Listen();
  canary_.Refill(isolate);
  WatchForCollections();
  stack_walker_.SetBuiltinsCopy(code_map_.builtins_copy());
  const bool is_wrong =
      CodeReader::Possible() && !CodeReader::CanIdentifyFunctions();
  metrics_.resolve.layout_fallbacks += is_wrong;
  const int error =
      timer_.Start(options.interval_ns, options.clock, HandleSignal, this);
  if (error != 0) Forget();
  if (timer_.clock() == SampleClock::kPrecise) {
    sampler_of_thread = this;
    isolate->AddBeforeCallEnteredCallback(OnBeforeCall);
  }
  return error;
}

void Sampler::Stop() {
  timer_.Stop();
  if (sampler_of_thread == this) {
    sampler_of_thread = nullptr;
    isolate_.load(std::memory_order_relaxed)
        ->RemoveBeforeCallEnteredCallback(OnBeforeCall);
  }
  Drain();
}

void Sampler::Listen() {
  if (listening_) return;
  listening_ = true;
  v8::Isolate* isolate = isolate_.load(std::memory_order_relaxed);
  isolate->AddGCPrologueCallback(OnGcPrologue, this);
  isolate->AddGCEpilogueCallback(OnGcEpilogue, this);
  // Builtins may run from a copy, which has to be found.
  reads_heap_ =
      code_finder_.Init(isolate) && LearnCodeRanges(isolate, false, &code_map_);
  if (!reads_heap_) ListenToCodeEvents();
}

void Sampler::Forget() {
  Stop();
  if (!listening_) return;
  listening_ = false;
  v8::Isolate* isolate = isolate_.load(std::memory_order_relaxed);
  code_events_.Stop(isolate);
  isolate->RemoveGCPrologueCallback(OnGcPrologue, this);
  isolate->RemoveGCEpilogueCallback(OnGcEpilogue, this);
  gc_depth_.store(0, std::memory_order_relaxed);
  code_map_.Clear();
  osr_code_finder_.ForgetAddresses();
  script_lines_.Clear();
  script_maps_.Clear();
  wasm_modules_.Clear();
  canary_.Reset();
}

bool Sampler::SetLabelSource(LabelSource source) {
  if (source == LabelSource::kStores && !context_label_.usable()) {
    return false;
  }
  label_source_.store(source, std::memory_order_relaxed);
  return true;
}

uint64_t Sampler::sampled_ns() {
  return process_sampled_ns.load(std::memory_order_relaxed);
}

SamplerMetrics Sampler::metrics() const {
  SamplerMetrics metrics = metrics_;
  metrics.clock = {timer_.clock(), timer_.refusal()};
  metrics.signals = signals_.load(std::memory_order_relaxed);
  metrics.dropped_samples = ring_.dropped_records();
  metrics.code_entries = code_map_.entries();
  metrics.code_bytes = code_map_.bytes();
  metrics.handler_ns = handler_ns_.load(std::memory_order_relaxed);
  return metrics;
}

// --- Drain: may run inside V8's callbacks, so it allocates nothing there ---

void Sampler::Drain() {
  if (ring_.pending() == 0 && !code_events_.has_moves()) return;
  const uint64_t begin_ns = ClockNs(CLOCK_THREAD_CPUTIME_ID);
  // More samples arrive during the drain, endlessly if others send the signals.
  size_t left = 2 * size_t{ring_.pending()} + kSpareSamples;
  const SafeMemory::Reading reading(&heap_cache_);
  if (code_events_.has_moves()) {
    const std::vector<CodeMove> moves = code_events_.TakeMoves();
    // Samples and moves are taken in the order in which they happened: a
    // sample's addresses are valid for the map of its time alone.
    for (size_t begin = 0; begin < moves.size();) {
      size_t end = begin;
      while (end < moves.size() &&
             moves[end].ring_position == moves[begin].ring_position) {
        end++;
      }
      DrainUntil(moves[begin].ring_position, false, &left);
      code_map_.ApplyMoves(&moves[begin], end - begin);
      begin = end;
    }
  }
  // V8 announces no collection that a callback of another one starts. Addresses
  // of samples from before it are no longer valid.
  if (!canary_.IsAlive()) NoteCollection();
  DrainUntil(stale_until_, false, &left);
  DrainUntil(UINT64_MAX, canary_.IsAlive(), &left);
  const uint64_t dropped = ring_.TakeDroppedWeight();
  if (dropped != 0) {
    stack_table_.Begin(0);
    stack_table_.Push(PseudoFrame::kDropped);
    stack_table_.Commit(dropped);
  }
  metrics_.drain_ns += ClockNs(CLOCK_THREAD_CPUTIME_ID) - begin_ns;
}

void Sampler::DrainUntil(uint64_t ring_position, bool heap_unchanged,
                         size_t* left) {
  ring_.Drain(
      ring_position, left,
      [&](const uintptr_t* record) {
        Resolve(*reinterpret_cast<const SampleHeader*>(record),
                record + kSampleHeaderWords, heap_unchanged);
      },
      [&](const uintptr_t* record) {
        ring_.Drop(reinterpret_cast<const SampleHeader*>(record)->weight);
      });
}

void Sampler::Resolve(const SampleHeader& header, const uintptr_t* frames,
                      bool heap_unchanged) {
  metrics_.samples++;
  metrics_.truncated_stacks += header.truncated;
  metrics_.labelled_samples += header.label != 0;
  const bool can_read =
      heap_unchanged && (header.frame_count == 0 || !header.in_collection);
  metrics_.stale_samples += !can_read;
  if (can_read && !reads_heap_) {
    osr_code_finder_.Learn(header, frames, &code_map_);
  } else if (can_read && header.vm_state != v8::GC) {
    code_finder_.Learn(header, frames);
  } else if (!can_read && reads_heap_) {
    code_finder_.FindAgain(header, frames);
  }
  ResolveStack(header, frames, can_read, code_map_, &stack_table_,
               &metrics_.resolve);
}

void Sampler::DrainInLoop() {
  if (NeedsCodeEvents()) ListenToCodeEvents();
  Drain();
  if (!listening_) return;
  ForgetCollectedModules();
  canary_.Refill(isolate_.load(std::memory_order_relaxed));
  WatchForCollections();
}

int Sampler::LineOf(int script_id, int32_t offset, int* column) const {
  return script_lines_.LineOf(isolate_.load(std::memory_order_relaxed),
                              script_id, offset, column);
}

std::string Sampler::EvaluatedFileOf(int script_id, uint32_t text_hash) {
  return script_lines_.EvaluatedFileOf(isolate_.load(std::memory_order_relaxed),
                                       script_id, text_hash);
}

uint32_t Sampler::SourceMapOf(int script_id) {
  return script_maps_.MapOf(isolate_.load(std::memory_order_relaxed),
                            script_id);
}

// --- Callbacks of V8 ---

void Sampler::ForgetAddresses(bool is_repeated) {
  osr_code_finder_.ForgetAddresses();
  code_finder_.ForgetAddresses();
  wasm_modules_.ForgetAddresses();
  // Where V8's events are listened to, they report every move.
  if (!reads_heap_) return;
  // Entries age with each call.
  if (!is_repeated || code_map_.HasFreshEntries()) code_map_.MarkStale();
}

void Sampler::NoteCollection() {
  stale_until_ = ring_.head();
  // The prologue has usually done so, but callbacks of a collection may have
  // run code, and collected.
  ForgetAddresses(true);
}

void Sampler::WatchForCollections() {
  if (!listening_ || canary_.IsAlive()) return;
  canary_.Arm(isolate_.load(std::memory_order_relaxed));
  NoteCollection();
}

void Sampler::OnBeforeCall(v8::Isolate*) {
  if (sampler_of_thread != nullptr) sampler_of_thread->timer_.WakeUp();
}

void Sampler::OnGcPrologue(v8::Isolate* isolate, v8::GCType type,
                           v8::GCCallbackFlags, void* self) {
  Sampler* sampler = static_cast<Sampler*>(self);
  // After this callback, the samples' addresses are no longer valid.
  sampler->Drain();
  if (sampler->NeedsCodeEvents() || sampler->WantsWasmNames()) {
    sampler->WakeUp();
  }
  // Code moves, and is freed, in collections of the whole heap only.
  if ((type & v8::kGCTypeMarkSweepCompact) != 0) {
    sampler->ForgetAddresses(false);
  }
  if (sampler->gc_depth_.load(std::memory_order_relaxed) == 0) {
    sampler->gc_label_.store(sampler->context_label_.ReadLabel(isolate),
                             std::memory_order_relaxed);
  }
  sampler->gc_depth_.fetch_add(1, std::memory_order_relaxed);
}

void Sampler::OnGcEpilogue(v8::Isolate*, v8::GCType type, v8::GCCallbackFlags,
                           void* self) {
  Sampler* sampler = static_cast<Sampler*>(self);
  // A canary that was made while V8 marked has survived this collection.
  if ((type & v8::kGCTypeMarkSweepCompact) != 0) sampler->canary_.Disarm();
  sampler->WatchForCollections();
  // Zero if sampling began between prologue and epilogue.
  if (sampler->gc_depth_.load(std::memory_order_relaxed) != 0) {
    sampler->gc_depth_.fetch_sub(1, std::memory_order_relaxed);
  }
}

// --- Code that V8 reports or names itself ---

bool Sampler::NeedsCodeEvents() const {
  return listening_ && reads_heap_ && code_finder_.LayoutSeemsWrong();
}

void Sampler::ListenToCodeEvents() {
  v8::Isolate* isolate = isolate_.load(std::memory_order_relaxed);
  if (std::exchange(reads_heap_, false)) {
    code_map_.Clear();
    wasm_modules_.Clear();
  }
  LearnCodeRanges(isolate, true, &code_map_);
  code_events_.Listen(isolate, OnJitCodeEvent);
}

void Sampler::OnJitCodeEvent(const v8::JitCodeEvent* event) {
  Sampler* sampler = OfIsolate(event->isolate);
  if (sampler == nullptr || !sampler->code_events_.Wants(*event)) return;
  CodeEventListener& code_events = sampler->code_events_;
  if (event->type == v8::JitCodeEvent::CODE_MOVED) {
    code_events.QueueMove(*event, sampler->framed_head_);
  } else if (v8::Isolate::TryGetCurrent() == event->isolate) {
    // Older samples may have hit the code that was here before.
    if (!code_events.is_listing()) sampler->Drain();
    code_events.Add(*event);
  }
}

void Sampler::NameForeign(StackTable* table) const {
  table->NameForeign([this](uintptr_t address) {
    const CodeEntry* entry = code_map_.Find(address);
    return entry != nullptr && entry->off_heap
               ? std::string_view(entry->function->name)
               : std::string_view();
  });
}

void Sampler::ForgetCollectedModules() {
  while (const uint32_t module = wasm_modules_.NextCollected()) {
    metrics_.resolve.unresolved_frames += stack_table_.ForgetForeign();
    collected_modules_++;
    code_map_.ForgetModule(module);
    // Its memory is free for other code from here on.
    wasm_modules_.Forget(module);
  }
}

// --- The samplers of all threads ---

Sampler* Sampler::Acquire(v8::Isolate* isolate, uv_loop_t* loop,
                          Owner* (*make_owner)()) {
  uv_async_t* wake_up = new uv_async_t;
  if (uv_async_init(loop, wake_up, OnWakeUp) != 0) {
    delete wake_up;
    return nullptr;
  }
  uv_unref(reinterpret_cast<uv_handle_t*>(wake_up));
  for (std::atomic<Sampler*>& entry : samplers) {
    // Acquire pairs with the exchange below, on the thread that made it.
    Sampler* sampler = entry.load(std::memory_order_acquire);
    if (sampler == nullptr) {
      Sampler* created = new Sampler;
      if (entry.compare_exchange_strong(sampler, created)) {
        sampler = created;
      } else {
        delete created;  // another thread was first: `sampler` is its
      }
    }
    v8::Isolate* nobody = nullptr;
    if (!sampler->isolate_.compare_exchange_strong(nobody, isolate)) continue;
    // Without it V8 keeps too few positions in optimized code to find an
    // inlined leaf. Each call walks the heap (120 ms at 650 MB), so it is made
    // once, while the heap is small. It cannot be undone for the isolate.
    v8::CpuProfiler::UseDetailedSourcePositionsForProfiling(isolate);
    wake_up->data = sampler;
    if (sampler->owner_ == nullptr) sampler->owner_ = make_owner();
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
  SetLabelSource(LabelSource::kLabelWord);
  context_label_.Reset();
  label_word_.Clear();
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
  for (const std::atomic<Sampler*>& entry : samplers) {
    Sampler* sampler = entry.load(std::memory_order_acquire);
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
  sampler->owner_->OnWoken();
}

void Sampler::WakeUp() {
  uv_async_t* wake_up = wake_up_.load(std::memory_order_relaxed);
  if (wake_up != nullptr) uv_async_send(wake_up);
}

}  // namespace otelpyroscope
