// SPDX-License-Identifier: Apache-2.0
#include "server/models/served_model.h"

#include <deque>

#include "runtime/base/cancel.h"
#include "runtime/base/checked.h"
#include "runtime/base/status.h"
#include "runtime/ir/lir.h"
#include "server/models/config.h"
#include "server/scheduling/sequencer.h"

namespace rlx::server {
namespace {

constexpr uint32_t kMaxWarmUps = 1000;

// The device that a model runs on: the first that is here of those that its groups may be on.
absl::StatusOr<DeviceKind> DeviceHere(engine::Engine& engine,
                                      const inference::ModelConfig& config) {
  using inference::ModelInstanceGroup;
  const auto kind = config.instance_group().empty() ? ModelInstanceGroup::KIND_AUTO
                                                    : config.instance_group(0).kind();
  for (const engine::DeviceStatus& device : engine.Devices()) {
    const bool cpu = device.kind == DeviceKind::kCpu;
    if (kind == ModelInstanceGroup::KIND_CPU && !cpu) continue;
    if (kind == ModelInstanceGroup::KIND_GPU && cpu) continue;
    if (device.available) return device.kind;
  }
  if (kind == ModelInstanceGroup::KIND_GPU) {
    return FailedPrecondition("instance_group is of KIND_GPU, and no GPU is here");
  }
  return FailedPrecondition("no device is here to run it on");
}

ServedTensor ToServed(const IoEntry& entry, const auto& declared, bool batched) {
  ServedTensor out{entry.name, entry.type.dtype, KserveName(entry.type.dtype), {}};
  if (batched) out.dims.push_back(-1);
  out.dims.insert(out.dims.end(), declared.dims().begin(), declared.dims().end());
  return out;
}

std::vector<int64_t> LeastDims(const TensorType& type, const SymbolTable& symbols) {
  std::vector<int64_t> dims;
  for (const Dim& dim : type.shape) dims.push_back(std::max<int64_t>(0, dim.LowerBound(symbols)));
  return dims;
}

// Elements that every index, mask and sum can be: integers 0 or 1, floats in [0, 1).
absl::StatusOr<std::string> Elements(DType dtype, const std::vector<int64_t>& dims, bool random,
                                     int64_t most) {
  const auto count = CheckedProduct(dims);
  const auto bytes = count ? CheckedMul<int64_t>(*count, ByteWidth(dtype)) : std::nullopt;
  if (!bytes || *bytes < 0 || *bytes > most) {
    return InvalidArgument("has more than max_tensor_bytes ", most);
  }
  std::string out(static_cast<size_t>(*bytes), '\0');
  if (!random) return out;
  const auto width = static_cast<size_t>(ByteWidth(dtype));
  uint64_t state = 1;
  for (size_t i = 0; i < out.size(); i += width) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const double unit = static_cast<double>(state >> 40) / static_cast<double>(1 << 24);
    const float single = static_cast<float>(unit);
    uint32_t word;
    std::memcpy(&word, &single, sizeof word);
    switch (dtype) {
      case DType::kF32:
        std::memcpy(&out[i], &word, sizeof word);
        break;
      case DType::kF64:
        std::memcpy(&out[i], &unit, sizeof unit);
        break;
      case DType::kBF16:
        out[i] = static_cast<char>(word >> 16);
        out[i + 1] = static_cast<char>(word >> 24);
        break;
      case DType::kF16:  // 0 or 1/2: exact in any float
        out[i + 1] = unit < 0.5 ? '\0' : '\x38';
        break;
      default:
        out[i] = unit < 0.5 ? '\0' : '\1';
    }
  }
  return out;
}

}  // namespace

const engine::Principal& ServedModel::Owner() {
  static const engine::Principal owner{std::string(kRepositoryOwner)};
  return owner;
}

