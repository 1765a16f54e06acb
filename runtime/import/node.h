// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string_view>

#include "runtime/import/dims.h"
#include "runtime/import/element.h"

namespace rlx::onnx {

class AttributeProto;
class GraphProto;
class Importer;
class NodeProto;
struct Body;

// What a name of the model stands for. Shared by all who read the name; put into the graph when
// somebody needs it there.
struct Tensor {
  TensorType type;  // as the IR has it
  Element element = Element::kUndefined;
  Value value;                         // invalid: not in the graph yet
  std::optional<HostTensor> constant;  // its content, if known
  std::optional<DimTensor> dims;       // or known but for symbols
  int initializer = -1;                // in the main graph: read when needed
  // Where a run decides how much of `axis` counts: that many elements, an i64 scalar; behind them
  // are zeros.
  struct Extent {
    Value count;
    int64_t axis = 0;
  };
  std::optional<Extent> extent;
};
using TensorPtr = std::shared_ptr<Tensor>;

// A node as its import function sees it: operands, attributes, the builder to emit into. Attributes
// are checked when they are read: one of the wrong type fails the builder, and its default is
// returned, so that import functions read on and the first error is told. Axes and lists that index
// something are to be checked at once.
class OpNode {
 public:
  OpNode(Importer& importer, Body& body, const NodeProto& proto, int opset,
         std::vector<TensorPtr> inputs, GraphBuilder& builder)
      : b(builder),
        opset(opset),
        importer_(importer),
        body_(body),
        proto_(proto),
        inputs_(std::move(inputs)) {}

  GraphBuilder& b;
  const int opset;  // of its domain

  // Operands, by position. Those that the table demands are there; trailing and empty ones are not.
  int inputs() const { return static_cast<int>(inputs_.size()); }
  bool IsEmpty(int i) const;  // it is known to have no elements
  bool Has(int i) const { return i < inputs() && inputs_[static_cast<size_t>(i)] != nullptr; }
  // Requires Has(i).
  Value In(int i);
  const TensorType& type(int i) const { return inputs_[static_cast<size_t>(i)]->type; }
  const Shape& shape(int i) const { return type(i).shape; }
  int rank(int i) const { return type(i).rank(); }
  DType dtype(int i) const { return type(i).dtype; }
  Element element(int i) const { return inputs_[static_cast<size_t>(i)]->element; }
  const TensorPtr& tensor(int i) const { return inputs_[static_cast<size_t>(i)]; }

  // An operand's content, where an op must know it while compiling. InvalidArgument naming the
  // operand as `what` when a run decides it.
  bool IsConstant(int i) const;
  absl::StatusOr<HostTensor> Constant(int i, std::string_view what) const;
  absl::StatusOr<std::vector<int64_t>> Ints(int i, std::string_view what) const;
  absl::StatusOr<std::vector<double>> Doubles(int i, std::string_view what) const;
  std::optional<DimTensor> Dims(int i) const;
  absl::StatusOr<std::vector<Dim>> Extents(int i, std::string_view what) const;

  bool HasAttr(std::string_view name) const;
  int64_t Int(std::string_view name, int64_t fallback) const;
  double Float(std::string_view name, double fallback) const;
  std::string Str(std::string_view name, std::string_view fallback) const;
  std::vector<int64_t> IntList(std::string_view name) const;  // empty when absent
  std::vector<double> FloatList(std::string_view name) const;
  std::vector<std::string> StrList(std::string_view name) const;
  absl::StatusOr<HostTensor> TensorAttr(std::string_view name) const;
  Element TensorAttrElement(std::string_view name) const;
  // InvalidArgument, with what is supported, unless it is one of `choices`.
  absl::StatusOr<std::string> Choice(std::string_view name, std::string_view fallback,
                                     std::initializer_list<std::string_view> choices) const;
  const GraphProto* GraphAttr(std::string_view name) const;

  const SymbolTable& symbols() const;

  // A counted-from-the-end axis as 0 … rank-1.
  absl::StatusOr<int64_t> Axis(int64_t axis, int rank) const;
  absl::StatusOr<std::vector<int64_t>> Axes(std::vector<int64_t> axes, int rank) const;

  int outputs() const;
  bool Wants(int o) const;  // somebody may read that result
  // The element type of a result that its dtype does not tell.
  void SetElement(int o, Element element);
  const std::vector<Element>& elements() const { return elements_; }
  // The content of a result, in place of a value.
  void SetResult(int o, TensorPtr result);
  void SetKnown(int o, HostTensor content, Element element);
  // Of a result, how much of an axis counts.
  void SetExtent(int o, int64_t axis, Value count);
  const std::map<int, Tensor::Extent>& extents() const { return extents_; }
  // A result without elements: known, and there for ops that look at its shape or join it to
  // others.
  void SetEmpty(int o, DType dtype, std::vector<int64_t> dims, Element element);
  const std::vector<TensorPtr>& given() const { return given_; }

  // A nested graph of an attribute, for control flow: its inputs are bound by position, what it
  // reads of the graphs around it is captured.
  struct Nested {
    std::shared_ptr<const Graph> graph;
    std::vector<Value> captures;    // in this graph
    std::vector<Element> elements;  // of its outputs
  };
  struct Binding {
    int input = 0;   // of the nested graph
    TensorPtr like;  // what it is like
  };
  // Inputs of the result: `leading`, a capture for each of `names` that needs one, `trailing`.
  absl::StatusOr<Nested> Nest(const GraphProto& graph, const std::vector<Binding>& leading,
                              const std::vector<Binding>& trailing,
                              const std::vector<std::string>& names);
  // The graph's nodes right here: its outputs.
  absl::StatusOr<std::vector<TensorPtr>> Inline(const GraphProto& graph,
                                                const std::vector<TensorPtr>& inputs);
  Value Materialise(Tensor& tensor);

 private:
  const AttributeProto* Find(std::string_view name, int type) const;

  Importer& importer_;
  Body& body_;
  const NodeProto& proto_;
  std::vector<TensorPtr> inputs_;
  std::vector<Element> elements_;
  std::vector<TensorPtr> given_;
  std::map<int, Tensor::Extent> extents_;
};

using Results = absl::StatusOr<std::vector<Value>>;

// How an op takes elements that only travel (element.h).
enum class Carries : uint8_t {
  kNo,    // refused
  kMove,  // taken, and the results have the element type of operand 0
  kSelf,  // the import function sees to it
};

// One op of a domain, for opsets since … until.
struct OpRow {
  std::string_view domain;  // "" is ONNX's own
  std::string_view name;
  int since = 1, until = INT32_MAX;
  int min_inputs = 0, max_inputs = 0;  // -1: any number
  std::string_view attributes = {};    // names, separated by blanks; others are refused
  Results (*import)(OpNode&) = nullptr;
  // The results from shapes alone; tried first when every operand is known that far.
  std::optional<DimTensor> (*fold)(const OpNode&) = nullptr;
  Carries carries = Carries::kNo;
  std::string_view note = {};  // for docs/onnx.md: what of it is not supported
};

inline constexpr std::string_view kOnnx = "";
inline constexpr std::string_view kMicrosoft = "com.microsoft";

// The row for an op at an opset; null when there is none.
const OpRow* FindOp(std::string_view domain, std::string_view name, int opset);
// All rows, by domain and name.
std::span<const OpRow* const> AllRows();

}  // namespace rlx::onnx
