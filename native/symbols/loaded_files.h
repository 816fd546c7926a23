// Lists the loaded files that contain code: the program, its libraries, addons.
// Any thread, but not the signal handler.
#ifndef NATIVE_SYMBOLS_LOADED_FILES_H_
#define NATIVE_SYMBOLS_LOADED_FILES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace otelpyroscope {

struct LoadedFile {
  uintptr_t begin = 0;  // start of the lowest segment
  uintptr_t end = 0;    // end of the highest executable one
  uintptr_t bias = 0;   // address in memory - address in the file
  std::string path;     // /proc/self/exe for the program
  bool is_program = false;

  bool Contains(uintptr_t address) const {
    return address >= begin && address < end;
  }
};

// Returns the files with code, in the order in which they were loaded. If there
// are too many, the last ones are left out.
std::vector<LoadedFile> LoadedFiles();

// Opens the file for reading if it is still the one in memory: an upgrade may
// have replaced it. Does not block: a pipe or a device in its place is not
// opened. Returns a file descriptor that the caller closes, or -1.
int OpenLoadedFile(const LoadedFile& loaded);

// Returns the file with the code at `address`, or nothing if no file contains
// it.
std::optional<LoadedFile> LoadedFileOf(uintptr_t address);

}  // namespace otelpyroscope

#endif  // NATIVE_SYMBOLS_LOADED_FILES_H_
