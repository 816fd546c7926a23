// Tests of the sample ring: order, wrapping, a full ring, and its two sides at
// work at once, as threads and as signal handler against interrupted code.
#include "handler/sample_ring.h"

#include <signal.h>
#include <string.h>
#include <time.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <thread>

#include "check.h"

namespace otelpyroscope {
namespace {

constexpr uint64_t kNoLimit = ~uint64_t{0};

// Writes `words` words that all follow from `sequence`.
bool Produce(SampleRing* ring, uintptr_t sequence, size_t words) {
  uintptr_t* record = ring->Reserve(words);
  if (record == nullptr) {
    ring->Drop(words);
    return false;
  }
  for (size_t i = 0; i < words; i++) record[i] = sequence * 1000 + i;
  ring->Commit(words);
  return true;
}

// Takes a record, checks that its words belong together, and returns its
// sequence number; -1: the ring is empty.
int64_t Consume(SampleRing* ring, uint64_t limit = kNoLimit) {
  size_t words = 0;
  const uintptr_t* record = ring->Peek(limit, &words);
  if (record == nullptr) return -1;
  EXPECT_GE(words, 1);
  const uintptr_t sequence = record[0] / 1000;
  for (size_t i = 0; i < words; i++) {
    EXPECT_EQ(record[i], sequence * 1000 + i);
  }
  ring->Pop();
  return static_cast<int64_t>(sequence);
}

// As if a signal arrived again before each record is taken.
TEST(ring_is_drained_however_fast_records_come) {
  SampleRing ring;
  EXPECT(ring.Allocate(256));
  uintptr_t next = 0;
  for (; next < 3; next++) EXPECT(Produce(&ring, next, 2));
  uintptr_t taken = 0;
  uint64_t skipped = 0;
  size_t left = 10;
  ring.Drain(
      kNoLimit, &left,
      [&](const uintptr_t* record) {
        EXPECT_EQ(record[0], taken * 1000);
        taken++;
        // One in the place of this one, and another.
        for (int i = 0; i < 2; i++) Produce(&ring, next++, 2);
      },
      [&](const uintptr_t* record) {
        EXPECT_EQ(record[0], (taken + skipped) * 1000);
        skipped++;
      });
  EXPECT_EQ(taken, 10);
  EXPECT_EQ(left, 0);
  EXPECT_EQ(taken + skipped, next);
  EXPECT_EQ(ring.pending(), 0);
  EXPECT_EQ(Consume(&ring), -1);
}

TEST(ring_is_drained_up_to_a_position) {
  SampleRing ring;
  EXPECT(ring.Allocate(256));
  EXPECT(Produce(&ring, 0, 3));
  const uint64_t limit = ring.head();
  EXPECT(Produce(&ring, 1, 3));
  size_t left = 10;
  int taken = 0;
  ring.Drain(
      limit, &left, [&](const uintptr_t*) { taken++; },
      [](const uintptr_t*) { EXPECT(false); });
  EXPECT_EQ(taken, 1);
  EXPECT_EQ(left, 9);
  EXPECT_EQ(Consume(&ring), 1);
}

// A length that varies from record to record, 1 to `max`.
size_t LengthOf(uintptr_t sequence, size_t max) {
  return 1 + (sequence * 2654435761u >> 7) % max;
}

TEST(ring_shows_what_waits) {
  SampleRing ring;
  EXPECT(ring.Allocate(64));
  uintptr_t next = 0;
  uintptr_t taken = 0;
  for (int round = 0; round < 200; round++) {
    while (Produce(&ring, next, LengthOf(next, 9))) next++;
    uintptr_t expected = taken;
    ring.ForEach([&expected](const uintptr_t* record) {
      EXPECT_EQ(record[0] / 1000, expected++);
    });
    EXPECT_EQ(expected, next);
    for (int i = 0; i < 3; i++, taken++) EXPECT_EQ(Consume(&ring), taken);
  }
  while (Consume(&ring) >= 0) taken++;
  EXPECT_EQ(taken, next);
  ring.ForEach([](const uintptr_t*) { EXPECT(false); });
}

TEST(ring_starts_empty) {
  SampleRing ring;
  EXPECT(ring.Allocate(64));
  EXPECT_EQ(ring.pending(), 0);
  EXPECT_EQ(ring.head(), 0);
  EXPECT_EQ(Consume(&ring), -1);
  EXPECT_EQ(ring.dropped_records(), 0);
  EXPECT_EQ(ring.TakeDroppedWeight(), 0);
}

TEST(ring_keeps_order_and_content_while_it_wraps) {
  SampleRing ring;
  EXPECT(ring.Allocate(64));
  uintptr_t produced = 0;
  int64_t consumed = 0;
  // Runs of one to three records at every alignment to the ring's end.
  for (int round = 0; round < 5000; round++) {
    for (int i = 0; i <= round % 3; i++) {
      EXPECT(Produce(&ring, produced, LengthOf(produced, 10)));
      produced++;
    }
    while (static_cast<uintptr_t>(consumed) < produced) {
      EXPECT_EQ(Consume(&ring), consumed);
      consumed++;
    }
  }
  EXPECT_EQ(ring.pending(), 0);
  EXPECT_EQ(ring.dropped_records(), 0);
  EXPECT_GE(ring.head(), 64 * 100);
}

TEST(ring_full_counts_and_loses_nothing_else) {
  SampleRing ring;
  EXPECT(ring.Allocate(64));
  for (int lap = 0; lap < 200; lap++) {
    uintptr_t sequence = 0;
    // A different offset every lap.
    EXPECT(Produce(&ring, 7, 1 + lap % 13));
    EXPECT_EQ(Consume(&ring), 7);
    while (Produce(&ring, sequence, 5)) sequence++;
    EXPECT_GE(sequence, 9);  // of 64 / 6, less what is skipped at the end
    EXPECT_EQ(ring.pending(), sequence);
    for (int more = 0; more < 3; more++) EXPECT(!Produce(&ring, 999, 5));
    EXPECT_EQ(ring.dropped_records(), (lap + 1) * 4);
    EXPECT_EQ(ring.TakeDroppedWeight(), 4 * 5);
    EXPECT_EQ(ring.TakeDroppedWeight(), 0);

    // One record less makes room for one more, at the end of the line.
    EXPECT_EQ(Consume(&ring), 0);
    EXPECT_EQ(Consume(&ring), 1);
    EXPECT(Produce(&ring, sequence, 5));
    for (int64_t i = 2; i <= static_cast<int64_t>(sequence); i++) {
      EXPECT_EQ(Consume(&ring), i);
    }
    EXPECT_EQ(Consume(&ring), -1);
  }
}

TEST(ring_publishes_what_was_committed_only) {
  SampleRing ring;
  EXPECT(ring.Allocate(64));
  for (uintptr_t i = 0; i < 500; i++) {
    // An abandoned reservation, which may have marked the end as skipped.
    EXPECT(ring.Reserve(30) != nullptr);
    EXPECT_EQ(Consume(&ring), -1);
    uintptr_t* record = ring.Reserve(20);
    EXPECT(record != nullptr);
    EXPECT_EQ(ring.pending(), 0);
    record[0] = i * 1000;
    record[1] = i * 1000 + 1;
    ring.Commit(2);
    size_t words = 0;
    EXPECT(ring.Peek(kNoLimit, &words) != nullptr);
    EXPECT_EQ(words, 2);
    EXPECT_EQ(Consume(&ring), i);
  }
}

TEST(ring_hands_out_records_before_a_position) {
  SampleRing ring;
  EXPECT(ring.Allocate(64));
  for (uintptr_t i = 0; i < 1000; i += 2) {
    EXPECT(Produce(&ring, i, LengthOf(i, 10)));
    const uint64_t between = ring.head();
    EXPECT(Produce(&ring, i + 1, LengthOf(i + 1, 10)));
    EXPECT_EQ(Consume(&ring, between), i);
    EXPECT_EQ(Consume(&ring, between), -1);
    EXPECT_EQ(Consume(&ring), i + 1);
  }
}

TEST(ring_reset_forgets_records_and_counts) {
  SampleRing ring;
  EXPECT(ring.Allocate(16));
  while (Produce(&ring, 1, 3)) {
  }
  ring.Reset();
  EXPECT_EQ(ring.pending(), 0);
  EXPECT_EQ(ring.dropped_records(), 0);
  EXPECT_EQ(ring.TakeDroppedWeight(), 0);
  EXPECT_EQ(Consume(&ring), -1);
  EXPECT(Produce(&ring, 2, 3));
  EXPECT_EQ(Consume(&ring), 2);
}

TEST(ring_between_two_threads) {
  SampleRing ring;
  EXPECT(ring.Allocate(256));
  constexpr uintptr_t kRecords = check::kThreadSanitizer ? 20000 : 200000;
  std::thread producer([&ring] {
    for (uintptr_t i = 0; i < kRecords; i++) {
      // Waiting is this test's, not the ring's.
      for (;;) {
        const size_t words = LengthOf(i, 12);
        uintptr_t* record = ring.Reserve(words);
        if (record == nullptr) {
          std::this_thread::yield();
          continue;
        }
        for (size_t j = 0; j < words; j++) record[j] = i * 1000 + j;
        ring.Commit(words);
        break;
      }
    }
  });
  for (uintptr_t i = 0; i < kRecords;) {
    const int64_t sequence = Consume(&ring);
    if (sequence < 0) {
      std::this_thread::yield();
      continue;
    }
    EXPECT_EQ(sequence, i);
    i++;
  }
  producer.join();
  EXPECT_EQ(ring.pending(), 0);
}

// For the handler below.
SampleRing* signal_ring = nullptr;
std::atomic<uintptr_t> signals_seen{0};

void ProduceInSignal(int) {
  const int saved_errno = errno;
  const uintptr_t sequence = signals_seen.load(std::memory_order_relaxed);
  signals_seen.store(sequence + 1, std::memory_order_relaxed);
  Produce(signal_ring, sequence, LengthOf(sequence, 12));
  errno = saved_errno;
}

TEST(ring_from_a_signal_handler) {
  static SampleRing ring;
  EXPECT(ring.Allocate(64));
  signal_ring = &ring;
  struct sigaction action;
  memset(&action, 0, sizeof(action));
  action.sa_handler = ProduceInSignal;
  EXPECT_EQ(sigaction(SIGRTMIN, &action, nullptr), 0);
  struct sigevent event;
  memset(&event, 0, sizeof(event));
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGRTMIN;
  timer_t timer;
  EXPECT_EQ(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
  const itimerspec every_50_us = {{0, 50000}, {0, 50000}};
  EXPECT_EQ(timer_settime(timer, 0, &every_50_us, nullptr), 0);

  int64_t consumed = 0;
  int64_t last = -1;
  const auto take = [&] {
    int64_t sequence;
    while ((sequence = Consume(&ring)) >= 0) {
      EXPECT(sequence > last);
      last = sequence;
      consumed++;
    }
  };
  // Mostly quick, at times too slow for a ring of 64 words, however slow the
  // machine is.
  const auto seen = [] { return signals_seen.load(std::memory_order_relaxed); };
  for (int round = 0; seen() < 2000; round++) {
    take();
    if (round % 20000 != 19999) continue;
    const uintptr_t full = seen() + 64;
    while (seen() < full) {
    }
  }
  EXPECT_EQ(timer_delete(timer), 0);
  take();
  const int64_t dropped = static_cast<int64_t>(ring.dropped_records());
  EXPECT_EQ(consumed + dropped, signals_seen.load(std::memory_order_relaxed));
  EXPECT_GE(consumed, 100);
  EXPECT_GE(dropped, 1);
}

}  // namespace
}  // namespace otelpyroscope
