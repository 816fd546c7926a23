// Makes a thread ready for the signal of our handler, and leaves it as it was.
#ifndef NATIVE_HANDLER_SIGNAL_THREAD_H_
#define NATIVE_HANDLER_SIGNAL_THREAD_H_

#include <csignal>
#include <cstddef>

namespace otelpyroscope {

// The state of one thread, on which both functions are called.
class SignalThread {
 public:
  // Unblocks `signal`, and makes room for the handler where the thread has an
  // alternate signal stack that is too small.
  void Prepare(int signal);
  // Undoes it. `is_quiet`: no more signals will arrive.
  void Restore(int signal, bool is_quiet);

 private:
  bool unblocked_signal_ = false;
  // Our alternate signal stack, if the thread's was too small.
  void* own_stack_ = nullptr;
  size_t own_stack_bytes_ = 0;
  stack_t previous_stack_ = {};
};

}  // namespace otelpyroscope

#endif  // NATIVE_HANDLER_SIGNAL_THREAD_H_
