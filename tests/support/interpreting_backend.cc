// SPDX-License-Identifier: Apache-2.0
#include "tests/support/interpreting_backend.h"

#include <cstring>
#include <set>

#include "runtime/base/status.h"
#include "runtime/device/generate/generators.h"
#include "runtime/device/generate/narrow_launches.h"
#include "runtime/ir/op_info.h"
#include "runtime/kernel/interpret.h"
#include "runtime/kernel/legalize/legalize.h"
#include "runtime/kernel/text.h"

namespace rlx::test {
namespace {

using device::Buffer;
using device::Program;
using device::Step;

constexpr device::Schedule kSchedule{
    .lanes = 256, .row_lanes = 32, .row_steps = 2, .row_registers = 2, .subgroup_rows = 2};
constexpr std::string_view kFaultRoutine = "fault_word";

using Bytes = std::vector<uint64_t>;  // aligned for every type

Bytes Room(int64_t bytes) { return Bytes(static_cast<size_t>(bytes + 7) / 8); }
Bytes CopyOf(std::span<const uint8_t> bytes) {
  Bytes out = Room(static_cast<int64_t>(bytes.size()));
  if (!bytes.empty()) std::memcpy(out.data(), bytes.data(), bytes.size());
  return out;
}

// Everything that steps of one phase read and write.
struct Places {
  Bytes arena;
  std::vector<Bytes> inputs, outputs, params, slots, constants;

  void* At(const Buffer& buffer) {
    const auto in = [&](std::vector<Bytes>& list) { return list[buffer.index].data(); };
    void* base = buffer.storage == Storage::kArena      ? arena.data()
                 : buffer.storage == Storage::kInput    ? in(inputs)
                 : buffer.storage == Storage::kOutput   ? in(outputs)
                 : buffer.storage == Storage::kParam    ? in(params)
                 : buffer.storage == Storage::kConstant ? in(constants)
                                                        : in(slots);
    return static_cast<char*>(base) + buffer.offset;
  }
};

class InterpretedWeights final : public device::Weights {
 public:
  int64_t bytes() const override { return 0; }
  std::vector<Bytes> params, slots;
};

struct Loaded {
  std::shared_ptr<const Program> program;
  std::vector<kernel::Kernel> kernels;

  absl::Status Run(const std::vector<Step>& steps, Places& places) const {
    const Step* fault = nullptr;  // where the next launch reports
    for (const Step& step : steps) {
      const auto at = [&](size_t b) { return places.At(program->buffers[step.buffers[b]]); };
      if (step.kind == Step::Kind::kCall) {
        fault = &step;
        std::memset(at(0), 0, 4);
      } else if (step.kind == Step::Kind::kCopy) {
        std::memcpy(at(1), at(0), static_cast<size_t>(program->buffers[step.buffers[1]].bytes));
      } else {
        RLX_TRY(Annotate(Launch(step, places), step.label));
        if (fault == nullptr) continue;
        int32_t word = 0;
        std::memcpy(&word, places.At(program->buffers[fault->buffers[0]]), 4);
        if (word != 0) return InvalidArgument(fault->label);
        fault = nullptr;
      }
    }
    return absl::OkStatus();
  }

  absl::Status Launch(const Step& step, Places& places) const {
    const kernel::Kernel& kernel = kernels[step.kernel];
    std::vector<kernel::BufferView> views;
    for (size_t b = 0; b < step.buffers.size(); ++b) {
      const Buffer& buffer = program->buffers[step.buffers[b]];
      views.push_back({places.At(buffer), buffer.bytes / ByteWidth(kernel.buffers[b].type)});
    }
    return kernel::Interpret(kernel, views, step.ints, 0, step.groups);
  }

  std::vector<Bytes> Constants() const {
    std::vector<Bytes> out;
    for (const HostTensor& constant : program->constants) {
      out.push_back(CopyOf(constant.bytes().span()));
    }
    return out;
  }
};

class InterpretedContext final : public device::ExecContext {
 public:
  explicit InterpretedContext(std::shared_ptr<const Loaded> loaded) : loaded_(std::move(loaded)) {}
  int64_t bytes() const override { return 0; }

  absl::Status Run(const device::Weights& weights, std::span<const std::span<const uint8_t>> inputs,
                   std::span<const std::span<uint8_t>> outputs, const CancelToken&) override {
    const Program& program = *loaded_->program;
    const auto& own = static_cast<const InterpretedWeights&>(weights);
    Places places{.arena = Room(program.arena_bytes + program.scratch_bytes),
                  .params = own.params,
                  .slots = own.slots,
                  .constants = loaded_->Constants()};
    for (auto bytes : inputs) places.inputs.push_back(CopyOf(bytes));
    for (auto bytes : outputs) places.outputs.push_back(Room(static_cast<int64_t>(bytes.size())));
    RLX_TRY(loaded_->Run(program.steps, places));
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i].empty()) continue;
      std::memcpy(outputs[i].data(), places.outputs[i].data(), outputs[i].size());
    }
    return absl::OkStatus();
  }

 private:
  std::shared_ptr<const Loaded> loaded_;
};

