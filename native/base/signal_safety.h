// Defines the rules for code that runs inside the signal handler, and a marker
// for it.
//
// A sample is taken by interrupting a JavaScript thread anywhere: inside
// malloc, inside a lock, inside V8. A function marked SIGNAL_SAFE therefore
//   * never allocates or frees memory, and never takes a lock or waits;
//   * never throws and is `noexcept`;
//   * never logs, never calls into JavaScript, never creates a V8 handle;
//   * uses no function-local static and no thread_local of this library
//     (initialising either may allocate or lock);
//   * calls only SIGNAL_SAFE functions, async-signal-safe system calls, and
//     the V8 and libuv functions that test/native/call_graph.mjs allows;
//   * touches data shared with ordinary code only through lock-free atomics,
//     and every acquire names the release that it pairs with.
#ifndef NATIVE_BASE_SIGNAL_SAFETY_H_
#define NATIVE_BASE_SIGNAL_SAFETY_H_

// Marks a function that may run inside the signal handler.
#define SIGNAL_SAFE

// Marks a function that also reads what AddressSanitizer puts around the
// variables of frames that are not its own.
#define READS_OTHER_FRAMES __attribute__((no_sanitize("address")))

#endif  // NATIVE_BASE_SIGNAL_SAFETY_H_
