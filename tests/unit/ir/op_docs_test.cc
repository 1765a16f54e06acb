// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/op_docs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "runtime/ir/op_info.h"
#include "tests/unit/ir/python_ops.h"

namespace rlx {
namespace {

constexpr const char* kPath = "docs/ops.md";  // tests run in the source folder

std::string FileText(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(OpDocs, AreUpToDate) {
  if (std::getenv("RLX_UPDATE_DOCS") != nullptr) std::ofstream(kPath) << OpDocs();
  EXPECT_EQ(FileText(kPath), OpDocs()) << "run this test with RLX_UPDATE_DOCS=1";
}

// The Python client has a method for every op: written by people where that reads better, and by
// this test for the rest.
TEST(OpDocs, PythonBuildersAreComplete) {
  const std::string folder = "clients/python/src/rlxd/";
  std::set<std::string> written;
  for (const char* name : {"graph.py", "elementwise.py", "mir.py", "hir.py"}) {
    const std::set<std::string> methods = MethodsOf(FileText(folder + name));
    EXPECT_FALSE(methods.empty()) << name;
    written.insert(methods.begin(), methods.end());
  }
  const std::string path = folder + "_ops.py";
  const std::string wanted = PythonOps(written);
  if (std::getenv("RLX_UPDATE_DOCS") != nullptr) std::ofstream(path) << wanted;
  EXPECT_EQ(FileText(path), wanted) << "run this test with RLX_UPDATE_DOCS=1";
  written.merge(MethodsOf(wanted));
  for (const OpInfo* op : AllOps()) {
    if (op->kind == OpKind::kElementwiseRegion) continue;  // what passes make
    EXPECT_TRUE(written.contains(PythonName(op->name))) << op->name << ": write its method";
  }
}

TEST(OpDocs, EveryOpAndAttributeIsExplained) {
  for (const OpInfo* op : AllOps()) {
    EXPECT_FALSE(op->doc.empty()) << op->name;
    for (const AttrSpec& spec : op->attrs) EXPECT_FALSE(spec.doc.empty()) << op->name << spec.name;
  }
}

}  // namespace
}  // namespace rlx
