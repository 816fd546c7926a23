// Adds samples up: how much CPU each pair of label and stack has used.
#ifndef NATIVE_RESOLVE_STACK_TABLE_H_
#define NATIVE_RESOLVE_STACK_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/debug_check.h"
#include "code/code_map.h"
#include "names/pseudo_frames.h"
#include "symbols/loaded_files.h"
#include "symbols/symbol_index.h"

namespace otelpyroscope {

struct FunctionInfo {
  std::string name;
  std::string url;
  int line = 0;                  // of the function's start, 1-based; 0: unknown
  int column = 0;                // of the function's start, 1-based; 0: unknown
  uintptr_t native_address = 0;  // for a native function: see NameNatives()
  // Frames that were pushed while no file with this address was known.
  uint64_t foreign_frames = 0;
  int script_id = 0;  // 0: of no script, or unknown
  // The offset in the script's source whose line and column are not known yet:
  // see FillLines(). -1: they are.
  int32_t start = -1;
  uint32_t text_hash = 0;   // as in HeapFunction
  uint32_t source_map = 0;  // number of its script's: see FillMaps()
};

// Whether a script's URL says nothing of where its code comes from: it was
// evaluated, by eval(), new Function() or node:vm without a file name.
inline bool IsOfEvaluated(std::string_view url) {
  return url.empty() || url == "evalmachine.<anonymous>";
}

// A function at a position in its source.
struct FrameInfo {
  uint32_t function = 0;
  int script_id = 0;      // script of `position`; 0: none
  int32_t position = -1;  // offset in the script's source; -1: unknown

  bool operator==(const FrameInfo&) const = default;
};

// Not thread-safe, and never touches the V8 heap. On the isolate's thread: in
// the drain, also inside callbacks of the collector, and from JavaScript; some
// functions name other rules. Never in the signal handler.
class StackTable {
 public:
  // Different pairs of label and stack between two calls of Clear(). When full,
  // the stack of a new pair is replaced by "(stack table full)"; label and CPU
  // stay. About 16 MiB at 30 frames.
  static constexpr size_t kMaxStacks = 65536;
  // Different functions, the bytes of their names and URLs together, and
  // different frames (functions at a line) between two calls of Clear(). When
  // one is full, "(stack table full)" replaces each new function or frame.
  // About 64 MiB in all.
  static constexpr size_t kMaxFunctions = 65536;
  static constexpr size_t kMaxTextBytes = size_t{16} << 20;
  static constexpr size_t kMaxFrames = 262144;

  // The label id and then the frame numbers, leaf first. Also the map's key.
  using Key = std::u32string;
  using Stacks = std::unordered_map<Key, uint64_t>;

  StackTable();

  // Begins the stack of the next sample.
  void Begin(uint32_t label) {
    DEBUG_CHECK(readers_ == 0);
    key_.assign(1, static_cast<char32_t>(label));
  }
  // Appends the next frame towards the root. `position` is that of the running
  // code in the function's script; -1: unknown.
  void Push(const CodeFunction& function, const CodeMap& code_map,
            int32_t position = -1);
  void Push(PseudoFrame frame);
  // Appends a native function by an address in it. Returns false if no code is
  // known there now.
  bool PushNative(uintptr_t address);
  // Adds the sample, with the frames that were pushed since Begin().
  void Commit(uint64_t weight);

  // The frames that were pushed for a caller: its function, preceded by those
  // that are inlined there.
  struct Caller {
    static constexpr size_t kMaxFrames = 27;

    uintptr_t address = 0;
    uint64_t stamp = 0;
    uint32_t count = 0;
    char32_t frames[kMaxFrames];
  };
  // Returns the frames that were pushed for this address, while the map and
  // this table still have them; or null. Most callers are hit again and again,
  // and their entries are spread over memory that is in no cache of the
  // processor then.
  const Caller* FindCaller(uintptr_t address, const CodeMap& code_map) const;
  void Push(const Caller& caller) { key_.append(caller.frames, caller.count); }
  // Remembers the frames that were pushed since `depth()` had that value as
  // those of `address`.
  void RememberCaller(uintptr_t address, const CodeMap& code_map, size_t depth);
  size_t depth() const { return key_.size(); }

