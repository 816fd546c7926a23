// Listens to V8's code events, and puts the code that they report into the code
// map.
//
// V8 reports code to one handler per isolate, in two cases here: all code that
// it has and makes, where its heap cannot be read; and the code of one
// WebAssembly module, while that module is cloned. ARCHITECTURE has the reason
// why nothing else is listened to.
#ifndef NATIVE_SAMPLER_CODE_EVENT_LISTENER_H_
#define NATIVE_SAMPLER_CODE_EVENT_LISTENER_H_

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "code/code_map.h"
#include "code/wasm_modules.h"
#include "v8.h"
#include "v8_heap/script_lines.h"

namespace otelpyroscope {

// For the isolate's thread alone, except Wants() and QueueMove(). V8 passes no
// data to its handler, so `handler` is a function that finds the listener of an
// isolate.
class CodeEventListener {
 public:
  // All arguments outlive the listener. Adds the time that code events take to
  // `*spent_ns`.
  CodeEventListener(CodeMap* code_map, WasmModules* wasm_modules,
                    ScriptLines* script_lines, uint64_t* spent_ns)
      : code_map_(code_map),
        wasm_modules_(wasm_modules),
        script_lines_(script_lines),
        spent_ns_(spent_ns) {}

  // Has V8 list all its code, which walks the heap, and report all that it
  // makes or moves from here on, until Stop(). Not in callbacks of V8.
  void Listen(v8::Isolate* isolate, v8::JitCodeEventHandler handler);
  void Stop(v8::Isolate* isolate);
  // While V8 lists it, code is older than any sample.
  bool is_listing() const { return is_listing_; }

  // Has V8 report the code of each module that should be listed. `clone`
  // returns a clone of a module, as structuredClone() does, or an empty handle.
  // Called from JavaScript alone.
  template <typename Clone>
  void ListModules(v8::Isolate* isolate, v8::JitCodeEventHandler handler,
                   Clone clone) {
    const v8::HandleScope scope(isolate);
    v8::Local<v8::Object> module;
    while (BeginModule(isolate, handler, &module)) {
      EndModule(isolate, clone(module));
    }
  }

  // Whether the event reports code that was added or moved, and that was asked
  // for. Any thread.
  bool Wants(const v8::JitCodeEvent& event) const;
  // Puts code that was added into the map. In the callback of V8, on the
  // isolate's thread.
  void Add(const v8::JitCodeEvent& event);
  // Records that code was moved, for TakeMoves(): the collector's helper
  // threads move code as well, so nothing else is done here. Samples that begin
  // before `ring_position` have hit the code at its old address. Any thread.
  void QueueMove(const v8::JitCodeEvent& event,
                 const std::atomic<uint64_t>& ring_position);
  bool has_moves() const { return has_moves_.load(std::memory_order_acquire); }
  std::vector<CodeMove> TakeMoves();

 private:
  bool BeginModule(v8::Isolate* isolate, v8::JitCodeEventHandler handler,
                   v8::Local<v8::Object>* module);
  void EndModule(v8::Isolate* isolate, v8::Local<v8::Value> clone);

  CodeMap* const code_map_;
  WasmModules* const wasm_modules_;
  ScriptLines* const script_lines_;
  uint64_t* const spent_ns_;
  std::atomic<bool> listens_to_all_{false};
  bool is_listing_ = false;
  uint32_t listed_module_ = 0;  // its number in WasmModules; 0: none
  uint64_t listing_begin_ns_ = 0;
  std::mutex moves_mutex_;
  std::vector<CodeMove> moves_;  // under moves_mutex_
  std::atomic<bool> has_moves_{false};
};

}  // namespace otelpyroscope

#endif  // NATIVE_SAMPLER_CODE_EVENT_LISTENER_H_
