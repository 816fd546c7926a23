// Defines assertions that only the tests' builds check.
#ifndef NATIVE_BASE_DEBUG_CHECK_H_
#define NATIVE_BASE_DEBUG_CHECK_H_

#include <cstdlib>

// Aborts the process if `condition` is false. Does nothing in published
// binaries, which run in other people's servers.
#ifdef OTELPYROSCOPE_DEBUG_CHECKS
#define DEBUG_CHECK(condition) \
  do {                         \
    if (!(condition)) abort(); \
  } while (false)
#else
#define DEBUG_CHECK(condition) static_cast<void>(0)
#endif

#endif  // NATIVE_BASE_DEBUG_CHECK_H_
