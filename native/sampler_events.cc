// V8's code events: when they are followed, and what is noted of them.
#include <mutex>
#include <string_view>
#include <utility>

#include "code_ranges.h"
#include "inlining.h"
#include "sampler.h"

namespace otelpyroscope {

bool Sampler::WantsEvents() const {
  return listening_ && reads_heap_ && heap_code_.IsHopeless();
}

void Sampler::NameForeign(StackTable* table) const {
  table->NameForeign([this](uintptr_t address) {
    const CodeEntry* entry = code_map_.Find(address);
    return entry != nullptr && entry->off_heap
               ? std::string_view(entry->function->name)
               : std::string_view();
  });
}

void Sampler::FollowEvents() {
  v8::Isolate* isolate = isolate_.load(std::memory_order_relaxed);
  if (std::exchange(reads_heap_, false)) {
    code_map_.Clear();
    wasm_modules_.Clear();
  }
  LearnCodeRanges(isolate, true, &code_map_);
  follows_events_ = true;
  const uint64_t begin_ns = uv_hrtime();
  lists_code_ = true;
  isolate->SetJitCodeEventHandler(v8::kJitCodeEventEnumExisting,
                                  OnJitCodeEvent);
  lists_code_ = false;
  metrics_.jit_event_ns += uv_hrtime() - begin_ns;
}

// V8 tells of a module's code when the module is cloned, if somebody listens.
// Nothing is listed for that, and nobody listens for longer.
bool Sampler::BeginListing(v8::Local<v8::Object>* module) {
  if (!listening_ || !reads_heap_) return false;
  v8::Isolate* isolate = isolate_.load(std::memory_order_relaxed);
  listed_module_ = wasm_modules_.NextUnlisted(isolate, module);
  if (listed_module_ == 0) return false;
  listing_begin_ns_ = uv_hrtime();
  lists_code_ = true;
  isolate->SetJitCodeEventHandler(v8::kJitCodeEventDefault, OnJitCodeEvent);
  return true;
}

void Sampler::EndListing(v8::Local<v8::Value> clone) {
  v8::Isolate* isolate = isolate_.load(std::memory_order_relaxed);
  isolate->SetJitCodeEventHandler(v8::kJitCodeEventDefault, nullptr);
  lists_code_ = false;
  const uint64_t took_ns = uv_hrtime() - listing_begin_ns_;
  metrics_.jit_event_ns += took_ns;
  const uint32_t module = std::exchange(listed_module_, 0);
  if (clone.IsEmpty()) {
    // Nothing keeps the module's memory from other code.
    code_map_.ForgetModule(module);
  }
  wasm_modules_.Keep(isolate, module, clone, took_ns);
  NameForeign(&stack_table_);
}

void Sampler::ForgetGoneModules() {
  while (const uint32_t module = wasm_modules_.NextGone()) {
    metrics_.resolve.unresolved_frames += stack_table_.ForgetForeign();
    gone_modules_++;
    code_map_.ForgetModule(module);
    // Its memory is free for other code from here on.
    wasm_modules_.Forget(module);
  }
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
    code_map_.AddOffHeap(start, event->code_len, name, listed_module_);
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
  // A listing is counted whole.
  if (!lists_code_) metrics_.jit_event_ns += uv_hrtime() - begin_ns;
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
