// Keeps the source maps that came with code compiled in memory, by tsx or
// ts-node for example: data URLs, which are in no file.
#ifndef NATIVE_CODE_SOURCE_MAP_TEXTS_H_
#define NATIVE_CODE_SOURCE_MAP_TEXTS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "v8.h"
#include "v8_heap/script_lines.h"

namespace otelpyroscope {

// One per process, which all threads share. Any thread, but neither in the
// signal handler, nor in the drain, nor in V8's callbacks.
class SourceMapTexts {
 public:
  // One data URL. Longer ones are not kept.
  static constexpr size_t kMaxTextBytes = 4 << 20;
  // All together. When full, the oldest are forgotten.
  static constexpr size_t kMaxBytes = 64 << 20;
  // The number of a map that is too long.
  static constexpr uint32_t kTooLong = UINT32_MAX;

  struct Text {
    uint32_t number = 0;
    std::string url;   // the script's
    std::string data;  // the data URL
  };

  static SourceMapTexts& Get();

  // Whether any window had original positions. Until then nothing is read.
  bool is_wanted() const { return is_wanted_.load(std::memory_order_relaxed); }
  void Want() { is_wanted_.store(true, std::memory_order_relaxed); }

  // Returns the number of a text, which is the same for the same text; never 0.
  uint32_t Add(std::string url, std::string data);
  // Returns the text, or null if it is forgotten.
  std::shared_ptr<const Text> Find(uint32_t number);

 private:
  std::atomic<bool> is_wanted_{false};
  std::mutex mutex_;
  std::deque<std::shared_ptr<const Text>> texts_;  // the oldest first
  // By URL and data, which are views of those in `texts_`.
  std::map<std::pair<std::string_view, std::string_view>, uint32_t> numbers_;
  size_t bytes_ = 0;
  uint32_t last_number_ = 0;
};

// The maps of one thread's scripts. On the isolate's thread only, where
// ScriptLines may call V8.
class ScriptMaps {
 public:
  // `lines` outlives this object.
  explicit ScriptMaps(const ScriptLines* lines) : lines_(lines) {}

  // Returns the number of the map that came with the script's source, or 0 if
  // there is none, or if nobody wants maps.
  uint32_t MapOf(v8::Isolate* isolate, int script_id);
  void Clear() { numbers_.clear(); }

 private:
  // When full, all are forgotten, and read again.
  static constexpr size_t kMaxScripts = 20000;

  const ScriptLines* lines_;
  std::unordered_map<int, uint32_t> numbers_;  // by script
};

}  // namespace otelpyroscope

#endif  // NATIVE_CODE_SOURCE_MAP_TEXTS_H_
