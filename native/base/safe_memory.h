// Reads this process's memory with calls that fail instead of faulting.
#ifndef NATIVE_BASE_SAFE_MEMORY_H_
#define NATIVE_BASE_SAFE_MEMORY_H_

#include <cstddef>
#include <cstdint>

namespace otelpyroscope {

// May be called from any thread: in the drain, in callbacks of the collector,
// and from JavaScript. Never in the signal handler.
class SafeMemory {
 public:
  // Copies `size` bytes from `address`: with process_vm_readv on this process,
  // else with pread of /proc/self/mem (qemu-user and some seccomp profiles
  // refuse the first). Returns false if the address is not readable, or if the
  // system refuses both ways. Not SIGNAL_SAFE: the first call probes which way
  // works.
  static bool Read(uintptr_t address, void* to, size_t size);

  template <typename T>
  static bool Read(uintptr_t address, T* to) {
    return Read(address, static_cast<void*>(to), sizeof(T));
  }

  // Keeps copies of the blocks of memory that were read last.
  class Cache {
   public:
    Cache() = default;
    Cache(const Cache&) = delete;
    Cache& operator=(const Cache&) = delete;

   private:
    friend class SafeMemory;

    // A block never spans two pages. The call costs far more than the bytes,
    // and V8 places objects that it makes together next to each other.
    static constexpr size_t kBlockBytes = 4096;
    static constexpr size_t kSetBits = 4;
    static constexpr size_t kSets = 1 << kSetBits;
    static constexpr size_t kWays = 4;

    struct Block {
      uint64_t reading = 0;  // 0: empty
      uintptr_t number = 0;  // the address divided by kBlockBytes
      uint8_t bytes[kBlockBytes];
    };
    struct Set {
      size_t next = 0;  // index of the block to replace next
      Block blocks[kWays];
    };

    bool Read(uintptr_t address, uint8_t* to, size_t size);
    const Block* Find(uintptr_t number);

    uint64_t reading_ = 0;  // number of the Reading
    Set sets_[kSets];
  };

  // While an instance lives, small reads of this thread go through the cache,
  // so the memory that is read must not change meanwhile. Creating it empties
  // the cache. Instances do not nest.
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
