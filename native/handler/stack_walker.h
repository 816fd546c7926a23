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

// A JavaScript frame.
struct FoundFrame {
  uintptr_t pointer = 0;
  uintptr_t function = 0;
  uintptr_t context = 0;
};

// Finds the frame that V8 lists by `pc`, above that of `callee`, as the handler
// finds a sample's frames: see IsFrameOf(). For known_stack.h; on the thread
// itself.
bool FindFrame(const StackBounds& bounds, uintptr_t sp, uintptr_t callee,
               uintptr_t pc, FoundFrame* found);

// Takes the stacks of one isolate on one thread. The handler calls what is
// SIGNAL_SAFE, the sampler the rest while no timer runs.
class StackWalker {
 public:
  // Stores the calling thread's stack and its isolate. Not SIGNAL_SAFE.
  void Init(v8::Isolate* isolate, size_t max_frames);

  // Sets the address of V8's second copy of the builtins, which has the same
  // size; 0 if there is none.
  void SetBuiltinsCopy(uintptr_t start) { builtins_copy_ = start; }

  SIGNAL_SAFE size_t max_frames() const noexcept { return max_frames_; }

  // Words of room that Capture() needs.
  SIGNAL_SAFE size_t max_words() const noexcept {
    return 2 * (max_frames_ + 1) + kMaxStackWords;
  }

  // Fills `header` (all but weight and label) and max_words() of `frames` from
  // the interrupted registers; `our_context` is the handler's ucontext. There
  // are no frames if V8 cannot be asked: it does not run here, or not on this
  // thread's own stack. Returns false if the isolate does not run here, so that
  // another thread may use its heap.
  SIGNAL_SAFE bool Capture(const void* our_context, SampleHeader* header,
                           void** frames) const noexcept;

 private:
  SIGNAL_SAFE bool IsRunning() const noexcept;
  // Returns the frame pointer of JavaScript that is in a fast call to C++, or
  // 0.
  SIGNAL_SAFE uintptr_t fast_caller() const noexcept;
  // Whether V8 generated the code at this address.
  SIGNAL_SAFE bool IsGenerated(uintptr_t address) const noexcept {
    return address - code_begin_ < code_size_;
  }
  // Whether a frame that V8 lists by `pc` is a builtin's.
  SIGNAL_SAFE bool IsBuiltin(uintptr_t pc) const noexcept {
    return pc - 1 - builtins_ < builtins_size_ ||
           (builtins_copy_ != 0 && pc - 1 - builtins_copy_ < builtins_size_);
  }
  // Whether `pc` is the entry of a native function of V8 or Node that
  // JavaScript has called, not a return address.
  SIGNAL_SAFE bool IsNative(uintptr_t pc) const noexcept {
    return pc - program_ < program_size_ && !IsBuiltin(pc);
  }
  // Returns the innermost frame's pointer, or 0.
  SIGNAL_SAFE uintptr_t FindFunctions(uintptr_t sp, uintptr_t fp, size_t count,
                                      void** frames) const noexcept;
  // Returns the function or the instance in the frame at `fp`: see
  // SampleHeader.
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
  uintptr_t code_begin_ = 0;  // start of the isolate's code range
  size_t code_size_ = 0;
  uintptr_t builtins_ = 0;
  uintptr_t builtins_copy_ = 0;
  size_t builtins_size_ = 0;
  uintptr_t program_ = 0;  // the file that contains V8 and the builtins
  size_t program_size_ = 0;
  uintptr_t wasm_marker_ = 0;  // 0: WebAssembly frames are not recognized
  size_t max_frames_ = 0;
  bool uses_locker_ = false;
};

}  // namespace otelpyroscope

#endif  // NATIVE_HANDLER_STACK_WALKER_H_
