// Defines the state that the profiled threads of a process share, under one
// lock.
#ifndef NATIVE_THREADS_SESSION_H_
#define NATIVE_THREADS_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "base/clock.h"
#include "sampler/sampler.h"
#include "threads/profile_windows.h"

namespace otelpyroscope {

class ProfiledThread;

// A session lasts from the first open window of the process to the last.
struct Session {
  uint64_t number = 0;
  SamplingOptions sampling;
};

// Leaked, because threads may still run while exit() runs static destructors.
// Any thread may use it with `mutex` held: in the event loop, from JavaScript,
// and in an interrupt of V8; never in the signal handler, the drain, or
// callbacks of the collector.
struct Process {
  std::mutex mutex;
  ProfileWindows windows;
  Session session;
  uint32_t opening = 0;  // threads that are opening a window
  std::vector<ProfiledThread*> threads;
  uint64_t last_serial = 0;
};

inline Process& TheProcess() {
  static Process* const process = new Process;
  return *process;
}

// Returns the current CPU times. Any thread, with or without the lock.
inline ProfileWindows::Clock CpuNow() {
  ProfileWindows::Clock now;
  now.sampled_ns = Sampler::sampled_ns();
  now.process_ns = ClockNs(CLOCK_PROCESS_CPUTIME_ID);
  return now;
}

}  // namespace otelpyroscope

#endif  // NATIVE_THREADS_SESSION_H_
