// The list comes from the dynamic linker.
#include "symbols/loaded_files.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include "base/safe_memory.h"

namespace otelpyroscope {
namespace {

constexpr char kExecutable[] = "/proc/self/exe";
constexpr size_t kMaxFiles = 1000;

// Whether the file is the loaded one: compares the header, which contains the
// offsets of the sections.
bool IsInMemory(int file, const LoadedFile& loaded) {
  struct stat status;
  Elf64_Ehdr in_file;
  Elf64_Ehdr in_memory;
  return fstat(file, &status) == 0 && S_ISREG(status.st_mode) &&
         pread(file, &in_file, sizeof(in_file), 0) == sizeof(in_file) &&
         SafeMemory::Read(loaded.begin, &in_memory) &&
         memcmp(&in_file, &in_memory, sizeof(in_file)) == 0;
}

}  // namespace

std::vector<LoadedFile> LoadedFiles() {
  std::vector<LoadedFile> files;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* data) {
        auto& files = *static_cast<std::vector<LoadedFile>*>(data);
        LoadedFile file;
        file.bias = info->dlpi_addr;
        file.path = info->dlpi_name;
        // The program is the first. Its name is empty, or in musl the path by
        // which it was started: relative to another directory, perhaps.
        file.is_program = files.empty();
        if (file.is_program) file.path = kExecutable;
        file.begin = UINTPTR_MAX;
        for (size_t i = 0; i < info->dlpi_phnum; i++) {
          const ElfW(Phdr)& segment = info->dlpi_phdr[i];
          if (segment.p_type != PT_LOAD) continue;
          const uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
          file.begin = std::min(file.begin, begin);
          if ((segment.p_flags & PF_X) == 0) continue;
          file.end = std::max(file.end, begin + segment.p_memsz);
        }
        if (file.end > file.begin) files.push_back(std::move(file));
        return files.size() < kMaxFiles ? 0 : 1;
      },
      &files);
  return files;
}

int OpenLoadedFile(const LoadedFile& loaded) {
  const int file =
      open(loaded.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (file < 0 || IsInMemory(file, loaded)) return file;
  close(file);
  return -1;
}

std::optional<LoadedFile> LoadedFileOf(uintptr_t address) {
  for (LoadedFile& file : LoadedFiles()) {
    if (file.Contains(address)) return std::move(file);
  }
  return std::nullopt;
}

}  // namespace otelpyroscope
