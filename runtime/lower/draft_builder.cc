// SPDX-License-Identifier: Apache-2.0
#include "runtime/lower/draft_builder.h"

#include <algorithm>

#include "runtime/base/check.h"
#include "runtime/base/status.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/verify.h"
#include "runtime/kernel/kernel.h"
#include "runtime/lower/weight_temporaries.h"

namespace rlx::lower {

using device::Buffer;
using device::Step;

namespace {

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
  mix(static_cast<int64_t>(std::hash<std::string>()(kernel.source)));
  return hash;
}

}  // namespace

absl::StatusOr<ProgramDraft> DraftBuilder::Run(const CancelToken& cancel) {
  cancel_ = &cancel;
  program_.target_fingerprint = target_.fingerprint;
  program_.arena_bytes = lir_.plan.arena_bytes;
  Scope scope{.graph = &lir_.graph, .plan = &lir_.plan, .steps = &program_.steps};
  scope.arena = {.storage = Storage::kArena, .bytes = lir_.plan.arena_bytes};
  scope_ = &scope;
  DescribeIo();
  RLX_TRY(CheckClaims());
  RLX_TRY(LowerNodes());
  FreeWeightTemporaries(program_, lir_.plan.alignment);
  return ProgramDraft{std::move(program_), std::move(kernels_), std::move(step_nodes_),
                      std::move(weight_step_nodes_)};
}

// --- ProgramBuilder

device::ProgramBuilder::Operand DraftBuilder::In(Value value) {
  Operand operand = Resolve(value);
  read_.push_back(operand.buffer);
  return operand;
}

device::ProgramBuilder::Operand DraftBuilder::Out(Value value) {
  Operand operand = Resolve(value);
  written_.push_back(operand.buffer);
  return operand;
}

