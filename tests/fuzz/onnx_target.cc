// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "runtime/import/import.h"
#include "runtime/import/node.h"
#include "runtime/import/versions.h"
#include "tests/fuzz/accepted.h"
#include "tests/fuzz/targets.h"
#include "tests/support/onnx_model.h"

namespace rlx::fuzz {
namespace {

using test::Floats;
using test::GraphOf;
using test::IntAttr;
using test::Ints;
using test::IntsAttr;
using test::kFloat;
using test::kInt64;
using test::ModelOf;
using test::NodeOf;
using test::ValueOf;

test::Message Opset(std::string_view domain) { return test::Message().Bytes(1, domain).Int(2, 1); }

std::string Encoder() {
  return ModelOf(
      {.nodes = {NodeOf("Shape", "x", "s"), NodeOf("Slice", "s zero one", "rows"),
                 NodeOf("Concat", "rows heads", "to", {IntAttr("axis", 0)}),
                 NodeOf("MatMul", "x w", "h"), NodeOf("Reshape", "h to", "split"),
                 NodeOf("Transpose", "split", "t", {IntsAttr("perm", {0, 2, 1})}),
                 NodeOf("Softmax", "t", "y", {IntAttr("axis", -1)})},
       .initializers = {Ints("zero", {1}, {0}), Ints("one", {1}, {1}), Ints("heads", {2}, {2, -1}),
                        Floats("w", {4, 8}, std::vector<float>(32, 0.5f))},
       .inputs = {ValueOf("x", kFloat, {"n", 4})},
       .outputs = {ValueOf("y", kFloat, {"n", 4, 2})}});
}

std::string Images() {
  return ModelOf({.nodes = {NodeOf("Conv", "x w b", "c", {IntsAttr("pads", {1, 1, 1, 1})}),
                            NodeOf("Relu", "c", "r"),
                            NodeOf("MaxPool", "r", "p",
                                   {IntsAttr("kernel_shape", {2, 2}), IntsAttr("strides", {2, 2})}),
                            NodeOf("Resize", "p - scales", "u"), NodeOf("Flatten", "u", "f"),
                            NodeOf("TopK", "f k", "y i")},
                  .initializers = {Floats("w", {2, 1, 3, 3}, std::vector<float>(18, 0.1f)),
                                   Floats("b", {2}, {0, 1}), Floats("scales", {4}, {1, 1, 2, 2}),
                                   Ints("k", {1}, {3})},
                  .inputs = {ValueOf("x", kFloat, {1, 1, 6, 6})},
                  .outputs = {ValueOf("y", kFloat, {1, 3}), ValueOf("i", kInt64, {1, 3})}});
}

std::string Loops() {
  const test::Message body =
      GraphOf({.nodes = {NodeOf("Identity", "go", "on"), NodeOf("Add", "v x", "next")},
               .inputs = {ValueOf("i", kInt64, {}), ValueOf("go", test::kBool, {}),
                          ValueOf("v", kFloat, {3})},
               .outputs = {ValueOf("on", test::kBool, {}), ValueOf("next", kFloat, {3}),
                           ValueOf("next", kFloat, {3})}});
  return ModelOf(
      {.nodes = {NodeOf("Loop", "trips - x", "last all", {test::GraphAttr("body", body)})},
       .initializers = {Ints("trips", {}, {4})},
       .inputs = {ValueOf("x", kFloat, {3})},
       .outputs = {ValueOf("last", kFloat, {3}), ValueOf("all", kFloat, {4, 3})}});
}

// One node of the op: floats where `known` is false, else floats and lists of ones that are known.
std::string Alone(const onnx::OpRow& row, bool known) {
  test::GraphText graph;
  std::string operands;
  for (int i = 0; i < row.min_inputs; ++i) {
    const std::string name = Cat("x", i);
    operands += Cat(i == 0 ? "" : " ", name);
    if (i > 0 && known) {
      graph.initializers.push_back(Ints(name, {1}, {1}));
    } else {
      graph.inputs.push_back(ValueOf(name, kFloat, {2, 4, 4}));
    }
  }
  graph.nodes = {NodeOf(row.name, operands, "y", {}, row.domain)};
  graph.outputs = {ValueOf("y", kFloat, {"n"})};
  const int64_t opset = std::min<int64_t>(row.until, onnx::kMaxOpset);
  std::string bytes = ModelOf(graph, row.domain.empty() ? opset : 17);
  if (!row.domain.empty()) bytes += test::Message().Add(8, Opset(row.domain)).bytes;
  return bytes;
}

bool IsAccepted(const std::string& bytes) {
  return onnx::Import(SharedBytes(std::string(bytes)), {}, kLimits).ok();
}

// Whole models, and every op alone that takes such operands without attributes.
std::vector<std::string> Seeds() {
  std::vector<std::string> seeds = {Encoder(), Images(), Loops()};
  for (const onnx::OpRow* row : onnx::AllRows()) {
    for (const bool known : {false, true}) {
      const std::string seed = Alone(*row, known);
      if (!IsAccepted(seed)) continue;
      seeds.push_back(seed);
      break;
    }
  }
  return seeds;
}

void Run(std::string_view bytes) {
  const SharedBytes model{std::string(bytes)};
  const auto imported = onnx::Import(model, {}, kLimits);
  if (imported.ok() && Verify(imported->module, kLimits).ok())
    CheckAccepted(imported->module, bytes.size());
}

}  // namespace

const Target kOnnxTarget{"onnx", Seeds, Run};

}  // namespace rlx::fuzz
