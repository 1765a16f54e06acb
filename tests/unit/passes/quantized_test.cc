// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/passes/pass_test.h"

namespace rlx::passes {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

PassContext Claiming(std::set<std::string> claims) {
  PassContext context;
  context.claims = std::move(claims);
  return context;
}

// --- cancel_quantize_pairs

TEST(CancelQuantizePairs, GivesTheCodesBack) {
  ExpectRewrite(CancelQuantizePairs, R"(mir "m" {
    %0 = input "q" : i8[2,3]
    %1 = dequantize(%0) {scales = [0.1], zero_points = [3], to = f32}
    %2 = quantize(%1) {scales = [0.1], zero_points = [3], to = i8}
    output "y" = %2
    output "x" = %1
  })",
                R"(mir "m" {
    %0 = input "q" : i8[2,3]
    %1 = dequantize(%0) {scales = [0.1], zero_points = [3], to = f32}
    output "y" = %0
    output "x" = %1
  })");
}

TEST(CancelQuantizePairs, MovesCodesInsteadOfFloats) {
  ExpectRewrite(CancelQuantizePairs, R"(mir "m" {
    %0 = input "q" : u8[2,3]
    %1 = input "r" : u8[2,3]
    %2 = dequantize(%0) {scales = [0.25], zero_points = [128], to = f32}
    %3 = dequantize(%1) {scales = [0.25], zero_points = [128], to = f32}
    %4 = concat(%2, %3) {axis = 1}
    %5 = transpose(%4) {perm = [1, 0]}
    %6 = relu(%5)
    %7 = quantize(%6) {scales = [0.25], zero_points = [128], to = u8}
    output "y" = %7
  })",
                R"(mir "m" {
    %0 = input "q" : u8[2,3]
    %1 = input "r" : u8[2,3]
    %2 = concat(%0, %1) {axis = 1}
    %3 = transpose(%2) {perm = [1, 0]}
    %4 = constant {value = u8[] (128)}
    %5 = max(%3, %4)
    output "y" = %5
  })");
}

TEST(CancelQuantizePairs, TakesChannelsWhereNothingMoves) {
  EXPECT_TRUE(RunPass(CancelQuantizePairs, R"(mir "m" {
    %0 = input "q" : i8[2,2]
    %1 = dequantize(%0) {axis = 1, scales = [0.1, 0.2], zero_points = [0, 1], to = f32}
    %2 = quantize(%1) {axis = 1, scales = [0.1, 0.2], zero_points = [0, 1], to = i8}
    output "y" = %2
  })")
                  .changed);
  ExpectUntouched(CancelQuantizePairs, R"(mir "m" {
    %0 = input "q" : i8[2,2]
    %1 = dequantize(%0) {axis = 1, scales = [0.1, 0.2], zero_points = [0, 1], to = f32}
    %2 = transpose(%1) {perm = [1, 0]}
    %3 = quantize(%2) {axis = 1, scales = [0.1, 0.2], zero_points = [0, 1], to = i8}
    output "y" = %3
  })");
}

// bf16 holds 8 digits: not every code comes back. And other numbers mean other codes.
TEST(CancelQuantizePairs, LeavesWhatIsNotExact) {
  ExpectUntouched(CancelQuantizePairs, R"(mir "m" {
    %0 = input "q" : i8[4]
    %1 = dequantize(%0) {scales = [0.1], zero_points = [0], to = bf16}
    %2 = quantize(%1) {scales = [0.1], zero_points = [0], to = i8}
    output "y" = %2
  })");
  const Outcome outcome = RunPass(CancelQuantizePairs, R"(mir "m" {
    %0 = input "q" : i8[4]
    %1 = dequantize(%0) {scales = [0.1], zero_points = [0], to = f32}
    %2 = quantize(%1) {scales = [0.2], zero_points = [0], to = i8}
    %3 = quantize(%1) {scales = [0.1], zero_points = [0], to = u8}
    output "y" = %2
    output "z" = %3
  })");
  EXPECT_FALSE(outcome.changed);
  ASSERT_EQ(outcome.Missed().size(), 2u);
  EXPECT_EQ(outcome.Missed()[0].reason, "other_scaling");
  EXPECT_THAT(outcome.Missed()[0].message, HasSubstr("has other scales than"));
  EXPECT_THAT(outcome.Missed()[1].message, HasSubstr("has codes of another type than"));
}

