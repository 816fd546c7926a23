// Tests when samples are due: no CPU time is lost or counted twice, and no
// moment of an interval is preferred.
#include "handler/sample_schedule.h"

#include "check.h"

namespace otelpyroscope {
namespace {

constexpr uint64_t kInterval = 1000;

TEST(schedule_counts_whole_intervals_once) {
  SampleSchedule schedule;
  schedule.Begin(kInterval, 500);
  uint64_t counted = 0;
  for (uint64_t now = 500; now < 500 + 1000 * kInterval; now += 7) {
    const bool is_due = schedule.RestNs(now) == 0;
    const uint32_t weight = schedule.Take(now);
    EXPECT_EQ(weight != 0, is_due);
    counted += weight * kInterval;
    EXPECT_LE(counted, now - 500);
    EXPECT_LE(now - 500, counted + 2 * kInterval);
  }
}

TEST(schedule_counts_what_has_passed_without_a_signal) {
  SampleSchedule schedule;
  schedule.Begin(kInterval, 0);
  EXPECT_EQ(schedule.Take(25 * kInterval + 1), 25);
  EXPECT_EQ(schedule.Take(25 * kInterval + 1), 0);
  EXPECT_LE(schedule.RestNs(25 * kInterval + 1), 2 * kInterval);
}

// Work that takes exactly an interval each time.
TEST(schedule_is_not_in_step_with_work) {
  SampleSchedule schedule;
  schedule.Begin(kInterval, 0);
  uint32_t samples_of_tenth[10] = {};
  for (uint64_t now = 0; now < 10000 * kInterval; now += 10) {
    if (schedule.Take(now) != 0) samples_of_tenth[now % kInterval / 100]++;
  }
  for (const uint32_t samples : samples_of_tenth) {
    EXPECT_GE(samples, 850);  // of 1,000: five standard deviations
    EXPECT_LE(samples, 1150);
  }
}

}  // namespace
}  // namespace otelpyroscope
