// Tests of the bounds of stacks, beside what the C library says of them.
#include "handler/stack_bounds.h"

#include <pthread.h>
#include <sys/resource.h>

#include <cstdint>
#include <cstdlib>
#include <thread>

#include "check.h"

namespace otelpyroscope {
namespace {

uintptr_t FrameAddress() {
  return reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
}

// By the C library, which reads all of /proc/self/maps for the main thread.
StackBounds BoundsByLibrary() {
  pthread_attr_t attributes;
  EXPECT_EQ(pthread_getattr_np(pthread_self(), &attributes), 0);
  void* address = nullptr;
  size_t size = 0;
  EXPECT_EQ(pthread_attr_getstack(&attributes, &address, &size), 0);
  pthread_attr_destroy(&attributes);
  StackBounds bounds;
  bounds.low = reinterpret_cast<uintptr_t>(address);
  bounds.high = bounds.low + size;
  return bounds;
}

// Uses that many bytes of the stack. Returns the lowest frame's address.
__attribute__((noinline)) uintptr_t GoDown(size_t bytes) {
  volatile char frame[1024];
  frame[0] = 1;
  if (bytes < sizeof(frame)) return FrameAddress();
  const uintptr_t address = GoDown(bytes - sizeof(frame));
  return frame[0] == 1 ? address : 0;
}

TEST(bounds_of_the_main_thread_are_the_kernels) {
  const StackBounds bounds = StackBounds::OfThisThread();
  const StackBounds library = BoundsByLibrary();
  // To glibc, what lies above the first frame is not of the stack.
  EXPECT_GE(bounds.high, library.high);
  // All of it can be read: this would fault.
  EXPECT_GE(*reinterpret_cast<const volatile uint8_t*>(bounds.high - 1), 0);
  EXPECT(bounds.Contains(FrameAddress()));
  EXPECT(bounds.Contains(reinterpret_cast<uintptr_t>(getenv("PATH"))));
  rlimit limit;
  EXPECT_EQ(getrlimit(RLIMIT_STACK, &limit), 0);
  EXPECT(bounds.high - bounds.low <= limit.rlim_cur);
  // musl knows of what has been used up to now only; more may be.
  EXPECT(bounds.Contains(GoDown(size_t{2} << 20)));
  EXPECT(!bounds.Contains(bounds.high));
  EXPECT(!bounds.Contains(bounds.low - 1));
  int* elsewhere = new int;
  EXPECT(!bounds.Contains(reinterpret_cast<uintptr_t>(elsewhere)));
  delete elsewhere;
}

TEST(bounds_are_each_threads_own) {
  const StackBounds bounds = StackBounds::OfThisThread();
  std::thread([&bounds] {
    const StackBounds own = StackBounds::OfThisThread();
    const StackBounds library = BoundsByLibrary();
    EXPECT_EQ(own.low, library.low);
    EXPECT_EQ(own.high, library.high);
    EXPECT(own.Contains(FrameAddress()));
    EXPECT(!bounds.Contains(FrameAddress()));
  }).join();
  EXPECT_EQ(StackBounds::OfThisThread().low, bounds.low);
}

}  // namespace
}  // namespace otelpyroscope
