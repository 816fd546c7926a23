// A minimal harness for the plain C++ tests: named cases, each of which the
// driver (native.test.mjs) runs in a process of its own.
#ifndef TEST_NATIVE_CHECK_H_
#define TEST_NATIVE_CHECK_H_

#include <sys/types.h>

#include <cstdint>

namespace check {

// Reports and ends the process with failure.
[[noreturn]] void Fail(const char* file, int line, const char* what);
[[noreturn]] void FailCompare(const char* file, int line, const char* what,
                              int64_t left, int64_t right);

// Ends the process: this system lacks what the case needs.
[[noreturn]] void Need(const char* what);

class Case {
 public:
  Case(const char* name, void (*run)());
  const char* name;
  void (*run)();
  Case* next;
};

// CPU time of the calling thread.
int64_t ThreadCpuNs();

// Burns that much CPU time of the calling thread.
void Burn(int64_t ns);

// Returns the calling thread's id. glibc has gettid() since 2.30 only.
pid_t ThreadId();

constexpr int64_t kMillisecond = 1000000;

// The sanitizers that this binary was built with.
#if defined(__SANITIZE_THREAD__)
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif

}  // namespace check

// Defines a case. The driver finds the names by this word at a line's start.
#define TEST(name)                                    \
  static void Test_##name();                          \
  static check::Case case_##name(#name, Test_##name); \
  static void Test_##name()

#define EXPECT(condition) \
  ((condition) ? void() : check::Fail(__FILE__, __LINE__, #condition))

#define EXPECT_COMPARE(left, op, right)                                \
  do {                                                                 \
    const auto left_value = static_cast<int64_t>(left);                \
    const auto right_value = static_cast<int64_t>(right);              \
    if (!(left_value op right_value)) {                                \
      check::FailCompare(__FILE__, __LINE__, #left " " #op " " #right, \
                         left_value, right_value);                     \
    }                                                                  \
  } while (0)

#define EXPECT_EQ(left, right) EXPECT_COMPARE(left, ==, right)
#define EXPECT_LE(left, right) EXPECT_COMPARE(left, <=, right)
#define EXPECT_GE(left, right) EXPECT_COMPARE(left, >=, right)

#endif  // TEST_NATIVE_CHECK_H_
