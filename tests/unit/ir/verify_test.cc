// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/text.h"

namespace rlx {
namespace {

using ::testing::HasSubstr;

// What the verifier says of a module in text form; "" when it is sound.
std::string Complaint(std::string_view text, const Limits& limits = {}) {
  const auto module = ParseModule(text);
  if (!module.ok()) return Cat("parse: ", Message(module.status()));
  return std::string(Message(Verify(*module, limits)));
}

std::string Complaint(const Graph& graph, const Limits& limits = {}) {
  return std::string(Message(VerifyGraph(graph, limits)));
}

// A node as a client could send it: nothing checked.
Node Raw(OpKind op, std::vector<Value> operands, std::vector<TensorType> results,
         std::string name = "") {
  Node node;
  node.op = op;
  node.operands = std::move(operands);
  node.results = std::move(results);
  node.name = std::move(name);
  return node;
}

const TensorType kVector = {DType::kF32, {4}};

Graph OneInput() {
  Graph graph;
  graph.Add(Raw(OpKind::kInput, {}, {kVector}, "x"));
  return graph;
}

TEST(Verify, AcceptsASoundModule) {
  EXPECT_EQ(Complaint(R"(mir "m" {
    symbol s in [1, 8]
    %0 = input "x" : f32[s,4]
    %1 = param "w" : f32[4]
    %2 = add(%0, %1) : f32[s,4]
    output "y" = %2
  })"),
            "");
}

TEST(Verify, RefusesOpsThatAreNotThere) {
  EXPECT_THAT(Complaint(R"(mir "m" { %0 = frobnicate() : f32[2] output "y" = %0 })"),
              HasSubstr("unknown op frobnicate"));
  Graph graph = OneInput();
  graph.Add(Raw(static_cast<OpKind>(60000), {{0, 0}}, {kVector}));
  graph.AddOutput("y", {1, 0});
  EXPECT_THAT(Complaint(graph), HasSubstr("%1: unknown op 60000"));
}

TEST(Verify, RefusesDanglingForwardAndCyclicReferences) {
  for (const auto& [operand, complaint] : std::vector<std::pair<Value, std::string>>{
           {{7, 0}, "operand 0 refers to %7, which does not exist"},
           {{-3, 0}, "operand 0 refers to %-3, which does not exist"},
           {{0, 1}, "operand 0 refers to %0.1 of a node with 1 results"},
           {{0, -1}, "operand 0 refers to %0.-1"},
           {{1, 0}, "operand 0 refers to %1, which does not come before it"},
           {{2, 0}, "operand 0 refers to %2, which does not come before it"}}) {
    Graph graph = OneInput();
    graph.Add(Raw(OpKind::kNeg, {operand}, {kVector}));
    graph.Add(Raw(OpKind::kNeg, {{1, 0}}, {kVector}));
    graph.AddOutput("y", {2, 0});
    EXPECT_THAT(Complaint(graph), HasSubstr(complaint));
  }
}

TEST(Verify, RefusesOutputsThatAreNotThere) {
  Graph graph = OneInput();
  EXPECT_THAT(Complaint(graph), HasSubstr("no outputs"));
  for (Value value : {Value{1, 0}, Value{-1, 0}, Value{0, 1}, Value{0, -1}}) {
    Graph bad = graph;
    bad.AddOutput("y", value);
    EXPECT_THAT(Complaint(bad), HasSubstr("does not exist"));
  }
}

TEST(Verify, RefusesNamesThatAreTakenOrMissing) {
  const auto signature = [](std::string_view first, std::string_view second, std::string_view out) {
    return Cat("mir \"m\" { %0 = input \"", first, "\" : f32[2] %1 = param \"", second,
               "\" : f32[2] output \"y\" = %0 output \"", out, "\" = %1 }");
  };
  EXPECT_EQ(Complaint(signature("x", "w", "z")), "");
  EXPECT_THAT(Complaint(signature("x", "x", "z")), HasSubstr("%1 param \"x\": the name is taken"));
  EXPECT_THAT(Complaint(signature("", "w", "z")), HasSubstr("has no name"));
  EXPECT_THAT(Complaint(signature("x", "w", "y")), HasSubstr("output \"y\" is there twice"));
  EXPECT_THAT(Complaint(signature("x", "w", "")), HasSubstr("has no name"));
  EXPECT_THAT(Complaint(signature("x", "w", std::string(600, 'n'))),
              HasSubstr("name has 600 bytes"));
}

TEST(Verify, RefusesWrongArityAndAttributes) {
  const auto with = [](std::string_view node) {
    return Complaint(
        Cat("mir \"m\" { %0 = input \"x\" : f32[2,3] %1 = ", node, " output \"y\" = %1 }"));
  };
  EXPECT_THAT(with("add(%0) : f32[2,3]"), HasSubstr("%1 add: has 1 operands, takes 2"));
  EXPECT_THAT(with("neg(%0, %0) : f32[2,3]"), HasSubstr("has 2 operands, takes 1"));
  EXPECT_THAT(with("concat() {axis = 0} : f32[2,3]"), HasSubstr("takes at least 1"));
  EXPECT_THAT(with("narrow(%0) {axis = 1, start = 0} : f32[2,3]"),
              HasSubstr("attribute length is missing"));
  EXPECT_THAT(with("neg(%0) {axis = 1} : f32[2,3]"), HasSubstr("unknown attribute \"axis\""));
  EXPECT_THAT(with("cumsum(%0) {axis = 1, axis = 0} : f32[2,3]"),
              HasSubstr("repeated attribute \"axis\""));
  EXPECT_THAT(with("cumsum(%0) {axis = 2} : f32[2,3]"), HasSubstr("axis 2 is outside rank 2"));
  EXPECT_THAT(with("cumsum(%0) {axis = \"last\"} : f32[2,3]"),
              HasSubstr("attribute axis is of type string, takes int"));
  EXPECT_THAT(with("narrow(%0) {axis = 0, start = -1, length = 1} : f32[1,3]"),
              HasSubstr("start is -1, below 0"));
  EXPECT_THAT(with("neg(%0) graph \"g\" { %0 = input \"\" : f32[2] output \"\" = %0 } : f32[2,3]"),
              HasSubstr("has 1 subgraphs, takes 0"));
}

TEST(Verify, RefusesTypesOtherThanInferred) {
  const auto with = [](std::string_view type) {
    return Complaint(
        Cat("mir \"m\" { %0 = input \"x\" : f32[2,3] %1 = transpose(%0) {perm = [1,0]} : ", type,
            " output \"y\" = %1 }"));
  };
  EXPECT_EQ(with("f32[3,2]"), "");
  EXPECT_THAT(with("f32[2,3]"), HasSubstr("%1 transpose: declared f32[2,3], inferred f32[3,2]"));
  EXPECT_THAT(with("f16[3,2]"), HasSubstr("declared f16[3,2]"));
  EXPECT_THAT(with("f32[3,2], f32[3,2]"), HasSubstr("declared"));
  Graph graph = OneInput();
  graph.Add(Raw(OpKind::kNeg, {{0, 0}}, {}));
  graph.AddOutput("y", {0, 0});
  EXPECT_THAT(Complaint(graph), HasSubstr("no declared results"));
}

TEST(Verify, RefusesExtentsThatAreNoSizes) {
  const auto with = [](std::string_view type, std::string_view more = "") {
    return Complaint(
        Cat("mir \"m\" { ", more, " %0 = input \"x\" : ", type, " output \"y\" = %0 }"));
  };
  EXPECT_THAT(with("f32[0]"), HasSubstr("extent 0"));
  EXPECT_THAT(with("f32[2,-5]"), HasSubstr("extent -5"));
  EXPECT_THAT(with("f32[4294967296,4294967296]"), HasSubstr("overflows"));
  EXPECT_THAT(with("u8[2147483648,2147483648]"), HasSubstr("more than max_tensor_bytes"));
  EXPECT_THAT(with("f32[s]"), HasSubstr("symbol s is not declared"));
  EXPECT_EQ(with("f32[batch,seq]"), "");  // well-known
  EXPECT_THAT(with("f32[s,s]", "symbol s in [1, 4294967296]"), HasSubstr("overflows"));
  EXPECT_THAT(with("f32[(4 - s)]", "symbol s in [8, 9]"), HasSubstr("never positive"));
  EXPECT_THAT(with("f32[s]", "symbol s in [0, 9]"), HasSubstr("has the range [0, 9]"));
  EXPECT_THAT(with("f32[s]", "symbol s in [9, 8]"), HasSubstr("has the range [9, 8]"));
  EXPECT_THAT(with("f32[s]", "symbol s in [1, 2] constraint 3 = 4\n"), HasSubstr("cannot hold"));
  std::string ones = "f32[1";
  for (int i = 1; i < 65; ++i) ones += ",1";
  EXPECT_THAT(with(ones + "]"), HasSubstr("rank 65, more than max_rank 64"));
  EXPECT_EQ(with(ones.substr(0, ones.size() - 2) + "]"), "");
  Graph overflow;
  overflow.Add(Raw(OpKind::kInput, {}, {{DType::kF32, {Dim::Overflow()}}}, "x"));
  overflow.AddOutput("y", {0, 0});
  EXPECT_THAT(Complaint(overflow), HasSubstr("overflows"));
}

TEST(Verify, RefusesConstantsThatDoNotFit) {
  const auto constant = [](HostTensor value, TensorType type) {
    Graph graph = OneInput();
    Node node = Raw(OpKind::kConstant, {}, {std::move(type)});
    node.attrs = {{"value", std::move(value)}};
    graph.Add(std::move(node));
    graph.AddOutput("y", {1, 0});
    return graph;
  };
  const HostTensor four = HostTensor::FromDoubles(DType::kF32, {4}, {1, 2, 3, 4});
  EXPECT_EQ(Complaint(constant(four, kVector)), "");
  EXPECT_THAT(Complaint(constant(four, {DType::kF32, {5}})), HasSubstr("declared f32[5]"));
  EXPECT_THAT(Complaint(constant(HostTensor(), {DType::kF32, {}})), HasSubstr("has 0 bytes"));
  EXPECT_THAT(Complaint(constant(four, kVector), {.max_constant_bytes = 15}),
              HasSubstr("more than max_constant_bytes 15"));
  const auto two = HostTensor::Create(DType::kBool, {1}, SharedBytes(std::string(1, '\2')));
  EXPECT_THAT(Complaint(constant(*two, {DType::kBool, {1}})), HasSubstr("neither 0 nor 1"));
  Graph missing = OneInput();
  missing.Add(Raw(OpKind::kConstant, {}, {kVector}));
  missing.AddOutput("y", {0, 0});
  EXPECT_THAT(Complaint(missing), HasSubstr("has no value"));
}

TEST(Verify, KeepsItsLimits) {
  Graph chain = OneInput();
  for (int i = 0; i < 10; ++i) chain.Add(Raw(OpKind::kNeg, {{i, 0}}, {kVector}));
  chain.AddOutput("y", {10, 0});
  EXPECT_EQ(Complaint(chain, {.max_nodes = 11}), "");
  EXPECT_THAT(Complaint(chain, {.max_nodes = 10}), HasSubstr("11 nodes, more than max_nodes 10"));
  EXPECT_EQ(VerifyGraph(chain, {.max_nodes = 10}).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(Complaint(chain, {.max_tensor_bytes = 15}),
              HasSubstr("has 16 bytes, more than max_tensor_bytes 15"));
  Graph wide = OneInput();
  Node concat = Raw(OpKind::kConcat, std::vector<Value>(9, Value{0, 0}), {{DType::kF32, {36}}});
  concat.attrs = {{"axis", 0}};
  wide.Add(std::move(concat));
  wide.AddOutput("y", {1, 0});
  EXPECT_EQ(Complaint(wide), "");
  EXPECT_THAT(Complaint(wide, {.max_operands = 8}),
              HasSubstr("has 9 operands, more than max_operands 8"));
  EXPECT_THAT(Complaint(R"(mir "m" { symbol a in [1, 2] symbol b in [1, 2]
    %0 = input "x" : f32[a,b] output "y" = %0 })",
                        {.max_symbols = 1}),
              HasSubstr("has 2 symbols"));
}

