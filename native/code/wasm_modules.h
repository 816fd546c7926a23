// Keeps the WebAssembly modules whose code samples have hit, so that V8 can
// name it.
//
// V8 reports existing WebAssembly code when it walks the whole heap (a list of
// all code: 400 ms at 650 MB), and when a module is cloned: then of that module
// alone. So each module that a sample has hit is cloned once while V8's code
// events are listened to, and again when samples hit code of it that has been
// compiled since.
#ifndef NATIVE_CODE_WASM_MODULES_H_
#define NATIVE_CODE_WASM_MODULES_H_

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "v8.h"

namespace otelpyroscope {

// Not thread-safe: on the isolate's thread only, outside the signal handler.
class WasmModules {
 public:
  // Modules that are remembered; the code of further ones has no names.
  static constexpr size_t kMaxModules = 64;

  // Records that a sample has hit unknown code of the module that `instance`
  // leads to: the object that a WebAssembly frame has where a JavaScript frame
  // has its JSFunction. Only while nothing has moved since the sample was
  // taken, and if `instance` is certainly alive. Reads the heap and does not
  // allocate on it: may be called in the drain.
  void NoteUnknownCode(v8::Isolate* isolate, uintptr_t instance);
  // Forgets addresses, because objects may have moved. Called in the drain and
  // in callbacks of the collector.
  void ForgetAddresses() { by_instance_.clear(); }

  // Whether there is a module whose code should be listed. Any of V8's
  // callbacks may ask.
  bool HasUnlisted() const;
  // Returns the number of such a module and a handle on it, or 0 if there is
  // none. The module counts as listed from then on. In the event loop only.
  uint32_t NextUnlisted(v8::Isolate* isolate, v8::Local<v8::Object>* module);
  // Keeps the clone, and with it the memory of the module's code, until
  // Forget(), so that V8 puts no other code there. `cost_ns` is the time that
  // the listing took.
  void Keep(v8::Isolate* isolate, uint32_t number, v8::Local<v8::Value> clone,
            uint64_t cost_ns);
  // Returns the number of a module that the collector has freed, or 0. The
  // names of its code must be forgotten before Forget().
  uint32_t NextCollected() const;
  void Forget(uint32_t number) { modules_.erase(number); }
  void Clear();

 private:
  // A module is listed after this many frames of unknown code.
  static constexpr uint64_t kUnknownFrames = 8;
  // Listing a module takes at most one part in this many of the time.
  static constexpr uint64_t kTimeShare = 100;

  struct Module {
    v8::Global<v8::Object> object;  // weak
    v8::Global<v8::Value> clone;
    uint64_t unknown_frames = 0;  // since the last listing
    uint64_t next_listing_ns = 0;
  };

  static bool IsUnlisted(const Module& module, uint64_t now_ns);

  std::unordered_map<uint32_t, Module> modules_;
  uint32_t last_number_ = 0;
  // The numbers of the modules that instances lead to, 0 for none, until
  // ForgetAddresses().
  std::unordered_map<uintptr_t, uint32_t> by_instance_;
};

}  // namespace otelpyroscope

#endif  // NATIVE_CODE_WASM_MODULES_H_
