// Defines the layout of a sample in the ring between the signal handler and the
// drain.
#ifndef NATIVE_HANDLER_SAMPLE_H_
#define NATIVE_HANDLER_SAMPLE_H_

#include <cstddef>
#include <cstdint>

#include "base/signal_safety.h"

namespace otelpyroscope {

// The first words of a sample. Its frames follow, leaf first; then, in the same
// order, their JSFunctions (of WebAssembly frames the instance; 0 if there is
// none, or none was found); then words that may be objects of the innermost
// frames.
struct SampleHeader {
  uint32_t weight;  // intervals of CPU time
  uint32_t label;   // label id, 0: none
  uint16_t frame_count;
  uint16_t stack_words;  // objects of the stack, after the functions
  uint16_t vm_state;     // v8::StateTag or kNotAsked
  uint8_t truncated : 1;
  // JavaScript that a collection has called: the code of its frames may have
  // moved when the collection is over.
  uint8_t in_collection : 1;
  uint8_t fast_call;  // JS calls C++ without an exit frame, see Capture()
  uintptr_t pc;
  uintptr_t stack_top;  // return address of a leaf without a frame, or 0
  // The JSFunction of the innermost frame, or its WebAssembly instance, or 0 if
  // it has neither. And the register that contains the called function: at a
  // function's first instructions, that is the function.
  uintptr_t function;
  uintptr_t called_function;
  uintptr_t external_callback;  // the native function that JS has called, or 0
  // The interpreter's registers, if it runs: bytecode array and offset in it.
  uintptr_t bytecode_array;
  uintptr_t bytecode_offset;
};
// V8 could not be asked: it does not run here, or not on this thread's stack.
constexpr uint16_t kNotAsked = UINT16_MAX;
// Objects on the stack between a leaf that is not a function and the innermost
// frame that V8 lists.
constexpr size_t kMaxStackWords = 64;
constexpr size_t kSampleHeaderWords = sizeof(SampleHeader) / sizeof(uintptr_t);
static_assert(sizeof(SampleHeader) % sizeof(uintptr_t) == 0);

// Returns the number of words of a sample.
SIGNAL_SAFE inline size_t SampleWords(const SampleHeader& header) noexcept {
  return kSampleHeaderWords + 2 * size_t{header.frame_count} +
         header.stack_words;
}

}  // namespace otelpyroscope

#endif  // NATIVE_HANDLER_SAMPLE_H_
