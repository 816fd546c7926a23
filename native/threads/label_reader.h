// Reads the labels of label ids from JavaScript's label table without running
// JavaScript, for a thread whose JavaScript has been stopped.
//
// A worker that is terminated runs no more JavaScript, so nothing there can
// turn the label ids of its last samples into labels. The table is therefore
// made of plain objects (LabelTableParts in src/labels/label-table.ts), which
// are read here through V8's API:
//
// clang-format off
//   table ── sets: Array, by id mod SampledLabels::kSize ─► LabelSet | undefined
//         ├─ pinned, pinnedBefore: Map from id ─► LabelSet
//         └─ ended, or undefined ── ids: Int32Array, by the same index
//                                ├─ flags: Uint8Array
//                                ├─ bytes: Uint8Array, 32 per index
//                                └─ details: Array, 2 per index ─► SpanDetails | string
//   LabelSet ── id: number
//            ├─ trace, or undefined ── traceIdLabel, spanIdLabel: string
//            │                      └─ named, or undefined; root ─► SpanDetails
//            └─ user, or undefined ─── values: Map from string to string
//   SpanDetails ── name: string;  attributeNames: Array;  attributes: object
//               └─ span, or undefined ── name;  attributes ─► object
// clang-format on
//
// The labels are those that labelsOfSet() in src/labels/label-set.ts makes.
#ifndef NATIVE_THREADS_LABEL_READER_H_
#define NATIVE_THREADS_LABEL_READER_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "threads/profile_windows.h"
#include "v8.h"

namespace otelpyroscope {

// On the isolate's thread only, outside callbacks of V8: reading may collect.
class LabelReader {
 public:
  // Labels of a set, and bytes of a value: as in TypeScript.
  static constexpr size_t kMaxLabels = 32;
  static constexpr size_t kMaxValueBytes = 2048;
  // UTF-16 units of a string that is read, and of all that one call reads. V8
  // may copy a string to read it, and the worker may have been ended for want
  // of memory: Node then grants its heap 16 MiB more.
  static constexpr size_t kMaxTextUnits = 1 << 14;
  static constexpr size_t kMaxUnits = 1 << 21;

  // From JavaScript.
  void SetTable(v8::Isolate* isolate, v8::Local<v8::Object> table);
  // Forgets the table. Before the isolate ends.
  void Reset();

  // Returns the labels of those ids that the table has, as far as they can be
  // read without running code: a span's `name` that is an accessor or belongs
  // to a Proxy is not read, and the name from the span's start is used.
  LabelTexts Read(v8::Isolate* isolate, const std::vector<uint32_t>& ids) const;

 private:
  v8::Global<v8::Object> table_;
};

}  // namespace otelpyroscope

#endif  // NATIVE_THREADS_LABEL_READER_H_
