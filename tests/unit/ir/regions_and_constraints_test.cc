// SPDX-License-Identifier: Apache-2.0
// Inference over symbols, and the ops that hold graphs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/text.h"

namespace rlx {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Dim s = Dim::Symbol("s"), t = Dim::Symbol("t");

struct Fixture {
  Graph graph;
  GraphBuilder b{graph};
  Value x = b.Input("x", {DType::kF32, {s, 8}});
  Value y = b.Input("y", {DType::kF32, {t, 8}});
  std::string complaint() const { return std::string(Message(b.status())); }
};

TEST(Constraints, ComeFromReshape) {
  Fixture f;
  EXPECT_EQ(f.b.type(f.b.Reshape(f.x, {-1, 4})).shape, (Shape{2 * s, 4}));
  EXPECT_EQ(f.b.type(f.b.Reshape(f.x, {s, 2, 4})).shape, (Shape{s, 2, 4}));
  EXPECT_TRUE(f.graph.constraints.empty());
  f.b.Reshape(f.x, {t, 8});
  EXPECT_THAT(f.graph.constraints, ElementsAre(DimConstraint{8 * s, 8 * t}));
  const Value third = f.b.Reshape(f.x, {-1, 3});
  EXPECT_EQ(f.b.type(third).shape[0], FloorDiv(8 * s, 3));
  EXPECT_EQ(f.graph.constraints.size(), 2u);  // 8·s divides by 3
  EXPECT_TRUE(CheckConstraints({f.graph.constraints[1]}, {{"s", 6}}).ok());
  EXPECT_FALSE(CheckConstraints({f.graph.constraints[1]}, {{"s", 7}}).ok());
}

TEST(Constraints, ComeFromConcatAndBroadcast) {
  Fixture f;
  EXPECT_EQ(f.b.type(f.b.Concat({f.x, f.y}, 0)).shape, (Shape{s + t, 8}));
  EXPECT_TRUE(f.graph.constraints.empty());
  EXPECT_EQ(f.b.type(f.b.Concat({f.x, f.y}, 1)).shape, (Shape{s, 16}));
  EXPECT_THAT(f.graph.constraints, ElementsAre(DimConstraint{s, t}));
  f.b.Add(f.x, f.b.Narrow(f.x, 0, 0, 3));
  EXPECT_THAT(f.graph.constraints,
              ElementsAre(DimConstraint{s, t}, DimConstraint{Max(s, 3), s}, DimConstraint{s, 3}));
}

TEST(Constraints, RefuseWhatNoBindingCanMeet) {
  Fixture f;
  f.b.Add(f.x, f.b.Concat({f.x, f.b.Input("one", {DType::kF32, {1, 8}})}, 0));
  EXPECT_THAT(f.complaint(), HasSubstr("do not broadcast (s vs (s + 1))"));
}

TEST(Constraints, AreBounded) {
  Graph graph;
  GraphBuilder b(graph);
  const Value x = b.Input("x", {DType::kF32, {s}});
  for (int64_t i = 2; i < 3000; ++i) b.Narrow(x, 0, 0, i);
  EXPECT_EQ(b.status().code(), absl::StatusCode::kResourceExhausted);
}

std::shared_ptr<const Graph> Body(const TensorType& type, OpKind op) {
  auto graph = std::make_shared<Graph>();
  GraphBuilder b(*graph);
  const Value x = b.Input("", type);
  std::vector<Attr> attrs;
  if (op == OpKind::kCumsum) attrs = {{"axis", 0}};
  b.Output("", b.Emit(op, {x}, std::move(attrs)));
  EXPECT_TRUE(b.status().ok());
  return graph;
}

TEST(Region, TakesElementwiseBodiesAlone) {
  Fixture f;
  const TensorType type = f.b.type(f.x);
  f.b.Emit(OpKind::kElementwiseRegion, {f.x}, {}, {Body(type, OpKind::kCumsum)});
  EXPECT_THAT(f.complaint(), HasSubstr("body %1 cumsum is not elementwise"));
}

TEST(Region, InputsMatchOperands) {
  Fixture f;
  f.b.Emit(OpKind::kElementwiseRegion, {f.y}, {}, {Body(f.b.type(f.x), OpKind::kNeg)});
  EXPECT_THAT(f.complaint(), HasSubstr("operand 0 is f32[t,8], the graph's input is f32[s,8]"));
  Fixture g;
  g.b.Emit(OpKind::kElementwiseRegion, {g.x, g.x}, {}, {Body(g.b.type(g.x), OpKind::kNeg)});
  EXPECT_THAT(g.complaint(), HasSubstr("1 inputs for 2 operands"));
}

TEST(If, BranchesAgreeAndThePredicateIsABoolScalar) {
  Fixture f;
  const TensorType type = f.b.type(f.x);
  const Value p = f.b.Input("p", {DType::kBool, {}});
  const Value ok =
      f.b.Emit(OpKind::kIf, {p, f.x}, {}, {Body(type, OpKind::kNeg), Body(type, OpKind::kCumsum)});
  EXPECT_EQ(f.b.type(ok), type);
  Fixture g;
  const Value many = g.b.Input("p", {DType::kBool, {2}});
  g.b.Emit(OpKind::kIf, {many, g.x}, {}, {Body(type, OpKind::kNeg), Body(type, OpKind::kNeg)});
  EXPECT_THAT(g.complaint(), HasSubstr("the predicate is bool[2]"));
  Fixture h;
  const Value flag = h.b.Input("p", {DType::kBool, {}});
  auto other = std::make_shared<Graph>();
  GraphBuilder b(*other);
  b.Output("", b.Cast(b.Input("", type), DType::kF16));
  h.b.Emit(OpKind::kIf, {flag, h.x}, {}, {Body(type, OpKind::kNeg), other});
  EXPECT_THAT(h.complaint(), HasSubstr("the branches make f32[s,8] and f16[s,8]"));
}

}  // namespace
}  // namespace rlx
