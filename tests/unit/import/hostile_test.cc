// SPDX-License-Identifier: Apache-2.0
// What the importer refuses, and in what words.
#include "runtime/base/status.h"
#include "runtime/import/slim.h"
#include "tests/unit/import/import_fixture.h"

namespace rlx::onnx {
namespace {

using test::Floats;
using test::GraphText;
using test::Ints;
using test::kFloat;
using test::ModelOf;
using test::NodeOf;
using test::ValueOf;
using ::testing::AllOf;
using ::testing::HasSubstr;

std::string Refusal(const absl::StatusOr<Imported>& imported) {
  return imported.ok() ? "" : std::string(rlx::Message(imported.status()));
}

GraphText Sound() {
  return {.nodes = {NodeOf("Add", "x w", "y")},
          .initializers = {Floats("w", {4}, {1, 2, 3, 4})},
          .inputs = {ValueOf("x", kFloat, {4})},
          .outputs = {ValueOf("y", kFloat, {4})}};
}

TEST(Hostile, EveryTruncationIsRefusedOrSound) {
  const std::string bytes = ModelOf(Sound());
  ASSERT_TRUE(ImportBytes(bytes).ok());
  int refused = 0;
  for (size_t length = 0; length < bytes.size(); ++length) {
    const auto imported = ImportBytes(bytes.substr(0, length));
    refused += imported.ok() ? 0 : 1;
  }
  EXPECT_GT(refused, static_cast<int>(bytes.size()) / 2);
}

TEST(Hostile, GarbageIsNoModel) {
  for (const std::string_view bytes : {"", "\xff\xff\xff\xff", "not a model", "\x08"})
    EXPECT_FALSE(ImportBytes(std::string(bytes)).ok()) << bytes;
}

TEST(Hostile, DeepNestingIsRefused) {
  test::Message graph = test::GraphOf({.outputs = {ValueOf("o", kFloat, {})}});
  for (int depth = 0; depth < 200; ++depth) {
    graph =
        test::GraphOf({.nodes = {NodeOf("If", "c", "o", {test::GraphAttr("then_branch", graph)})},
                       .outputs = {ValueOf("o", kFloat, {})}});
  }
  const test::Message model = test::Message().Add(7, graph);
  EXPECT_THAT(std::string(rlx::Message(Slim(model.bytes).status())), HasSubstr("nest deeper"));
}

TEST(Hostile, FieldsOfOursAreDropped) {
  // A tensor that claims bytes far outside of the model.
  test::Message tensor = Floats("w", {4}, {1, 2, 3, 4});
  tensor.Int(60001, int64_t{1} << 40).Int(60002, 16);
  GraphText graph = Sound();
  graph.initializers = {tensor};
  EXPECT_TRUE(ImportText(graph).ok());
}

TEST(Hostile, CyclesAndMissingNamesAreNamed) {
  GraphText graph = Sound();
  graph.nodes = {NodeOf("Add", "x b", "a"), NodeOf("Add", "x a", "b")};
  EXPECT_THAT(Refusal(ImportText(graph)),
              AllOf(HasSubstr("node 0 Add"), HasSubstr("\"b\" is made by no node before it")));
  graph = Sound();
  graph.initializers.clear();
  EXPECT_THAT(Refusal(ImportText(graph)), HasSubstr("operand 1 \"w\" is made by no node before"));
  graph = Sound();
  graph.outputs = {ValueOf("z", kFloat, {4})};
  EXPECT_THAT(Refusal(ImportText(graph)), HasSubstr("output \"z\" is made by no node"));
}

TEST(Hostile, NamesAreMadeOnce) {
  GraphText graph = Sound();
  graph.nodes.push_back(NodeOf("Neg", "x", "y"));
  EXPECT_THAT(Refusal(ImportText(graph)), HasSubstr("\"y\" is made twice"));
  graph = Sound();
  graph.initializers.push_back(graph.initializers[0]);
  EXPECT_THAT(Refusal(ImportText(graph)), HasSubstr("\"w\" is made twice"));
  graph = Sound();
  graph.inputs.push_back(graph.inputs[0]);
  EXPECT_THAT(Refusal(ImportText(graph)), HasSubstr("\"x\" is made twice"));
}

TEST(Hostile, TensorsHaveTheBytesThatTheyNeed) {
  GraphText graph = Sound();
  graph.initializers = {Floats("w", {5}, {1, 2, 3, 4})};
  EXPECT_THAT(Refusal(ImportText(graph)),
              AllOf(HasSubstr("initializer \"w\""), HasSubstr("needs 20 bytes")));
  graph.initializers = {Floats("w", {int64_t{1} << 40, int64_t{1} << 40}, {1})};
  EXPECT_THAT(Refusal(ImportText(graph)), HasSubstr("overflows"));
  graph.initializers = {Floats("w", {-4}, {1})};
  EXPECT_THAT(Refusal(ImportText(graph)), HasSubstr("extent -4 is negative"));
}

// Large ones stay where they are; that their place holds them is checked too.
TEST(Hostile, AWeightsSliceFitsItsShape) {
  GraphText graph = Sound();
  graph.initializers = {Floats("w", {64}, {1, 2, 3, 4})};
  graph.inputs = {ValueOf("x", kFloat, {64})};
  EXPECT_THAT(Refusal(ImportText(graph)), HasSubstr("needs 256 bytes"));
}

test::Message External(const std::string& location, int64_t offset) {
  test::Message tensor, entry, place;
  entry.Bytes(1, "location").Bytes(2, location);
  place.Bytes(1, "offset").Bytes(2, std::to_string(offset));
  return tensor.Int(1, 64).Int(2, kFloat).Bytes(8, "w").Add(13, entry).Add(13, place).Int(14, 1);
}

TEST(Hostile, ExternalFilesAreThoseThatAreGiven) {
  GraphText graph = Sound();
  graph.inputs = {ValueOf("x", kFloat, {64})};
  graph.initializers = {External("../../etc/passwd", 0)};
  const std::string bytes = ModelOf(graph);
  std::string asked;
  const ExternalFiles files = [&](std::string_view location) -> absl::StatusOr<SharedBytes> {
    asked = location;
    return NotFound("no such file is given");
  };
  const auto imported = Import(SharedBytes(std::string(bytes)), files, {});
  ASSERT_TRUE(imported.ok()) << imported.status();  // whoever binds the weights looks for the file
  EXPECT_EQ(imported->weights[0].location, "../../etc/passwd");
  graph.initializers = {External("", 0)};
  EXPECT_THAT(Refusal(ImportText(graph)), HasSubstr("has no location"));
  graph.initializers = {External("w.bin", -1)};
  EXPECT_THAT(Refusal(ImportText(graph)), HasSubstr("\"-1\" is no size"));
}

TEST(Hostile, HugeExtentsCostNothing) {
  GraphText graph = Sound();
  graph.nodes = {NodeOf("Slice", "x from to axes steps", "y")};
  graph.initializers = {Ints("from", {1}, {0}), Ints("to", {1}, {INT64_MAX}),
                        Ints("axes", {1}, {0}), Ints("steps", {1}, {2})};
  graph.inputs = {ValueOf("x", kFloat, {int64_t{1} << 40})};
  EXPECT_THAT(Refusal(ImportText(graph)), HasSubstr("by a step of 2"));
  graph.nodes = {NodeOf("ConstantOfShape", "to", "y")};
  const auto imported = ImportText(graph);  // an expand; Verify has the limit
  EXPECT_FALSE(imported.ok() && Verify(imported->module).ok());
}

TEST(Hostile, ErrorsNameWhatIsSupported) {
  GraphText graph = Sound();
  graph.nodes = {NodeOf("Frobnicate", "x w", "y")};
  EXPECT_THAT(Refusal(ImportText(graph)),
              AllOf(HasSubstr("node 0 Frobnicate \"y\""), HasSubstr("no such op at opset 17")));
  graph.nodes = {NodeOf("Softmax", "x", "y", {test::IntAttr("axes", 1)})};
  EXPECT_THAT(Refusal(ImportText(graph)),
              HasSubstr("attribute \"axes\" is not supported; supported: axis"));
  graph.nodes = {NodeOf("Softmax", "x", "y", {test::TextAttr("axis", "1")})};
  EXPECT_THAT(Refusal(ImportText(graph)),
              HasSubstr("attribute \"axis\" is a string; it has to be an int"));
  graph.nodes = {NodeOf("Gelu", "x", "y")};
  EXPECT_THAT(Refusal(ImportText(graph)), HasSubstr("at opset 17"));
  EXPECT_THAT(Refusal(ImportBytes(ModelOf(Sound(), 6))), HasSubstr("opset 6 is not supported"));
  EXPECT_THAT(Refusal(ImportBytes(ModelOf(Sound(), 17, 99))), HasSubstr("IR version 99"));
}

TEST(Hostile, AFunctionThatCallsItselfEnds) {
  test::Message function, opset, own;
  opset.Bytes(1, "own").Int(2, 1);
  function.Bytes(1, "F").Bytes(4, "a").Bytes(5, "b").Bytes(10, "own").Add(9, opset);
  function.Add(7, NodeOf("F", "a", "b", {}, "own"));
  GraphText graph = Sound();
  graph.nodes = {NodeOf("F", "x", "y", {}, "own")};
  std::string bytes = ModelOf(graph, 17, 8, {function});
  bytes += test::Message().Add(8, opset).bytes;
  EXPECT_THAT(Refusal(ImportBytes(bytes)), HasSubstr("call each other deeper"));
}

TEST(Hostile, ManyCallsMeetTheLimit) {
  // Each function calls the one below twice: 2^20 nodes.
  std::vector<test::Message> functions;
  test::Message domain;
  domain.Bytes(1, "own").Int(2, 1);
  for (int i = 0; i < 20; ++i) {
    test::Message function, onnx;
    onnx.Bytes(1, "").Int(2, 17);
    const std::string below = Cat("F", i - 1);
    function.Bytes(1, Cat("F", i)).Bytes(4, "a").Bytes(5, "c").Bytes(10, "own");
    if (i == 0) {
      function.Add(7, NodeOf("Neg", "a", "c"));
    } else {
      function.Add(7, NodeOf(below, "a", "b", {}, "own"))
          .Add(7, NodeOf(below, "b", "c", {}, "own"));
    }
    function.Add(9, onnx).Add(9, domain);
    functions.push_back(function);
  }
  GraphText graph = Sound();
  graph.nodes = {NodeOf("F19", "x", "y", {}, "own")};
  std::string bytes = ModelOf(graph, 17, 8, functions);
  bytes += test::Message().Add(8, domain).bytes;
  const auto imported = ImportBytes(bytes, {.max_nodes = 1000});
  EXPECT_TRUE(absl::IsResourceExhausted(imported.status())) << imported.status();
}

}  // namespace
}  // namespace rlx::onnx
