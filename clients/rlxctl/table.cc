// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/table.h"

#include <array>
#include <cmath>
#include <cstdio>

#include "runtime/base/text.h"

namespace rlx::ctl {
namespace {

// Characters, where UTF-8 has several bytes for one.
size_t Width(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

void AppendCell(std::string& line, std::string_view cell, size_t width, bool right) {
  const std::string padding(width - Width(cell), ' ');
  line += right ? Cat(padding, cell) : Cat(cell, padding);
}

}  // namespace

std::string Table::ToString(std::string_view indent) const {
  std::vector<std::vector<std::string>> rows = rows_;
  const size_t columns = rows[0].size();
  std::vector<bool> right(columns);
  std::vector<size_t> width(columns, 0);
  for (size_t c = 0; c < columns; ++c) {
    right[c] = rows[0][c].starts_with('>');
    if (right[c]) rows[0][c].erase(0, 1);
    for (std::vector<std::string>& row : rows) {
      row.resize(columns);
      std::replace(row[c].begin(), row[c].end(), '\n', ' ');
      width[c] = std::max(width[c], Width(row[c]));
    }
  }
  std::string out;
  for (const std::vector<std::string>& row : rows) {
    std::string line(indent);
    for (size_t c = 0; c < columns; ++c) {
      if (c > 0) line += "  ";
      AppendCell(line, row[c], width[c], right[c]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    if (!line.empty()) out += Cat(line, "\n");
  }
  return out;
}

std::string Decimal(double value, int digits) {
  std::array<char, 64> text;
  const int size = std::snprintf(text.data(), text.size(), "%.*f", digits, value);
  return std::string(text.data(), std::min<size_t>(static_cast<size_t>(size), text.size() - 1));
}

std::string Shorten(double value) {
  std::array<char, 64> text;
  const int size = std::snprintf(text.data(), text.size(), "%.6g", value);
  return std::string(text.data(), static_cast<size_t>(size));
}

std::string SavedBytesText(uint64_t bytes, bool more) {
  if (!more) return BytesText(bytes);
  return bytes > 0 ? Cat("at least ", BytesText(bytes)) : "an unknown number of bytes";
}

std::string BytesText(uint64_t bytes) {
  static constexpr std::array<std::string_view, 6> kUnits = {"KiB", "MiB", "GiB",
                                                             "TiB", "PiB", "EiB"};
  if (bytes < 1024) return Cat(bytes, " B");
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  for (; value >= 1023.95 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return Cat(Decimal(value, 1), " ", kUnits[unit]);
}

std::string SecondsText(double seconds) {
  if (seconds >= 100) return Cat(Decimal(seconds, 0), " s");
  if (seconds >= 0.9995) return Cat(Decimal(seconds, 2), " s");
  if (seconds >= 0.0009995) return Cat(Decimal(seconds * 1e3, 1), " ms");
  return Cat(Decimal(seconds * 1e6, 0), " µs");
}

std::string Printable(std::string_view text) {
  std::string out(text);
  std::erase_if(out, [](char c) {
    return (static_cast<uint8_t>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7F;
  });
  return out;
}

}  // namespace rlx::ctl