absl::StatusOr<std::shared_ptr<const ServedModel>> ServedModel::Load(engine::Engine& engine,
                                                                     Source source,
                                                                     const MakeQueue& make_queue,
                                                                     const CancelToken& cancel) {
  engine::OpenSpec spec{.pinned = true};
  spec.max_contexts = InstancesOf(source.config);
  engine::OpenSpec::Compile compile;
  compile.spec.module = std::move(source.model.module);
  RLX_ASSIGN(compile.spec.device, DeviceHere(engine, source.config));
  spec.executable = std::move(compile);
  spec.weights = std::move(source.model.weights);
  RLX_ASSIGN(const engine::Opened opened, engine.OpenSession(Owner(), std::move(spec), cancel));
  source.model = {};
  const auto served = std::make_shared<ServedModel>(engine, std::move(source), opened);
  RLX_TRY(served->Complete(opened));
  RLX_TRY(served->MakeItsQueue(opened, make_queue));
  RLX_TRY(Annotate(served->WarmUp(cancel), "warm-up"));
  return served;
}

ServedModel::ServedModel(engine::Engine& engine, Source source, const engine::Opened& opened)
    : engine_(engine),
      source_(std::move(source)),
      version_text_(Cat(source_.version)),
      handle_(opened.handle) {}

ServedModel::~ServedModel() {
  // Whoever ran held this: nothing is waited for.
  engine_.CloseSession(Owner(), handle_, CancelToken({}, CancelToken::Clock::now())).IgnoreError();
}

absl::Status ServedModel::Complete(const engine::Opened& opened) {
  const LirModule& lir = opened.compiled.module->artifact.lir;
  RLX_TRY(CompleteModelConfig(name(), lir.plan, source_.config));
  RLX_ASSIGN(plan_, ReadSequencePlan(config(), lir.plan));
  const bool batched = config().max_batch_size() > 0;
  for (const IoEntry& entry : lir.plan.inputs) {
    if (plan_.HidesInput(entry.name)) continue;
    const auto i = inputs_.size();
    inputs_.push_back(ToServed(entry, config().input(static_cast<int>(i)), batched));
    least_dims_.push_back(LeastDims(entry.type, lir.graph.symbols));
    // Extents that config.pbtxt gives are given.
    for (size_t d = 0; d < inputs_[i].dims.size(); ++d) {
      if (inputs_[i].dims[d] >= 0) least_dims_[i][d] = inputs_[i].dims[d];
    }
  }
  for (const IoEntry& entry : lir.plan.outputs) {
    if (plan_.HidesOutput(entry.name)) continue;
    outputs_.push_back(
        ToServed(entry, config().output(static_cast<int>(outputs_.size())), batched));
  }
  return absl::OkStatus();
}

absl::Status ServedModel::MakeItsQueue(const engine::Opened& opened, const MakeQueue& make_queue) {
  RLX_ASSIGN(std::optional<QueueOptions> options, ReadQueueOptions(config(), source_.queues));
  if (!options) return absl::OkStatus();
  const LirModule& lir = opened.compiled.module->artifact.lir;
  for (const IoEntry& input : lir.plan.inputs) {
    if (options->max_rows == 1) break;
    const int64_t most = input.type.shape[0].UpperBound(lir.graph.symbols);
    if (most >= options->max_rows) continue;
    return FailedPrecondition("max_batch_size ", options->max_rows, " is above what input \"",
                              input.name, "\" holds, ", most);
  }
  queue_ = make_queue(name(), *std::move(options));
  return absl::OkStatus();
}

void ServedModel::Leave() const {
  if (queue() != nullptr) queue()->Hurry();
  if (sequencer() != nullptr) sequencer()->Hurry();
}

absl::Status ServedModel::WarmUp(const CancelToken& cancel) const {
  for (const inference::ModelWarmup& request : config().model_warmup()) {
    RLX_TRY(Annotate(WarmUp(request, cancel), "\"", request.name(), "\""));
  }
  return config().model_warmup().empty() ? WarmUpByDefault(cancel) : absl::OkStatus();
}