// Codes whose buffer another output may take by the time that these are read.
TEST(CancelQuantizePairs, LeavesDonatedInputs) {
  ExpectUntouched(CancelQuantizePairs, R"(mir "m" {
    %0 = input "q" : i8[4]
    %1 = dequantize(%0) {scales = [0.1], zero_points = [0], to = f32}
    %2 = quantize(%1) {scales = [0.1], zero_points = [0], to = i8}
    %3 = neg(%0)
    alias 0 -> 0
    output "new" = %3
    output "old" = %2
  })");
}

// The moved floats are needed as they are.
TEST(CancelQuantizePairs, LeavesWhatOthersRead) {
  const Outcome outcome = RunPass(CancelQuantizePairs, R"(mir "m" {
    %0 = input "q" : i8[2,3]
    %1 = dequantize(%0) {scales = [0.1], zero_points = [3], to = f32}
    %2 = transpose(%1) {perm = [1, 0]}
    %3 = quantize(%2) {scales = [0.1], zero_points = [3], to = i8}
    output "y" = %3
    output "x" = %2
  })");
  EXPECT_FALSE(outcome.changed);
  ASSERT_EQ(outcome.Missed().size(), 1u);
  EXPECT_EQ(outcome.Missed()[0].reason, "graph_output");
}

// --- fuse_qdq

constexpr char kProduct[] = R"(mir "m" {
    %0 = input "x" : f32[2,3]
    %1 = quantize(%0) {scales = [0.25], zero_points = [5], to = i8}
    %2 = param "w" : i8[3,4]
    %3 = param "b" : i32[4]
    %4 = dequantize(%1) {scales = [0.25], zero_points = [5], to = f32}
    %5 = dequantize(%2) {scales = [0.5], zero_points = [0], to = f32}
    %6 = matmul(%4, %5)
    %7 = dequantize(%3) {scales = [0.125], zero_points = [0], to = f32}
    %8 = add(%6, %7)
    %9 = relu(%8)
    %10 = quantize(%9) {scales = [0.0625], zero_points = [-128], to = i8}
    output "y" = %10
  })";

TEST(FuseQdq, MultipliesCodes) {
  ExpectRewrite(FuseQdq, kProduct, R"(mir "m" {
    %0 = input "x" : f32[2,3]
    %1 = param "w" : i8[3,4]
    %2 = param "b" : i32[4]
    %3 = quantize(%0) {scales = [0.25], zero_points = [5], to = i8}
    %4 = qmatmul(%3, %1, %2) {x_zp = 5, out_zp = -128, multipliers = [2]}
    output "y" = %4
  })");
}

TEST(FuseQdq, ConvolvesCodes) {
  ExpectRewrite(FuseQdq, R"(mir "m" {
    %0 = input "x" : i8[1,2,4,4]
    %1 = param "w" : i8[3,2,3,3]
    %2 = param "b" : i32[3]
    %3 = dequantize(%0) {scales = [0.5], zero_points = [-7], to = f32}
    %4 = dequantize(%1) {axis = 0, scales = [0.5, 0.25, 1], zero_points = [1, 1, 1], to = f32}
    %5 = conv(%3, %4) {strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1]}
    %6 = dequantize(%2) {axis = 0, scales = [0.25, 0.125, 0.5], zero_points = [0, 0, 0], to = f32}
    %7 = reshape(%6) {shape = [3,1,1]}
    %8 = add(%7, %5)
    %9 = quantize(%8) {scales = [0.125], zero_points = [2], to = i8}
    output "y" = %9
  })",
                R"(mir "m" {
    %0 = input "x" : i8[1,2,4,4]
    %1 = param "w" : i8[3,2,3,3]
    %2 = param "b" : i32[3]
    %3 = qconv2d(%0, %1, %2) {strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], x_zp = -7,
        w_zp = 1, out_zp = 2, multipliers = [2, 1, 4]}
    output "y" = %3
  })");
}

// A convolution whose bias, %5, is its own operand, as exporters write it.
std::string ConvWithBias(std::string_view type, std::string_view bias,
                         std::string_view after = "relu(%6)") {
  return Cat(R"(mir "m" {
    %0 = input "x" : i8[1,2,3,3]
    %1 = param "w" : i8[3,2,3,3]
    %2 = param "b" : )",
             type, R"([3]
    %3 = dequantize(%0) {scales = [0.5], zero_points = [-7], to = f32}
    %4 = dequantize(%1) {axis = 0, scales = [0.5, 0.25, 1], zero_points = [1, 1, 1], to = f32}
    %5 = )",
             bias, R"(
    %6 = conv(%3, %4, %5) {strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1]}
    %7 = )",
             after, R"(
    %8 = quantize(%7) {scales = [0.125], zero_points = [-128], to = i8}
    output "y" = %8
  })");
}
constexpr std::string_view kOwnBias =
    "dequantize(%2) {axis = 0, scales = [0.25, 0.125, 0.5], zero_points = [0, 0, 0], to = f32}";

