// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>
#include <unordered_map>

#include "runtime/base/check.h"
#include "runtime/base/status.h"
#include "runtime/device/backend.h"
#include "runtime/device/program_builder.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/verify.h"
#include "runtime/kernel/kernel.h"
#include "runtime/lower/lower.h"
#include "runtime/lower/weight_temporaries.h"

namespace rlx::lower {
namespace {

using device::Buffer;
using device::Program;
using device::Step;

// Of a kernel's instructions; its name does not count.
size_t HashOf(const kernel::Kernel& kernel) {
  size_t hash = kernel.buffers.size();
  const auto mix = [&](int64_t v) {
    hash = (hash ^ static_cast<size_t>(v)) * size_t{0x9e3779b97f4a7c15};
    hash ^= hash >> 29;
  };
  for (const kernel::Inst& inst : kernel.body) {
    mix(static_cast<int64_t>(inst.op) << 8 | static_cast<int64_t>(inst.type));
    mix(int64_t{inst.a.id} << 32 | static_cast<uint32_t>(inst.b.id));
    mix(int64_t{inst.c.id});
    mix(inst.imm);
  }
  return hash;
}

class Builder final : public device::ProgramBuilder {
 public:
  Builder(const LirModule& lir, const device::Backend& backend, const device::Target& target)
      : lir_(lir), backend_(backend), target_(target) {}

  absl::StatusOr<ProgramDraft> Run(const CancelToken& cancel) {
    program_.target_fingerprint = target_.fingerprint;
    DescribeIo();
    program_.arena_bytes = lir_.plan.arena_bytes;
    RLX_TRY(CheckClaims());
    TakeConstants();
    for (NodeId id : lir_.plan.schedule) {
      RLX_TRY(cancel.Check());
      RLX_TRY(LowerNode(id));
    }
    CopyLeftoverOutputs();
    FreeWeightTemporaries(program_, lir_.plan.alignment);
    return ProgramDraft{std::move(program_), std::move(kernels_), std::move(step_nodes_),
                        std::move(weight_step_nodes_)};
  }

  // ProgramBuilder.
  const Graph& graph() const override { return lir_.graph; }
  const device::Target& target() const override { return target_; }

  Operand In(Value value) override {
    Operand operand = Resolve(value);
    read_.push_back(operand.buffer);
    return operand;
  }
  Operand Out(Value value) override {
    Operand operand = Resolve(value);
    written_.push_back(operand.buffer);
    return operand;
  }

  int32_t Scratch(int64_t bytes) override {
    // In the weight program any slot that no step of a run reads becomes a temporary.
    if (weight_phase_) {
      return Add({.storage = Storage::kWeight, .index = NewWeightSlot(bytes), .bytes = bytes});
    }
    const int64_t alignment = lir_.plan.alignment;
    const int64_t start = program_.arena_bytes + scratch_used_;
    const int64_t offset = (start + alignment - 1) & ~(alignment - 1);
    scratch_used_ = offset + bytes - program_.arena_bytes;
    program_.scratch_bytes = std::max(program_.scratch_bytes, scratch_used_);
    return Add({.storage = Storage::kArena, .offset = offset, .bytes = bytes});
  }

  int32_t Packed(Value source, std::string_view key, int64_t bytes, const Step& make) override {
    const int32_t from = Resolve(source).buffer;
    const auto [it, fresh] = packed_.try_emplace({from, std::string(key)}, -1);
    if (!fresh) return it->second;
    it->second = Add({.storage = Storage::kWeight, .index = NewWeightSlot(bytes), .bytes = bytes});
    Step step = make;
    step.buffers.push_back(it->second);
    program_.weight_steps.push_back(std::move(step));
    weight_step_nodes_.push_back(node_);
    return it->second;
  }

  void Launch(const kernel::Kernel& kernel, std::vector<int32_t> buffers,
              std::vector<int64_t> scalars, int64_t groups, std::string label) override {
    Step step{.kind = Step::Kind::kLaunch, .kernel = KernelIndex(kernel), .groups = groups};
    for (int32_t b : buffers) step.cost_bytes += b < 0 ? 0 : program_.buffers[b].bytes;
    step.buffers = std::move(buffers);
    step.ints = std::move(scalars);
    step.label = std::move(label);
    Emit(std::move(step));
  }

  void Emit(Step step) override {
    (weight_phase_ ? program_.weight_steps : program_.steps).push_back(std::move(step));
    (weight_phase_ ? weight_step_nodes_ : step_nodes_).push_back(node_);
  }

