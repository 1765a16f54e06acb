// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/clock.h"

#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>

namespace rlx {
namespace {

template <class Clock>
double SecondsOf() {
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

}  // namespace

double MonotonicSeconds() { return SecondsOf<std::chrono::steady_clock>(); }

double WallSeconds() { return SecondsOf<std::chrono::system_clock>(); }

std::string FormatUtc(double wall_seconds) {
  auto milliseconds = static_cast<int64_t>(std::floor(wall_seconds * 1000));
  int64_t rest = ((milliseconds % 1000) + 1000) % 1000;
  std::time_t seconds = (milliseconds - rest) / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char date[32];
  size_t length = std::strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &parts);
  char fraction[16];
  std::snprintf(fraction, sizeof(fraction), ".%03dZ", static_cast<int>(rest));
  return std::string(date, length) + fraction;
}

}  // namespace rlx
