// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/op_docs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "runtime/ir/op_info.h"

namespace rlx {
namespace {

constexpr const char* kPath = "docs/ops.md";  // tests run in the source folder

TEST(OpDocs, AreUpToDate) {
  if (std::getenv("RLX_UPDATE_DOCS") != nullptr) std::ofstream(kPath) << OpDocs();
  std::ostringstream text;
  text << std::ifstream(kPath).rdbuf();
  EXPECT_EQ(text.str(), OpDocs()) << "run this test with RLX_UPDATE_DOCS=1";
}

TEST(OpDocs, EveryOpAndAttributeIsExplained) {
  for (const OpInfo* op : AllOps()) {
    EXPECT_FALSE(op->doc.empty()) << op->name;
    for (const AttrSpec& spec : op->attrs) EXPECT_FALSE(spec.doc.empty()) << op->name << spec.name;
  }
}

}  // namespace
}  // namespace rlx
