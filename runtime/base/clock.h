// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace rlx {

// Seconds on a clock that never goes back: for durations and deadlines.
double MonotonicSeconds();

// Seconds since 1970 UTC: for people and file times.
double WallSeconds();

// "2026-11-23T02:00:34.125Z" for seconds since 1970, to the millisecond below.
std::string FormatUtc(double wall_seconds);

}  // namespace rlx
