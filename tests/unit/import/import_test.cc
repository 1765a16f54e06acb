// SPDX-License-Identifier: Apache-2.0
// What the importer makes of whole models.
#include "tests/unit/import/import_fixture.h"

namespace rlx::onnx {
namespace {

using test::Floats;
using test::Ints;
using test::kFloat;
using test::kInt64;
using test::ModelOf;
using test::NodeOf;
using test::ValueOf;
using ::testing::ElementsAre;

std::vector<double> Iota(int64_t count) {
  std::vector<double> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<double>(i));
  return values;
}

TEST(Import, InitializersAreSlicesOfTheModel) {
  std::vector<float> weights(32);
  for (size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(i);
  const std::string bytes = ModelOf({.nodes = {NodeOf("MatMul", "x w", "y")},
                                     .initializers = {Floats("w", {8, 4}, weights)},
                                     .inputs = {ValueOf("x", kFloat, {1, 8})},
                                     .outputs = {ValueOf("y", kFloat, {1, 4})}});
  const auto imported = ImportBytes(bytes);
  ASSERT_TRUE(imported.ok()) << imported.status();
  ASSERT_EQ(imported->weights.size(), 1u);
  const Weight& weight = imported->weights[0];
  EXPECT_EQ(weight.param, "w");
  EXPECT_EQ(weight.length, 128u);
  EXPECT_EQ(std::memcmp(bytes.data() + weight.offset, weights.data(), weight.length), 0);
  EXPECT_EQ(imported->module.graph.params().size(), 1u);
  const auto y = RunModel(bytes, {{"x", F32({1, 8}, {1, 0, 0, 0, 0, 0, 0, 0})}});
  EXPECT_THAT(y.at(0).f, ElementsAre(0, 1, 2, 3));
}

TEST(Import, NodesKeepWhereTheyCameFrom) {
  const auto imported = ImportText({.nodes = {NodeOf("Relu", "x", "h"), NodeOf("Neg", "h", "y")},
                                    .inputs = {ValueOf("x", kFloat, {2})},
                                    .outputs = {ValueOf("y", kFloat, {2})}});
  ASSERT_TRUE(imported.ok()) << imported.status();
  const Graph& graph = imported->module.graph;
  const Node& last = graph.node(graph.outputs()[0].value.node);
  ASSERT_EQ(last.sources.size(), 1u);
  EXPECT_EQ(last.sources[0].kind, SourceRef::Kind::kOnnx);
  EXPECT_EQ(last.sources[0].id, 1);
  EXPECT_EQ(last.sources[0].name, "Neg");
}

TEST(Import, EqualNamesAreOneSymbol) {
  const auto imported = ImportText(
      {.nodes = {NodeOf("Add", "a b", "y")},
       .inputs = {ValueOf("a", kFloat, {"batch", 3}), ValueOf("b", kFloat, {"batch", 3})},
       .outputs = {ValueOf("y", kFloat, {"batch", 3})}});
  ASSERT_TRUE(imported.ok()) << imported.status();
  EXPECT_EQ(imported->module.graph.symbols.size(), 1u);
  EXPECT_TRUE(imported->module.graph.constraints.empty());
}

// Shape → Gather → Concat → Reshape, as exporters write a split into heads.
TEST(Import, ShapeChainsFoldWithSymbols) {
  const std::string bytes =
      ModelOf({.nodes = {NodeOf("Shape", "x", "s"), NodeOf("Gather", "s zero", "b"),
                         NodeOf("Gather", "s one", "n"), NodeOf("Unsqueeze", "b axis", "b1"),
                         NodeOf("Unsqueeze", "n axis", "n1"),
                         NodeOf("Concat", "b1 n1 heads rest", "to", {test::IntAttr("axis", 0)}),
                         NodeOf("Reshape", "x to", "y")},
               .initializers = {Ints("zero", {}, {0}), Ints("one", {}, {1}), Ints("axis", {1}, {0}),
                                Ints("heads", {1}, {2}), Ints("rest", {1}, {-1})},
               .inputs = {ValueOf("x", kFloat, {"b", "n", 6})},
               .outputs = {ValueOf("y", kFloat, {"b", "n", 2, 3})}});
  const auto imported = ImportBytes(bytes);
  ASSERT_TRUE(imported.ok()) << imported.status();
  const Graph& graph = imported->module.graph;
  const TensorType& type = graph.type(graph.outputs()[0].value);
  EXPECT_EQ(ToString(type), "f32[b,n,2,3]");
  EXPECT_EQ(graph.size(), 2);  // the input and one reshape
}

TEST(Import, ASliceToASymbolicEndRuns) {
  const std::string bytes =
      ModelOf({.nodes = {NodeOf("Shape", "ids", "s"),
                         NodeOf("Gather", "s one", "n", {test::IntAttr("axis", 0)}),
                         NodeOf("Slice", "table zero n zero", "rows")},
               .initializers = {Ints("one", {1}, {1}), Ints("zero", {1}, {0}),
                                Floats("table", {8, 4}, std::vector<float>(32, 2))},
               .inputs = {ValueOf("ids", kInt64, {"b", "n"})},
               .outputs = {ValueOf("rows", kFloat, {"n", 4})}});
  const auto rows = RunModel(bytes, {{"ids", I64({1, 3}, {0, 0, 0})}}, {{"b", 1}, {"n", 3}});
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_THAT(rows[0].dims, ElementsAre(3, 4));
}

// What is not a constant of its own, but of constants, is known.
TEST(Import, ConstantsFoldWhereAnOpHasToKnow) {
  const std::string bytes =
      ModelOf({.nodes = {NodeOf("Mul", "two three", "six"),
                         NodeOf("Cast", "six", "n", {test::IntAttr("to", 7)}),
                         NodeOf("Reshape", "x n", "y")},
               .initializers = {Floats("two", {1}, {2}), Floats("three", {1}, {3})},
               .inputs = {ValueOf("x", kFloat, {2, 3})},
               .outputs = {ValueOf("y", kFloat, {6})}});
  const auto y = RunModel(bytes, {{"x", F32({2, 3}, Iota(6))}});
  ASSERT_EQ(y.size(), 1u);
  EXPECT_THAT(y[0].dims, ElementsAre(6));
}

TEST(Import, NegativeIndicesCountFromTheEnd) {
  const std::string bytes =
      ModelOf({.nodes = {NodeOf("Gather", "x i", "y")},
               .inputs = {ValueOf("x", kFloat, {4}), ValueOf("i", kInt64, {2})},
               .outputs = {ValueOf("y", kFloat, {2})}});
  const auto y = RunModel(bytes, {{"x", F32({4}, Iota(4))}, {"i", I64({2}, {-1, 1})}});
  EXPECT_THAT(y.at(0).f, ElementsAre(3, 1));
}

test::Message Body(const std::vector<test::Message>& nodes,
                   const std::vector<test::Message>& inputs,
                   const std::vector<test::Message>& outputs) {
  return test::GraphOf({.nodes = nodes, .inputs = inputs, .outputs = outputs});
}

TEST(Import, IfReadsNamesOfTheGraphAround) {
  const test::Message yes = Body({NodeOf("Add", "x x", "t")}, {}, {ValueOf("t", kFloat, {2})});
  const test::Message no = Body({NodeOf("Neg", "x", "e")}, {}, {ValueOf("e", kFloat, {2})});
  const std::string bytes = ModelOf(
      {.nodes = {NodeOf("If", "c", "y",
                        {test::GraphAttr("then_branch", yes), test::GraphAttr("else_branch", no)})},
       .inputs = {ValueOf("c", test::kBool, {}), ValueOf("x", kFloat, {2})},
       .outputs = {ValueOf("y", kFloat, {2})}});
  const auto run = [&](int64_t c) {
    return RunModel(bytes,
                    {{"c", HostTensor::FromInts(DType::kBool, {}, {c})}, {"x", F32({2}, {1, 2})}})
        .at(0)
        .f;
  };
  EXPECT_THAT(run(1), ElementsAre(2, 4));
  EXPECT_THAT(run(0), ElementsAre(-1, -2));
}

// sum += i, and every partial sum stacked.
TEST(Import, ALoopOfKnownLengthStacksItsResults) {
  const test::Message body = Body(
      {NodeOf("Identity", "go", "go_on"), NodeOf("Cast", "i", "f", {test::IntAttr("to", kFloat)}),
       NodeOf("Add", "sum f", "next"), NodeOf("Identity", "next", "shown")},
      {ValueOf("i", kInt64, {}), ValueOf("go", test::kBool, {}), ValueOf("sum", kFloat, {})},
      {ValueOf("go_on", test::kBool, {}), ValueOf("next", kFloat, {}),
       ValueOf("shown", kFloat, {})});
  const std::string bytes =
      ModelOf({.nodes = {NodeOf("Loop", "trips - x", "last all", {test::GraphAttr("body", body)})},
               .initializers = {Ints("trips", {}, {4})},
               .inputs = {ValueOf("x", kFloat, {})},
               .outputs = {ValueOf("last", kFloat, {}), ValueOf("all", kFloat, {4})}});
  const auto out = RunModel(bytes, {{"x", F32({}, {10})}});
  ASSERT_EQ(out.size(), 2u);
  EXPECT_THAT(out[0].f, ElementsAre(16));
  EXPECT_THAT(out[1].f, ElementsAre(10, 11, 13, 16));
}

// Doubles until it is past a limit.
TEST(Import, ALoopThatEndsEarlyIsAWhile) {
  const test::Message body =
      Body({NodeOf("Add", "v v", "next"), NodeOf("Less", "next limit", "go_on")},
           {ValueOf("i", kInt64, {}), ValueOf("go", test::kBool, {}), ValueOf("v", kFloat, {})},
           {ValueOf("go_on", test::kBool, {}), ValueOf("next", kFloat, {})});
  const std::string bytes =
      ModelOf({.nodes = {NodeOf("Loop", "- c x", "y", {test::GraphAttr("body", body)})},
               .inputs = {ValueOf("c", test::kBool, {}), ValueOf("x", kFloat, {}),
                          ValueOf("limit", kFloat, {})},
               .outputs = {ValueOf("y", kFloat, {})}});
  const auto y = RunModel(bytes, {{"c", HostTensor::FromInts(DType::kBool, {}, {1})},
                                  {"x", F32({}, {3})},
                                  {"limit", F32({}, {20})}});
  EXPECT_THAT(y.at(0).f, ElementsAre(24));
}

TEST(Import, AFunctionIsCalledWithItsAttributes) {
  test::Message reference, function, opset;
  reference.Bytes(1, "alpha").Int(20, 1).Bytes(21, "slope");
  opset.Bytes(1, "").Int(2, 17);
  function.Bytes(1, "Leak").Bytes(4, "a").Bytes(5, "b").Bytes(6, "slope");
  function.Add(7, NodeOf("LeakyRelu", "a", "b", {reference})).Add(9, opset).Bytes(10, "own");
  test::Message domain;
  std::string bytes =
      ModelOf({.nodes = {NodeOf("Leak", "x", "y", {test::FloatAttr("slope", 0.5f)}, "own")},
               .inputs = {ValueOf("x", kFloat, {2})},
               .outputs = {ValueOf("y", kFloat, {2})}},
              17, 8, {function});
  domain.Bytes(1, "own").Int(2, 1);
  bytes += test::Message().Add(8, domain).bytes;
  const auto y = RunModel(bytes, {{"x", F32({2}, {-2, 2})}});
  EXPECT_THAT(y.at(0).f, ElementsAre(-1, 2));
}

TEST(Import, AnLstmRunsOverItsSteps) {
  // One unit whose gates are all sigmoid(0) = 0.5 but the cell's input, tanh(x).
  const std::string bytes = ModelOf(
      {.nodes = {NodeOf("LSTM", "x w r", "y h c", {test::IntAttr("hidden_size", 1)})},
       .initializers = {Floats("w", {1, 4, 1}, {0, 0, 0, 1}), Floats("r", {1, 4, 1}, {0, 0, 0, 0})},
       .inputs = {ValueOf("x", kFloat, {2, 1, 1})},
       .outputs = {ValueOf("y", kFloat, {2, 1, 1, 1}), ValueOf("c", kFloat, {1, 1, 1})}});
  const auto out = RunModel(bytes, {{"x", F32({2, 1, 1}, {1, 2})}});
  ASSERT_EQ(out.size(), 2u);
  const double c1 = 0.5 * std::tanh(1.0), c2 = 0.5 * c1 + 0.5 * std::tanh(2.0);
  EXPECT_NEAR(out[0].f[0], 0.5 * std::tanh(c1), 1e-6);
  EXPECT_NEAR(out[0].f[1], 0.5 * std::tanh(c2), 1e-6);
  EXPECT_NEAR(out[1].f[0], c2, 1e-6);
}

}  // namespace
}  // namespace rlx::onnx