TEST(FuseQdq, TakesTheConvolutionsOwnBias) {
  ExpectRewrite(FuseQdq, ConvWithBias("i32", kOwnBias), R"(mir "m" {
    %0 = input "x" : i8[1,2,3,3]
    %1 = param "w" : i8[3,2,3,3]
    %2 = param "b" : i32[3]
    %3 = qconv2d(%0, %1, %2) {strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], x_zp = -7,
        w_zp = 1, out_zp = -128, multipliers = [2, 1, 4]}
    output "y" = %3
  })");
}

TEST(FuseQdq, DropsNoBias) {
  const auto expect_left = [](const std::string& text, std::string_view says) {
    const Outcome outcome = RunPass(FuseQdq, text);
    EXPECT_FALSE(outcome.changed) << text;
    ASSERT_EQ(outcome.Missed().size(), 1u);
    EXPECT_EQ(outcome.Missed()[0].reason, "quantized_form");
    EXPECT_THAT(outcome.Missed()[0].message, HasSubstr(std::string(says)));
  };
  expect_left(ConvWithBias("f32", "neg(%2)"), "not i32");
  expect_left(ConvWithBias("i32", "dequantize(%2) {scales = [0.5], zero_points = [0], to = f32}"),
              "another scale");
  expect_left(ConvWithBias("i32", kOwnBias, "add(%6, %5)"), "beside the one added");
}

// A target without the integer op keeps its floats.
TEST(FuseQdq, AsksForTheClaim) {
  const Outcome outcome = RunPass(FuseQdq, kProduct, Claiming({"MatMul", "QConv2d"}));
  EXPECT_FALSE(outcome.changed);
  EXPECT_THAT(outcome.remarks, IsEmpty());
}

// What differs from kProduct, why it stays.
struct Other {
  std::string_view from, to, reason, message;
};

TEST(FuseQdq, SaysWhyItDoesNot) {
  const Other kOthers[] = {
      {"scales = [0.125]", "scales = [0.25]", "quantized_form", "another scale"},
      {"%3 = param \"b\" : i32[4]", "%3 = param \"b\" : i8[4]", "quantized_form", "not i32"},
      {"{scales = [0.5], zero_points = [0]",
       "{axis = 0, scales = [0.5, 1, 2], zero_points = [0, 0, 0]", "quantized_form",
       "along another axis"},
      {"{scales = [0.5], zero_points = [0]",
       "{axis = 1, scales = [0.5, 1, 2, 1], zero_points = [0, 1, 0, 0]", "quantized_form",
       "zero points that differ"},
      {"output \"y\" = %10", "output \"y\" = %10\n output \"s\" = %8", "graph_output", "output"},
      {"output \"y\" = %10", "%11 = neg(%6)\n output \"y\" = %10\n output \"s\" = %11",
       "multi_consumer", "read by"},
  };
  for (const Other& other : kOthers) {
    std::string text = kProduct;
    const size_t at = text.find(other.from);
    ASSERT_NE(at, std::string::npos) << other.from;
    text.replace(at, other.from.size(), other.to);
    SCOPED_TRACE(text);
    const Outcome outcome = RunPass(FuseQdq, text);
    EXPECT_FALSE(outcome.changed);
    ASSERT_EQ(outcome.Missed().size(), 1u);
    EXPECT_EQ(outcome.Missed()[0].reason, other.reason);
    EXPECT_THAT(outcome.Missed()[0].message, HasSubstr(other.message));
  }
}

// --- fuse_dequant_matmul

TEST(FuseDequantMatMul, KeepsWeightsPacked) {
  ExpectRewrite(FuseDequantMatMul, R"(mir "m" {
    %0 = input "x" : f32[2,3]
    %1 = param "w" : i8[3,2]
    %2 = dequantize(%1) {axis = 1, scales = [0.5, 0.25], zero_points = [0, 0], to = f32}
    %3 = matmul(%0, %2)
    output "y" = %3
  })",
                R"(mir "m" {
    %0 = input "x" : f32[2,3]
    %1 = param "w" : i8[3,2]
    %2 = constant {value = f32[1,2] (0.5, 0.25)}
    %3 = dequant_matmul(%0, %1, %2) {scheme = "int8", block = 3}
    output "y" = %3
  })");
}

