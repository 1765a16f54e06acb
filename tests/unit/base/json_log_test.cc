// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <gtest/gtest.h>

#include <limits>
#include <thread>
#include <vector>

#include "runtime/base/clock.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/log.h"
#include "tests/support/temp_dir.h"

namespace rlx {
namespace {

std::string Quoted(std::string_view text, size_t max_bytes = SIZE_MAX) {
  std::string out;
  AppendJsonString(out, text, max_bytes);
  return out;
}

TEST(Json, Strings) {
  EXPECT_EQ(Quoted("a\"b\\c\n\t\x7f"), R"("a\"b\\c\n\u0009\u007f")");
  EXPECT_EQ(Quoted(std::string_view("\0", 1)), R"("\u0000")");
  EXPECT_EQ(Quoted("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80"),
            "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\"");
}

TEST(Json, WhatIsNotUtf8IsReplaced) {
  const std::string bad = "\xef\xbf\xbd";
  EXPECT_EQ(Quoted("\xff"), "\"" + bad + "\"");
  EXPECT_EQ(Quoted("\xc3"), "\"" + bad + "\"");                      // cut off
  EXPECT_EQ(Quoted("\xc0\xaf"), "\"" + bad + bad + "\"");            // overlong
  EXPECT_EQ(Quoted("\xed\xa0\x80"), "\"" + bad + bad + bad + "\"");  // surrogate
  EXPECT_EQ(Quoted("\xf4\x90\x80\x80").size(), 2 + 4 * bad.size());  // past U+10FFFF
}

TEST(Json, StringsAreCutBetweenCharacters) {
  EXPECT_EQ(Quoted("abcdef", 3), R"("abc...")");
  EXPECT_EQ(Quoted("abc", 3), R"("abc")");
  EXPECT_EQ(Quoted("a\xc3\xbc", 2), R"("a...")");
}

TEST(Json, Writer) {
  JsonWriter json;
  json.BeginObject().Field("s", "x").Field("b", true).Field("i", -1).Field("u", uint64_t{1} << 63);
  json.Key("a").BeginArray().Value(0.5).Value(std::numeric_limits<double>::infinity()).Null();
  json.BeginObject()
      .EndObject()
      .BeginArray()
      .EndArray()
      .EndArray()
      .Field("z", 'c' == 'c')
      .EndObject();
  EXPECT_EQ(
      json.text(),
      R"({"s":"x","b":true,"i":-1,"u":9223372036854775808,"a":[0.5,null,null,{},[]],"z":true})");
}

TEST(Clock, FormatUtc) {
  EXPECT_EQ(FormatUtc(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(FormatUtc(1795399234.125), "2026-11-23T02:00:34.125Z");
  EXPECT_EQ(FormatUtc(-0.5), "1969-12-31T23:59:59.500Z");
  double before = MonotonicSeconds();
  EXPECT_GE(MonotonicSeconds(), before);
  EXPECT_GT(WallSeconds(), 1.7e9);
}

std::vector<std::string> LinesOf(const std::string& path) {
  std::string text = *ReadFile(path, 10 << 20);
  EXPECT_TRUE(text.ends_with('\n'));
  text.pop_back();
  std::vector<std::string> lines;
  for (std::string_view line : Split(text, '\n')) lines.emplace_back(line);
  return lines;
}

TEST(Log, OneObjectALineAboveTheMinimum) {
  TempDir dir;
  Fd fd = *OpenFile(dir / "log", O_WRONLY | O_CREAT | O_APPEND);
  Logger logger(LogLevel::kInfo, fd.get());
  logger.Debug("unseen");
  logger.Warning("session lost",
                 {{"name", "evil\n{\"level\":\"error\"}"}, {"count", 3}, {"ok", false}});
  std::vector<std::string> lines = LinesOf(dir / "log");
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_TRUE(lines[0].starts_with(R"({"time":"20)"));
  EXPECT_TRUE(lines[0].ends_with(R"(Z","level":"warning","event":"session lost",)"
                                 R"("name":"evil\n{\"level\":\"error\"}","count":3,"ok":false})"))
      << lines[0];
}

TEST(Log, LinesOfManyThreadsStayWhole) {
  TempDir dir;
  Fd fd = *OpenFile(dir / "log", O_WRONLY | O_CREAT | O_APPEND);
  Logger logger(LogLevel::kDebug, fd.get());
  std::string longer(5000, 'x');
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 50; ++i)
          logger.Info("e",
                      {{"a", longer}, {"b", longer}, {"c", longer}, {"d", longer}, {"e", longer}});
      });
    }
  }
  std::vector<std::string> lines = LinesOf(dir / "log");
  EXPECT_EQ(lines.size(), 400u);
  for (const std::string& line : lines) {
    EXPECT_TRUE(line.starts_with("{\"time\"") && line.ends_with("...\"}"));
    EXPECT_EQ(line.size(), lines[0].size());
  }
}

}  // namespace
}  // namespace rlx
