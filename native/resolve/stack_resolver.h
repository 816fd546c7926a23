// Turns the addresses of a sample into the functions of a stack.
#ifndef NATIVE_RESOLVE_STACK_RESOLVER_H_
#define NATIVE_RESOLVE_STACK_RESOLVER_H_

#include <cstdint>

#include "code/code_map.h"
#include "handler/sample.h"
#include "resolve/resolve_counts.h"
#include "resolve/stack_table.h"

namespace otelpyroscope {

// Adds the sample to `table`. `heap_unchanged`: nothing has moved since the
// sample was taken, so that V8's heap may be read for its code. Called in the
// drain, on the isolate's thread, also inside callbacks of the collector.
void ResolveStack(const SampleHeader& header, const uintptr_t* frames,
                  bool heap_unchanged, const CodeMap& code_map,
                  StackTable* table, ResolveCounts* counts);

}  // namespace otelpyroscope

#endif  // NATIVE_RESOLVE_STACK_RESOLVER_H_
