// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "clients/rlxctl/tensor.h"

namespace rlx::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A file of version 1 with that header and data.
std::string Npy(std::string_view dict, std::string_view data) {
  std::string out = "\x93NUMPY";
  out += {1, 0, static_cast<char>(dict.size() & 0xFF), static_cast<char>(dict.size() >> 8)};
  return Cat(out, dict, data);
}

std::string Floats(std::initializer_list<float> values) {
  std::string out;
  for (const float value : values) out.append(reinterpret_cast<const char*>(&value), sizeof(value));
  return out;
}

std::string ErrorOf(std::string_view bytes) {
  const auto tensor = ParseNpy(bytes);
  return tensor.ok() ? "" : std::string(Message(tensor.status()));
}

std::vector<double> ValuesOf(const v1::Tensor& tensor) {
  std::vector<double> values;
  const size_t count = tensor.data().size() / ElementBytes(tensor.dtype());
  for (size_t i = 0; i < count; ++i) values.push_back(ElementAt(tensor.dtype(), tensor.data(), i));
  return values;
}

TEST(Npy, ReadsWhatNumpyWrites) {
  const auto tensor =
      ParseNpy(Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }          \n",
                   Floats({0, 1, 2, 3, 4, 5})));
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_EQ(tensor->dtype(), v1::DTYPE_F32);
  EXPECT_THAT(tensor->shape(), ElementsAre(2, 3));
  EXPECT_THAT(ValuesOf(*tensor), ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST(Npy, ReadsColumnMajorData) {
  const auto tensor = ParseNpy(Npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }",
                                   Floats({0, 3, 1, 4, 2, 5})));
  ASSERT_TRUE(tensor.ok()) << tensor.status();
  EXPECT_THAT(ValuesOf(*tensor), ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST(Npy, ReadsScalarsAndVectors) {
  const auto scalar =
      ParseNpy(Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (), }", Floats({7})));
  ASSERT_TRUE(scalar.ok()) << scalar.status();
  EXPECT_EQ(scalar->shape_size(), 0);
  const auto vector =
      ParseNpy(Npy("{\"shape\": (3,), \"fortran_order\": False, \"descr\": \"|i1\"}", "abc"));
  ASSERT_TRUE(vector.ok()) << vector.status();
  EXPECT_EQ(vector->dtype(), v1::DTYPE_I8);
  EXPECT_THAT(vector->shape(), ElementsAre(3));
}

TEST(Npy, SaysWhatIsWrong) {
  const std::string data = Floats({1, 2});
  EXPECT_THAT(ErrorOf(""), HasSubstr("is no .npy file"));
  EXPECT_THAT(ErrorOf("PK\x03\x04 a zip archive"), HasSubstr("is no .npy file"));
  EXPECT_THAT(ErrorOf(std::string("\x93NUMPY\x09\x00", 8)), HasSubstr("version 9"));
  EXPECT_THAT(ErrorOf(std::string("\x93NUMPY\x01\x00\xFF\xFF{", 11)),
              HasSubstr("ends in its header"));
  EXPECT_THAT(ErrorOf(std::string("\x93NUMPY\x02\x00\x01", 9)), HasSubstr("ends in its header"));
  EXPECT_THAT(ErrorOf(Npy("{'descr': '>f4', 'fortran_order': False, 'shape': (2,)}", data)),
              HasSubstr("big-endian"));
  EXPECT_THAT(ErrorOf(Npy("{'descr': '<u8', 'fortran_order': False, 'shape': (1,)}", data)),
              HasSubstr("no element type <u8"));
  EXPECT_THAT(
      ErrorOf(Npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", data)),
      HasSubstr("structured"));
  EXPECT_THAT(ErrorOf(Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", data)),
              HasSubstr("has 8 bytes of data where its shape needs 12"));
  EXPECT_THAT(ErrorOf(Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 2)}", data)),
              HasSubstr("holds nothing"));
  EXPECT_THAT(ErrorOf(Npy("{'descr': '<f4', 'fortran_order': False, "
                          "'shape': (9223372036854775807, 9223372036854775807)}",
                          data)),
              HasSubstr("too much"));
}

TEST(Npy, RefusesEveryBentHeader) {
  for (std::string_view dict :
       {"", "{", "}", "{}", "{'descr'}", "{'descr': }", "{'descr': '<f4'", "{'descr: '<f4'}",
        "{'descr': '<f4', 'fortran_order': False}", "{'descr': '<f4', 'descr': '<f4', 'shape': ()}",
        "{'descr': '<f4', 'fortran_order': Fals, 'shape': ()}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1 1)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': ()} x",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (), 'more': 1}"}) {
    EXPECT_THAT(ErrorOf(Npy(dict, "abcd")), HasSubstr("the header is no dict")) << dict;
  }
}

// Any file cut short, or with one byte changed, is refused or read: never worse.
TEST(Npy, SurvivesDamage) {
  const std::string whole =
      Npy("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 2), }\n", Floats({1, 2}));
  ASSERT_EQ(ErrorOf(whole), "");
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_NE(ErrorOf(std::string_view(whole).substr(0, size)), "") << size;
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const char byte : {'\0', '(', '9', '\xFF'}) {
      std::string damaged = whole;
      damaged[i] = byte;
      const auto tensor = ParseNpy(damaged);
      if (tensor.ok()) {
        EXPECT_TRUE(CheckTensor(*tensor).ok());
      }
    }
  }
}

TEST(Npy, WritesWhatItReads) {
  for (int number = v1::DTYPE_BOOL; number <= v1::DTYPE_C64; ++number) {
    v1::Tensor tensor;
    tensor.set_dtype(static_cast<v1::DType>(number));
    tensor.add_shape(3);
    AppendFilled(*tensor.mutable_data(), tensor.dtype(), 3, Fill::kRandom, 1, 1.0);
    const std::string header = NpyHeader(tensor);
    EXPECT_EQ(header.size() % 64, 0u);
    EXPECT_EQ(header.back(), '\n');
    const auto back = ParseNpy(Cat(header, tensor.data()));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->SerializeAsString(), tensor.SerializeAsString());
  }
}

}  // namespace
}  // namespace rlx::ctl
