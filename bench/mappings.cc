// An addon for the benches that gives its process many memory mappings.
#include <node_api.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>

namespace {

// map(count): so many more mappings, or as many as the kernel allows; returns
// how many. Neighbours have different rights, so that the kernel joins none.
napi_value Map(napi_env env, napi_callback_info info) {
  size_t arguments = 1;
  napi_value argument = nullptr;
  napi_get_cb_info(env, info, &arguments, &argument, nullptr, nullptr);
  int64_t count = 0;
  napi_get_value_int64(env, argument, &count);
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* begin = mmap(nullptr, static_cast<size_t>(count + 2) * page, PROT_READ,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  int64_t made = begin == MAP_FAILED ? 0 : 1;
  while (made != 0 && made < count) {
    void* second = static_cast<char*>(begin) + static_cast<size_t>(made) * page;
    // It parts what is before it from what is behind it.
    if (mprotect(second, page, PROT_READ | PROT_WRITE) != 0) break;
    made += 2;
  }
  napi_value result = nullptr;
  napi_create_int64(env, made, &result);
  return result;
}

napi_value Init(napi_env env, napi_value exports) {
  napi_value value = nullptr;
  napi_create_function(env, "map", NAPI_AUTO_LENGTH, Map, nullptr, &value);
  napi_set_named_property(env, exports, "map", value);
  return exports;
}

}  // namespace

NAPI_MODULE(mappings, Init)