// A chain of `if`s, one inside the other, made from the inside out.
Graph Nest(int depth) {
  const TensorType flag = {DType::kBool, {}};
  auto leaf = std::make_shared<Graph>();
  leaf->Add(Raw(OpKind::kInput, {}, {flag}));
  leaf->AddOutput("", {0, 0});
  std::shared_ptr<const Graph> inner = leaf;
  for (int i = 0; i < depth; ++i) {
    auto outer = std::make_shared<Graph>();
    outer->Add(Raw(OpKind::kInput, {}, {flag}, "x"));
    Node node = Raw(OpKind::kIf, {{0, 0}, {0, 0}}, {flag});
    node.subgraphs = {inner, leaf};
    outer->Add(std::move(node));
    outer->AddOutput("y", {1, 0});
    inner = outer;
  }
  return *inner;
}

TEST(Verify, BoundsNestingWithoutRecursion) {
  EXPECT_EQ(Complaint(Nest(64)), "");
  EXPECT_THAT(Complaint(Nest(65)), HasSubstr("nest 65 deep, more than max_nesting 64"));
  EXPECT_THAT(Complaint(Nest(1000)), HasSubstr("nest 65 deep, more than max_nesting 64"));
}

// Each level holds the level below twice: 2^60 graphs when counted, few in memory.
TEST(Verify, CountsSharedSubgraphsEachTime) {
  const TensorType flag = {DType::kBool, {}};
  auto inner = std::make_shared<const Graph>(Nest(0));
  for (int i = 0; i < 60; ++i) {
    auto outer = std::make_shared<Graph>();
    outer->Add(Raw(OpKind::kInput, {}, {flag}, "x"));
    Node node = Raw(OpKind::kIf, {{0, 0}, {0, 0}}, {flag});
    node.subgraphs = {inner, inner};
    outer->Add(std::move(node));
    outer->AddOutput("y", {1, 0});
    inner = outer;
  }
  EXPECT_THAT(Complaint(*inner), HasSubstr("more than max_nodes 100000"));
}

