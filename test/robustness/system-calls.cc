// An addon for the torture tests that makes system calls which a signal can
// interrupt, and becomes another program without telling Node.js.
#include <node_api.h>
#include <poll.h>
#include <sys/select.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <ctime>
#include <string>
#include <vector>

namespace {

int64_t ThreadCpuMicros() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return int64_t{now.tv_sec} * 1000000 + now.tv_nsec / 1000;
}

std::vector<napi_value> Arguments(napi_env env, napi_callback_info info) {
  size_t count = 0;
  napi_get_cb_info(env, info, &count, nullptr, nullptr, nullptr);
  std::vector<napi_value> arguments(count);
  napi_get_cb_info(env, info, &count, arguments.data(), nullptr, nullptr);
  return arguments;
}

// waits(times): burns 300 µs of CPU and then calls poll(), nanosleep() and
// select(), which SA_RESTART does not restart, so many times. Returns how many
// of these calls a signal has interrupted.
napi_value Waits(napi_env env, napi_callback_info info) {
  constexpr int64_t kBurnMicros = 300;
  int64_t times = 0;
  napi_get_value_int64(env, Arguments(env, info)[0], &times);
  int64_t interrupted = 0;
  const auto count = [&interrupted](int result) {
    if (result < 0 && errno == EINTR) interrupted++;
  };
  for (int64_t i = 0; i < times; i++) {
    const int64_t until = ThreadCpuMicros() + kBurnMicros;
    while (ThreadCpuMicros() < until) {
    }
    count(poll(nullptr, 0, 1));
    timespec sleep = {0, 100000};
    count(nanosleep(&sleep, nullptr));
    timeval timeout = {0, 100};
    count(select(0, nullptr, nullptr, nullptr, &timeout));
  }
  napi_value result = nullptr;
  napi_create_int64(env, interrupted, &result);
  return result;
}

// become(path, ...arguments): calls execv(). Returns only where that fails,
// with errno.
napi_value Become(napi_env env, napi_callback_info info) {
  std::vector<std::string> texts;
  for (napi_value argument : Arguments(env, info)) {
    size_t length = 0;
    napi_get_value_string_utf8(env, argument, nullptr, 0, &length);
    std::string& text = texts.emplace_back(length, '\0');
    napi_get_value_string_utf8(env, argument, text.data(), length + 1, &length);
  }
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  execv(pointers[0], pointers.data());
  napi_value result = nullptr;
  napi_create_int64(env, errno, &result);
  return result;
}

napi_value Init(napi_env env, napi_value exports) {
  const struct {
    const char* name;
    napi_callback function;
  } functions[] = {{"waits", Waits}, {"become", Become}};
  for (const auto& [name, function] : functions) {
    napi_value value = nullptr;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, function, nullptr,
                         &value);
    napi_set_named_property(env, exports, name, value);
  }
  return exports;
}

}  // namespace

NAPI_MODULE(system_calls, Init)
