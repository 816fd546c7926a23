// The WebAssembly modules whose code samples have hit, for V8 to name it.
//
// V8 tells of existing WebAssembly code where it walks the whole heap (a list
// of all code: 400 ms at 650 MB), and where a module is cloned: then of that
// module's alone. So each module that a sample has hit is cloned once while
// V8's code events are followed, and again when samples hit code of it that has
// been compiled since.
#ifndef NATIVE_CODE_WASM_MODULES_H_
#define NATIVE_CODE_WASM_MODULES_H_

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "v8.h"

namespace otelpyroscope {

// Not thread-safe: the isolate's thread only.
class WasmModules {
 public:
  // Modules that are known; the code of more has no names.
  static constexpr size_t kMaxModules = 64;

  // Notes that a sample has hit unknown code, of the module that `instance`
  // leads to: what a frame of WebAssembly keeps where functions keep their
  // JSFunction. Only while nothing has moved since the sample was taken, and
  // `instance` is certain to be alive. Reads the heap; does not allocate on it.
  void NoteUnknownCode(v8::Isolate* isolate, uintptr_t instance);
  // Objects may have moved.
  void ForgetAddresses() { by_instance_.clear(); }

  // Whether there is a module whose code is to be listed.
  bool HasUnlisted() const;
  // The number of such a module, never 0, and a handle on it; 0: there is none.
  // The module counts as listed then.
  uint32_t NextUnlisted(v8::Isolate* isolate, v8::Local<v8::Object>* module);
  // Keeps the clone, and with it the memory that the module's code lies in,
  // until the module itself is gone: no other code gets there meanwhile.
  // `cost_ns`: what the listing took.
  void Keep(v8::Isolate* isolate, uint32_t number, v8::Local<v8::Value> clone,
            uint64_t cost_ns);
  // The number of a module that is gone; 0: none. Its code's names must be
  // forgotten before Forget().
  uint32_t NextGone() const;
  void Forget(uint32_t number) { modules_.erase(number); }
  void Clear();

 private:
  // Frames of unknown code for which a module is listed.
  static constexpr uint64_t kUnknownFrames = 8;
  // Listings of a module take no more than one part in so many of the time.
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
  // What instances lead to, 0 where to no module, until ForgetAddresses().
  std::unordered_map<uintptr_t, uint32_t> by_instance_;
};

}  // namespace otelpyroscope

#endif  // NATIVE_CODE_WASM_MODULES_H_
