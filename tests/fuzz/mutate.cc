// SPDX-License-Identifier: Apache-2.0
#include <random>

#include "tests/fuzz/targets.h"

namespace rlx::fuzz {
namespace {

// A run of letters, digits, points and signs around `at`: a number, name or keyword of text.
std::pair<size_t, size_t> TokenAt(const std::string& bytes, size_t at) {
  const auto inside = [&](size_t i) {
    const char c = bytes[i];
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '_' || c == '.' || c == '-';
  };
  size_t begin = at, end = at;
  while (begin > 0 && inside(begin - 1)) --begin;
  while (end < bytes.size() && inside(end)) ++end;
  return {begin, end - begin};
}

void MutateOnce(std::string& bytes, std::mt19937_64& rng) {
  static constexpr const char* kNumbers[] = {
      "0", "-1", "1", "2147483648", "9223372036854775807", "-9223372036854775808", "nan", "1e308"};
  const size_t at = rng() % bytes.size();
  const auto [begin, length] = TokenAt(bytes, rng() % bytes.size());
  const auto [other, other_length] = TokenAt(bytes, at);
  switch (rng() % 7) {
    case 0:
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << rng() % 8));
      break;
    case 1:
      bytes[at] = static_cast<char>(rng());
      break;
    case 2:
      bytes.erase(at, 1 + rng() % 16);
      break;
    case 3:
      bytes.insert(at, bytes.substr(rng() % bytes.size(), 1 + rng() % 32));
      break;
    case 4:
      bytes.replace(begin, length, kNumbers[rng() % std::size(kNumbers)]);
      break;
    default:
      bytes.replace(begin, length, bytes.substr(other, other_length));
  }
}

}  // namespace

std::string Mutate(std::string bytes, uint64_t seed) {
  std::mt19937_64 rng(seed);
  for (uint64_t changes = 1 + rng() % 3; changes > 0 && !bytes.empty(); --changes) {
    MutateOnce(bytes, rng);
  }
  return bytes;
}

}  // namespace rlx::fuzz
