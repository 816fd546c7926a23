#include "threads/label_reader.h"

#include <algorithm>
#include <string>
#include <unordered_set>
#include <utility>

#include "handler/label_word.h"

namespace otelpyroscope {
namespace {

using v8::Local;
using v8::Value;

// Sizes and flags of an entry of EndedLabelSets, as they are in
// src/labels/ended-label-sets.ts.
constexpr size_t kTraceBytes = 16;
constexpr size_t kSpanBytes = 8;
constexpr size_t kEntryBytes = kTraceBytes + 2 * kSpanBytes;
constexpr uint8_t kHasTraceLabel = 2;
constexpr uint8_t kHasRootLabel = 4;
constexpr uint8_t kHasOwnLabel = 8;
constexpr uint8_t kIsUsers = 16;

std::string ToHex(const uint8_t* bytes, size_t size) {
  std::string hex;
  for (size_t i = 0; i < size; i++) {
    hex += "0123456789abcdef"[bytes[i] >> 4];
    hex += "0123456789abcdef"[bytes[i] & 15];
  }
  return hex;
}

// The labels of one set: name, value, name, value, ...
class LabelList {
 public:
  bool Has(const std::string& name) { return Find(name) != texts_.size(); }
  size_t size() const { return texts_.size() / 2; }
  // Adds or replaces a label; an empty value is none.
  void Set(const std::string& name, std::string value) {
    if (value.empty()) return;
    SetAlways(name, std::move(value));
  }
  void SetAlways(const std::string& name, std::string value) {
    const size_t found = Find(name);
    if (found == texts_.size()) {
      texts_.push_back(name);
      texts_.push_back(std::move(value));
    } else {
      texts_[found + 1] = std::move(value);
    }
  }
  std::vector<std::string> Take() { return std::move(texts_); }

 private:
  size_t Find(const std::string& name) const {
    size_t i = 0;
    while (i < texts_.size() && texts_[i] != name) i += 2;
    return i;
  }

  std::vector<std::string> texts_;
};

// Whatever cannot be read, or not without running code, is undefined.
class TableReader {
 public:
  TableReader(v8::Isolate* isolate, Local<v8::Object> table)
      : isolate_(isolate),
        context_(isolate->GetCurrentContext()),
        table_(table),
        sets_(Get(table, "sets")),
        ended_(Get(table, "ended")),
        ended_ids_(Get(ended_, "ids")),
        ended_flags_(Get(ended_, "flags")),
        ended_bytes_(Get(ended_, "bytes")),
        ended_details_(Get(ended_, "details")) {}

  bool is_exhausted() const { return units_ > LabelReader::kMaxUnits; }

  // Returns false if neither the table's sets nor the ended ones have the id.
  bool ReadLabels(uint32_t id, LabelList* labels) {
    const uint32_t index = id & (SampledLabels::kSize - 1);
    const Local<Value> set = At(sets_, index);
    if (set->IsObject()) {
      if (IdOf(set) != id) return false;
      AddLabelSet(set, labels);
      return true;
    }
    if (EndedId(index) != id) return false;
    AddEndedSet(index, labels);
    return true;
  }

  // Reads those of the ids whose index newer sets have taken.
  void ReadPinned(const std::unordered_set<uint32_t>& ids, LabelTexts* texts) {
    for (const char* name : {"pinnedBefore", "pinned"}) {
      const Local<Value> map = Get(table_, name);
      if (!map->IsMap()) continue;
      const Local<v8::Array> entries = map.As<v8::Map>()->AsArray();
      for (uint32_t i = 0; i + 1 < entries->Length(); i += 2) {
        v8::HandleScope scope(isolate_);
        const Local<Value> id = At(entries, i);
        if (!id->IsUint32()) continue;
        const uint32_t number = id.As<v8::Uint32>()->Value();
        if (!ids.contains(number)) continue;
        if (is_exhausted()) return;
        LabelList labels;
        AddLabelSet(At(entries, i + 1), &labels);
        (*texts)[number] = labels.Take();
      }
    }
  }

 private:
  Local<Value> Undefined() const { return v8::Undefined(isolate_); }

