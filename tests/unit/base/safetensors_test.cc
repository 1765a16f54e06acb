// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/safetensors_file.h"

namespace rlx {
namespace {

using test::SafetensorsFile;
using testing::ElementsAre;
using testing::HasSubstr;

std::string ErrorOf(std::string_view bytes) {
  const auto tensors = ParseSafetensors(bytes);
  return tensors.ok() ? "" : std::string(Message(tensors.status()));
}

TEST(Safetensors, NamesSlicesOfTheFile) {
  const std::string_view header =
      R"({"__metadata__":{"format":"pt"},
          "w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},
          "n":{"dtype":"I64","shape":[],"data_offsets":[24,32]},
          "h":{"dtype":"BF16","shape":[1,1,2],"data_offsets":[32,36]},
          "q":{"dtype":"F8_E4M3","shape":[3],"data_offsets":[36,39]}}   )";
  const auto tensors = ParseSafetensors(SafetensorsFile(header, 39));
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  ASSERT_EQ(tensors->size(), 4u);
  EXPECT_EQ(tensors->at("q").dtype, "F8_E4M3");
  const SafeTensor& w = tensors->at("w");
  EXPECT_EQ(w.dtype, "F32");
  EXPECT_THAT(w.shape, ElementsAre(2, 3));
  EXPECT_EQ(w.offset, 8 + header.size());
  EXPECT_EQ(w.length, 24u);
  EXPECT_TRUE(tensors->at("n").shape.empty());
  EXPECT_EQ(tensors->at("h").offset, 8 + header.size() + 32);
}

TEST(Safetensors, ReadsAnyJsonBesideTensors) {
  const std::string_view header =
      R"({ "__metadata__" : {"a":[1,-2.5e3,{"b":null}],"c":true},
           "w\n\u00e9\ud83d\ude00\"\\" : {"shape":[1] , "extra":[[],{}], "dtype":"U8",
           "data_offsets":[0,1]}})";
  const auto tensors = ParseSafetensors(SafetensorsFile(header, 1));
  ASSERT_TRUE(tensors.ok()) << tensors.status();
  ASSERT_EQ(tensors->size(), 1u);
  EXPECT_EQ(tensors->begin()->first, "w\n\u00e9\U0001f600\"\\");
  for (const char* broken : {R"({"w\u00g0":1})", R"({"w\ud83d":1})", R"({"w\q":1})", R"({"w":1)",
                             R"({"w" 1})", R"({"w":{},})", R"({} {})", R"({"w)"}) {
    EXPECT_NE(ErrorOf(SafetensorsFile(broken, 1)), "") << broken;
  }
}

TEST(Safetensors, SaysThatItIsNone) {
  EXPECT_THAT(ErrorOf(""), HasSubstr("is no safetensors file"));
  EXPECT_THAT(ErrorOf("1234567"), HasSubstr("is no safetensors file"));
  EXPECT_THAT(ErrorOf(SafetensorsFile("", 8)), HasSubstr("a header of 0 bytes"));
  EXPECT_THAT(ErrorOf(SafetensorsFile("{}", 0, 3)), HasSubstr("a header of 3 bytes"));
  EXPECT_THAT(ErrorOf(SafetensorsFile("{}", 0, UINT64_MAX)), HasSubstr("is no safetensors file"));
  EXPECT_THAT(ErrorOf(SafetensorsFile("{", 8)), HasSubstr("no JSON object"));
  EXPECT_THAT(ErrorOf(SafetensorsFile("[1]", 8)), HasSubstr("no JSON object"));
  EXPECT_THAT(ErrorOf(SafetensorsFile(std::string(100'000, '['), 0)), HasSubstr("no JSON object"));
  EXPECT_THAT(ErrorOf(SafetensorsFile("\xFF\xFE\x00", 8)), HasSubstr("no JSON object"));
}

TEST(Safetensors, NamesTheTensorThatIsWrong) {
  const auto error = [](std::string_view entry) {
    return ErrorOf(SafetensorsFile(Cat(R"({"w":)", entry, "}"), 24));
  };
  ASSERT_EQ(error(R"({"dtype":"F32","shape":[2,3],"data_offsets":[0,24]})"), "");
  EXPECT_THAT(error("3"), HasSubstr("tensor \"w\": has no dtype"));
  EXPECT_THAT(error(R"({"shape":[24],"data_offsets":[0,24]})"), HasSubstr("has no dtype"));
  EXPECT_THAT(error(R"({"dtype":"F32","data_offsets":[0,24]})"),
              HasSubstr("has no dtype, and shape"));
  EXPECT_THAT(error(R"({"dtype":"F32","shape":[6],"data_offsets":[0]})"),
              HasSubstr("has no dtype, and shape"));
  EXPECT_THAT(error(R"({"dtype":"F32","shape":[-6],"data_offsets":[0,24]})"),
              HasSubstr("has no dtype, and shape"));
  EXPECT_THAT(error(R"({"dtype":"F32","shape":[1.5],"data_offsets":[0,6]})"),
              HasSubstr("has no dtype, and shape"));
  EXPECT_THAT(error(R"({"dtype":"F32","shape":["6"],"data_offsets":[0,24]})"),
              HasSubstr("has no dtype, and shape"));
  EXPECT_THAT(error(R"({"dtype":"F32","shape":[6],"data_offsets":[4,28]})"),
              HasSubstr("bytes 4 to 28 are not in the file's 24 bytes"));
  EXPECT_THAT(error(R"({"dtype":"F32","shape":[6],"data_offsets":[24,0]})"),
              HasSubstr("are not in the file"));
  EXPECT_THAT(error(R"({"dtype":"F32","shape":[18446744073709551617],"data_offsets":[0,24]})"),
              HasSubstr("has no dtype, and shape"));
}

TEST(Safetensors, ElementTypesHaveRlxsNames) {
  EXPECT_EQ(DTypeNameFromSafetensors("BF16"), "bf16");
  EXPECT_EQ(DTypeNameFromSafetensors("BOOL"), "bool");
  EXPECT_EQ(DTypeNameFromSafetensors("F8_E4M3"), "fp8e4m3");
  EXPECT_EQ(DTypeNameFromSafetensors("F8_E5M2"), "fp8e5m2");
}

TEST(Safetensors, SurvivesDamage) {
  const std::string whole =
      SafetensorsFile(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8);
  ASSERT_EQ(ErrorOf(whole), "");
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_NE(ErrorOf(std::string_view(whole).substr(0, size)), "") << size;
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const char byte : {'\0', '{', '9', '\xFF'}) {
      std::string damaged = whole;
      damaged[i] = byte;
      const auto tensors = ParseSafetensors(damaged);
      if (!tensors.ok()) continue;
      for (const auto& [name, slice] : *tensors)
        EXPECT_LE(slice.offset + slice.length, whole.size());
    }
  }
}

}  // namespace
}  // namespace rlx
