// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "runtime/base/check.h"
#include "runtime/base/status.h"
#include "runtime/ir/text.h"
#include "runtime/wire/module.h"
#include "tests/fuzz/accepted.h"
#include "tests/fuzz/targets.h"

namespace rlx::fuzz {
namespace {

// Planned with slots close together and far apart.
std::vector<std::string> Seeds() {
  constexpr int64_t kAlignments[] = {16, 64, 4096};
  std::vector<std::string> out;
  for (const Module& module : SeedModules(43)) {
    const int64_t alignment = kAlignments[out.size() % std::size(kAlignments)];
    const auto result = CompileDry(module, {.arena_alignment = alignment});
    CHECK(result.ok(), Message(result.status()));
    const Module lir = stages::ModuleFromLir(result->lir);
    if (!Verify(lir, kLimits).ok()) continue;  // grown beyond what a client may send
    v1::GraphModule wire;
    wire::ModuleToWire(lir, wire);
    out.push_back(wire.SerializeAsString());
  }
  return out;
}

// What a run would do to the arena, by the schedule alone: no value is written over while somebody
// still reads it, views counting for what they see.
class DryRun {
 public:
  explicit DryRun(const Module& lir) : lir_(lir) {}

  void Run() {
    for (NodeId id : lir_.plan->schedule) {
      const Node& node = lir_.graph.node(id);
      for (int32_t r = 0; r < static_cast<int32_t>(node.results.size()); ++r) Write({id, r});
      for (Value operand : node.operands) CheckHeld(operand);  // a kernel reads while it writes
    }
    for (const Output& output : lir_.graph.outputs()) CheckHeld(output.value);
  }

 private:
  void Write(Value value) {
    const Assignment& slot = lir_.plan->of(value);
    if (slot.storage != Storage::kArena) return;
    CHECK(slot.offset >= 0 && slot.offset + slot.bytes <= lir_.plan->arena_bytes, Print(lir_));
    std::erase_if(held_, [&](Value other) {
      const Assignment& there = lir_.plan->of(other);
      return there.offset < slot.offset + slot.bytes && slot.offset < there.offset + there.bytes;
    });
    held_.insert(value);
  }

  void CheckHeld(Value value) const {
    const Assignment* place = &lir_.plan->of(value);
    if (place->storage == Storage::kView) place = &lir_.plan->of(place->root);
    const bool lost = place->storage == Storage::kArena && held_.count(place->value) == 0;
    CHECK(!lost, "%", value.node, " is written over\n", Print(lir_));
  }

  const Module& lir_;
  std::set<Value> held_;
};

// Half of the time on the CPU, where steps and kernels are made of it.
uint64_t DeviceChoice(size_t size) {
  return size % 2 == 0 ? static_cast<uint64_t>(DeviceKind::kCpu) : size / 2;
}

void Run(std::string_view bytes) {
  v1::GraphModule wire;
  if (!wire.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  const auto no_blobs = [](const v1::BlobSlice&) { return NotFound("no blob"); };
  const auto lir = wire::ModuleFromWire(wire, kLimits, no_blobs);
  if (!lir.ok() || lir->plan == nullptr || !Verify(*lir, kLimits).ok()) return;
  CheckAccepted(*lir, DeviceChoice(bytes.size()));
  const auto compiled = CompileDry(*lir);
  if (!compiled.ok()) return;
  CHECK(compiled->lir.plan == *lir->plan, Print(*lir), "\n", Print(compiled->lir.graph));
  DryRun(*lir).Run();
}

}  // namespace

const Target kLirTarget{"lir", Seeds, Run};

}  // namespace rlx::fuzz