  // Returns an own data property.
  Local<Value> Get(Local<Value> from, Local<v8::Name> name) const {
    if (!from->IsObject() || from->IsProxy()) return Undefined();
    const Local<v8::Object> object = from.As<v8::Object>();
    // Interceptors are passed over, and accessors are not called.
    if (!object->HasRealNamedProperty(context_, name).FromMaybe(false) ||
        object->HasRealNamedCallbackProperty(context_, name).FromMaybe(true)) {
      return Undefined();
    }
    return object->GetRealNamedProperty(context_, name).FromMaybe(Undefined());
  }

  Local<Value> Get(Local<Value> from, const char* name) const {
    return Get(from, v8::String::NewFromUtf8(isolate_, name,
                                             v8::NewStringType::kInternalized)
                         .ToLocalChecked());
  }

  // Returns an element of an array of ours, all of which are data properties.
  Local<Value> At(Local<Value> array, uint32_t index) const {
    if (!array->IsArray()) return Undefined();
    return array.As<v8::Array>()->Get(context_, index).FromMaybe(Undefined());
  }

  // Returns the elements of a typed array of ours from `index` on, `count` of
  // them, or null. Valid until V8 is called.
  template <typename Element, typename TypedArray>
  const Element* ElementsAt(Local<TypedArray> array, size_t index,
                            size_t count) const {
    if (index + count > array->Length()) return nullptr;
    const auto* data = static_cast<const char*>(array->Buffer()->Data());
    return reinterpret_cast<const Element*>(data + array->ByteOffset()) + index;
  }

  uint32_t IdOf(Local<Value> set) const {
    const Local<Value> id = Get(set, "id");
    return id->IsUint32() ? id.As<v8::Uint32>()->Value() : 0;
  }

  uint32_t EndedId(uint32_t index) const {
    if (!ended_ids_->IsInt32Array()) return 0;
    const int32_t* id =
        ElementsAt<int32_t>(ended_ids_.As<v8::Int32Array>(), index, 1);
    return id == nullptr ? 0 : static_cast<uint32_t>(*id);
  }

  // makeLabels() in src/labels/label-set.ts.
  void AddLabelSet(Local<Value> set, LabelList* labels) {
    const Local<Value> trace = Get(set, "trace");
    if (trace->IsObject()) {
      AddTrace(Text(Get(trace, "traceIdLabel")),
               Text(Get(trace, "spanIdLabel")), Get(trace, "named"),
               Get(trace, "root"), labels);
    }
    const Local<Value> user = Get(set, "user");
    AddUserLabels(Get(user, "names"), Get(user, "values"), labels);
  }

  void AddUserLabels(Local<Value> names, Local<Value> values,
                     LabelList* labels) {
    if (!names->IsArray()) return;
    for (uint32_t i = 0; i < names.As<v8::Array>()->Length(); i++) {
      const std::string name = Text(At(names, i));
      if (labels->Has(name) || labels->size() < LabelReader::kMaxLabels) {
        labels->SetAlways(name, Text(At(values, i)));
      }
    }
  }

  // EndedLabelSets.take().
  void AddEndedSet(uint32_t index, LabelList* labels) {
    if (!ended_flags_->IsUint8Array() || !ended_bytes_->IsUint8Array()) return;
    const uint8_t* flags =
        ElementsAt<uint8_t>(ended_flags_.As<v8::Uint8Array>(), index, 1);
    const uint8_t* trace_id =
        ElementsAt<uint8_t>(ended_bytes_.As<v8::Uint8Array>(),
                            size_t{index} * kEntryBytes, kEntryBytes);
    if (flags == nullptr || trace_id == nullptr) return;
    if (*flags == kIsUsers) {
      AddUserLabels(At(ended_details_, 2 * index),
                    At(ended_details_, 2 * index + 1), labels);
      return;
    }
    const uint8_t* root_id = trace_id + kTraceBytes;
    const uint8_t* own_id = root_id + kSpanBytes;
    std::string trace_label;
    std::string span_label;
    if ((*flags & kHasTraceLabel) != 0) {
      trace_label = ToHex(trace_id, kTraceBytes);
    }
    if ((*flags & kHasRootLabel) != 0) span_label = ToHex(root_id, kSpanBytes);
    if ((*flags & kHasOwnLabel) != 0) span_label = ToHex(own_id, kSpanBytes);
    AddTrace(std::move(trace_label), std::move(span_label),
             At(ended_details_, 2 * index), At(ended_details_, 2 * index + 1),
             labels);
  }

