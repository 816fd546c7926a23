// An addon for the torture tests that collects garbage once more inside V8's
// callback at the end of a collection. V8 tells nobody of such a collection,
// neither its beginning nor its end. Needs --expose-gc.
#include <node.h>
#include <v8.h>

namespace {

// One in so many collections is followed by another.
constexpr int kEvery = 3;

int collections = 0;
int nested = 0;
bool is_nested = false;

void CollectAgain(v8::Isolate* isolate, v8::GCType type, v8::GCCallbackFlags,
                  void*) {
  // Where marking has just begun, V8 itself does not survive another one.
  if ((type & v8::kGCTypeIncrementalMarking) != 0) return;
  if (is_nested || ++collections % kEvery != 0) return;
  is_nested = true;
  nested++;
  isolate->RequestGarbageCollectionForTesting(
      v8::Isolate::kFullGarbageCollection);
  is_nested = false;
}

// begin(): from now on. V8 calls callbacks in the order of their registration.
void Begin(const v8::FunctionCallbackInfo<v8::Value>& info) {
  info.GetIsolate()->AddGCEpilogueCallback(CollectAgain, nullptr);
}

// count(): how many collections it has started.
void Count(const v8::FunctionCallbackInfo<v8::Value>& info) {
  info.GetReturnValue().Set(nested);
}

}  // namespace

NODE_MODULE_INIT() {
  NODE_SET_METHOD(exports, "begin", Begin);
  NODE_SET_METHOD(exports, "count", Count);
}
