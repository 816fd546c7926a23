// V8's code events: when they are followed, and what is noted of them.
#include <mutex>
#include <string_view>

#include "code_ranges.h"
#include "inlining.h"
#include "sampler.h"

namespace otelpyroscope {

bool Sampler::WantsEvents() const {
  if (!listening_ || !reads_heap_) return false;
  if (heap_code_.IsHopeless()) return true;
  if (follows_events_) return false;
  // The samples that wait count as well: they are to have names.
  uint64_t samples = metrics_.samples;
  uint64_t foreign = metrics_.resolve.foreign_frames;
  ring_.ForEach([&](const uintptr_t* record) {
    const auto& header = *reinterpret_cast<const SampleHeader*>(record);
    samples++;
    foreign += header.frame_count != 0 && !code_map_.IsGenerated(header.pc) &&
               code_map_.Find(header.pc) == nullptr &&
               !stack_table_.IsInFile(header.pc);
  });
  return foreign >= kForeignFrames && foreign * kForeignShare >= samples;
}

std::string_view Sampler::OffHeapName(uintptr_t address) const {
  const CodeEntry* entry = code_map_.Find(address);
  return entry != nullptr && entry->off_heap
             ? std::string_view(entry->function->name)
             : std::string_view();
}

void Sampler::FollowEvents() {
  v8::Isolate* isolate = isolate_.load(std::memory_order_relaxed);
  if (reads_heap_ && heap_code_.IsHopeless()) {
    reads_heap_ = false;
    code_map_.Clear();
  }
  if (!reads_heap_) LearnCodeRanges(isolate, true, &code_map_);
  follows_events_ = true;
  lists_code_ = true;
  isolate->SetJitCodeEventHandler(v8::kJitCodeEventEnumExisting,
                                  OnJitCodeEvent);
  lists_code_ = false;
}

void Sampler::OnJitCodeEvent(const v8::JitCodeEvent* event) {
  // Line information comes by the ten thousand and cannot be switched off.
  if (event->type != v8::JitCodeEvent::CODE_ADDED &&
      event->type != v8::JitCodeEvent::CODE_MOVED) {
    return;
  }
  Sampler* sampler = OfIsolate(event->isolate);
  if (sampler == nullptr) return;
  if (sampler->reads_heap_ && event->code_type != v8::JitCodeEvent::WASM_CODE) {
    return;
  }
  if (event->type == v8::JitCodeEvent::CODE_MOVED) {
    sampler->QueueMove(event);
  } else if (v8::Isolate::TryGetCurrent() == event->isolate) {
    sampler->AddCode(event);
  }
}

void Sampler::AddCode(const v8::JitCodeEvent* event) {
  const uint64_t begin_ns = uv_hrtime();
  // Older samples may have hit what was here before.
  if (!lists_code_) Drain();
  const std::string_view name(event->name.str, event->name.len);
  const uintptr_t start = reinterpret_cast<uintptr_t>(event->code_start);
  if (event->code_type == v8::JitCodeEvent::WASM_CODE) {
    code_map_.AddOffHeap(start, event->code_len, name);
  } else {
    FunctionId id;
    if (!event->script.IsEmpty()) {
      const int script_id = event->script->GetId();
      script_lines_.Note(event->isolate, script_id, event->script);
      id = CodeReader::ReadFunctionId(event->script, script_id);
      id.script_id = script_id;
    }
    code_map_.Add(start, event->code_len,
                  event->code_type == v8::JitCodeEvent::BYTE_CODE, id, name);
  }
  metrics_.jit_event_ns += uv_hrtime() - begin_ns;
}

// Any thread: the collector's helpers move code as well. Only noted here; the
// isolate's thread applies it before it looks at anything else.
void Sampler::QueueMove(const v8::JitCodeEvent* event) {
  CodeMove move;
  move.from = reinterpret_cast<uintptr_t>(event->code_start);
  move.to = reinterpret_cast<uintptr_t>(event->new_code_start);
  std::lock_guard<std::mutex> lock(moves_mutex_);
  move.ring_position = framed_head_.load(std::memory_order_acquire);
  moves_.push_back(move);
  has_moves_.store(true, std::memory_order_release);
}

}  // namespace otelpyroscope