  void Copy(int32_t from, int32_t to) override {
    Step step{.kind = Step::Kind::kCopy, .buffers = {from, to}, .label = "copy"};
    step.cost_bytes = 2 * program_.buffers[to].bytes;
    Emit(std::move(step));
  }

 private:
  void DescribeIo() {
    const auto specs = [](const std::vector<IoEntry>& entries) {
      std::vector<device::TensorSpec> out;
      for (const IoEntry& e : entries) out.push_back({e.name, e.type});
      return out;
    };
    program_.inputs = specs(lir_.plan.inputs);
    program_.params = specs(lir_.plan.params);
    program_.outputs = specs(lir_.plan.outputs);
    program_.aliases = graph().aliases;
    for (size_t i = 0; i < lir_.plan.inputs.size(); ++i) {
      leaf_index_[lir_.plan.inputs[i].value.node] = static_cast<int32_t>(i);
    }
    for (size_t i = 0; i < lir_.plan.params.size(); ++i) {
      leaf_index_[lir_.plan.params[i].value.node] = static_cast<int32_t>(i);
    }
    for (size_t i = 0; i < lir_.plan.outputs.size(); ++i) {
      output_index_.try_emplace(lir_.plan.outputs[i].value, static_cast<int32_t>(i));
    }
  }

  // A node that is only an address (a view) needs no claim.
  bool IsRun(NodeId id) const {
    const Node& node = graph().node(id);
    return !IsLeaf(node.op) && lir_.plan.of({id, 0}).storage != Storage::kView;
  }

  absl::Status CheckClaims() {
    std::string missing;
    for (NodeId id : lir_.plan.schedule) {
      if (!IsRun(id)) continue;
      const device::Claim claim = backend_.Claims(graph(), id, target_);
      if (claim.native) continue;
      if (!missing.empty()) missing += "; ";
      missing += Cat(NodeLabel(graph(), id), ": ", claim.how);
    }
    if (missing.empty()) return absl::OkStatus();
    return Unimplemented("back end ", backend_.name(), " does not run ", missing);
  }

  void TakeConstants() {
    for (NodeId id = 0; id < graph().size(); ++id) {
      const Node& node = graph().node(id);
      if (node.op != OpKind::kConstant) continue;
      leaf_index_[id] = static_cast<int32_t>(program_.constants.size());
      program_.constants.push_back(node.Tensor("value"));
    }
  }

  absl::Status LowerNode(NodeId id) {
    if (!IsRun(id)) return absl::OkStatus();
    weight_phase_ = lir_.plan.weight_only[id];
    scratch_used_ = 0;
    node_ = id;
    read_.clear();
    written_.clear();
    absl::Status status = backend_.Lower(id, *this);
    node_ = -1;
    weight_phase_ = false;
    if (!status.ok()) return Annotate(status, NodeLabel(graph(), id));
    return CheckApart(id);
  }

  // Kernels and routines may write a result before they have read all operands (a product's sums
  // wait in C while its residual is still to be read), so the plan keeps the two apart.
  absl::Status CheckApart(NodeId id) const {
    for (int32_t w : written_) {
      for (int32_t r : read_) {
        if (w < 0 || r < 0 || !Overlap(program_.buffers[w], program_.buffers[r])) continue;
        return Internal(NodeLabel(graph(), id), ": the plan puts a result over an operand");
      }
    }
    return absl::OkStatus();
  }

  Operand Resolve(Value value) {
    const Assignment& a = lir_.plan.of(value);
    Operand out{.type = graph().type(value), .dims = graph().type(value).StaticDims()};
    out.is_weight = lir_.plan.weight_only[value.node];
    out.dense = a.strides.empty();
    out.strides = out.dense ? RowMajorStrides(out.dims) : a.strides;
    if (a.storage == Storage::kNone) return out;
    const auto [it, fresh] = buffer_of_.try_emplace(value, -1);
    if (fresh) it->second = MakeBuffer(a, out);
    out.buffer = it->second;
    return out;
  }

  int32_t MakeBuffer(const Assignment& a, const Operand& operand) {
    if (a.storage != Storage::kView) return Add(RootBuffer(a));
    Buffer buffer = program_.buffers[Resolve(a.root).buffer];
    const int64_t width = ByteWidth(operand.type.dtype);
    int64_t span = 1;  // elements from the first to the last, inclusive
    for (size_t d = 0; d < operand.dims.size(); ++d) {
      span += (operand.dims[d] - 1) * operand.strides[d];
    }
    buffer.offset += a.element_offset * width;
    buffer.bytes = span * width;
    return Add(buffer);
  }

