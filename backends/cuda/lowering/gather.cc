// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/call.h"
#include "backends/cuda/rule.h"
#include "runtime/base/status.h"
#include "runtime/device/generate/generate.h"
#include "runtime/ir/op_info.h"

// gather along an axis, every index checked.
namespace rlx::cuda {
namespace {

absl::Status Lower(device::ProgramBuilder& out, NodeId id) {
  const AttrValue* of = out.graph().node(id).Find("of");
  const std::string whose = of == nullptr ? "" : Cat(std::get<std::string>(*of), ", ");
  const int32_t word = out.Scratch(4);
  out.Emit({.kind = device::Step::Kind::kCall,
            .routine = std::string(kFaultRoutine),
            .buffers = {word},
            .label = Cat(whose, "gather %", id, ": an index is outside the table")});
  return device::GenerateGather(out, id, kSchedule, word);
}

constexpr Rule kRules[] = {
    {OpKind::kGather, "generated kernel, indices checked", device::WhyNotGather, Lower}};

}  // namespace

std::span<const Rule> GatherRules() { return kRules; }

}  // namespace rlx::cuda
