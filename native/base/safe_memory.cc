#include "base/safe_memory.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace otelpyroscope {
namespace {

// No object lies in the first page: a pointer into it is a small integer or a
// cleared reference.
constexpr uintptr_t kLowestAddress = 4096;
// Larger reads copy whole tables, which are read only once.
constexpr size_t kMaxCachedBytes = 64;
// 2^64 divided by the golden ratio: spreads block numbers over the sets.
constexpr uint64_t kGoldenRatio = 0x9e3779b97f4a7c15;

thread_local SafeMemory::Cache* current_cache = nullptr;

bool ReadByVm(uintptr_t address, void* to, size_t size) {
  const iovec local = {to, size};
  const iovec remote = {reinterpret_cast<void*>(address), size};
  return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) ==
         static_cast<ssize_t>(size);
}

bool ReadByFile(uintptr_t address, void* to, size_t size) {
  // The file is opened for each read: an open file would survive a fork, and
  // give the child a handle on the parent's memory.
  const int file = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  const ssize_t got = pread(file, to, size, static_cast<off_t>(address));
  close(file);
  return got == static_cast<ssize_t>(size);
}

bool VmReadWorks() {
  const uint32_t written = 0x5eed;
  uint32_t read = 0;
  return ReadByVm(reinterpret_cast<uintptr_t>(&written), &read, sizeof(read)) &&
         read == written;
}

}  // namespace

bool SafeMemory::Read(uintptr_t address, void* to, size_t size) {
  if (address < kLowestAddress) return false;
  if (current_cache != nullptr && size <= kMaxCachedBytes &&
      current_cache->Read(address, static_cast<uint8_t*>(to), size)) {
    return true;
  }
  return ReadMemory(address, to, size);
}

bool SafeMemory::ReadMemory(uintptr_t address, void* to, size_t size) {
  static const bool vm_read_works = VmReadWorks();
  return vm_read_works ? ReadByVm(address, to, size)
                       : ReadByFile(address, to, size);
}

// Returns the block, which is read if it is not cached; or null if it is not
// readable.
const SafeMemory::Cache::Block* SafeMemory::Cache::Find(uintptr_t number) {
  Set& set = sets_[number * kGoldenRatio >> (64 - kSetBits)];
  for (const Block& block : set.blocks) {
    if (block.number == number && block.reading == reading_) return &block;
  }
  Block& block = set.blocks[set.next];
  block.reading = 0;
  if (!ReadMemory(number * kBlockBytes, block.bytes, kBlockBytes)) {
    return nullptr;
  }
  block.reading = reading_;
  block.number = number;
  set.next = (set.next + 1) % kWays;
  return &block;
}

bool SafeMemory::Cache::Read(uintptr_t address, uint8_t* to, size_t size) {
  while (size > 0) {
    const Block* block = Find(address / kBlockBytes);
    if (block == nullptr) return false;
    const size_t offset = address % kBlockBytes;
    const size_t part = std::min(size, kBlockBytes - offset);
    memcpy(to, block->bytes + offset, part);
    address += part;
    to += part;
    size -= part;
  }
  return true;
}

SafeMemory::Reading::Reading(Cache* cache) {
  cache->reading_++;
  current_cache = cache;
}

SafeMemory::Reading::~Reading() { current_cache = nullptr; }

}  // namespace otelpyroscope
