// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "runtime/device/program_builder.h"

namespace rlx::device {

// A builder whose kernels count in 32 bits wherever a launch of that size allows it: for targets on
// which 64-bit arithmetic is several instructions.
class NarrowLaunches final : public ProgramBuilder {
 public:
  explicit NarrowLaunches(ProgramBuilder& to) : to_(to) {}

  const Graph& graph() const override { return to_.graph(); }
  const Target& target() const override { return to_.target(); }
  Operand In(Value value) override { return to_.In(value); }
  Operand Out(Value value) override { return to_.Out(value); }
  int32_t Scratch(int64_t bytes) override { return to_.Scratch(bytes); }
  int32_t Packed(Value source, std::string_view key, int64_t bytes, const Step& make) override {
    return to_.Packed(source, key, bytes, make);
  }
  void Launch(const kernel::Kernel& kernel, std::vector<int32_t> buffers,
              std::vector<int64_t> scalars, int64_t groups, std::string label) override;
  void Emit(Step step) override { to_.Emit(std::move(step)); }
  void Copy(int32_t from, int32_t to) override { to_.Copy(from, to); }
  absl::Status ControlFlow(NodeId id) override { return to_.ControlFlow(id); }

 private:
  ProgramBuilder& to_;
};

}  // namespace rlx::device
