// Handlers that break the rules, each in one way: call-graph.test.mjs must
// notice every one. They are compiled only, never run.
#include <pthread.h>

#include <cstdlib>
#include <string>

namespace unsafe_handlers {

pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
void* volatile kept;
void (*volatile pointer)(void*);

void Allocates() { kept = new char[64]; }

[[gnu::noinline]] static void Inner(size_t size) { kept = malloc(size); }
[[gnu::noinline]] static void Middle(size_t size) {
  Inner(size + 1);
  Inner(size + 2);
}
void AllocatesDeepInside() {
  Middle(1);
  Middle(3);
}

void Locks() {
  pthread_mutex_lock(&mutex);
  kept = nullptr;
  pthread_mutex_unlock(&mutex);
}

void Throws() { throw 1; }

void TakesTheAddressOfOne() { pointer = free; }

void UsesAFunctionLocalStatic() {
  static const std::string text = std::string(100, 'x');
  kept = const_cast<char*>(text.data());
}

void CallsThroughAPointer() {
  pointer(nullptr);
  kept = nullptr;
}

}  // namespace unsafe_handlers
