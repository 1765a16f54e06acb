// SPDX-License-Identifier: Apache-2.0
// One libFuzzer program a target (RLX_FUZZ_TARGET). `--write_seeds=FOLDER` writes the first corpus.
#include <cstdio>
#include <cstdlib>

#include "runtime/base/check.h"
#include "runtime/base/file.h"
#include "runtime/base/text.h"
#include "tests/fuzz/targets.h"

namespace {

constexpr const rlx::fuzz::Target& kTarget = rlx::fuzz::RLX_FUZZ_TARGET;

void WriteSeeds(const std::string& folder) {
  size_t number = 0;
  for (const std::string& seed : kTarget.seeds()) {
    const absl::Status written = rlx::WriteFileAtomic(rlx::Cat(folder, "/seed-", number++), {seed});
    CHECK(written.ok(), written);
  }
  std::printf("%zu seeds\n", number);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  constexpr std::string_view kFlag = "--write_seeds=";
  const std::string_view last = (*argv)[*argc - 1];
  if (last.starts_with(kFlag)) {
    WriteSeeds(std::string(last.substr(kFlag.size())));
    std::exit(0);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kTarget.run({reinterpret_cast<const char*>(data), size});
  return 0;
}
