// Reads of this process's memory that fail instead of faulting.
#ifndef NATIVE_BASE_SAFE_MEMORY_H_
#define NATIVE_BASE_SAFE_MEMORY_H_

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

    // Never in two pages. A read costs far more for the call than for the
    // bytes, and what V8 has made together lies together.
    static constexpr size_t kBlockBytes = 4096;
    static constexpr size_t kSetBits = 4;
    static constexpr size_t kSets = 1 << kSetBits;
    static constexpr size_t kWays = 4;

    struct Block {
      uint64_t reading = 0;  // 0: nothing is in it
      uintptr_t number = 0;  // the address, in blocks
      uint8_t bytes[kBlockBytes];
    };
    struct Set {
      size_t next = 0;  // is replaced next
      Block blocks[kWays];
    };

    bool Read(uintptr_t address, uint8_t* to, size_t size);
    const Block* Find(uintptr_t number);

    uint64_t reading_ = 0;  // number of the Reading
    Set sets_[kSets];
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

#endif  // NATIVE_BASE_SAFE_MEMORY_H_
