// Lines of places in scripts, asked of V8 where it may be asked.
#ifndef NATIVE_V8_HEAP_SCRIPT_LINES_H_
#define NATIVE_V8_HEAP_SCRIPT_LINES_H_

#include <cstddef>
#include <cstdint>
#include <map>

#include "v8.h"

namespace otelpyroscope {

// Not thread-safe: the isolate's thread only.
class ScriptLines {
 public:
  // Scripts remembered; when full, one is forgotten for each that is new, those
  // first whose code is gone, and remembered again with its next code.
  static constexpr size_t kMaxScripts = 20000;

  // Remembers the script of a code event, without keeping it alive. May be
  // called inside V8's callbacks: it does not touch the V8 heap.
  void Note(v8::Isolate* isolate, int script_id,
            v8::Local<v8::UnboundScript> script);

  // The same by the address of one of the script's SharedFunctionInfos, which
  // nothing may have moved since it was found.
  void Note(v8::Isolate* isolate, int script_id, uintptr_t shared);

  // The 1-based line at an offset of the script's source, and the column if
  // asked for; or 0: the script is gone or unknown. Never inside a callback of
  // V8: it may allocate, and reads the whole source when a script is first
  // asked for.
  int LineOf(v8::Isolate* isolate, int script_id, int32_t offset,
             int* column = nullptr) const;

  void Clear() { scripts_.clear(); }

 private:
  void ForgetOne();

  std::map<int, v8::Global<v8::UnboundScript>> scripts_;
  int clock_ = 0;  // the script behind which the next one is forgotten
};

}  // namespace otelpyroscope

#endif  // NATIVE_V8_HEAP_SCRIPT_LINES_H_