  // Moves everything into `taken`, whose own content is lost, and starts anew.
  // Nothing may be added to `taken`.
  void MoveTo(StackTable* taken);
  // Names the native functions that the symbols contain. Reads files: called in
  // the event loop, never in the drain or in V8's callbacks.
  void NameNatives();
  // Names all native functions, including those of a file that was loaded a
  // moment ago: if names are missing, waits at most `wait_ms` for an index in
  // the making. Returns the number of frames whose address belongs to no known
  // code. Called when detached samples are flushed.
  uint64_t NameAllNatives(int wait_ms);
  // Does the same with the symbols that are indexed already.
  uint64_t NameUnknown();
  // Names functions that are in no file with `name_of`, which returns "" if it
  // has no name for an address.
  template <typename NameOf>
  void NameForeign(NameOf name_of) {
    const Reader reader(this);
    for (FunctionInfo& function : functions_) {
      if (function.native_address == 0 || !function.name.empty() ||
          IsInFile(function.native_address)) {
        continue;
      }
      function.name = name_of(function.native_address);
    }
  }
  // From here on, an address that is in no file may belong to other code: the
  // functions that were pushed for such addresses are no longer found by them,
  // and those without a name stay unnamed. Returns the number of their frames.
  uint64_t ForgetForeign();
  // Fills in the missing lines of frames and of functions' starts.
  // `line_of(script_id, offset, int* column)` returns a 1-based line, or 0. It
  // may call V8, which may collect; the collection drains into this table,
  // whose vectors then move. So no reference into them is held across the call.
  // Called in the event loop and in a flush.
  // Columns of frames are filled in only `with_columns`.
  template <typename LineOf>
  void FillLines(LineOf line_of, bool with_columns = false) {
    for (; filled_starts_ < functions_.size(); filled_starts_++) {
      const int script_id = functions_[filled_starts_].script_id;
      const int32_t start = functions_[filled_starts_].start;
      if (start < 0) continue;
      int column = 0;
      const int line = line_of(script_id, start, &column);
      functions_[filled_starts_].line = line;
      functions_[filled_starts_].column = column;
      functions_[filled_starts_].start = -1;
    }
    // Frames that are added meanwhile are left for the next call: the starts of
    // their functions may not be known yet.
    const size_t frames = frames_.size();
    while (lines_.size() < frames) {
      const FrameInfo frame = frames_[lines_.size()];
      int column = 0;
      const int line = frame.position < 0
                           ? 0
                           : line_of(frame.script_id, frame.position,
                                     with_columns ? &column : nullptr);
      AddLine(frame, line, column);
    }
  }
  // Fills in the URLs of evaluated scripts. `url_of(script_id, text_hash)`
  // returns "" for a script without one. It may call V8, as in FillLines().
  // Called in the event loop and in a flush, before lines are filled in.
  template <typename UrlOf>
  void FillUrls(UrlOf url_of) {
    for (; filled_urls_ < functions_.size(); filled_urls_++) {
      const int script_id = functions_[filled_urls_].script_id;
      const uint32_t text_hash = functions_[filled_urls_].text_hash;
      if (script_id == 0 || !IsOfEvaluated(functions_[filled_urls_].url)) {
        continue;
      }
      std::string url = url_of(script_id, text_hash);
      if (url.empty()) continue;
      text_bytes_ += url.size();
      functions_[filled_urls_].url = std::move(url);
    }
  }
  // Fills in the numbers of source maps: see ScriptMaps. `map_of(script_id)`
  // may call V8, as in FillLines().
  template <typename MapOf>
  void FillMaps(MapOf map_of) {
    for (; filled_maps_ < functions_.size(); filled_maps_++) {
      const int script_id = functions_[filled_maps_].script_id;
      if (script_id == 0) continue;
      const uint32_t number = map_of(script_id);
      functions_[filled_maps_].source_map = number;
    }
  }
  // Fills in lines where V8 may not be called: frames get those at which their
  // functions start, if these are known.
  void FillLinesWithStarts() {
    while (lines_.size() < frames_.size()) {
      AddLine(frames_[lines_.size()], 0, 0);
    }
  }
  // Lets the table identify native functions by the symbols of the loaded
  // files, from here on; before, by address. Waits at most `wait_ms` for an
  // index in the making. Not in V8's callbacks.
  void LearnSymbols(int wait_ms);
  const SymbolIndex* symbols() const { return symbols_.get(); }
  // Remembers the files that are loaded now: they are used until there are
  // symbols.
  void LearnFiles() { files_ = LoadedFiles(); }
  // Whether the address is in a file, as far as is known now.
  bool IsInFile(uintptr_t address) const;

