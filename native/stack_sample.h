// One sample: taken inside the signal handler, resolved outside of it.
#ifndef NATIVE_STACK_SAMPLE_H_
#define NATIVE_STACK_SAMPLE_H_

#include <cstddef>
#include <cstdint>

#include "code_map.h"
#include "signal_safety.h"
#include "stack_bounds.h"
#include "stack_table.h"
#include "v8.h"

namespace otelpyroscope {

// The words of a sample in the ring; its frames follow, leaf first, and then,
// in the same order, their JSFunctions (of WebAssembly, its instances; 0 where
// there is none, or none was found), and then what may be objects of the
// innermost frames.
struct SampleHeader {
  uint32_t weight;  // intervals of CPU time
  uint32_t label;   // label id, 0: none
  uint16_t frame_count;
  uint16_t stack_words;  // objects of the stack, that follow the functions
  uint16_t vm_state;     // v8::StateTag or kNotAsked
  uint8_t truncated : 1;
  // JavaScript that a collection has called: what its frames are in may have
  // moved when the collection is over.
  uint8_t in_collection : 1;
  uint8_t fast_call;  // JS calls C++ without an exit frame, see Capture()
  uintptr_t pc;
  uintptr_t stack_top;  // where a leaf without a frame returns to, or 0
  // The JSFunction of the innermost frame, or its instance of WebAssembly, or
  // 0: it is neither's. And what is in the register in which functions are
  // called: at a function's first instructions, the function.
  uintptr_t function;
  uintptr_t called_function;
  uintptr_t external_callback;  // the native function that JS has called, or 0
  // The interpreter's registers, if it runs: bytecode array and offset in it.
  uintptr_t bytecode_array;
  uintptr_t bytecode_offset;
};
// V8 could not be asked: it does not run here, or not on this thread's stack.
constexpr uint16_t kNotAsked = UINT16_MAX;
// Objects on the stack between a leaf that is no function and the innermost
// frame that V8 lists.
constexpr size_t kMaxStackWords = 64;
constexpr size_t kSampleHeaderWords = sizeof(SampleHeader) / sizeof(uintptr_t);
static_assert(sizeof(SampleHeader) % sizeof(uintptr_t) == 0);

// A frame of JavaScript.
struct FoundFrame {
  uintptr_t pointer = 0;
  uintptr_t function = 0;
  uintptr_t context = 0;
};

// The frame that V8 lists as `place`, above that of `callee`, as a sample's
// frames are found. For known_stack.h.
bool FindFrame(const StackBounds& bounds, uintptr_t sp, uintptr_t callee,
               uintptr_t place, FoundFrame* found);

// Takes the stacks of one isolate on one thread.
class StackCapture {
 public:
  // Remembers the calling thread and its isolate. Not SIGNAL_SAFE.
  void Init(v8::Isolate* isolate, size_t max_frames);

  // Where V8 has another copy of its builtins, if it has one: as many bytes.
  void SetBuiltinsCopy(uintptr_t start) { builtins_copy_ = start; }

  SIGNAL_SAFE size_t max_frames() const noexcept { return max_frames_; }

  // Words that Capture() needs.
  SIGNAL_SAFE size_t max_words() const noexcept {
    return 2 * (max_frames_ + 1) + kMaxStackWords;
  }

  // Fills `header` (all but weight and label) and max_words() of `frames` from
  // the interrupted registers. No frames where V8 cannot be asked: it does not
  // run here, or not on this thread's own stack. False: the isolate does not
  // run here, its heap may be another thread's.
  SIGNAL_SAFE bool Capture(const void* ucontext, SampleHeader* header,
                           void** frames) const noexcept;

 private:
  SIGNAL_SAFE bool IsRunning() const noexcept;
  // The frame pointer of the JavaScript that is in a fast call to C++, or 0.
  SIGNAL_SAFE uintptr_t fast_caller() const noexcept;
  // Whether V8 generated the code at this address.
  SIGNAL_SAFE bool IsGenerated(uintptr_t address) const noexcept {
    return address - code_begin_ < code_size_;
  }
  // Whether a frame that is listed as `place` is one of V8's own.
  SIGNAL_SAFE bool IsBuiltin(uintptr_t place) const noexcept {
    return place - 1 - builtins_ < builtins_size_ ||
           (builtins_copy_ != 0 && place - 1 - builtins_copy_ < builtins_size_);
  }
  // Whether a frame that is listed as `place` is a native function of V8's or
  // Node's: one that JavaScript has called, not a return address.
  SIGNAL_SAFE bool IsNative(uintptr_t place) const noexcept {
    return place - program_ < program_size_ && !IsBuiltin(place);
  }
  // Returns the innermost frame's pointer, or 0.
  SIGNAL_SAFE uintptr_t FindFunctions(uintptr_t sp, uintptr_t fp, size_t count,
                                      void** frames) const noexcept;
  // What the frame at `fp` keeps of whom it belongs to: see SampleHeader.
  SIGNAL_SAFE uintptr_t FunctionOfFrame(uintptr_t sp,
                                        uintptr_t fp) const noexcept;
  SIGNAL_SAFE uintptr_t
  FunctionOfFrame(const v8::RegisterState& registers) const noexcept;
  SIGNAL_SAFE uintptr_t StackOfMarkedFrame(uintptr_t sp,
                                           uintptr_t fp) const noexcept;
  SIGNAL_SAFE uint16_t CopyObjects(uintptr_t begin, uintptr_t end,
                                   void** to) const noexcept;

  v8::Isolate* isolate_ = nullptr;
  StackBounds bounds_;
  uintptr_t code_begin_ = 0;  // where the isolate puts its code
  size_t code_size_ = 0;
  uintptr_t builtins_ = 0;
  uintptr_t builtins_copy_ = 0;
  size_t builtins_size_ = 0;
  uintptr_t program_ = 0;  // the file with V8 in it, and the builtins
  size_t program_size_ = 0;
  uintptr_t wasm_marker_ = 0;  // 0: frames of WebAssembly are not known
  size_t max_frames_ = 0;
  bool uses_locker_ = false;
};

// What resolving samples has met.
struct ResolveCounts {
  uint64_t unresolved_frames = 0;  // of addresses that are nobody's
  uint64_t inlined_frames = 0;
  uint64_t layout_fallbacks = 0;  // failed checks of V8's memory layout
  // Frames that are neither in a file nor where V8 puts JavaScript:
  // WebAssembly's, most likely. They may be named later.
  uint64_t foreign_frames = 0;
};

// The words of a sample.
SIGNAL_SAFE inline size_t SampleWords(const SampleHeader& header) noexcept {
  return kSampleHeaderWords + 2 * size_t{header.frame_count} +
         header.stack_words;
}

// Adds the sample to `table`. `heap_unchanged`: nothing has moved since the
// sample was taken, so that V8's heap may be asked about its code.
void ResolveStack(const SampleHeader& header, const uintptr_t* frames,
                  bool heap_unchanged, const CodeMap& code_map,
                  StackTable* table, ResolveCounts* counts);

}  // namespace otelpyroscope

#endif  // NATIVE_STACK_SAMPLE_H_