  void AddTrace(std::string trace_id, std::string span_id, Local<Value> named,
                Local<Value> root, LabelList* labels) {
    labels->Set("trace_id", std::move(trace_id));
    labels->Set("span_id", std::move(span_id));
    labels->Set("span_name", NameOf(named));
    AddAttributes(root, labels);
  }

  // nameOf() in src/labels/span-details.ts.
  std::string NameOf(Local<Value> details) {
    if (details->IsString()) return Text(details);
    std::string name = Text(Get(Get(details, "span"), "name"));
    return name.empty() ? Text(Get(details, "name")) : name;
  }

  // attributeLabelsOf() in src/labels/span-details.ts.
  void AddAttributes(Local<Value> details, LabelList* labels) {
    const Local<Value> names = Get(details, "attributeNames");
    if (!names->IsArray()) return;
    const Local<Value> span = Get(details, "span");
    const Local<Value> attributes =
        Get(span->IsObject() ? span : details, "attributes");
    for (uint32_t i = 0; i < names.As<v8::Array>()->Length(); i++) {
      const Local<Value> name = At(names, i);
      if (!name->IsString()) continue;
      Local<Value> value = Get(attributes, name.As<v8::String>());
      if (value->IsNumber() || value->IsBoolean()) {
        value = value->ToString(context_).FromMaybe(v8::Local<v8::String>());
      }
      labels->Set(Text(name), Text(value));
    }
  }

  // Returns a string in UTF-8, cut as cutValue() in src/labels/label-values.ts
  // does; anything else is empty.
  std::string Text(Local<Value> value) {
    if (value.IsEmpty() || !value->IsString()) return {};
    const Local<v8::String> string = value.As<v8::String>();
    const auto units = static_cast<size_t>(string->Length());
    if (units == 0 || units > LabelReader::kMaxTextUnits) return {};
    units_ += units;
    // Both write whole characters only.
    std::string text(std::min(3 * units, LabelReader::kMaxValueBytes), '\0');
#if V8_MAJOR_VERSION >= 13
    text.resize(
        string->WriteUtf8V2(isolate_, text.data(), text.size(),
                            v8::String::WriteFlags::kReplaceInvalidUtf8));
#else
    text.resize(string->WriteUtf8(
        isolate_, text.data(), static_cast<int>(text.size()), nullptr,
        v8::String::NO_NULL_TERMINATION | v8::String::REPLACE_INVALID_UTF8));
#endif
    return text;
  }

  v8::Isolate* isolate_;
  Local<v8::Context> context_;
  Local<v8::Object> table_;
  Local<Value> sets_;
  Local<Value> ended_;
  Local<Value> ended_ids_;
  Local<Value> ended_flags_;
  Local<Value> ended_bytes_;
  Local<Value> ended_details_;
  size_t units_ = 0;  // read so far
};

}  // namespace

void LabelReader::SetTable(v8::Isolate* isolate, Local<v8::Object> table) {
  table_.Reset(isolate, table);
}

void LabelReader::Reset() { table_.Reset(); }

LabelTexts LabelReader::Read(v8::Isolate* isolate,
                             const std::vector<uint32_t>& ids) const {
  LabelTexts texts;
  if (table_.IsEmpty() || ids.empty() || !isolate->InContext()) return texts;
  // Node has sealed the handle scope of an environment that ends.
  v8::HandleScope scope(isolate);
  v8::TryCatch try_catch(isolate);
  const v8::Isolate::DisallowJavascriptExecutionScope no_javascript(
      isolate, v8::Isolate::DisallowJavascriptExecutionScope::THROW_ON_FAILURE);
  TableReader reader(isolate, table_.Get(isolate));
  std::unordered_set<uint32_t> others;
  for (const uint32_t id : ids) {
    if (reader.is_exhausted()) return texts;
    v8::HandleScope handles_of_set(isolate);
    LabelList labels;
    if (reader.ReadLabels(id, &labels)) {
      texts[id] = labels.Take();
    } else {
      others.insert(id);
    }
  }
  if (!others.empty()) reader.ReadPinned(others, &texts);
  return texts;
}

}  // namespace otelpyroscope
