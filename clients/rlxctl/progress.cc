// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/progress.h"

#include <unistd.h>

#include <cstdio>

#include "clients/rlxctl/table.h"
#include "runtime/base/clock.h"
#include "runtime/base/text.h"

namespace rlx::ctl {

Progress::Progress(bool wanted)
    : terminal_(isatty(STDERR_FILENO) == 1), enabled_(wanted || terminal_) {}

void Progress::Step(std::string_view text) {
  if (!enabled_) return;
  const std::string line = terminal_ ? Cat("\r\x1b[K", text) : Cat(text, "\n");
  std::fwrite(line.data(), 1, line.size(), stderr);
  shown_ = terminal_;
}

void Progress::Bytes(std::string_view verb, uint64_t done, uint64_t total) {
  const double now = MonotonicSeconds();
  if (!enabled_ || (done < total && now - last_ < (terminal_ ? 0.1 : 1.0))) return;
  last_ = now;
  const uint64_t percent = total == 0 ? 100 : static_cast<uint64_t>(100.0 * done / total);
  Step(Cat(verb, " ", BytesText(done), " of ", BytesText(total), " (", percent, " %)"));
}

void Progress::Clear() {
  if (shown_) std::fputs("\r\x1b[K", stderr);
  shown_ = false;
}

}  // namespace rlx::ctl
