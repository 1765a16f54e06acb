// SPDX-License-Identifier: Apache-2.0
#include "tests/support/temp_dir.h"

#include <cstdlib>
#include <filesystem>

#include "runtime/base/check.h"

namespace rlx {

TempDir::TempDir() : path_((std::filesystem::temp_directory_path() / "rlx-test-XXXXXX").string()) {
  CHECK(mkdtemp(path_.data()) != nullptr, "cannot make a folder below ", path_);
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::permissions(path_, std::filesystem::perms::owner_all, ignored);
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace rlx