TEST(Verify, ChecksNestedGraphsAndNamesThePath) {
  EXPECT_THAT(Complaint(R"(mir "m" {
    %0 = input "p" : bool[]
    %1 = input "x" : f32[2]
    %2 = if(%0, %1)
      graph "" { %0 = input "" : f32[2] %1 = neg(%0) : f32[3] output "" = %1 }
      graph "" { %0 = input "" : f32[2] output "" = %0 } : f32[2]
    output "y" = %2
  })"),
              HasSubstr("%2 if: "));
  EXPECT_THAT(Complaint(R"(mir "m" {
    %0 = input "x" : f32[2]
    %1 = elementwise_region(%0) graph "" {
      %0 = input "" : f32[2] %1 = param "w" : f32[2] %2 = add(%0, %1) : f32[2] output "" = %2
    } : f32[2]
    output "y" = %1
  })"),
              HasSubstr("%1 elementwise_region: %1 param \"w\": a nested graph has no params"));
  Graph graph = OneInput();
  Node region = Raw(OpKind::kElementwiseRegion, {{0, 0}}, {kVector});
  region.subgraphs = {nullptr};
  graph.Add(std::move(region));
  graph.AddOutput("y", {1, 0});
  EXPECT_THAT(Complaint(graph), HasSubstr("a subgraph is missing"));
}

