// An addon that claims to be for another Node, and ends the process when
// anything but its version is used.
#include <node_api.h>

#include <cstdlib>

namespace {

napi_value Open(napi_env, napi_callback_info) { abort(); }

napi_value Init(napi_env env, napi_value exports) {
  napi_value abi;
  napi_value open;
  if (napi_create_uint32(env, 1, &abi) != napi_ok ||
      napi_set_named_property(env, exports, "abi", abi) != napi_ok ||
      napi_create_function(env, "open", NAPI_AUTO_LENGTH, Open, nullptr,
                           &open) != napi_ok ||
      napi_set_named_property(env, exports, "open", open) != napi_ok) {
    abort();
  }
  return exports;
}

}  // namespace

NAPI_MODULE(wrong_abi, Init)