int32_t DraftBuilder::Scratch(int64_t bytes) {
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

int32_t DraftBuilder::Packed(Value source, std::string_view key, int64_t bytes, const Step& make) {
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

void DraftBuilder::Launch(const kernel::Kernel& kernel, std::vector<int32_t> buffers,
                          std::vector<int64_t> scalars, int64_t groups, std::string label) {
  Step step{.kind = Step::Kind::kLaunch, .kernel = KernelIndex(kernel), .groups = groups};
  for (int32_t b : buffers) step.cost_bytes += b < 0 ? 0 : program_.buffers[b].bytes;
  step.buffers = std::move(buffers);
  step.ints = std::move(scalars);
  step.label = std::move(label);
  Emit(std::move(step));
}

void DraftBuilder::Emit(Step step) {
  sink_->push_back(std::move(step));
  if (sink_ == &program_.steps) step_nodes_.push_back(node_);
  if (sink_ == &program_.weight_steps) weight_step_nodes_.push_back(node_);
}

void DraftBuilder::Copy(int32_t from, int32_t to) {
  Step step{.kind = Step::Kind::kCopy, .buffers = {from, to}, .label = "copy"};
  step.cost_bytes = 2 * program_.buffers[to].bytes;
  Emit(std::move(step));
}

// --- A graph

void DraftBuilder::DescribeIo() {
  const auto specs = [](const std::vector<IoEntry>& entries) {
    std::vector<device::TensorSpec> out;
    for (const IoEntry& e : entries) out.push_back({e.name, e.type});
    return out;
  };
  program_.inputs = specs(lir_.plan.inputs);
  program_.params = specs(lir_.plan.params);
  program_.outputs = specs(lir_.plan.outputs);
  program_.aliases = lir_.graph.aliases;
}

void DraftBuilder::NumberSignature() {
  const BufferPlan& plan = *scope_->plan;
  for (const auto* entries : {&plan.inputs, &plan.params}) {
    for (size_t i = 0; i < entries->size(); ++i) {
      scope_->leaf_index[(*entries)[i].value.node] = static_cast<int32_t>(i);
    }
  }
  for (size_t i = 0; i < plan.outputs.size(); ++i) {
    scope_->output_index.try_emplace(plan.outputs[i].value, static_cast<int32_t>(i));
  }
}

// A node that is only an address (a view) needs no claim, nor does one that nobody reads: with dead
// code elimination off there are such, and they have no place to write to.
bool DraftBuilder::IsRun(NodeId id) const {
  const Node& node = graph().node(id);
  if (IsLeaf(node.op) || scope_->plan->of({id, 0}).storage == Storage::kView) return false;
  for (int32_t r = 0; r < static_cast<int32_t>(node.results.size()); ++r) {
    if (scope_->plan->of({id, r}).storage != Storage::kNone) return true;
  }
  return false;
}

absl::Status DraftBuilder::CheckClaims() {
  std::string missing;
  for (NodeId id : scope_->plan->schedule) {
    if (!IsRun(id)) continue;
    const device::Claim claim = backend_.Claims(graph(), id, target_);
    if (claim.native) continue;
    if (!missing.empty()) missing += "; ";
    missing += Cat(NodeLabel(graph(), id), ": ", claim.how);
  }
  if (missing.empty()) return absl::OkStatus();
  return Unimplemented("back end ", backend_.name(), " does not run ", missing);
}

void DraftBuilder::TakeConstants() {
  for (NodeId id = 0; id < graph().size(); ++id) {
    const Node& node = graph().node(id);
    if (node.op != OpKind::kConstant) continue;
    scope_->leaf_index[id] = static_cast<int32_t>(program_.constants.size());
    program_.constants.push_back(node.Tensor("value"));
  }
}

absl::Status DraftBuilder::LowerNodes() {
  NumberSignature();
  TakeConstants();
  for (NodeId id : scope_->plan->schedule) {
    RLX_TRY(cancel_->Check());
    RLX_TRY(LowerNode(id));
  }
  sink_ = scope_->steps;
  weight_phase_ = scope_->weight_phase;
  CopyLeftoverOutputs();
  return absl::OkStatus();
}

absl::Status DraftBuilder::LowerNode(NodeId id) {
  if (!IsRun(id)) return absl::OkStatus();
  const bool weights = scope_->plan->weight_only[id];
  weight_phase_ = weights || scope_->weight_phase;
  sink_ = weights ? &program_.weight_steps : scope_->steps;
  scratch_used_ = scratch_floor_;
  const bool outermost = scope_->io == nullptr;
  if (outermost) node_ = id;
  read_.clear();
  written_.clear();
  absl::Status status = backend_.Lower(id, *this);
  if (outermost) node_ = -1;
  if (!status.ok()) return Annotate(status, NodeLabel(graph(), id));
  return CheckApart(id);
}

// Kernels and routines may write a result before they have read all operands (a product's sums wait
// in C while its residual is still to be read), so the plan keeps the two apart.
absl::Status DraftBuilder::CheckApart(NodeId id) const {
  for (int32_t w : written_) {
    for (int32_t r : read_) {
      if (w < 0 || r < 0 || !Overlap(program_.buffers[w], program_.buffers[r])) continue;
      return Internal(NodeLabel(graph(), id), ": the plan puts a result over an operand");
    }
  }
  return absl::OkStatus();
}

// An output that no step writes: a leaf, a value named twice, or one computed with the weights.
void DraftBuilder::CopyLeftoverOutputs() {
  const std::vector<IoEntry>& outputs = scope_->plan->outputs;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Value value = outputs[i].value;
    const Assignment& a = scope_->plan->of(value);
    const bool written =
        a.storage == Storage::kOutput && scope_->output_index.at(value) == static_cast<int32_t>(i);
    if (!written) Copy(Resolve(value).buffer, OutputBuffer(i, a.bytes));
  }
}

// --- Values and buffers

device::ProgramBuilder::Operand DraftBuilder::Resolve(Value value) {
  const Assignment& a = scope_->plan->of(value);
  Operand out{.type = graph().type(value), .dims = graph().type(value).StaticDims()};
  out.is_weight = IsWeight(value);
  out.dense = a.strides.empty();
  out.strides = out.dense ? RowMajorStrides(out.dims) : a.strides;
  if (a.storage == Storage::kNone) return out;
  const auto [it, fresh] = scope_->buffer_of.try_emplace(value, -1);
  if (fresh) it->second = BufferFor(a, out);
  out.buffer = it->second;
  return out;
}

// In a body also what lies in a weight that it was given.
bool DraftBuilder::IsWeight(Value value) const {
  if (scope_->plan->weight_only[value.node]) return true;
  const Assignment& a = scope_->plan->of(value);
  const NodeId root = a.storage == Storage::kView ? a.root.node : value.node;
  return scope_->io != nullptr && graph().node(root).op == OpKind::kInput &&
         scope_->io->is_weight[static_cast<size_t>(scope_->leaf_index.at(root))];
}

int32_t DraftBuilder::BufferFor(const Assignment& a, const Operand& operand) {
  if (a.storage != Storage::kView) return RootBuffer(a);
  const int64_t width = ByteWidth(operand.type.dtype);
  int64_t span = 1;  // elements from the first to the last, inclusive
  for (size_t d = 0; d < operand.dims.size(); ++d) {
    span += (operand.dims[d] - 1) * operand.strides[d];
  }
  return Part(Resolve(a.root).buffer, a.element_offset * width, span * width);
}

int32_t DraftBuilder::RootBuffer(const Assignment& a) {
  Buffer buffer{.storage = a.storage, .bytes = a.bytes};
  switch (a.storage) {
    case Storage::kArena:
      buffer = scope_->arena;
      buffer.offset += a.offset;
      buffer.bytes = a.bytes;
      break;
    case Storage::kOutput:
      return OutputBuffer(static_cast<size_t>(scope_->output_index.at(a.value)), a.bytes);
    case Storage::kWeight:
      buffer.index = NewWeightSlot(a.bytes);
      break;
    default:
      buffer.index = scope_->leaf_index.at(a.value.node);
      if (scope_->io == nullptr || a.storage != Storage::kInput) break;
      return scope_->io->inputs[static_cast<size_t>(buffer.index)];
  }
  return Add(buffer);
}

int32_t DraftBuilder::OutputBuffer(size_t position, int64_t bytes) {
  if (scope_->io != nullptr) return scope_->io->outputs[position];
  return Add(
      {.storage = Storage::kOutput, .index = static_cast<int32_t>(position), .bytes = bytes});
}

int32_t DraftBuilder::Add(Buffer buffer) {
  program_.buffers.push_back(buffer);
  return static_cast<int32_t>(program_.buffers.size()) - 1;
}

int32_t DraftBuilder::NewWeightSlot(int64_t bytes) {
  program_.weight_slots.push_back(bytes);
  return static_cast<int32_t>(program_.weight_slots.size()) - 1;
}

// Equal kernels are compiled once. Their names follow from their order, so that equal programs make
// equal objects.
int32_t DraftBuilder::KernelIndex(const kernel::Kernel& kernel) {
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

}  // namespace rlx::lower