// Sizes that no run could have are the module's fault, not the first run's.
TEST(Verify, RefusesConstraintsThatConflict) {
  const auto with = [](std::string_view declared, std::string_view nodes) {
    return Complaint(Cat("mir \"m\" {\n symbol q in [4, 20]\n", declared, R"(
    %0 = input "x" : f32[q,4]
    %1 = input "thirty" : f32[30,4]
    %2 = input "y" : f32[batch,4]
)",
                         nodes, "\n output \"y\" = %3\n}"));
  };
  const std::string_view plain = "%3 = exp(%0)";
  EXPECT_EQ(with("", plain), "");
  EXPECT_EQ(with("constraint q = 7", plain), "");
  EXPECT_EQ(with("constraint q = 7\n constraint q = 8", plain),
            "no sizes satisfy q = 7 (declared) and q = 8 (declared)");
  EXPECT_EQ(with("constraint q = batch\n constraint q = (2 * batch)", plain),
            "no sizes satisfy q = batch (declared) and q = (2 * batch) (declared)");
  EXPECT_EQ(with("constraint q = 21", plain),
            "no sizes satisfy q = 21 (declared) and q in [4, 20]");
  EXPECT_EQ(with("", "%3 = add \"sum\" (%0, %1)"),
            "no sizes satisfy q = 30 (%3 add \"sum\") and q in [4, 20]");
  EXPECT_EQ(with("", "%3 = narrow(%0) {axis = 0, start = 18, length = 5}"),
            "no sizes satisfy max(23, q) = q (%3 narrow) and q in [4, 20]");
  EXPECT_EQ(with("constraint q = 6", R"(%3 = custom(%0, %2) {name = "sum"} graph "" {
      %0 = input "" : f32[q,4]
      %1 = input "" : f32[batch,4]
      %2 = add(%0, %1)
      %3 = concat(%1, %1) {axis = 0}
      %4 = add(%0, %3)
      output "o" = %2
    })"),
            "no sizes satisfy q = batch (%3 custom: %2 add) and q = (2 * batch) (%3 custom: %4 "
            "add)");
}

