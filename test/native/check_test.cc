// A case that the driver runs to see that a failure is noticed.
#include "check.h"

namespace {

check::Case fails_always("fails_always", [] { EXPECT_EQ(1, 2); });

}  // namespace
