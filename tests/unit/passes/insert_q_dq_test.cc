// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/insert_q_dq.h"

#include "tests/unit/passes/pass_test.h"

namespace rlx::passes {
namespace {

using ::testing::HasSubstr;

constexpr char kLayer[] = R"(mir "m" {
    %0 = input "x" : f32[2,3]
    %1 = param "w" : f32[3,2]
    %2 = matmul(%0, %1)
    %3 = relu(%2)
    output "y" = %3
    output "z" = %2
  })";

TEST(InsertQDq, ReroutesReadersAndOutputs) {
  Graph graph = ParseGraph(kLayer);
  const absl::Status status = InsertQDq(
      graph,
      {{.value = {2, 0}, .code = DType::kU8, .axis = {}, .scales = {0.25}, .zero_points = {128}},
       {.value = {1, 0},
        .code = DType::kI8,
        .axis = 1,
        .scales = {0.5, 0.125},
        .zero_points = {0, 0}}});
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_TRUE(VerifyGraph(graph).ok());
  EXPECT_EQ(Text(graph), Text(ParseGraph(R"(mir "m" {
    %0 = input "x" : f32[2,3]
    %1 = param "w" : f32[3,2]
    %2 = quantize(%1) {axis = 1, scales = [0.5, 0.125], zero_points = [0, 0], to = i8}
    %3 = dequantize(%2) {axis = 1, scales = [0.5, 0.125], zero_points = [0, 0], to = f32}
    %4 = matmul(%0, %3)
    %5 = quantize(%4) {scales = [0.25], zero_points = [128], to = u8}
    %6 = dequantize(%5) {scales = [0.25], zero_points = [128], to = f32}
    %7 = relu(%6)
    output "y" = %7
    output "z" = %6
  })")));
}

// What it is for: a float product with a record becomes a product of codes.
TEST(InsertQDq, MakesProductsOfCodes) {
  Graph graph = ParseGraph(kLayer);
  const auto tap = [](NodeId id, double scale, int64_t zero) {
    return Tap{{id, 0}, DType::kI8, {}, {scale}, {zero}};
  };
  ASSERT_TRUE(InsertQDq(graph, {tap(0, 0.02, 1), tap(1, 0.01, 0), tap(2, 0.05, -3)}).ok());
  PassContext context;
  ASSERT_TRUE(FuseQdq(graph, context).ok());
  EXPECT_TRUE(context.changed);
  EXPECT_THAT(Text(graph), HasSubstr("qmatmul("));
  EXPECT_THAT(Text(graph), ::testing::Not(HasSubstr(" matmul(")));
}

TEST(InsertQDq, RefusesWhatItCannotTapAndChangesNothing) {
  const struct {
    std::vector<Tap> record;
    std::string_view message;
  } kCases[] = {
      {{{{9, 0}, DType::kI8, {}, {1}, {0}}}, "tap of %9: there is no such value"},
      {{{{2, 1}, DType::kI8, {}, {1}, {0}}}, "tap of %2.1: there is no such value"},
      {{{{2, 0}, DType::kI8, {}, {1}, {0}}, {{2, 0}, DType::kU8, {}, {1}, {0}}},
       "tap of %2: it is tapped already"},
      {{{{2, 0}, DType::kI32, {}, {1}, {0}}}, "to is i32 where i8 or u8 is needed"},
      {{{{2, 0}, DType::kI8, {}, {0}, {0}}}, "a scale is 0, not above 0"},
      {{{{2, 0}, DType::kI8, 1, {1, 1, 1}, {0, 0, 0}}}, "there are 3 scales for 2 channels"},
      {{{{0, 0}, DType::kI8, {}, {1}, {0}}, {{2, 0}, DType::kI8, {}, {1}, {}}}, "tap of %2: "},
  };
  for (const auto& [record, message] : kCases) {
    SCOPED_TRACE(message);
    Graph graph = ParseGraph(kLayer);
    const absl::Status status = InsertQDq(graph, record);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
    EXPECT_EQ(Text(graph), Text(ParseGraph(kLayer)));
  }
}

}  // namespace
}  // namespace rlx::passes
