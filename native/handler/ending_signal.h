// Catches signals that would end the process, and notes them in a pipe.
//
// For `otelpyroscope run` alone: the process may write its profile before it
// ends. A listener of JavaScript would not do, because a program in an endless
// loop never calls it. libuv replaces the handler when the program listens to
// the signal, and sets the default action when it no longer does: Catch() is
// called again then.
#ifndef NATIVE_HANDLER_ENDING_SIGNAL_H_
#define NATIVE_HANDLER_ENDING_SIGNAL_H_

#include "base/signal_safety.h"

namespace otelpyroscope {

class EndingSignal {
 public:
  // Opens the pipe; returns its end to read from, where each signal is a byte
  // that contains its number, or -1. Called once, before Catch().
  static int OpenPipe();
  // Installs the handler, unless the signal is ignored. Any thread.
  static void Catch(int signal);
  // Ends the process by the signal's default action. Any thread.
  [[noreturn]] static void EndBy(int signal);

 private:
  SIGNAL_SAFE static void OnSignal(int signal) noexcept;
};

}  // namespace otelpyroscope

#endif  // NATIVE_HANDLER_ENDING_SIGNAL_H_
