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

  // Blocks of memory around what was read.
  class Cache {
   public:
    Cache() = default;
    Cache(const Cache&) = delete;
    Cache& operator=(const Cache&) = delete;

   private:
    friend class SafeMemory;

    static constexpr size_t kBlockBytes = 512;  // never in two pages
    static constexpr size_t kBlocks = 64;

    bool Read(uintptr_t address, uint8_t* to, size_t size);

    uint64_t reading_ = 0;  // number of the Reading
    uint64_t block_readings_[kBlocks] = {};
    uintptr_t block_addresses_[kBlocks] = {};
    uint8_t blocks_[kBlocks][kBlockBytes] = {};
  };

  // While it lives, small reads of this thread go through the cache: nothing
  // that is read may change meanwhile. What is in the cache from before is
  // forgotten. Does not nest.
  class Reading {
   public:
    explicit Reading(Cache* cache);
    ~Reading();
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;
  };

 private:
  static bool ReadMemory(uintptr_t address, void* to, size_t size);
};

}  // namespace otelpyroscope

#endif  // NATIVE_SAFE_MEMORY_H_
