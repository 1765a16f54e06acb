// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/padded_run.h"

#include <cstring>

#include "runtime/base/clock.h"
#include "runtime/base/status.h"

namespace rlx::engine {
namespace {

// Copies the first `box` places of one dense tensor to the first places of another.
void CopyBox(const std::vector<int64_t>& box, int64_t element_bytes, const uint8_t* from,
             const std::vector<int64_t>& from_dims, uint8_t* to,
             const std::vector<int64_t>& to_dims) {
  // Inner axes that are whole on both sides make one run of bytes with the axis before them.
  size_t outer = box.size();
  int64_t run = element_bytes;
  while (outer > 0) {
    run *= box[--outer];
    if (from_dims[outer] != box[outer] || to_dims[outer] != box[outer]) break;
  }
  int64_t rows = 1;
  for (size_t d = 0; d < outer; ++d) rows *= box[d];
  const std::vector<int64_t> source = RowMajorStrides(from_dims), target = RowMajorStrides(to_dims);
  for (int64_t row = 0; row < rows; ++row) {
    int64_t rest = row, at = 0, into = 0;
    for (size_t d = outer; d-- > 0; rest /= box[d]) {
      at += rest % box[d] * source[d];
      into += rest % box[d] * target[d];
    }
    std::memcpy(to + into * element_bytes, from + at * element_bytes, static_cast<size_t>(run));
  }
}

absl::Status Grow(std::string& memory, size_t bytes) {
  if (memory.size() >= bytes) return absl::OkStatus();
  try {  // what the standard library says of too large a size
    memory.resize(bytes);
  } catch (const std::exception&) {
    return ResourceExhausted("no memory for a padded tensor of ", bytes, " bytes");
  }
  return absl::OkStatus();
}

// A tensor as the caller has it and as the program has it.
struct Sides {
  std::vector<int64_t> own, capacity;
  int64_t element_bytes = 1;

  Sides(const TensorType& general, const DimBinding& sizes, const TensorType& padded)
      : own(general.Bind(sizes).StaticDims()),
        capacity(padded.StaticDims()),
        element_bytes(ByteWidth(padded.dtype)) {}
  bool same() const { return own == capacity; }
};

class PaddedTensors {
 public:
  PaddedTensors(const Loader::Runnable& variant, const BufferPlan& general, const DimBinding& sizes,
                std::vector<std::string>& memory)
      : program_(variant.executable->program()),
        extents_(variant.module->artifact.lir.extents),
        general_(general),
        sizes_(sizes),
        memory_(memory) {
    memory_.resize(program_.inputs.size() + program_.outputs.size());
  }

  absl::Status SetInputs(std::span<const std::span<const uint8_t>> given) {
    inputs_.clear();
    for (size_t i = 0; i < program_.inputs.size(); ++i) {
      const TensorType& type = program_.inputs[i].type;
      const auto bytes = static_cast<size_t>(type.ByteSize().value_or(0));
      RLX_TRY(Grow(memory_[i], bytes));
      auto* const place = reinterpret_cast<uint8_t*>(memory_[i].data());
      inputs_.emplace_back(place, bytes);
      if (program_.inputs[i].name == extents_.name) {
        RLX_TRY(WriteExtents(place));
        continue;
      }
      const Sides sides(general_.inputs[i].type, sizes_, type);
      if (sides.same()) {
        inputs_.back() = given[i];
      } else {
        CopyBox(sides.own, sides.element_bytes, given[i].data(), sides.own, place, sides.capacity);
      }
    }
    return absl::OkStatus();
  }

  absl::Status SetOutputs(const std::vector<size_t>& wanted, OutputMemory memory) {
    results_.assign(program_.outputs.size(), nullptr);
    outputs_.assign(program_.outputs.size(), {});
    for (size_t i = 0; i < wanted.size(); ++i) {
      const TensorType type = general_.outputs[wanted[i]].type.Bind(sizes_);
      const auto bytes = static_cast<size_t>(type.ByteSize().value_or(0));
      const std::string& name = general_.outputs[wanted[i]].name;
      results_[wanted[i]] = memory({i, name, type, bytes});
      if (results_[wanted[i]] == nullptr) {
        return ResourceExhausted("output \"", name, "\" has ", bytes, " bytes");
      }
    }
    for (size_t i = 0; i < program_.outputs.size(); ++i) {
      const TensorType& type = program_.outputs[i].type;
      const auto bytes = static_cast<size_t>(type.ByteSize().value_or(0));
      if (results_[i] != nullptr && Sides(general_.outputs[i].type, sizes_, type).same()) {
        outputs_[i] = {std::exchange(results_[i], nullptr), bytes};
        continue;
      }
      std::string& place = memory_[program_.inputs.size() + i];
      RLX_TRY(Grow(place, bytes));
      outputs_[i] = {reinterpret_cast<uint8_t*>(place.data()), bytes};
    }
    return absl::OkStatus();
  }

  // What padded outputs hold of the caller's.
  void TakeOutputs() {
    for (size_t i = 0; i < results_.size(); ++i) {
      if (results_[i] == nullptr) continue;
      const Sides sides(general_.outputs[i].type, sizes_, program_.outputs[i].type);
      CopyBox(sides.own, sides.element_bytes, outputs_[i].data(), sides.capacity, results_[i],
              sides.own);
    }
  }

  std::span<const std::span<const uint8_t>> inputs() const { return inputs_; }
  std::span<const std::span<uint8_t>> outputs() const { return outputs_; }

 private:
  absl::Status WriteExtents(uint8_t* place) const {
    for (size_t i = 0; i < extents_.dims.size(); ++i) {
      const Dim extent = extents_.dims[i].Bind(sizes_);
      if (!extent.is_static()) return Internal("extent ", extent, " is unbound");
      const int64_t value = extent.value();
      std::memcpy(place + i * sizeof value, &value, sizeof value);
    }
    return absl::OkStatus();
  }

  const device::Program& program_;
  const ExtentsInput& extents_;
  const BufferPlan& general_;
  const DimBinding& sizes_;
  std::vector<std::string>& memory_;
  std::vector<std::span<const uint8_t>> inputs_;
  std::vector<std::span<uint8_t>> outputs_;
  std::vector<uint8_t*> results_;  // the caller's, where they are not `outputs_` themselves
};

}  // namespace

absl::StatusOr<RunTiming> RunPadded(Loader::Runnable& variant, const BufferPlan& general,
                                    const DimBinding& sizes,
                                    std::span<const std::span<const uint8_t>> inputs,
                                    const std::vector<size_t>& wanted, OutputMemory memory,
                                    const CancelToken& cancel, std::vector<TracedStep>* trace,
                                    RunStage& stage) {
  const double began = MonotonicSeconds();
  stage = RunStage::kQueue;
  RLX_ASSIGN(ContextPool::Lease lease, variant.contexts.Acquire(cancel));
  const double acquired = MonotonicSeconds();
  stage = RunStage::kCompute;
  PaddedTensors tensors(variant, general, sizes, lease->padded);
  RLX_TRY(tensors.SetOutputs(wanted, memory));
  RLX_TRY(tensors.SetInputs(inputs));
  RLX_TRY(variant.Execute(*lease->context, tensors.inputs(), tensors.outputs(), cancel, trace));
  tensors.TakeOutputs();
  return RunTiming{acquired - began, MonotonicSeconds() - acquired};
}

}  // namespace rlx::engine