  Buffer RootBuffer(const Assignment& a) {
    Buffer buffer{.storage = a.storage, .bytes = a.bytes};
    switch (a.storage) {
      case Storage::kArena:
        buffer.offset = a.offset;
        break;
      case Storage::kOutput:
        buffer.index = output_index_.at(a.value);
        break;
      case Storage::kWeight:
        buffer.index = NewWeightSlot(a.bytes);
        break;
      default:
        buffer.index = leaf_index_.at(a.value.node);
        break;
    }
    return buffer;
  }

  int32_t Add(Buffer buffer) {
    program_.buffers.push_back(buffer);
    return static_cast<int32_t>(program_.buffers.size()) - 1;
  }

  int32_t NewWeightSlot(int64_t bytes) {
    program_.weight_slots.push_back(bytes);
    return static_cast<int32_t>(program_.weight_slots.size()) - 1;
  }

  // Equal kernels are compiled once. Their names follow from their order, so that equal programs
  // make equal objects.
  int32_t KernelIndex(const kernel::Kernel& kernel) {
    kernel::Kernel named = kernel;
    named.name.clear();
    std::vector<int32_t>& alike = kernels_by_hash_[HashOf(named)];
    for (int32_t k : alike) {
      named.name = kernels_[k].name;
      if (named == kernels_[k]) return k;
    }
    const auto index = static_cast<int32_t>(kernels_.size());
    named.name = Cat("k", index);
    device::KernelEntry entry{.name = named.name,
                              .scalars = static_cast<int32_t>(named.scalars.size())};
    for (const kernel::BufferParam& buffer : named.buffers) {
      entry.buffers += buffer.writable ? 'w' : 'r';
    }
    program_.kernels.push_back(std::move(entry));
    kernels_.push_back(std::move(named));
    alike.push_back(index);
    return index;
  }

  // An output that no step writes: a leaf, a value named twice, or one computed with the weights.
  void CopyLeftoverOutputs() {
    for (size_t i = 0; i < lir_.plan.outputs.size(); ++i) {
      const Value value = lir_.plan.outputs[i].value;
      const Assignment& a = lir_.plan.of(value);
      const bool written =
          a.storage == Storage::kOutput && output_index_.at(value) == static_cast<int32_t>(i);
      if (written) continue;
      Copy(Resolve(value).buffer,
           Add({.storage = Storage::kOutput, .index = static_cast<int32_t>(i), .bytes = a.bytes}));
    }
  }

  const LirModule& lir_;
  const device::Backend& backend_;
  const device::Target& target_;
  Program program_;
  std::vector<kernel::Kernel> kernels_;
  std::unordered_map<size_t, std::vector<int32_t>> kernels_by_hash_;
  std::map<Value, int32_t> buffer_of_;
  std::map<NodeId, int32_t> leaf_index_;
  std::map<Value, int32_t> output_index_;
  std::map<std::pair<int32_t, std::string>, int32_t> packed_;
  std::vector<NodeId> step_nodes_, weight_step_nodes_;  // by step
  NodeId node_ = -1;                                    // being lowered
  std::vector<int32_t> read_, written_;                 // by the node being lowered
  bool weight_phase_ = false;
  int64_t scratch_used_ = 0;
};

}  // namespace

absl::StatusOr<ProgramDraft> DraftProgram(const LirModule& lir, const device::Backend& backend,
                                          const device::Target& target, const CancelToken& cancel) {
  if (!lir.plan.dynamic_symbols.empty()) {
    return FailedPrecondition("symbol \"", lir.plan.dynamic_symbols.front(), "\" is not bound");
  }
  return Builder(lir, backend, target).Run(cancel);
}

absl::StatusOr<std::shared_ptr<const device::Program>> BuildProgram(const LirModule& lir,
                                                                    const device::Backend& backend,
                                                                    const device::Target& target,
                                                                    const CancelToken& cancel) {
  RLX_ASSIGN(ProgramDraft draft, DraftProgram(lir, backend, target, cancel));
  return CompileDraft(std::move(draft), backend, target, cancel);
}

absl::StatusOr<std::shared_ptr<const device::Program>> CompileDraft(ProgramDraft draft,
                                                                    const device::Backend& backend,
                                                                    const device::Target& target,
                                                                    const CancelToken& cancel) {
  if (!draft.kernels.empty()) {
    RLX_ASSIGN(draft.program.object, backend.CompileKernels(draft.kernels, target, cancel));
  }
  return std::make_shared<const Program>(std::move(draft.program));
}

}  // namespace rlx::lower