  void Clear();

  const std::vector<FunctionInfo>& functions() const { return functions_; }
  const std::vector<FrameInfo>& frames() const { return frames_; }
  // The 1-based lines of the first frames, 0 for unknown; of all frames after
  // FillLines() or FillLinesWithStarts().
  const std::vector<uint32_t>& lines() const { return lines_; }
  // The 1-based columns of the same frames, 0 for unknown.
  const std::vector<uint32_t>& columns() const { return columns_; }
  // Weight (number of intervals) by key.
  const Stacks& stacks() const { return stacks_; }

  // While an instance exists, references into the table are held, and nothing
  // may be added to it: no call into V8. Debug builds check it.
  class Reader {
   public:
    explicit Reader(const StackTable* table) : table_(table) {
      table_->readers_++;
    }
    ~Reader() { table_->readers_--; }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

   private:
    const StackTable* table_;
  };

 private:
  struct FrameHash {
    size_t operator()(const FrameInfo& frame) const;
  };

  static constexpr size_t kCallers = 512;  // 64 KiB

  // Both only grow, so the sum changes with either.
  uint64_t StampOf(const CodeMap& code_map) const {
    return code_map.losses() + generation_;
  }
  uint32_t FunctionNumber(FunctionInfo&& info);
  uint32_t NumberOf(PseudoFrame frame);
  bool HasRoomForFunction() const {
    return functions_.size() < kMaxFunctions && text_bytes_ < kMaxTextBytes;
  }
  void PushFrame(const FrameInfo& frame);
  void AddLine(const FrameInfo& frame, int line, int column) {
    if (line == 0) line = functions_[frame.function].line;
    lines_.push_back(static_cast<uint32_t>(line));
    columns_.push_back(static_cast<uint32_t>(column));
  }

  Key key_;
  Stacks stacks_;
  std::vector<FunctionInfo> functions_;
  std::unordered_map<std::string, uint32_t> function_numbers_;
  std::unordered_map<uintptr_t, uint32_t> native_numbers_;
  SymbolIndex::Snapshot symbols_;
  std::vector<LoadedFile> files_;
  size_t text_bytes_ = 0;     // of the names and URLs in functions_
  size_t filled_starts_ = 0;  // functions whose start FillLines() has filled in
  size_t filled_urls_ = 0;    // functions that FillUrls() has seen
  size_t filled_maps_ = 0;    // functions that FillMaps() has seen
  std::vector<FrameInfo> frames_;
  std::vector<uint32_t> lines_;  // lines of the first frames
  std::vector<uint32_t> columns_;
  std::unordered_map<FrameInfo, uint32_t, FrameHash> frame_numbers_;
  uint64_t generation_ = 1;
  std::vector<Caller> callers_;  // empty before the first is remembered
  mutable int readers_ = 0;
};

}  // namespace otelpyroscope

#endif  // NATIVE_RESOLVE_STACK_TABLE_H_