TEST(Verify, DemandsAttributesInFullForm) {
  Graph graph = OneInput();
  Node node = Raw(OpKind::kCumsum, {{0, 0}}, {kVector});
  node.attrs = {{"axis", -1}};
  graph.Add(std::move(node));
  graph.AddOutput("y", {1, 0});
  EXPECT_THAT(Complaint(graph), HasSubstr("not in their full form"));
}

TEST(Verify, ChecksAliases) {
  const auto with = [](std::string_view aliases) {
    return Complaint(Cat(R"(mir "m" {
      %0 = input "cache" : f32[4]
      %1 = input "small" : f32[2]
      %2 = neg(%0) : f32[4]
      %3 = abs(%0) : f32[4]
      %4 = relu(%2) : f32[4]
      )",
                         aliases, R"(
      output "a" = %2
      output "b" = %3
      output "c" = %4
      output "d" = %1
    })"));
  };
  EXPECT_EQ(with("alias 0 -> 1"), "");  // %3 is the last reader
  EXPECT_EQ(with("alias 0 -> 2"), "");
  EXPECT_THAT(with("alias 0 -> 0"), HasSubstr("%3 abs reads the input after the output is made"));
  EXPECT_THAT(with("alias 2 -> 0"), HasSubstr("out of range"));
  EXPECT_THAT(with("alias 0 -> 4"), HasSubstr("out of range"));
  EXPECT_THAT(with("alias 0 -> 1 alias 0 -> 2"), HasSubstr("repeats"));
  EXPECT_THAT(with("alias 1 -> 1"), HasSubstr("types differ"));
  EXPECT_EQ(with("alias 1 -> 3"), "");
}

}  // namespace
}  // namespace rlx
