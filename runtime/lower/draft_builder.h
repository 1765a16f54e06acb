// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <unordered_map>

#include "runtime/device/backend.h"
#include "runtime/device/program_builder.h"
#include "runtime/lower/lower.h"

namespace rlx::lower {

// By position, what a body's inputs and outputs are, and which inputs are fixed once weights are
// bound.
struct BodyIo {
  std::vector<int32_t> inputs, outputs;
  std::vector<bool> is_weight;
};

// A graph on its way into the program, the module's own or a body: where its values are, and what
// its steps go to. Bodies' slots lie in the scratch of the node that holds them.
struct Scope {
  const Graph* graph = nullptr;
  const BufferPlan* plan = nullptr;
  std::vector<device::Step>* steps = nullptr;
  bool weight_phase = false;  // its steps are weight steps
  device::Buffer arena;
  const BodyIo* io = nullptr;  // null: the module's own

  std::map<Value, int32_t> buffer_of;
  std::map<NodeId, int32_t> leaf_index;
  std::map<Value, int32_t> output_index;
};

// LIR → program without code: runtime/lower's own ProgramBuilder. control_flow.cc has the part that
// makes Branch and Loop steps.
class DraftBuilder final : public device::ProgramBuilder {
 public:
  DraftBuilder(const LirModule& lir, const device::Backend& backend, const device::Target& target)
      : lir_(lir), backend_(backend), target_(target) {}

  absl::StatusOr<ProgramDraft> Run(const CancelToken& cancel);

  const Graph& graph() const override { return *scope_->graph; }
  const device::Target& target() const override { return target_; }
  Operand In(Value value) override;
  Operand Out(Value value) override;
  int32_t Scratch(int64_t bytes) override;
  int32_t Packed(Value source, std::string_view key, int64_t bytes,
                 const device::Step& make) override;
  void Launch(const kernel::Kernel& kernel, std::vector<int32_t> buffers,
              std::vector<int64_t> scalars, int64_t groups, std::string label) override;
  void Emit(device::Step step) override;
  void Copy(int32_t from, int32_t to) override;
  absl::Status ControlFlow(NodeId id) override;

 private:
  void DescribeIo();
  void NumberSignature();
  bool IsRun(NodeId id) const;
  absl::Status CheckClaims();
  void TakeConstants();
  absl::Status LowerNodes();
  absl::Status LowerNode(NodeId id);
  absl::Status CheckApart(NodeId id) const;
  void CopyLeftoverOutputs();

  Operand Resolve(Value value);
  bool IsWeight(Value value) const;
  int32_t BufferFor(const Assignment& a, const Operand& operand);
  int32_t RootBuffer(const Assignment& a);
  int32_t OutputBuffer(size_t position, int64_t bytes);
  int32_t Add(device::Buffer buffer);
  // A part of a buffer, which moves as that does.
  int32_t Part(int32_t of, int64_t offset, int64_t bytes);
  int32_t NewWeightSlot(int64_t bytes);
  int32_t KernelIndex(const kernel::Kernel& kernel);

  // --- control_flow.cc
  struct Carry;
  struct LoopDraft;
  absl::StatusOr<Operand> Whole(Value value);  // an operand that is dense
  absl::Status Capture(const Node& node, size_t from, size_t to, BodyIo& io);
  int32_t Slices(int32_t loop, const Operand& whole);
  void Move(int32_t loop, int32_t buffer, int64_t stride, bool swings);
  absl::StatusOr<std::vector<device::Step>> LowerBody(const Graph& body, const BodyIo& io);
  absl::Status LowerIf(NodeId id);
  absl::Status LowerWhile(NodeId id);
  absl::Status LowerScan(NodeId id);
  absl::StatusOr<LoopDraft> BeginLoop(const Node& node, size_t captures);
  void EndLoop(NodeId id, const LoopDraft& loop, device::Step step, int64_t likely_turns);

  const LirModule& lir_;
  const device::Backend& backend_;
  const device::Target& target_;
  const CancelToken* cancel_ = nullptr;
  device::Program program_;
  std::vector<kernel::Kernel> kernels_;
  std::unordered_map<size_t, std::vector<int32_t>> kernels_by_hash_;
  std::map<std::pair<int32_t, std::string>, int32_t> packed_;
  std::vector<NodeId> step_nodes_, weight_step_nodes_;  // by step

  Scope* scope_ = nullptr;
  NodeId node_ = -1;  // being lowered, of the main graph
  // Of the node being lowered:
  std::vector<device::Step>* sink_ = nullptr;
  bool weight_phase_ = false;
  std::vector<int32_t> read_, written_;
  int64_t scratch_floor_ = 0, scratch_used_ = 0;  // scratch begins behind that of bodies around it

  // How buffers move in loops, by buffer and by loop.
  struct Motion {
    int32_t loop = 0, buffer = 0;
    int64_t stride = 0;
    bool swings = false;
  };
  std::map<int32_t, std::vector<Motion>> motions_;
  std::vector<std::vector<Motion>> moved_;
};

}  // namespace rlx::lower
