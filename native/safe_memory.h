// Reads of this process's memory that fail instead of faulting.
#ifndef NATIVE_SAFE_MEMORY_H_
#define NATIVE_SAFE_MEMORY_H_

#include <cstddef>
#include <cstdint>

namespace otelpyroscope {

class SafeMemory {
 public:
  // Copies `size` bytes from `address`, by process_vm_readv on this process,
  // else by pread of /proc/self/mem (qemu-user and some seccomp profiles
  // refuse the first). False where the address is not readable, or where both
  // ways are refused. Not SIGNAL_SAFE: the first call probes.
  static bool Read(uintptr_t address, void* to, size_t size);

  template <typename T>
  static bool Read(uintptr_t address, T* to) {
    return Read(address, static_cast<void*>(to), sizeof(T));
  }
};

}  // namespace otelpyroscope

#endif  // NATIVE_SAFE_MEMORY_H_
