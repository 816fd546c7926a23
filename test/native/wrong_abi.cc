// An addon that claims to be for another Node, or, with WRONG_BUILD, for this
// one with a V8 of another build; and ends the process when anything else is
// used.
#include <node_api.h>
#include <node_version.h>

#include <cstdlib>

namespace {

#ifdef WRONG_BUILD
constexpr uint32_t kAbi = NODE_MODULE_VERSION;
#else
constexpr uint32_t kAbi = 1;
#endif

napi_value Open(napi_env, napi_callback_info) { abort(); }

napi_value Init(napi_env env, napi_value exports) {
  napi_value abi;
  napi_value same_build;
  napi_value open;
  if (napi_create_uint32(env, kAbi, &abi) != napi_ok ||
      napi_set_named_property(env, exports, "abi", abi) != napi_ok ||
      napi_get_boolean(env, false, &same_build) != napi_ok ||
      napi_set_named_property(env, exports, "sameBuild", same_build) !=
          napi_ok ||
      napi_create_function(env, "open", NAPI_AUTO_LENGTH, Open, nullptr,
                           &open) != napi_ok ||
      napi_set_named_property(env, exports, "open", open) != napi_ok) {
    abort();
  }
  return exports;
}

}  // namespace

NAPI_MODULE(wrong_abi, Init)
