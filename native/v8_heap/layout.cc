// The tables of V8 11.3 (Node 20), 12.4 (22), 13.6 (24) and 14 (26).
#include "v8_heap/layout.h"

#include <iterator>

namespace otelpyroscope {
namespace v8_layout {
namespace {

#ifdef OTELPYROSCOPE_HAS_CONTINUATION_DATA
constexpr size_t kContinuationData =
    v8::internal::Internals::kContinuationPreservedEmbedderDataOffset;
#else
constexpr size_t kContinuationData = 0;
#endif

// The offsets that are the same in all versions, up to now.
constexpr Layout kCommon = {
    .map = 0,
    .map_instance_words = 8,
    .map_properties_start = 9,
    .map_instance_type = 12,
    .map_flags = 16,
    .map_descriptors = 40,
    .descriptors_data = 24,
    .object_properties = 8,
    .object_elements = 16,
    .property_array_length = 8,
    .js_array_length = 24,
    .array_length = 8,
    .array_data = 16,
    .continuation_data = kContinuationData,
    .js_map_table = 24,
    .hash_map_elements = 16,
    .hash_map_deleted = 24,
    .hash_map_buckets = 32,
    .hash_map_data = 40,
    .hash_map_bucket_bytes = 8,
    .hash_map_entry_bytes = 24,
    .hash_map_value = 8,
    .name_hash = 8,
    .function_shared = 32,
    .function_literal_id = 60,
    .function_script = 40,
    .script_id = 64,
    .shared_name = 24,
    .shared_data = 8,
    .script_source = 8,
    .script_name = 16,
    .script_line_offset = 24,
    .script_column_offset = 32,
    .scope_flags = 8,
    .scope_locals = 24,
    .scope_names = 48,
    .scope_position = 32,
    .string_length = 12,
    .string_data = 16,
    .cons_first = 16,
    .cons_second = 24,
    .thin_actual = 16,
    .sliced_parent = 16,
    .sliced_offset = 24,
    .regexp_data = 24,
    .regexp_source = 32,
    .regexp_flags = 40,
    .code_wrapper_code = 8,
    .frame_context_below = 8,
    .frame_function_below = 16,
    .frame_bytecode_below = 32,
    .frame_offset_below = 40,
    .bytecode_header = 64,
    .bytecode_positions_before_start = 40,
    .interpreter_data_bytecode = 8,
    .code_pointer_before_start = 24,
    .deoptimization_data = 8,
    .source_position_table = 16,
    .instruction_start = 40,
    .instruction_size = 56,
    .inlined_count_index = 1,
    .literals_index = 3,
    .function_index = 7,
    .inlining_positions_index = 8,
    .function_wrapper_shared = 8,
    .inlining_position_bytes = 16,
};

// Lengths of bytecodes: the sizes of each one's operands added up, from V8's
// interpreter/bytecodes.h.
#if V8_MAJOR_VERSION == 11
#define OTELPYROSCOPE_HAS_CODE_LAYOUT 1
constexpr Layout TableOfThisVersion() {
  Layout layout = kCommon;
  layout.function_shared = 24;
  layout.function_literal_id = 52;
  layout.function_script = 32;
  layout.bytecode_header = 54;
  layout.bytecode_positions_before_start = 22;
  layout.code_pointer_before_start = 8;
  layout.shared_name = 16;
  layout.scope_flags = 12;
  layout.scope_names = 32;
  layout.scope_position = 0;
  layout.deoptimization_data = 16;
  layout.source_position_table = 24;
  layout.shared_name = 16;
  layout.scope_flags = 12;
  layout.scope_names = 32;
  layout.scope_position = 0;
  layout.literals_index = 2;
  layout.function_index = 6;
  layout.inlining_positions_index = 7;
  return layout;
}
constexpr Bytecodes kBytecodes = {
    "1111123455621211111244222322211123334224424434433344454533333333333333"
    "3333333333222211122245545653455564455333333332222154124143423333111422"
    "2222222222222222222242335211112112454412211111111111111111",
    "0000012342310100000133111211100002223113313313322233333322222222222222"
    "2222222222111100011134434542344232244222222221111022012022212222000311"
    "1111111111111111111131224100001001343301100000000000000000",
};
#elif V8_MAJOR_VERSION == 12
#define OTELPYROSCOPE_HAS_CODE_LAYOUT 1
constexpr Layout TableOfThisVersion() {
  Layout layout = kCommon;
  layout.function_literal_id = 52;
  layout.function_script = 32;
  layout.instruction_size = 52;
  layout.shared_name = 16;
  layout.scope_flags = 12;
  layout.scope_names = 32;
  layout.scope_position = 0;
  layout.literals_index = 2;
  layout.function_index = 6;
  layout.inlining_positions_index = 7;
  return layout;
}
constexpr Bytecodes kBytecodes = {
    "1111123455621211111244222322211123334242244244344353344454533333333333"
    "3333333333333222211122245545653455564455333333333122211541241434233331"
    "114222222222222222222222242335211112112454412211111111111111111",
    "0000012342310100000133111211100002223131133133133242233333322222222222"
    "2222222222222111100011134434542344232244222222222011100220120222122220"
    "003111111111111111111111131224100001001343301100000000000000000",
};
#elif V8_MAJOR_VERSION == 13
#define OTELPYROSCOPE_HAS_CODE_LAYOUT 1
constexpr Layout TableOfThisVersion() { return kCommon; }
constexpr Bytecodes kBytecodes = {
    "1111123455621211111244422223222111233342422444244434435334445453333333"
    "3333333333333333322221122224554565345556445533333333312221154124143423"
    "33311142222222222422222222222244235211112112454412211111111111111111",
    "0000012342310100000133311112111000022231311333133313324223333332222222"
    "2222222222222222211110011113443454234423224422222222201110022012022212"
    "22200031111111111311111111111133124100001001343301100000000000000000",
};
#elif V8_MAJOR_VERSION == 14
#define OTELPYROSCOPE_HAS_CODE_LAYOUT 1
constexpr Layout TableOfThisVersion() {
  Layout layout = kCommon;
  layout.descriptors_data = 32;
  return layout;
}
constexpr Bytecodes kBytecodes = {
    "1111123455621211111244422223222111233342422444244434435334445453333333"
    "3333334333333333333222211222245545653455564455344444433122211541241434"
    "2333331114222222222242222222222224423525111121124544122111111111111111"
    "11",
    "0000012342310100000133311112111000022231311333133313324223333332222222"
    "2222222222222222222111100111134434542344232244211111122011100220120222"
    "1222220003111111111131111111111113312414000010013433010000000000000000"
    "00",
};
#else
constexpr Layout TableOfThisVersion() { return kCommon; }
constexpr Bytecodes kBytecodes = {"", ""};
#endif

#ifdef OTELPYROSCOPE_TESTING
struct Entry {
  const char* name;
  size_t Layout::*offset;
};

constexpr Entry kEntries[] = {
    {"map", &Layout::map},
    {"map_instance_words", &Layout::map_instance_words},
    {"map_properties_start", &Layout::map_properties_start},
    {"map_instance_type", &Layout::map_instance_type},
    {"map_flags", &Layout::map_flags},
    {"map_descriptors", &Layout::map_descriptors},
    {"descriptors_data", &Layout::descriptors_data},
    {"object_properties", &Layout::object_properties},
    {"object_elements", &Layout::object_elements},
    {"property_array_length", &Layout::property_array_length},
    {"js_array_length", &Layout::js_array_length},
    {"array_length", &Layout::array_length},
    {"array_data", &Layout::array_data},
    {"continuation_data", &Layout::continuation_data},
    {"js_map_table", &Layout::js_map_table},
    {"hash_map_elements", &Layout::hash_map_elements},
    {"hash_map_deleted", &Layout::hash_map_deleted},
    {"hash_map_buckets", &Layout::hash_map_buckets},
    {"hash_map_data", &Layout::hash_map_data},
    {"hash_map_bucket_bytes", &Layout::hash_map_bucket_bytes},
    {"hash_map_entry_bytes", &Layout::hash_map_entry_bytes},
    {"hash_map_value", &Layout::hash_map_value},
    {"name_hash", &Layout::name_hash},
    {"function_shared", &Layout::function_shared},
    {"function_literal_id", &Layout::function_literal_id},
    {"function_script", &Layout::function_script},
    {"script_id", &Layout::script_id},
    {"shared_name", &Layout::shared_name},
    {"shared_data", &Layout::shared_data},
    {"script_source", &Layout::script_source},
    {"script_name", &Layout::script_name},
    {"script_line_offset", &Layout::script_line_offset},
    {"script_column_offset", &Layout::script_column_offset},
    {"scope_flags", &Layout::scope_flags},
    {"scope_locals", &Layout::scope_locals},
    {"scope_names", &Layout::scope_names},
    {"scope_position", &Layout::scope_position},
    {"string_length", &Layout::string_length},
    {"string_data", &Layout::string_data},
    {"cons_first", &Layout::cons_first},
    {"cons_second", &Layout::cons_second},
    {"thin_actual", &Layout::thin_actual},
    {"sliced_parent", &Layout::sliced_parent},
    {"sliced_offset", &Layout::sliced_offset},
    {"regexp_data", &Layout::regexp_data},
    {"regexp_source", &Layout::regexp_source},
    {"regexp_flags", &Layout::regexp_flags},
    {"code_wrapper_code", &Layout::code_wrapper_code},
    {"frame_context_below", &Layout::frame_context_below},
    {"frame_function_below", &Layout::frame_function_below},
    {"frame_bytecode_below", &Layout::frame_bytecode_below},
    {"frame_offset_below", &Layout::frame_offset_below},
    {"bytecode_header", &Layout::bytecode_header},
    {"bytecode_positions_before_start",
     &Layout::bytecode_positions_before_start},
    {"interpreter_data_bytecode", &Layout::interpreter_data_bytecode},
    {"code_pointer_before_start", &Layout::code_pointer_before_start},
    {"deoptimization_data", &Layout::deoptimization_data},
    {"source_position_table", &Layout::source_position_table},
    {"instruction_start", &Layout::instruction_start},
    {"instruction_size", &Layout::instruction_size},
    {"inlined_count_index", &Layout::inlined_count_index},
    {"literals_index", &Layout::literals_index},
    {"function_index", &Layout::function_index},
    {"inlining_positions_index", &Layout::inlining_positions_index},
    {"function_wrapper_shared", &Layout::function_wrapper_shared},
    {"inlining_position_bytes", &Layout::inlining_position_bytes},
};
static_assert(sizeof(Layout) == sizeof(size_t) * std::size(kEntries));
#endif

}  // namespace

#ifdef OTELPYROSCOPE_TESTING
constinit Layout table = TableOfThisVersion();
#else
constinit const Layout table = TableOfThisVersion();
#endif

bool HasCodeLayout() {
#ifdef OTELPYROSCOPE_HAS_CODE_LAYOUT
  return kHeapIsReadable;
#else
  return false;
#endif
}

const Bytecodes& bytecodes() {
  static constexpr Bytecodes known = kBytecodes;
  return known;
}

#ifdef OTELPYROSCOPE_TESTING
const char* ShiftEntry(size_t entry, int bytes) {
  if (entry >= std::size(kEntries)) return "";
  table.*kEntries[entry].offset += static_cast<size_t>(bytes);
  return kEntries[entry].name;
}
#endif

}  // namespace v8_layout
}  // namespace otelpyroscope
