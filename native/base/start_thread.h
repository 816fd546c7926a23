// Starts threads of our own, which run no JavaScript.
#ifndef NATIVE_BASE_START_THREAD_H_
#define NATIVE_BASE_START_THREAD_H_

#include <pthread.h>
#include <signal.h>

#include <cstddef>

namespace otelpyroscope {

// Runs `run(data)` on a thread that nobody waits for, with a stack of
// `stack_bytes`. It blocks all signals: they are for threads that handle them.
// Returns 0 or an errno.
inline int StartThread(size_t stack_bytes, void* (*run)(void*), void* data) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stack_bytes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_t thread;
  const int error = pthread_create(&thread, &attributes, run, data);
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return error;
}

}  // namespace otelpyroscope

#endif  // NATIVE_BASE_START_THREAD_H_
