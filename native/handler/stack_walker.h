// Walks the stack of an interrupted thread, inside the signal handler.
#ifndef NATIVE_HANDLER_STACK_WALKER_H_
#define NATIVE_HANDLER_STACK_WALKER_H_

#include <cstddef>
#include <cstdint>

#include "base/signal_safety.h"
#include "handler/sample.h"
#include "handler/stack_bounds.h"
#include "v8.h"

namespace otelpyroscope {

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
class StackWalker {
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

}  // namespace otelpyroscope

#endif  // NATIVE_HANDLER_STACK_WALKER_H_
