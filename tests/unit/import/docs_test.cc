// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "runtime/base/file.h"
#include "runtime/import/node.h"
#include "runtime/import/versions.h"
#include "tests/unit/import/import_fixture.h"

namespace rlx::onnx {
namespace {

constexpr std::string_view kPath = "docs/onnx.md";
constexpr std::string_view kMark = "<!-- below this line: written from the table of ops -->\n";

std::string Opsets(const OpRow& row) {
  const int since = row.domain.empty() ? std::max<int>(row.since, kMinOpset) : row.since;
  return row.until == INT32_MAX ? Cat(since, " on") : Cat(since, " to ", row.until);
}

std::string Table() {
  std::string out;
  std::string_view domain = "none";
  for (const OpRow* row : AllRows()) {
    if (row->domain != domain) {
      domain = row->domain;
      out += Cat("\n### ", domain.empty() ? "ai.onnx" : domain,
                 "\n\n| op | opsets | notes |\n| --- | --- | --- |\n");
    }
    out += Cat("| ", row->name, " | ", Opsets(*row), " | ", row->note, " |\n");
  }
  return out;
}

TEST(OnnxDocs, AreUpToDate) {
  const auto text = ReadFile(std::string(kPath), 1 << 20);
  ASSERT_TRUE(text.ok()) << text.status();
  const size_t mark = text->find(kMark);
  ASSERT_NE(mark, std::string::npos);
  const std::string wanted = text->substr(0, mark) + std::string(kMark) + Table();
  if (std::getenv("RLX_UPDATE_DOCS") != nullptr) {
    ASSERT_TRUE(WriteFileAtomic(std::string(kPath), {wanted}, 0644).ok());
    return;
  }
  EXPECT_EQ(*text, wanted) << "run unit_import with RLX_UPDATE_DOCS=1";
}

TEST(OnnxTable, RowsOfOneOpDoNotOverlap) {
  const OpRow* before = nullptr;
  for (const OpRow* row : AllRows()) {
    EXPECT_NE(row->import, nullptr) << row->name;
    EXPECT_LE(row->since, row->until) << row->name;
    if (before != nullptr && before->domain == row->domain && before->name == row->name) {
      EXPECT_LT(before->until, row->since) << row->name;
    }
    before = row;
  }
}

}  // namespace
}  // namespace rlx::onnx
