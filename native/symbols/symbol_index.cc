#include "symbols/symbol_index.h"

#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <string_view>
#include <utility>

#include "base/start_thread.h"
#include "names/demangle.h"
#include "names/pseudo_frames.h"
#include "symbols/loaded_files.h"

namespace otelpyroscope {

struct SymbolIndex::Module : LoadedFile {
  std::string base_name;
  ElfFunctions functions;
};

struct SymbolIndex::State {
  std::mutex mutex;
  std::condition_variable built;
  std::condition_variable wanted;
  bool building = false;  // under the mutex, as all below
  bool is_wanted = false;
  int delay_ms = 0;
  uint64_t generation = 0;  // of the index, or of the one in the making
  Snapshot current;
};

namespace {

constexpr size_t kBuilderStackBytes = 256 * 1024;

// Returns a number that changes when something is loaded or unloaded; never 0.
uint64_t LoadedGeneration() {
  uint64_t generation = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* data) {
        // Both counts only grow; musl's are 0 until a file is loaded.
        *static_cast<uint64_t*>(data) = 1 + info->dlpi_adds + info->dlpi_subs;
        return 1;
      },
      &generation);
  return generation;
}

std::string_view BaseName(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

// Returns the name to show for the main program.
std::string ExecutableName(const std::string& link) {
  char path[4096];
  const ssize_t length = readlink(link.c_str(), path, sizeof(path));
  if (length <= 0) return PseudoFrameName(PseudoFrame::kNative);
  return std::string(
      BaseName(std::string_view(path, static_cast<size_t>(length))));
}

}  // namespace

SymbolIndex::State& SymbolIndex::GetState() {
  // Leaked, because process.exit() runs static destructors while the builder
  // may run.
  static State& state = *new State;
  return state;
}

void SymbolIndex::Prepare(int delay_ms) {
  const uint64_t generation = LoadedGeneration();
  State& state = GetState();
  {
    std::lock_guard<std::mutex> lock(state.mutex);
    if (state.building || state.generation == generation) return;
    state.building = true;
    state.generation = generation;
    state.delay_ms = delay_ms;
    state.is_wanted = false;
  }
  const int error = StartThread(kBuilderStackBytes, Build, &state);
  if (error != 0) {
    std::lock_guard<std::mutex> lock(state.mutex);
    state.building = false;
    state.generation = 0;
  }
}

void* SymbolIndex::Build(void* data) {
  State& state = *static_cast<State*>(data);
  Snapshot before;
  {
    std::unique_lock<std::mutex> lock(state.mutex);
    state.wanted.wait_for(lock, std::chrono::milliseconds(state.delay_ms),
                          [&state] { return state.is_wanted; });
    before = state.current;
  }
  Snapshot index = IndexLoaded(before.get());
  {
    std::lock_guard<std::mutex> lock(state.mutex);
    state.current = std::move(index);
    state.building = false;
  }
  state.built.notify_all();
  return nullptr;
}

SymbolIndex::Snapshot SymbolIndex::Current(int wait_ms) {
  State& state = GetState();
  std::unique_lock<std::mutex> lock(state.mutex);
  state.is_wanted = true;
  state.wanted.notify_all();
  state.built.wait_for(lock, std::chrono::milliseconds(wait_ms),
                       [&state] { return !state.building; });
  return state.current;
}

SymbolIndex::Snapshot SymbolIndex::IndexLoaded(const SymbolIndex* before) {
  std::shared_ptr<SymbolIndex> index(new SymbolIndex);
  for (LoadedFile& loaded : LoadedFiles()) {
    Module module;
    static_cast<LoadedFile&>(module) = std::move(loaded);
    const Module* known =
        before == nullptr ? nullptr : before->ModuleAt(module.begin);
    if (known != nullptr && known->begin == module.begin &&
        known->end == module.end && known->path == module.path) {
      for (const auto& candidate : before->modules_) {
        if (candidate.get() == known) index->modules_.push_back(candidate);
      }
      continue;
    }
    module.base_name = module.is_program ? ExecutableName(module.path)
                                         : std::string(BaseName(module.path));
    const int file = OpenLoadedFile(module);
    if (file >= 0) {
      if (!ReadElfFunctions(file, module.begin - module.bias,
                            &module.functions)) {
        module.functions = ElfFunctions();
      }
      close(file);
    }
    index->modules_.push_back(std::make_shared<Module>(std::move(module)));
  }
  std::sort(index->modules_.begin(), index->modules_.end(),
            [](const auto& a, const auto& b) { return a->begin < b->begin; });
  return index;
}

const SymbolIndex::Module* SymbolIndex::ModuleAt(uintptr_t address) const {
  const auto after = std::upper_bound(modules_.begin(), modules_.end(), address,
                                      [](uintptr_t value, const auto& module) {
                                        return value < module->begin;
                                      });
  if (after == modules_.begin()) return nullptr;
  const Module* module = std::prev(after)->get();
  return address < module->end ? module : nullptr;
}

uintptr_t SymbolIndex::FunctionAt(uintptr_t address) const {
  const Module* module = ModuleAt(address);
  if (module == nullptr) return 0;
  const ElfFunction* function = module->functions.Find(address - module->bias);
  // The address of the file's header identifies the file: no function is there.
  if (function == nullptr) return module->begin;
  return module->bias + module->functions.base + function->start;
}

bool SymbolIndex::IsInAddon(uintptr_t address) const {
  const Module* module = ModuleAt(address);
  return module != nullptr && module->base_name.ends_with(".node");
}

std::string SymbolIndex::Name(uintptr_t address) const {
  const Module* module = ModuleAt(address);
  if (module == nullptr) return {};
  const ElfFunction* function = module->functions.Find(address - module->bias);
  if (function == nullptr) return module->base_name;
  const uintptr_t start =
      module->bias + module->functions.base + function->start;
  std::lock_guard<std::mutex> lock(names_mutex_);
  const auto known = names_.find(start);
  if (known != names_.end()) return known->second;
  std::string name;
  const int file = OpenLoadedFile(*module);
  if (file >= 0) {
    name = ReadableSymbol(ReadElfName(file, module->functions, *function));
    close(file);
  }
  if (name.empty()) name = module->base_name;
  if (names_.size() >= kMaxNames) names_.clear();
  names_.emplace(start, name);
  return name;
}

size_t SymbolIndex::bytes() const {
  size_t bytes = 0;
  for (const auto& module : modules_) {
    bytes += module->functions.functions.capacity() * sizeof(ElfFunction);
  }
  return bytes;
}

}  // namespace otelpyroscope