TEST(FuseDequantMatMul, TurnsCodesAndKeepsZeroPoints) {
  ExpectRewrite(FuseDequantMatMul, R"(mir "m" {
    %0 = input "x" : f32[2,3]
    %1 = param "w" : i8[2,3]
    %2 = dequantize(%1) {axis = 0, scales = [0.5, 0.25], zero_points = [0, 7], to = f32}
    %3 = transpose(%2) {perm = [1, 0]}
    %4 = matmul(%0, %3)
    output "y" = %4
  })",
                R"(mir "m" {
    %0 = input "x" : f32[2,3]
    %1 = param "w" : i8[2,3]
    %2 = transpose(%1) {perm = [1, 0]}
    %3 = constant {value = f32[1,2] (0.5, 0.25)}
    %4 = constant {value = f32[1,2] (0, 7)}
    %5 = dequant_matmul(%0, %2, %3, %4) {scheme = "int8a", block = 3}
    output "y" = %5
  })");
}

constexpr std::string_view kBothCodes = R"(mir "m" {
    %0 = input "x" : u8[2,3]
    %1 = param "w" : i8[3,2]
    %2 = dequantize(%0) {scales = [2], zero_points = [128], to = f32}
    %3 = dequantize(%1) {axis = 1, scales = [0.5, 0.25], zero_points = [0, 7], to = f32}
    %4 = matmul(%2, %3)
    output "y" = %4
  })";

TEST(FuseDequantMatMul, MultipliesCodesByCodes) {
  ExpectRewrite(FuseDequantMatMul, kBothCodes, R"(mir "m" {
    %0 = input "x" : u8[2,3]
    %1 = param "w" : i8[3,2]
    %2 = cast(%0) {to = i32}
    %3 = constant {value = i32[] (128)}
    %4 = sub(%2, %3)
    %5 = cast(%1) {to = i32}
    %6 = constant {value = i32[2] (0, 7)}
    %7 = sub(%5, %6)
    %8 = matmul(%4, %7)
    %9 = cast(%8) {to = f32}
    %10 = constant {value = f32[2] (1, 0.5)}
    %11 = mul(%9, %10)
    output "y" = %11
  })");
}

TEST(FuseDequantMatMul, MultipliesFloatsByCodesWhereThatIsFaster) {
  PassContext cuda;
  cuda.target = FusionTarget::kCuda;
  EXPECT_THAT(RunPass(FuseDequantMatMul, kBothCodes, cuda).text, HasSubstr("dequant_matmul"));
}

// A transpose need not turn anything.
TEST(FuseDequantMatMul, LooksAtThePermutation) {
  for (const std::string_view axis : {"axis = 1, ", "axis = 0, "}) {
    const Outcome outcome = RunPass(FuseDequantMatMul, Cat(R"(mir "m" {
    %0 = input "x" : f32[2,2]
    %1 = param "w" : i8[2,2]
    %2 = dequantize(%1) {)",
                                                           axis, R"(scales = [0.5, 0.25],
        zero_points = [0, 0], to = f32}
    %3 = transpose(%2) {perm = [0, 1]}
    %4 = matmul(%0, %3)
    output "y" = %4
  })"));
    EXPECT_FALSE(outcome.changed);
    ASSERT_EQ(outcome.Missed().size(), 1u);
    EXPECT_THAT(outcome.Missed()[0].message, HasSubstr("leaves rows and columns as they are"));
  }
}

TEST(FuseDequantMatMul, LeavesWhatOthersReadAndOtherForms) {
  const Outcome shared = RunPass(FuseDequantMatMul, R"(mir "m" {
    %0 = input "x" : f32[2,3]
    %1 = param "w" : i8[3,2]
    %2 = dequantize(%1) {scales = [0.5], zero_points = [0], to = f32}
    %3 = matmul(%0, %2)
    output "y" = %3
    output "w" = %2
  })");
  EXPECT_FALSE(shared.changed);
  ASSERT_EQ(shared.Missed().size(), 1u);
  EXPECT_EQ(shared.Missed()[0].reason, "graph_output");
  const Outcome rows = RunPass(FuseDequantMatMul, R"(mir "m" {
    %0 = input "x" : f32[2,3]
    %1 = param "w" : i8[3,2]
    %2 = dequantize(%1) {axis = 0, scales = [0.5, 1, 2], zero_points = [0, 0, 0], to = f32}
    %3 = matmul(%0, %2)
    %4 = input "v" : i8[3,2]
    %5 = dequantize(%4) {scales = [0.5], zero_points = [0], to = f32}
    %6 = matmul(%0, %5)
    output "y" = %3
    output "z" = %6
  })");
  EXPECT_FALSE(rows.changed);
  ASSERT_EQ(rows.Missed().size(), 1u);  // activations are no weights: nothing to say about them
  EXPECT_THAT(rows.Missed()[0].message, HasSubstr("scale for each row of k"));
}

}  // namespace
}  // namespace rlx::passes
