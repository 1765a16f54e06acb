// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "rlx/onnx/model.pb.h"
#include "runtime/import/import.h"
#include "runtime/import/node.h"

namespace rlx::onnx {

using Opsets = std::map<std::string, int64_t, std::less<>>;  // by domain

// Where names are looked up while nodes are read: the main graph, a nested one, or a function's
// body. Several bodies may emit into one graph (functions, branches that are known).
struct Body {
  GraphBuilder* builder = nullptr;
  std::map<std::string, TensorPtr, std::less<>> names;
  const Body* outer = nullptr;  // a nested graph also sees these names; of the same graph
  const Opsets* opsets = nullptr;
  // In a function: the attributes that its nodes may refer to.
  const std::map<std::string_view, const AttributeProto*>* attributes = nullptr;
  int depth = 0;

  // Null when nothing has the name. What it points to is null for a function's input left out.
  const TensorPtr* Find(std::string_view name) const;
  TensorPtr Lookup(std::string_view name) const;  // null in either case
};

// One import. Single use, single threaded.
class Importer {
 public:
  Importer(const SharedBytes& model, const ExternalFiles& external, const Limits& limits)
      : bytes_(model), external_(external), limits_(limits) {}

  absl::StatusOr<Imported> Run(const ModelProto& model);

  // What the op nodes use.
  absl::Status ReadNodes(Body& body, const google::protobuf::RepeatedPtrField<NodeProto>& nodes);
  absl::StatusOr<OpNode::Nested> Nest(Body& body, const GraphProto& graph,
                                      const std::vector<OpNode::Binding>& leading,
                                      const std::vector<OpNode::Binding>& trailing,
                                      const std::vector<std::string>& names, OpNode& owner);
  absl::StatusOr<std::vector<TensorPtr>> Inline(Body& body, const GraphProto& graph,
                                                const std::vector<TensorPtr>& inputs);
  absl::StatusOr<HostTensor> Content(const Tensor& tensor) const;
  absl::StatusOr<HostTensor> ReadTensor(const TensorProto& tensor) const;
  Value Materialise(Tensor& tensor, GraphBuilder& b);
  const SymbolTable& symbols() const { return out_.module.graph.symbols; }

 private:
  absl::Status ReadFunctions(const ModelProto& model);
  absl::Status ReadInitializers(const GraphProto& graph, Body& body, bool main);
  absl::Status ReadInputs(const GraphProto& graph, Body& body);
  absl::StatusOr<TensorType> InputType(const ValueInfo& info, Element& element);
  std::string SymbolFor(std::string_view name);
  absl::Status ReadOutputs(const GraphProto& graph, Body& body);

  absl::Status ReadNode(Body& body, const NodeProto& node);
  absl::Status ReadOp(Body& body, const NodeProto& node, const OpRow& row, int opset);
  absl::Status Call(Body& body, const NodeProto& node, const FunctionProto& function);
  absl::StatusOr<std::vector<TensorPtr>> Operands(const Body& body, const NodeProto& node) const;
  // The results computed now, when every operand is known and small; none when not.
  absl::StatusOr<std::optional<std::vector<TensorPtr>>> Compute(
      Body& body, const NodeProto& node, const OpRow& row, int opset,
      const std::vector<TensorPtr>& inputs);
  absl::Status Define(Body& body, std::string_view name, TensorPtr tensor);
  absl::Status CountNode();

  const SharedBytes& bytes_;
  const ExternalFiles& external_;
  const Limits& limits_;
  Imported out_;
  Opsets opsets_;
  std::map<std::string, std::pair<const FunctionProto*, Opsets>, std::less<>> functions_;
  std::vector<std::pair<const TensorProto*, std::string>> initializers_;  // with the param's name
  std::map<std::string, std::string, std::less<>> symbols_;  // the model's dim_param → our symbol
  int64_t nodes_ = 0;
};

}  // namespace rlx::onnx
