// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <optional>
#include <unordered_map>

#include "runtime/base/status.h"
#include "runtime/device/generate/emit_op.h"
#include "runtime/device/generate/generate.h"
#include "runtime/device/generate/split_region.h"
#include "runtime/ir/op_info.h"

namespace rlx::device {
namespace {

bool IsScalarConstant(const Node& node) {
  return node.op == OpKind::kConstant && node.Tensor("value").size() == 1;
}

std::string WhyNotBody(const Graph& body) {
  for (const Node& node : body.nodes()) {
    if (node.op == OpKind::kInput) continue;
    if (node.op == OpKind::kConstant && IsScalarConstant(node)) continue;
    std::string why = node.op == OpKind::kConstant ? "a region holds a constant tensor"
                                                   : WhyNotEmitted(body, node);
    if (!why.empty()) return why;
  }
  return "";
}

// The operands that are read from memory; scalar constants become immediates.
struct Operands {
  std::vector<LoopOperand> loads;
  std::vector<int> load_of;  // per operand: position in loads, or -1
};

Operands Collect(ProgramBuilder& out, const Node& node, const std::vector<int64_t>& dims) {
  Operands operands;
  for (rlx::Value v : node.operands) {
    const bool immediate = IsScalarConstant(out.graph().node(v.node));
    operands.load_of.push_back(immediate ? -1 : static_cast<int>(operands.loads.size()));
    if (!immediate) operands.loads.push_back(AsLoopOperand(out.In(v), dims));
  }
  return operands;
}

// The dtype in which a value waits between two kernels as it was computed: splitting a region
// changes no result.
DType WaitingType(DType dtype) {
  return IsFloat(dtype) && ByteWidth(dtype) < 4 ? DType::kF32 : dtype;
}

// The kernels of one elementwise_region: one, or several that hand values over in scratch.
class RegionKernels {
 public:
  RegionKernels(ProgramBuilder& out, NodeId id, const Schedule& schedule)
      : out_(out),
        id_(id),
        schedule_(schedule),
        node_(out.graph().node(id)),
        body_(*node_.subgraphs[0]),
        dims_(node_.results[0].StaticDims()),
        places_(body_.size()),
        reads_left_(body_.size()) {}

  absl::Status Generate() {
    PlaceInputs();
    PlaceResults();
    const std::vector<RegionPiece> pieces = SplitRegion(body_, wanted_);
    for (const RegionPiece& piece : pieces) {
      for (rlx::Value v : piece.reads) ++reads_left_[v.node];
    }
    for (const RegionPiece& piece : pieces) RLX_TRY(EmitPiece(piece));
    return absl::OkStatus();
  }

 private:
  // Where a value of the body is found in memory; a scalar constant of the outer graph is none.
  struct Place {
    std::optional<LoopOperand> memory;
    const HostTensor* immediate = nullptr;
    bool scratch = false;
  };

  void PlaceInputs() {
    const Operands operands = Collect(out_, node_, dims_);
    const std::vector<NodeId> inputs = body_.inputs();
    for (size_t k = 0; k < inputs.size(); ++k) {
      Place& place = places_[inputs[k]];
      if (operands.load_of[k] >= 0) {
        place.memory = operands.loads[static_cast<size_t>(operands.load_of[k])];
      } else {
        place.immediate = &out_.graph().node(node_.operands[k].node).Tensor("value");
      }
    }
    for (NodeId n = 0; n < body_.size(); ++n) {
      const Node& node = body_.node(n);
      if (node.op == OpKind::kConstant) places_[n].immediate = &node.Tensor("value");
    }
  }

  void PlaceResults() {
    for (int32_t r = 0; r < static_cast<int32_t>(node_.results.size()); ++r) {
      const ProgramBuilder::Operand result = out_.Out({id_, r});
      if (result.buffer < 0) continue;
      const rlx::Value value = body_.outputs()[static_cast<size_t>(r)].value;
      wanted_.push_back(value);
      results_[value].push_back(AsLoopOperand(result, dims_));
    }
  }

  // Scratch is given back when its last reader has been emitted: launches run one after the other.
  LoopOperand TakeScratch(DType dtype) {
    int64_t bytes = ByteWidth(dtype);
    for (int64_t d : dims_) bytes *= d;
    std::vector<int32_t>& free = free_scratch_[bytes];
    if (free.empty()) free.push_back(out_.Scratch(bytes));
    const LoopOperand operand{free.back(), dtype, RowMajorStrides(dims_)};
    free.pop_back();
    return operand;
  }

  void GiveBack(rlx::Value v) {
    const Place& place = places_[v.node];
    if (--reads_left_[v.node] > 0 || !place.scratch) return;
    int64_t bytes = ByteWidth(place.memory->dtype);
    for (int64_t d : dims_) bytes *= d;
    free_scratch_[bytes].push_back(place.memory->buffer);
  }

