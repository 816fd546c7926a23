// The signal handler, the drain, and V8's callbacks, of one thread's sampler.
#include "sampler.h"

#include <cerrno>
#include <ctime>
#include <new>
#include <string_view>
#include <utility>

#include "code_ranges.h"
#include "inlining.h"

namespace otelpyroscope {
namespace {

SIGNAL_SAFE uint64_t NowNs(clockid_t clock = CLOCK_MONOTONIC) noexcept {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000000 +
         static_cast<uint64_t>(now.tv_nsec);
}

// Of all samplers, for good: what the rest of the process has used is the
// process's CPU time less this.
std::atomic<uint64_t> process_sampled_ns{0};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

}  // namespace

// --- Inside the signal handler (see signal_safety.h) ---

SIGNAL_SAFE void Sampler::HandleSignal(void* self, uint32_t weight,
                                       void* ucontext) noexcept {
  Sampler* sampler = static_cast<Sampler*>(self);
  const uint64_t begin_ns = NowNs();
  sampler->signals_.fetch_add(1, std::memory_order_relaxed);
  process_sampled_ns.fetch_add(
      weight * sampler->interval_ns_.load(std::memory_order_relaxed),
      std::memory_order_relaxed);
  SampleRing& ring = sampler->ring_;
  uintptr_t* record =
      ring.Reserve(kSampleHeaderWords + sampler->capture_.max_words());
  if (record == nullptr) {
    ring.Drop(weight);
  } else {
    sampler->FillSample(record, weight, ucontext);
  }
  const bool flush =
      sampler->flush_wanted_.load(std::memory_order_relaxed) &&
      !sampler->flush_requested_.exchange(true, std::memory_order_relaxed);
  if (flush || ring.pending() % kWakeUpSamples == 0) {
    uv_async_t* wake_up = sampler->wake_up_.load(std::memory_order_relaxed);
    if (wake_up != nullptr) uv_async_send(wake_up);
  }
  sampler->handler_ns_.fetch_add(NowNs() - begin_ns, std::memory_order_relaxed);
}

SIGNAL_SAFE void Sampler::FillSample(uintptr_t* record, uint32_t weight,
                                     const void* ucontext) noexcept {
  SampleHeader* header = new (record) SampleHeader;
  void** frames = reinterpret_cast<void**>(record + kSampleHeaderWords);
  const bool isolate_runs = capture_.Capture(ucontext, header, frames);
  header->weight = weight;
  header->in_collection = gc_depth_.load(std::memory_order_relaxed) != 0;
  header->label = CurrentLabel(isolate_runs, header->vm_state);
  if (header->label != 0) sampled_labels_.Mark(header->label);
  ring_.Commit(SampleWords(*header));
  if (header->vm_state != v8::GC) {
    framed_head_.store(ring_.head(), std::memory_order_release);
  }
}

SIGNAL_SAFE uint32_t Sampler::CurrentLabel(bool isolate_runs,
                                           uint16_t vm_state) const noexcept {
  if (label_source_.load(std::memory_order_relaxed) == LabelSource::kSlot) {
    return label_slot_.Load();
  }
  if (gc_depth_.load(std::memory_order_relaxed) != 0) {
    return gc_label_.load(std::memory_order_relaxed);
  }
  // A collection whose prologue V8 has not told us of: no label rather than a
  // read of a heap in motion.
  if (!isolate_runs || vm_state == v8::GC) return 0;
  return async_context_.ReadLabel(isolate_.load(std::memory_order_relaxed));
}

// --- Set-up and teardown ---

int Sampler::Start(uint64_t interval_ns, size_t max_frames) {
  if (!ring_.Allocate()) return ENOMEM;
  Drain();  // moves noted since Stop() speak of positions before the Reset()
  ring_.Reset();
  stale_until_ = 0;
  framed_head_.store(0, std::memory_order_relaxed);
  signals_.store(0, std::memory_order_relaxed);
  handler_ns_.store(0, std::memory_order_relaxed);
  interval_ns_.store(interval_ns, std::memory_order_relaxed);
  metrics_ = SamplerMetrics();
  ElfSymbols::Prepare(kIndexDelayMs);
  stack_table_.LearnFiles();
  v8::Isolate* isolate = isolate_.load(std::memory_order_relaxed);
  capture_.Init(isolate, max_frames);
  Listen();
  canary_.Refill(isolate);
  WatchForCollections();
  capture_.SetBuiltinsCopy(code_map_.builtins_copy());
  const bool is_wrong = CodeReader::Possible() && !CodeReader::KnowsFunctions();
  metrics_.resolve.layout_fallbacks += is_wrong;
  const int error = timer_.Start(interval_ns, HandleSignal, this);
  if (error != 0) Forget();
  return error;
}

void Sampler::Stop() {
  timer_.Stop();
  Drain();
}

void Sampler::Listen() {
  if (listening_) return;
  listening_ = true;
  v8::Isolate* isolate = isolate_.load(std::memory_order_relaxed);
  isolate->AddGCPrologueCallback(OnGcPrologue, this);
  isolate->AddGCEpilogueCallback(OnGcEpilogue, this);
  // Builtins may run from a copy, which has to be known.
  reads_heap_ =
      heap_code_.Init(isolate) && LearnCodeRanges(isolate, false, &code_map_);
  if (!reads_heap_) FollowEvents();
}

void Sampler::Forget() {
  Stop();
  if (!listening_) return;
  listening_ = false;
  v8::Isolate* isolate = isolate_.load(std::memory_order_relaxed);
  if (std::exchange(follows_events_, false)) {
    isolate->SetJitCodeEventHandler(v8::kJitCodeEventDefault, nullptr);
  }
  isolate->RemoveGCPrologueCallback(OnGcPrologue, this);
  isolate->RemoveGCEpilogueCallback(OnGcEpilogue, this);
  gc_depth_.store(0, std::memory_order_relaxed);
  code_map_.Clear();
  late_code_.ForgetPlaces();
  script_lines_.Clear();
  wasm_modules_.Clear();
  canary_.Reset();
  std::lock_guard<std::mutex> lock(moves_mutex_);
  moves_.clear();
  has_moves_.store(false, std::memory_order_relaxed);
}

bool Sampler::SetLabelSource(LabelSource source) {
  if (source == LabelSource::kContinuation && !async_context_.usable()) {
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
  metrics.signals = signals_.load(std::memory_order_relaxed);
  metrics.dropped_samples = ring_.dropped_records();
  metrics.code_entries = code_map_.entries();
  metrics.code_bytes = code_map_.bytes();
  metrics.handler_ns = handler_ns_.load(std::memory_order_relaxed);
  return metrics;
}

// --- Drain. May run inside V8's callbacks: it never touches the V8 heap. ---

void Sampler::Drain() {
  if (ring_.pending() == 0 && !has_moves_.load(std::memory_order_acquire)) {
    return;
  }
  const uint64_t begin_ns = NowNs(CLOCK_THREAD_CPUTIME_ID);
  // More samples come meanwhile, without end if others send the signals.
  size_t left = 2 * size_t{ring_.pending()} + kSpareSamples;
  const SafeMemory::Reading reading(&heap_cache_);
  if (has_moves_.load(std::memory_order_acquire)) {
    std::vector<CodeMove> moves;
    {
      std::lock_guard<std::mutex> lock(moves_mutex_);
      moves.swap(moves_);
      has_moves_.store(false, std::memory_order_relaxed);
    }
    // Samples and moves in the order in which they happened: a sample's
    // addresses are good for the map of its time alone.
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
  // of samples from before it mean nothing any more.
  if (!canary_.IsAlive()) NoteCollection();
  DrainUntil(stale_until_, false, &left);
  DrainUntil(UINT64_MAX, canary_.IsAlive(), &left);
  const uint64_t dropped = ring_.TakeDroppedWeight();
  if (dropped != 0) {
    stack_table_.Begin(0);
    stack_table_.Push(PseudoFrame::kDropped);
    stack_table_.Commit(dropped);
  }
  metrics_.drain_ns += NowNs(CLOCK_THREAD_CPUTIME_ID) - begin_ns;
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
    late_code_.Learn(header, frames, &code_map_);
  } else if (can_read && header.vm_state != v8::GC) {
    heap_code_.Learn(header, frames, stack_table_, &code_map_, &script_lines_,
                     &wasm_modules_, &metrics_.resolve);
  } else if (!can_read && reads_heap_) {
    HeapCode::FindAgain(header, frames, &code_map_);
  }
  ResolveStack(header, frames, can_read, code_map_, &stack_table_,
               &metrics_.resolve);
}

void Sampler::DrainInLoop() {
  if (WantsEvents()) FollowEvents();
  Drain();
  if (!listening_) return;
  ForgetGoneModules();
  canary_.Refill(isolate_.load(std::memory_order_relaxed));
  WatchForCollections();
}

int Sampler::LineOf(int script_id, int32_t offset, int* column) const {
  return script_lines_.LineOf(isolate_.load(std::memory_order_relaxed),
                              script_id, offset, column);
}

// --- Callbacks of V8 ---

void Sampler::ForgetPlaces(bool is_repeated) {
  late_code_.ForgetPlaces();
  heap_code_.ForgetPlaces();
  wasm_modules_.ForgetPlaces();
  // Where V8's events are followed, they tell of every move.
  if (!reads_heap_) return;
  // Entries age by each call.
  if (!is_repeated || code_map_.HasNewPlaces()) code_map_.ForgetPlaces();
}

void Sampler::NoteCollection() {
  stale_until_ = ring_.head();
  // The prologue has done so, mostly, but callbacks of a collection may have
  // run code, and collected.
  ForgetPlaces(true);
}

void Sampler::WatchForCollections() {
  if (!listening_ || canary_.IsAlive()) return;
  canary_.Arm(isolate_.load(std::memory_order_relaxed));
  NoteCollection();
}

void Sampler::OnGcPrologue(v8::Isolate* isolate, v8::GCType type,
                           v8::GCCallbackFlags, void* self) {
  Sampler* sampler = static_cast<Sampler*>(self);
  // The last moment at which addresses mean what they meant to the samples.
  sampler->Drain();
  if (sampler->WantsEvents() || sampler->WantsWasmNames()) sampler->WakeUp();
  // Code moves, and goes, in collections of the whole heap only.
  if ((type & v8::kGCTypeMarkSweepCompact) != 0) sampler->ForgetPlaces(false);
  if (sampler->gc_depth_.load(std::memory_order_relaxed) == 0) {
    sampler->gc_label_.store(sampler->async_context_.ReadLabel(isolate),
                             std::memory_order_relaxed);
  }
  sampler->gc_depth_.fetch_add(1, std::memory_order_relaxed);
}

void Sampler::OnGcEpilogue(v8::Isolate*, v8::GCType type, v8::GCCallbackFlags,
                           void* self) {
  Sampler* sampler = static_cast<Sampler*>(self);
  // One that was made while V8 marked has survived this collection.
  if ((type & v8::kGCTypeMarkSweepCompact) != 0) sampler->canary_.Disarm();
  sampler->WatchForCollections();
  // Zero where sampling began between prologue and epilogue.
  if (sampler->gc_depth_.load(std::memory_order_relaxed) != 0) {
    sampler->gc_depth_.fetch_sub(1, std::memory_order_relaxed);
  }
}

}  // namespace otelpyroscope