absl::Status ServedModel::WarmUp(const inference::ModelWarmup& request,
                                 const CancelToken& cancel) const {
  const uint32_t count = std::max(1u, request.count());
  if (count > kMaxWarmUps) return InvalidArgument("count ", count, " is above ", kMaxWarmUps);
  std::vector<std::vector<int64_t>> dims;
  std::vector<std::string> bytes;
  for (const ServedTensor& input : inputs_) {
    const auto found = request.inputs().find(input.name);
    if (found == request.inputs().end())
      return InvalidArgument("has no input \"", input.name, "\"");
    dims.emplace_back();
    if (config().max_batch_size() > 0) dims.back().push_back(std::max(1u, request.batch_size()));
    dims.back().insert(dims.back().end(), found->second.dims().begin(), found->second.dims().end());
    auto elements = Elements(input.dtype, dims.back(), found->second.random_data(),
                             engine_.options().limits.max_tensor_bytes);
    if (!elements.ok()) return Annotate(elements.status(), "input \"", input.name, "\"");
    bytes.push_back(*std::move(elements));
  }
  if (request.inputs().size() > inputs_.size()) {
    return InvalidArgument("has ", request.inputs().size(), " inputs, and the model ",
                           inputs_.size());
  }
  for (uint32_t i = 0; i < count; ++i) RLX_TRY(RunOnce(dims, bytes, cancel));
  return absl::OkStatus();
}

// A run at the least sizes, and where requests run together one of the largest batch: then there is
// something that holds every batch, and none waits for a compile.
absl::Status ServedModel::WarmUpByDefault(const CancelToken& cancel) const {
  RLX_TRY(RunZeros(least_dims_, cancel));
  if (queue() == nullptr || queue()->options().max_rows == 1) return absl::OkStatus();
  std::vector<std::vector<int64_t>> most = least_dims_;
  for (std::vector<int64_t>& dims : most) dims.front() = config().max_batch_size();
  return RunZeros(most, cancel);
}

// Sizes that are free were guessed, and may contradict each other: that is no fault of the model's.
absl::Status ServedModel::RunZeros(const std::vector<std::vector<int64_t>>& sizes,
                                   const CancelToken& cancel) const {
  std::vector<std::string> bytes;
  bool guessed = false;
  for (size_t i = 0; i < inputs_.size(); ++i) {
    guessed |= std::ranges::count(inputs_[i].dims, -1) > 0;
    auto elements =
        Elements(inputs_[i].dtype, sizes[i], false, engine_.options().limits.max_tensor_bytes);
    if (!elements.ok()) return Annotate(elements.status(), "input \"", inputs_[i].name, "\"");
    bytes.push_back(*std::move(elements));
  }
  const absl::Status ran = RunOnce(sizes, bytes, cancel);
  return guessed && absl::IsInvalidArgument(ran) ? absl::OkStatus() : ran;
}

absl::Status ServedModel::RunOnce(const std::vector<std::vector<int64_t>>& dims,
                                  const std::vector<std::string>& bytes,
                                  const CancelToken& cancel) const {
  std::vector<engine::NamedInput> inputs;
  for (size_t i = 0; i < inputs_.size(); ++i) {
    inputs.push_back({inputs_[i].name,
                      inputs_[i].dtype,
                      dims[i],
                      {reinterpret_cast<const uint8_t*>(bytes[i].data()), bytes[i].size()}});
  }
  // What callers do not see is nothing yet.
  const bool batched = config().max_batch_size() > 0;
  const int64_t rows = batched && !dims.empty() ? dims[0][0] : 1;
  std::deque<std::pair<std::vector<int64_t>, std::string>> hidden;
  const auto hide = [&](const std::string& name, DType dtype, const std::vector<int64_t>& own) {
    auto& [extents, zeros] = hidden.emplace_back(own, "");
    if (batched) extents.insert(extents.begin(), rows);
    const int64_t count = CheckedProduct(extents).value_or(0);
    zeros.resize(static_cast<size_t>(count * ByteWidth(dtype)));
    inputs.push_back(
        {name, dtype, extents, {reinterpret_cast<const uint8_t*>(zeros.data()), zeros.size()}});
  };
  for (const auto& control : plan_.controls) hide(control.input, control.dtype, control.dims);
  for (const auto& state : plan_.states) hide(state.input, state.dtype, state.dims);
  std::vector<std::unique_ptr<uint8_t[]>> outputs;
  const auto memory = [&](const engine::OutputSpec& spec) {
    outputs.push_back(std::make_unique_for_overwrite<uint8_t[]>(spec.bytes));
    return outputs.back().get();
  };
  return engine_.Run(Owner(), {handle_, inputs, {}, nullptr}, memory, cancel).status();
}

}  // namespace rlx::server
