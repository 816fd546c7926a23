// Tests of reads that cannot fault, both ways of doing them.
#include "base/safe_memory.h"

#include <dlfcn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "check.h"

namespace {

bool refuse_process_vm_readv = false;

}  // namespace

// A static program has no second definition to call.
#if !defined(OTELPYROSCOPE_STATIC)

// Stands before the C library's, as a seccomp profile or qemu-user would.
extern "C" ssize_t process_vm_readv(pid_t pid, const struct iovec* local,
                                    unsigned long local_count,
                                    const struct iovec* remote,
                                    unsigned long remote_count,
                                    unsigned long flags) {
  if (refuse_process_vm_readv) {
    errno = EPERM;
    return -1;
  }
  static const auto real = reinterpret_cast<decltype(&process_vm_readv)>(
      dlsym(RTLD_NEXT, "process_vm_readv"));
  return real(pid, local, local_count, remote, remote_count, flags);
}

#endif  // OTELPYROSCOPE_STATIC

namespace otelpyroscope {
namespace {

void ExpectReadsThatCannotFault() {
  const uint64_t written = 0x0123456789abcdef;
  uint64_t read = 0;
  EXPECT(SafeMemory::Read(reinterpret_cast<uintptr_t>(&written), &read));
  EXPECT(read == written);

  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* memory = mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT(memory != MAP_FAILED);
  memset(memory, 0x5a, 2 * page);
  EXPECT_EQ(munmap(static_cast<char*>(memory) + page, page), 0);
  const uintptr_t end = reinterpret_cast<uintptr_t>(memory) + page;
  EXPECT(SafeMemory::Read(end - 8, &read));
  EXPECT(read == 0x5a5a5a5a5a5a5a5a);
  EXPECT(!SafeMemory::Read(end - 4, &read));  // half of it
  EXPECT(!SafeMemory::Read(end, &read));

  EXPECT(!SafeMemory::Read(0, &read));
  EXPECT(!SafeMemory::Read(3, &read));  // V8's cleared weak reference
  EXPECT(!SafeMemory::Read(4095, &read));
  EXPECT(!SafeMemory::Read(0x0000800000000000, &read));
  EXPECT(!SafeMemory::Read(~uintptr_t{0} - 3, &read));
  EXPECT(!SafeMemory::Read(0xdeadbeefdeadbeef, &read));
}

TEST(memory_reads_that_cannot_fault) { ExpectReadsThatCannotFault(); }

TEST(memory_reads_without_process_vm_readv) {
  refuse_process_vm_readv = true;
  ExpectReadsThatCannotFault();
}

TEST(reads_through_a_cache_are_the_same) {
  static SafeMemory::Cache cache;
  {
    const SafeMemory::Reading reading(&cache);
    ExpectReadsThatCannotFault();
  }
  static uint8_t bytes[4096];
  for (size_t i = 0; i < sizeof(bytes); i++) bytes[i] = i % 251;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(bytes);
  for (int round = 0; round < 2; round++) {
    const SafeMemory::Reading reading(&cache);
    for (size_t i = 0; i + 24 <= sizeof(bytes); i++) {
      uint8_t read[24] = {};
      EXPECT(SafeMemory::Read(begin + i, read, sizeof(read)));
      EXPECT(memcmp(read, bytes + i, sizeof(read)) == 0);
    }
  }
}

TEST(reads_through_a_cache_begin_anew_each_time) {
  static SafeMemory::Cache cache;
  static volatile uint64_t word = 1;
  const uintptr_t address = reinterpret_cast<uintptr_t>(&word);
  for (uint64_t value = 1; value < 4; value++) {
    word = value;
    const SafeMemory::Reading reading(&cache);
    uint64_t read = 0;
    EXPECT(SafeMemory::Read(address, &read));
    EXPECT_EQ(read, value);
  }
}

}  // namespace
}  // namespace otelpyroscope
