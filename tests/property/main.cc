// SPDX-License-Identifier: Apache-2.0
// A GoogleTest main that also takes `--count=N` and `--seed=S` for long runs of property tests.
#include <charconv>
#include <cstdio>

#include "tests/support/property.h"

namespace {

// Whether `arg` is `--name=<number>`.
template <typename T>
bool Read(std::string_view arg, std::string_view name, T& out) {
  if (!arg.starts_with(name)) return false;
  arg.remove_prefix(name.size());
  const auto [end, error] = std::from_chars(arg.data(), arg.data() + arg.size(), out);
  return error == std::errc() && end == arg.data() + arg.size();
}

}  // namespace

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  rlx::test::PropertyFlags& flags = rlx::test::Flags();
  for (int i = 1; i < argc; ++i) {
    if (Read(argv[i], "--count=", flags.count) || Read(argv[i], "--seed=", flags.seed)) continue;
    std::fprintf(stderr, "%s is not --count=N or --seed=S\n", argv[i]);
    return 2;
  }
  return RUN_ALL_TESTS();
}
