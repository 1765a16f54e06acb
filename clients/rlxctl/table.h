// SPDX-License-Identifier: Apache-2.0
// Output for people: aligned columns, sizes and times with units.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rlx::ctl {

// Columns as wide as their widest cell. A title that starts with `>` aligns its column to the
// right. With empty titles alone there is no title line.
class Table {
 public:
  explicit Table(std::vector<std::string> titles) : rows_{std::move(titles)} {}

  // As many cells as there are titles; missing ones are empty. A line end becomes a blank.
  void Row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.size() == 1; }

  // Lines, each after `indent`, without white space at their ends.
  std::string ToString(std::string_view indent = "") const;

 private:
  std::vector<std::vector<std::string>> rows_;  // titles first
};

std::string BytesText(uint64_t bytes);  // "86.7 MiB"
// "86.7 MiB", "at least 86.7 MiB", "an unknown number of bytes": `more` are not in `bytes`.
std::string SavedBytesText(uint64_t bytes, bool more);
std::string SecondsText(double seconds);        // "35.1 ms"
std::string Decimal(double value, int digits);  // "%.*f"
std::string Shorten(double value);              // six significant digits

// The text without control characters, which a terminal would obey: they come from the server or a
// file. Line ends stay.
std::string Printable(std::string_view text);

}  // namespace rlx::ctl