  absl::Status EmitPiece(const RegionPiece& piece) {
    std::vector<LoopOperand> loads, stores;
    std::vector<rlx::Value> loaded, stored;
    for (rlx::Value v : piece.reads) {
      if (!places_[v.node].memory) continue;
      loads.push_back(*places_[v.node].memory);
      loaded.push_back(v);
    }
    for (rlx::Value v : piece.writes) {
      for (const LoopOperand& store : Stores(v)) {
        stores.push_back(store);
        stored.push_back(v);
      }
    }
    const auto body = [&](kernel::Builder& b, std::span<const kernel::Value> values) {
      return EmitNodes(b, piece.nodes, loaded, values, stored);
    };
    RLX_TRY(EmitLoopNest(out_, schedule_, dims_, std::move(loads), std::move(stores), body,
                         Cat(Name(node_.op), " %", id_)));
    for (rlx::Value v : piece.reads) GiveBack(v);
    return absl::OkStatus();
  }

  // All that a value computed by this piece is written to. Later pieces read a result where it
  // lies.
  std::vector<LoopOperand> Stores(rlx::Value v) {
    std::vector<LoopOperand> stores;
    if (const auto it = results_.find(v); it != results_.end()) stores = it->second;
    if (IsLeaf(body_.node(v.node).op) || reads_left_[v.node] == 0) return stores;
    Place& place = places_[v.node];
    const DType dtype = WaitingType(body_.type(v).dtype);
    if (!stores.empty() && stores[0].dtype == dtype) {
      place.memory = stores[0];
      return stores;
    }
    place.memory = TakeScratch(dtype);
    place.scratch = true;
    stores.push_back(*place.memory);
    return stores;
  }

  std::vector<kernel::Value> EmitNodes(kernel::Builder& b, const std::vector<NodeId>& nodes,
                                       const std::vector<rlx::Value>& loaded,
                                       std::span<const kernel::Value> loads,
                                       const std::vector<rlx::Value>& stored) const {
    std::unordered_map<NodeId, kernel::Value> values;
    for (size_t k = 0; k < loaded.size(); ++k) values[loaded[k].node] = loads[k];
    const auto value_of = [&](rlx::Value v) {
      const auto [it, fresh] = values.try_emplace(v.node);
      if (fresh) it->second = EmitImmediate(b, *places_[v.node].immediate);
      return it->second;
    };
    std::vector<kernel::Value> operands;
    for (NodeId n : nodes) {
      operands.clear();
      for (rlx::Value v : body_.node(n).operands) operands.push_back(value_of(v));
      values[n] = EmitOp(b, body_.node(n), operands);
    }
    std::vector<kernel::Value> out;
    for (rlx::Value v : stored) out.push_back(value_of(v));
    return out;
  }

  ProgramBuilder& out_;
  const NodeId id_;
  const Schedule& schedule_;
  const Node& node_;
  const Graph& body_;
  const std::vector<int64_t> dims_;
  std::vector<Place> places_;        // by node of the body
  std::vector<int32_t> reads_left_;  // by node of the body: pieces that have yet to read it
  std::vector<rlx::Value> wanted_;
  std::map<rlx::Value, std::vector<LoopOperand>> results_;
  std::map<int64_t, std::vector<int32_t>> free_scratch_;  // by bytes
};

}  // namespace

std::string WhyNotTypes(const Graph& graph, const Node& node) {
  for (rlx::Value v : node.operands) {
    if (!kernel::FromDType(graph.type(v).dtype)) {
      return Cat(Name(node.op), " of ", Name(graph.type(v).dtype));
    }
  }
  for (const TensorType& type : node.results) {
    if (!kernel::FromDType(type.dtype)) return Cat(Name(node.op), " to ", Name(type.dtype));
  }
  return "";
}

std::string WhyNotElementwise(const Graph& graph, const Node& node) {
  if (node.op != OpKind::kElementwiseRegion) return WhyNotEmitted(graph, node);
  for (const TensorType& type : node.results) {
    if (type.shape != node.results[0].shape) return "the region's results differ in shape";
  }
  const std::string types = WhyNotTypes(graph, node);
  return types.empty() ? WhyNotBody(*node.subgraphs[0]) : types;
}

absl::Status GenerateElementwise(ProgramBuilder& out, NodeId id, const Schedule& schedule) {
  const Node& node = out.graph().node(id);
  if (node.op == OpKind::kElementwiseRegion) return RegionKernels(out, id, schedule).Generate();
  const std::vector<int64_t> dims = node.results[0].StaticDims();
  const Operands operands = Collect(out, node, dims);
  const auto body = [&](kernel::Builder& b, std::span<const kernel::Value> loads) {
    std::vector<kernel::Value> values;
    for (size_t k = 0; k < node.operands.size(); ++k) {
      const int load = operands.load_of[k];
      values.push_back(
          load >= 0 ? loads[static_cast<size_t>(load)]
                    : EmitImmediate(b, out.graph().node(node.operands[k].node).Tensor("value")));
    }
    return std::vector<kernel::Value>{EmitOp(b, node, values)};
  };
  return EmitLoopNest(out, schedule, dims, operands.loads, {AsLoopOperand(out.Out({id, 0}), dims)},
                      body, Cat(Name(node.op), " %", id));
}

}  // namespace rlx::device
