// Tests of the list of loaded files, and that only those are opened.
#include "symbols/loaded_files.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "check.h"
#include "symbols/symbol_index.h"

namespace otelpyroscope {
namespace {

LoadedFile FileOf(const void* code) {
  const std::optional<LoadedFile> file =
      LoadedFileOf(reinterpret_cast<uintptr_t>(code));
  EXPECT(file.has_value());
  return *file;
}

LoadedFile ThisProgram() {
  return FileOf(reinterpret_cast<const void*>(&ThisProgram));
}

bool CanOpen(const LoadedFile& loaded) {
  const int file = OpenLoadedFile(loaded);
  if (file < 0) return false;
  close(file);
  return true;
}

// A name in a directory of its own.
std::string NewPath() {
  char directory[] = "/tmp/loaded-files-XXXXXX";
  EXPECT(mkdtemp(directory) != nullptr);
  return std::string(directory) + "/file";
}

void Remove(const std::string& path) {
  unlink(path.c_str());
  rmdir(path.substr(0, path.rfind('/')).c_str());
}

std::string ReadAll(const std::string& path) {
  std::string bytes;
  const int file = open(path.c_str(), O_RDONLY);
  EXPECT_GE(file, 0);
  char part[4096];
  ssize_t length = 0;
  while ((length = read(file, part, sizeof(part))) > 0) {
    bytes.append(part, static_cast<size_t>(length));
  }
  close(file);
  return bytes;
}

void WriteAll(const std::string& path, const std::string& bytes) {
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0700);
  EXPECT_GE(file, 0);
  EXPECT_EQ(write(file, bytes.data(), bytes.size()), bytes.size());
  close(file);
}

TEST(files_that_are_loaded_are_opened) {
  const std::vector<LoadedFile> files = LoadedFiles();
  EXPECT_GE(files.size(), 1);
  const LoadedFile program = ThisProgram();
  EXPECT(program.is_program);
  EXPECT(CanOpen(program));
  // The same bytes elsewhere do as well.
  LoadedFile copy = program;
  copy.path = NewPath();
  WriteAll(copy.path, ReadAll(program.path));
  EXPECT(CanOpen(copy));
  Remove(copy.path);
}

TEST(files_that_are_others_now_are_not_opened) {
  LoadedFile changed = ThisProgram();
  std::string bytes = ReadAll(changed.path);
  changed.path = NewPath();
  bytes[0x28]++;  // e_shoff: where the sections are
  WriteAll(changed.path, bytes);
  EXPECT(!CanOpen(changed));
  WriteAll(changed.path, bytes.substr(0, 40));
  EXPECT(!CanOpen(changed));
  Remove(changed.path);
  EXPECT(!CanOpen(changed));
  LoadedFile unreadable = ThisProgram();
  unreadable.begin = 0;
  EXPECT(!CanOpen(unreadable));
}

// A pipe that is opened for reading waits for a writer, and a terminal may
// become the process's own.
TEST(files_that_are_no_files_are_not_waited_for) {
  LoadedFile file = ThisProgram();
  for (const char* path : {"/tmp", "/dev/zero", "/dev/null", "/dev/ptmx"}) {
    file.path = path;
    EXPECT(!CanOpen(file));
  }
  file.path = NewPath();
  EXPECT_EQ(mkfifo(file.path.c_str(), 0600), 0);
  EXPECT(!CanOpen(file));
  Remove(file.path);
}

TEST(symbols_do_not_wait_for_a_pipe_at_a_librarys_path) {
  void* library = dlopen("libz.so.1", RTLD_NOW);
  if (library == nullptr) library = dlopen("libgomp.so.1", RTLD_NOW);
  EXPECT(library != nullptr);
  const void* in_library = dlsym(library, "deflate");
  if (in_library == nullptr) in_library = dlsym(library, "omp_get_num_threads");
  const std::string path = NewPath();
  WriteAll(path, ReadAll(FileOf(in_library).path));
  dlclose(library);
  void* copy = dlopen(path.c_str(), RTLD_NOW);
  EXPECT(copy != nullptr);
  unlink(path.c_str());
  EXPECT_EQ(mkfifo(path.c_str(), 0600), 0);
  const void* function = dlsym(copy, "deflate");
  if (function == nullptr) function = dlsym(copy, "omp_get_num_threads");
  SymbolIndex::Prepare();
  const SymbolIndex::Snapshot symbols = SymbolIndex::Current(10000);
  EXPECT(symbols != nullptr);
  EXPECT(symbols->Name(reinterpret_cast<uintptr_t>(function)) == "file");
  Remove(path);
}

}  // namespace
}  // namespace otelpyroscope
