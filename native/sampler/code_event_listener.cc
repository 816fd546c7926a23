#include "sampler/code_event_listener.h"

#include <string_view>
#include <utility>

#include "base/clock.h"
#include "v8_heap/code_reader.h"

namespace otelpyroscope {

void CodeEventListener::Listen(v8::Isolate* isolate,
                               v8::JitCodeEventHandler handler) {
  const uint64_t begin_ns = ClockNs(CLOCK_MONOTONIC);
  listens_to_all_.store(true, std::memory_order_relaxed);
  is_listing_ = true;
  isolate->SetJitCodeEventHandler(v8::kJitCodeEventEnumExisting, handler);
  is_listing_ = false;
  *spent_ns_ += ClockNs(CLOCK_MONOTONIC) - begin_ns;
}

void CodeEventListener::Stop(v8::Isolate* isolate) {
  if (listens_to_all_.exchange(false, std::memory_order_relaxed)) {
    isolate->SetJitCodeEventHandler(v8::kJitCodeEventDefault, nullptr);
  }
  std::lock_guard<std::mutex> lock(moves_mutex_);
  moves_.clear();
  has_moves_.store(false, std::memory_order_relaxed);
}

// V8 reports a module's code, and no other, to the listener when the module is
// cloned. EndModule() ends the listening.
bool CodeEventListener::BeginModule(v8::Isolate* isolate,
                                    v8::JitCodeEventHandler handler,
                                    v8::Local<v8::Object>* module) {
  listed_module_ = wasm_modules_->NextUnlisted(isolate, module);
  if (listed_module_ == 0) return false;
  listing_begin_ns_ = ClockNs(CLOCK_MONOTONIC);
  is_listing_ = true;
  isolate->SetJitCodeEventHandler(v8::kJitCodeEventDefault, handler);
  return true;
}

void CodeEventListener::EndModule(v8::Isolate* isolate,
                                  v8::Local<v8::Value> clone) {
  isolate->SetJitCodeEventHandler(v8::kJitCodeEventDefault, nullptr);
  is_listing_ = false;
  const uint64_t took_ns = ClockNs(CLOCK_MONOTONIC) - listing_begin_ns_;
  *spent_ns_ += took_ns;
  const uint32_t module = std::exchange(listed_module_, 0);
  if (clone.IsEmpty()) {
    // Without a clone, V8 may put other code into the module's memory.
    code_map_->ForgetModule(module);
  }
  wasm_modules_->Keep(isolate, module, clone, took_ns);
}

bool CodeEventListener::Wants(const v8::JitCodeEvent& event) const {
  // V8 also reports line information: tens of thousands of events, which cannot
  // be disabled.
  if (event.type != v8::JitCodeEvent::CODE_ADDED &&
      event.type != v8::JitCodeEvent::CODE_MOVED) {
    return false;
  }
  return listens_to_all_.load(std::memory_order_relaxed) ||
         event.code_type == v8::JitCodeEvent::WASM_CODE;
}

void CodeEventListener::Add(const v8::JitCodeEvent& event) {
  const uint64_t begin_ns = ClockNs(CLOCK_MONOTONIC);
  const std::string_view name(event.name.str, event.name.len);
  const uintptr_t start = reinterpret_cast<uintptr_t>(event.code_start);
  if (event.code_type == v8::JitCodeEvent::WASM_CODE) {
    code_map_->AddOffHeap(start, event.code_len, name, listed_module_);
  } else {
    FunctionId id;
    if (!event.script.IsEmpty()) {
      const int script_id = event.script->GetId();
      script_lines_->Note(event.isolate, script_id, event.script);
      id = CodeReader::ReadFunctionId(event.script, script_id);
      id.script_id = script_id;
    }
    code_map_->Add(start, event.code_len,
                   event.code_type == v8::JitCodeEvent::BYTE_CODE, id, name);
  }
  // The time of a listing is counted as a whole.
  if (!is_listing_) *spent_ns_ += ClockNs(CLOCK_MONOTONIC) - begin_ns;
}

void CodeEventListener::QueueMove(const v8::JitCodeEvent& event,
                                  const std::atomic<uint64_t>& ring_position) {
  CodeMove move;
  move.from = reinterpret_cast<uintptr_t>(event.code_start);
  move.to = reinterpret_cast<uintptr_t>(event.new_code_start);
  std::lock_guard<std::mutex> lock(moves_mutex_);
  // Read under the lock, so that the positions of the queue never decrease.
  move.ring_position = ring_position.load(std::memory_order_acquire);
  moves_.push_back(move);
  has_moves_.store(true, std::memory_order_release);
}

std::vector<CodeMove> CodeEventListener::TakeMoves() {
  std::vector<CodeMove> moves;
  std::lock_guard<std::mutex> lock(moves_mutex_);
  moves.swap(moves_);
  has_moves_.store(false, std::memory_order_relaxed);
  return moves;
}

}  // namespace otelpyroscope
