// SPDX-License-Identifier: Apache-2.0
// Tests that the documents name by `Suite.Name` are there.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <set>

#include "runtime/base/file.h"
#include "runtime/base/text.h"

namespace rlx {
namespace {

// An identifier that starts with a capital letter.
bool IsName(std::string_view text) {
  return !text.empty() && std::isupper(static_cast<unsigned char>(text[0])) != 0 &&
         std::ranges::all_of(text, [](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
         });
}

// `Suite.Name` of every TEST, TEST_F and TEST_P in a source.
void CollectTests(std::string_view source, std::set<std::string, std::less<>>& out) {
  for (std::string_view line : Split(source, '\n')) {
    if (!line.starts_with("TEST")) continue;
    const size_t open = line.find('('), comma = line.find(','), close = line.find(')');
    if (open >= comma || comma >= close || close == std::string_view::npos) continue;
    out.insert(Cat(Trim(line.substr(open + 1, comma - open - 1)), ".",
                   Trim(line.substr(comma + 1, close - comma - 1))));
  }
}

// What stands between backticks and has the form of a test's name.
std::vector<std::string_view> NamedTests(std::string_view text) {
  std::vector<std::string_view> out;
  const std::vector<std::string_view> pieces = Split(text, '`');
  for (size_t i = 1; i < pieces.size(); i += 2) {
    const size_t dot = pieces[i].find('.');
    if (dot == std::string_view::npos) continue;
    if (IsName(pieces[i].substr(0, dot)) && IsName(pieces[i].substr(dot + 1))) {
      out.push_back(pieces[i]);
    }
  }
  return out;
}

TEST(Tests, NamedInTheDocsAreThere) {
  std::set<std::string, std::less<>> tests;
  for (const auto& entry : std::filesystem::recursive_directory_iterator("tests")) {
    if (entry.path().extension() != ".cc") continue;
    const auto source = ReadFile(entry.path(), 1 << 24);
    ASSERT_TRUE(source.ok()) << source.status();
    CollectTests(*source, tests);
  }
  ASSERT_GT(tests.size(), 500u) << "not run from the root of the sources";
  size_t named = 0;
  for (const char* page : {"docs/testing.md", "docs/performance.md", "docs/metrics.md"}) {
    const auto text = ReadFile(page, 1 << 24);
    ASSERT_TRUE(text.ok()) << text.status();
    for (std::string_view name : NamedTests(*text)) {
      EXPECT_TRUE(tests.contains(name)) << page << " names " << name;
      ++named;
    }
  }
  EXPECT_GT(named, 80u);
}

TEST(Tests, TheReaderKnowsTheForms) {
  std::set<std::string, std::less<>> tests;
  CollectTests("TEST(A, B) {\nTEST_F(CTest, D) {\n  TEST(E, F)\nTESTING\n", tests);
  EXPECT_EQ(tests, (std::set<std::string, std::less<>>{"A.B", "CTest.D"}));
  EXPECT_EQ(NamedTests("`A.B` or `a.B`, `A.b c`, `docs/x.md`, `C_1.D2`"),
            (std::vector<std::string_view>{"A.B", "C_1.D2"}));
}

}  // namespace
}  // namespace rlx
