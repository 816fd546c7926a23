// The bounds come from the kernel's auxiliary vector, or the C library.
#include "handler/stack_bounds.h"

#include <pthread.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

namespace otelpyroscope {
namespace {

// The size that is assumed of a main thread's stack without a limit.
constexpr uintptr_t kMaxMainStack = uintptr_t{64} << 20;

// Returns the stack on which the kernel has started the program. Its last page
// or two contain the program's name, and nothing else is mapped as far down as
// it may grow.
StackBounds MainStackBounds() {
  StackBounds bounds;
  rlimit limit;
  const uintptr_t name = getauxval(AT_EXECFN);
  if (name == 0 || getrlimit(RLIMIT_STACK, &limit) != 0) return bounds;
  const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t high = (name | (page - 1)) + 1;
  const uintptr_t size = std::min<uintptr_t>(limit.rlim_cur, kMaxMainStack);
  if (size >= high) return bounds;
  bounds.low = high - size;
  bounds.high = high;
  return bounds;
}

StackBounds FindStackBounds() {
  const StackBounds main = MainStackBounds();
  const void* frame = __builtin_frame_address(0);
  if (main.Contains(reinterpret_cast<uintptr_t>(frame))) return main;
  StackBounds bounds;
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return bounds;
  void* address = nullptr;
  size_t size = 0;
  if (pthread_attr_getstack(&attributes, &address, &size) == 0) {
    bounds.low = reinterpret_cast<uintptr_t>(address);
    bounds.high = bounds.low + size;
  }
  pthread_attr_destroy(&attributes);
  return bounds;
}

}  // namespace

StackBounds StackBounds::OfThisThread() {
  // Kept for good: a stack does not move, and pthread_getattr_np() may have to
  // read all of /proc/self/maps.
  static thread_local const StackBounds bounds = FindStackBounds();
  return bounds;
}

}  // namespace otelpyroscope
