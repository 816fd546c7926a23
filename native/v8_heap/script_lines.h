// Converts positions in scripts to lines, and finds the URLs of evaluated
// scripts. It asks V8 for both, where V8 may be called.
#ifndef NATIVE_V8_HEAP_SCRIPT_LINES_H_
#define NATIVE_V8_HEAP_SCRIPT_LINES_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "v8.h"

namespace otelpyroscope {

// Not thread-safe: on the isolate's thread only.
class ScriptLines {
 public:
  // Scripts that are remembered. When full, each new script replaces another,
  // one that V8 has freed if there is any; a replaced script is remembered
  // again with its next code.
  static constexpr size_t kMaxScripts = 20000;

  // Remembers the script of a code event, without keeping it alive. May be
  // called inside V8's callbacks: it does not touch the V8 heap.
  void Note(v8::Isolate* isolate, int script_id,
            v8::Local<v8::UnboundScript> script);

  // Does the same for the script of a SharedFunctionInfo, which must not have
  // moved since its address was found. May be called in the drain.
  void Note(v8::Isolate* isolate, int script_id, uintptr_t shared);

  // Returns the 1-based line at an offset of the script's source, and the
  // column if asked for; or 0 if the script is freed or unknown. Never inside a
  // callback of V8, and so not in the drain: it may allocate, and reads the
  // whole source the first time a script is asked for.
  int LineOf(v8::Isolate* isolate, int script_id, int32_t offset,
             int* column = nullptr) const;

  // Returns the file of a script without a name: its `//# sourceURL`, or else
  // "eval:" and `text_hash`; or "" if there is neither, or more than
  // kMaxEvaluatedFiles were returned. Where LineOf() may be called.
  std::string EvaluatedFileOf(v8::Isolate* isolate, int script_id,
                              uint32_t text_hash);

  // Whether the script is known and alive.
  bool Has(int script_id) const {
    const auto found = scripts_.find(script_id);
    return found != scripts_.end() && !found->second.IsEmpty();
  }

  struct InlineMap {
    std::string url;   // the script's name or source URL
    std::string data;  // the data URL
    bool is_too_long = false;
  };
  // Reads the data URL of the source map that a script's text contains. Returns
  // false if there is none. Where LineOf() may be called; copies the text.
  bool ReadInlineMap(v8::Isolate* isolate, int script_id, size_t max_bytes,
                     InlineMap* map) const;

  // Different files of evaluated scripts: a program may evaluate new texts
  // without end.
  static constexpr size_t kMaxEvaluatedFiles = 1000;

  // Forgets the scripts. The names of evaluated files stay counted.
  void Clear() { scripts_.clear(); }

 private:
  void ForgetOne();

  std::map<int, v8::Global<v8::UnboundScript>> scripts_;
  std::set<std::string> evaluated_files_;
  int clock_ = 0;  // the script after which the next one is forgotten
};

}  // namespace otelpyroscope

#endif  // NATIVE_V8_HEAP_SCRIPT_LINES_H_
