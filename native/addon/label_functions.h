// The addon's functions for labels: NativeLabels of src/addon/loader.ts, but
// for the label table. From JavaScript alone, on the sampler's thread.
#ifndef NATIVE_ADDON_LABEL_FUNCTIONS_H_
#define NATIVE_ADDON_LABEL_FUNCTIONS_H_

#include <napi.h>

#include "sampler/sampler.h"

namespace otelpyroscope {

// Adds the functions, and the arrays over the sampler's memory, to `binding`.
void AddLabelFunctions(Napi::Env env, Sampler* sampler, Napi::Object binding);

}  // namespace otelpyroscope

#endif  // NATIVE_ADDON_LABEL_FUNCTIONS_H_