class InterpretedExecutable final : public device::Executable {
 public:
  explicit InterpretedExecutable(std::shared_ptr<const Loaded> loaded)
      : loaded_(std::move(loaded)) {}

  const Program& program() const override { return *loaded_->program; }
  absl::StatusOr<std::shared_ptr<const device::Weights>> BindWeights(
      std::span<const SharedBytes> params, const CancelToken&) const override {
    Places places{.arena = Room(program().weight_arena_bytes), .constants = loaded_->Constants()};
    for (const SharedBytes& param : params) places.params.push_back(CopyOf(param.span()));
    for (int64_t bytes : program().weight_slots) places.slots.push_back(Room(bytes));
    RLX_TRY(loaded_->Run(program().weight_steps, places));
    auto weights = std::make_shared<InterpretedWeights>();
    weights->params = std::move(places.params);
    weights->slots = std::move(places.slots);
    return weights;
  }
  absl::StatusOr<std::unique_ptr<device::ExecContext>> NewContext() const override {
    return std::make_unique<InterpretedContext>(loaded_);
  }

 private:
  std::shared_ptr<const Loaded> loaded_;
};

class InterpretedDevice final : public device::Device {
 public:
  explicit InterpretedDevice(device::DeviceInfo info) : info_(std::move(info)) {}
  const device::DeviceInfo& info() const override { return info_; }
  absl::Status Health() const override { return absl::OkStatus(); }
  absl::StatusOr<std::shared_ptr<const device::Executable>> Load(
      std::shared_ptr<const Program> program) const override {
    auto loaded = std::make_shared<Loaded>();
    loaded->program = program;
    std::string_view rest = program->object;
    for (size_t k = 0; k < program->kernels.size(); ++k) {
      const size_t end = rest.find('\f');
      RLX_ASSIGN(kernel::Kernel kernel, kernel::Parse(rest.substr(0, end)));
      loaded->kernels.push_back(std::move(kernel));
      rest.remove_prefix(end + 1);
    }
    return std::make_shared<InterpretedExecutable>(std::move(loaded));
  }

 private:
  device::DeviceInfo info_;
};

class InterpretingBackend final : public device::Backend {
 public:
  std::string_view name() const override { return "interpreter"; }
  DeviceKind kind() const override { return DeviceKind::kCuda; }
  std::vector<device::Target> Targets() const override {
    return {{.kind = kind(),
             .profile = "interpreter",
             .arch = "interpreter",
             .fingerprint = "interpreter"}};
  }

  device::Claim Claims(const Graph& graph, NodeId id, const device::Target&) const override {
    const Node& node = graph.node(id);
    const device::Generator* generator = device::FindGenerator(node.op);
    std::string why = Cat("no kernel for ", Name(node.op));
    if (node.op == OpKind::kGather) why = device::WhyNotGather(graph, node);
    if (generator != nullptr) why = generator->why_not(graph, node);
    return {why.empty(), why};
  }
  std::vector<std::string> ClaimedKinds(const device::Target&) const override {
    std::set<std::string> kinds = {"Input", "Param", "Constant", "Gather"};
    for (const device::Generator& generator : device::Generators()) {
      kinds.emplace(Info(generator.kind).claim);
    }
    return {kinds.begin(), kinds.end()};
  }
  bool AcceptsStrided(const Graph&, NodeId, int) const override { return true; }

  absl::Status Lower(NodeId id, device::ProgramBuilder& builder) const override {
    device::NarrowLaunches out(builder);
    const OpKind kind = out.graph().node(id).op;
    if (kind != OpKind::kGather) {
      return device::FindGenerator(kind)->generate(out, id, kSchedule);
    }
    const int32_t word = out.Scratch(4);
    out.Emit({.kind = Step::Kind::kCall,
              .routine = std::string(kFaultRoutine),
              .buffers = {word},
              .label = Cat("gather %", id, ": an index is outside the table")});
    return device::GenerateGather(out, id, kSchedule, word);
  }

  absl::StatusOr<std::string> CompileKernels(std::span<const kernel::Kernel> kernels,
                                             const device::Target&,
                                             const CancelToken&) const override {
    std::string object;
    for (const kernel::Kernel& kernel : kernels) {
      RLX_ASSIGN(const kernel::Kernel legal, kernel::ExpandReductions(kernel));
      object += Cat(Print(legal), "\f");
    }
    return object;
  }
  std::string CompilerVersion() const override { return "interpreter"; }

  std::vector<device::DeviceInfo> Enumerate(std::string&) const override {
    return {{.id = "interpreter:0", .kind = kind(), .name = "interpreter", .target = Targets()[0]}};
  }
  absl::StatusOr<std::shared_ptr<device::Device>> Open(
      std::string_view, const device::DeviceOptions&) const override {
    std::string why_none;
    return std::make_shared<InterpretedDevice>(Enumerate(why_none)[0]);
  }
};

}  // namespace

std::unique_ptr<device::Backend> MakeInterpretingBackend() {
  return std::make_unique<InterpretingBackend>();
}

}  // namespace rlx::test
