// SPDX-License-Identifier: Apache-2.0
// A running sum taken apart: with a length that is known and with a symbol, whichever the axis and
// the type, and past elements that are no numbers.
#include <gtest/gtest.h>

#include <cmath>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/verify.h"
#include "tests/unit/ir/op_testing.h"

namespace rlx {
namespace {

struct RunningSum {
  DType dtype = DType::kF64;
  int64_t axis = 0;
  bool exclusive = false;
};

// x [n, 3] or, for axis 1, [3, n], summed up as a whole and by its parts.
absl::StatusOr<Graph> WholeAndParts(const RunningSum& sum, const Dim& n) {
  Graph graph;
  graph.symbols = {{"n", {}}};
  GraphBuilder b(graph);
  const Value x = b.Input("x", {sum.dtype, sum.axis == 0 ? Shape{n, Dim(3)} : Shape{Dim(3), n}});
  const Value whole =
      b.Emit(OpKind::kCumsum, {x}, {{"axis", sum.axis}, {"exclusive", sum.exclusive}});
  RLX_TRY(b.status());
  const Node node = graph.node(whole.node);
  RLX_ASSIGN(const std::vector<Value> parts, Info(OpKind::kCumsum).decompose(b, node));
  b.Output("whole", whole);
  b.Output("parts", parts[0]);
  RLX_TRY(b.status());
  RLX_TRY(VerifyGraph(graph));
  return graph;
}

void ExpectSame(const Graph& graph, const HostTensor& x) {
  const auto got = Evaluate(graph, {{"x", x}});
  ASSERT_TRUE(got.ok()) << Message(got.status());
  EXPECT_EQ((*got)[0].i, (*got)[1].i);
  ASSERT_EQ((*got)[0].f.size(), (*got)[1].f.size());
  for (size_t k = 0; k < (*got)[0].f.size(); ++k) {
    const double want = (*got)[0].f[k], is = (*got)[1].f[k];
    if (std::isfinite(want)) {
      EXPECT_NEAR(is, want, 1e-12);
    } else {
      EXPECT_TRUE(is == want || (std::isnan(is) && std::isnan(want))) << is << " for " << want;
    }
  }
}

HostTensor Floats(const TensorType& type, bool with_others) {
  Rng rng(5);
  std::vector<double> values = RandomF64(rng, type.StaticDims()).ToDoubles();
  if (with_others) values[values.size() / 2] = INFINITY, values[values.size() * 3 / 4] = NAN;
  return HostTensor::FromDoubles(type.dtype, type.StaticDims(), values);
}

HostTensor Integers(const TensorType& type) {
  std::vector<int64_t> values;
  for (int64_t k = 0; k < *type.NumElements(); ++k) values.push_back(100 - 7 * (k % 40));
  return HostTensor::FromInts(type.dtype, type.StaticDims(), values);
}

// Calls fn(sum, n) for every form.
template <class Fn>
void ForEachForm(const Fn& fn) {
  for (const DType dtype : {DType::kF64, DType::kI8, DType::kI64}) {
    for (const int64_t axis : {0, 1}) {
      for (const bool exclusive : {false, true}) {
        for (const int64_t n : {1, 2, 3, 8, 21}) {
          SCOPED_TRACE(Cat(dtype, " axis ", axis, exclusive ? " exclusive " : " ", n));
          fn(RunningSum{dtype, axis, exclusive}, n);
        }
      }
    }
  }
}

void Check(const Graph& graph) {
  const TensorType& type = graph.type({graph.inputs()[0], 0});
  if (!IsFloat(type.dtype)) return ExpectSame(graph, Integers(type));
  ExpectSame(graph, Floats(type, false));
  ExpectSame(graph, Floats(type, true));
}

TEST(RunningSum, OfAKnownLength) {
  ForEachForm([](const RunningSum& sum, int64_t n) {
    const auto graph = WholeAndParts(sum, n);
    ASSERT_TRUE(graph.ok()) << Message(graph.status());
    Check(*graph);
  });
}

TEST(RunningSum, OfASymbol) {
  ForEachForm([](const RunningSum& sum, int64_t n) {
    const auto graph = WholeAndParts(sum, Dim::Symbol("n"));
    ASSERT_TRUE(graph.ok()) << Message(graph.status());
    const auto bound = BindSymbols(*graph, {{"n", n}});
    ASSERT_TRUE(bound.ok()) << Message(bound.status());
    Check(*bound);
  });
}

// Two symbols in one extent, and another beside it.
TEST(RunningSum, OfAnExpression) {
  Graph graph;
  graph.symbols = {{"a", {}}, {"b", {}}};
  GraphBuilder b(graph);
  const Dim n = Dim::Symbol("a") + Dim::Symbol("b") * Dim(2);
  const Value x = b.Input("x", {DType::kF64, {Dim::Symbol("a"), n}});
  const Value whole = b.Emit(OpKind::kCumsum, {x}, {{"axis", int64_t{1}}});
  ASSERT_TRUE(b.status().ok());
  const Node node = graph.node(whole.node);
  const auto parts = Info(OpKind::kCumsum).decompose(b, node);
  ASSERT_TRUE(parts.ok()) << Message(parts.status());
  b.Output("whole", whole);
  b.Output("parts", (*parts)[0]);
  const auto bound = BindSymbols(graph, {{"a", 3}, {"b", 2}});
  ASSERT_TRUE(bound.ok()) << Message(bound.status());
  Check(*bound);
}

}  // namespace
}  // namespace rlx
