#include "self_check/known_stack.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <vector>

#include "handler/stack_walker.h"
#include "v8-unwinder.h"
#include "v8_heap/code_reader.h"
#include "v8_heap/handle_address.h"
#include "v8_heap/heap_function.h"

namespace otelpyroscope {
namespace {

// V8 also lists frames of its own.
constexpr size_t kMaxFrames = 16;
constexpr int kFunctions = 2;  // the inner one is the first

struct Walk {
  const KnownCall* call;
  uintptr_t stack_end;  // all frames of the call are below it
  KnownStackResult* result;

  int columns[kFunctions];
  StackBounds bounds;
  void* frames[kMaxFrames];
  size_t frame_count;
};

// Asks V8 for the functions' 1-based columns, which makes it create their
// tables of positions.
bool AskColumns(v8::Isolate* isolate, int* columns) {
  const v8::Local<v8::StackTrace> trace = v8::StackTrace::CurrentStackTrace(
      isolate, kFunctions, v8::StackTrace::kColumnOffset);
  if (trace->GetFrameCount() != kFunctions) return false;
  for (int i = 0; i < kFunctions; i++) {
    columns[i] =
        trace->GetFrame(isolate, static_cast<uint32_t>(i))->GetColumn();
  }
  return true;
}

// Whether the table of positions contains the column that V8 returned.
bool IsAtColumn(const Walk& walk, int i, uintptr_t pc, uintptr_t start,
                size_t size) {
  std::vector<CodePosition> positions;
  if (!CodeReader::CheckBytecode(start, size, &positions)) return false;
  const SourcePosition* position = FindPosition(positions, pc - start);
  return position != nullptr &&
         position->script_offset + walk.call->column_offset + 1 ==
             walk.columns[i];
}

// Finds the function's frame among those that V8 lists, above that of `callee`,
// which is set to it.
bool IsFrameRight(Walk* walk, int i, uintptr_t context, uintptr_t* callee) {
  const uintptr_t function =
      ObjectOf(i == 0 ? walk->call->inner : walk->call->outer);
  uintptr_t shared = 0;
  uintptr_t start = 0;
  size_t size = 0;
  if (!heap::ReadShared(function, &shared) ||
      !heap::ReadBytecodeOf(shared, &start, &size)) {
    return false;
  }
  for (size_t k = 0; k < walk->frame_count; k++) {
    const uintptr_t pc = reinterpret_cast<uintptr_t>(walk->frames[k]);
    const bool is_interpreted = pc - start < size;
    FoundFrame frame;
    if (!FindFrame(walk->bounds, walk->bounds.low, *callee, pc, &frame) ||
        frame.function != function) {
      if (is_interpreted) return false;
      continue;
    }
    *callee = frame.pointer;
    if (is_interpreted && !IsAtColumn(*walk, i, pc, start, size)) {
      walk->result->positions_right = false;
    }
    return frame.context == context;
  }
  return false;
}

void OnCall(const v8::FunctionCallbackInfo<v8::Value>& info) {
  auto* walk =
      reinterpret_cast<Walk*>(info.Data().As<v8::BigInt>()->Uint64Value());
  v8::Isolate* isolate = info.GetIsolate();
  const v8::HandleScope scope(isolate);
  void* const frame = __builtin_frame_address(0);
  walk->bounds.low = reinterpret_cast<uintptr_t>(frame);
  walk->bounds.high = walk->stack_end;
  // From here on nothing is allocated that could move objects.
  const bool has_columns = AskColumns(isolate, walk->columns);
  const uintptr_t context = ObjectOf(isolate->GetCurrentContext());
  v8::RegisterState registers;
  v8::SampleInfo sample = {};
  registers.pc = reinterpret_cast<void*>(&OnCall);
  registers.sp = registers.fp = frame;
  isolate->GetStackSample(registers, walk->frames, kMaxFrames, &sample);
  walk->frame_count = std::min(sample.frames_count, kMaxFrames);
  walk->result->positions_right = has_columns;
  uintptr_t callee = walk->bounds.low;
  walk->result->frames_right = IsFrameRight(walk, 0, context, &callee) &&
                               IsFrameRight(walk, 1, context, &callee);
}

}  // namespace

bool CheckKnownStack(v8::Isolate* isolate, const KnownCall& call,
                     KnownStackResult* result) {
  const v8::Local<v8::Context> context = isolate->GetCurrentContext();
  Walk walk = {};
  walk.call = &call;
  walk.stack_end = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  walk.result = result;
  v8::Local<v8::Function> function;
  // v8::External is meant for addresses, but each V8 creates it in another way.
  if (!v8::Function::New(context, OnCall,
                         v8::BigInt::NewFromUnsigned(
                             isolate, reinterpret_cast<uintptr_t>(&walk)),
                         1, v8::ConstructorBehavior::kThrow)
           .ToLocal(&function)) {
    return false;
  }
  v8::Local<v8::Value> arguments[] = {call.inner, function};
  return !call.outer
              ->Call(context, v8::Undefined(isolate), std::size(arguments),
                     arguments)
              .IsEmpty();
}

}  // namespace otelpyroscope
