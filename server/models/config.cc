// SPDX-License-Identifier: Apache-2.0
#include "server/models/config.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <algorithm>

#include "runtime/base/status.h"
#include "server/models/files.h"
#include "server/models/sequence_plan.h"
#include "server/scheduling/options.h"

namespace rlx::server {
namespace {

using inference::ModelConfig;

struct TypeRow {
  DType dtype;
  std::string_view name;
  inference::DataType type;
};
constexpr TypeRow kTypes[] = {
    {DType::kBool, "BOOL", inference::TYPE_BOOL},    {DType::kU8, "UINT8", inference::TYPE_UINT8},
    {DType::kU32, "UINT32", inference::TYPE_UINT32}, {DType::kI8, "INT8", inference::TYPE_INT8},
    {DType::kI16, "INT16", inference::TYPE_INT16},   {DType::kI32, "INT32", inference::TYPE_INT32},
    {DType::kI64, "INT64", inference::TYPE_INT64},   {DType::kF16, "FP16", inference::TYPE_FP16},
    {DType::kBF16, "BF16", inference::TYPE_BF16},    {DType::kF32, "FP32", inference::TYPE_FP32},
    {DType::kF64, "FP64", inference::TYPE_FP64},
};

const TypeRow* FindType(DType dtype) {
  for (const TypeRow& row : kTypes) {
    if (row.dtype == dtype) return &row;
  }
  return nullptr;
}

// Fields of Triton's that say how to serve a model, and not what it computes: it is served without.
constexpr std::string_view kIgnored[] = {
    "ModelConfig.cc_model_filenames",
    "ModelConfig.metric_tags",
    "ModelConfig.model_metrics",
    "ModelConfig.optimization",
    "ModelConfig.response_cache",
    "ModelConfig.runtime",
    "ModelInput.allow_ragged_batch",
    "ModelInput.is_non_linear_format_io",
    "ModelInput.optional",
    "ModelInstanceGroup.gpus",
    "ModelInstanceGroup.host_policy",
    "ModelInstanceGroup.passive",
    "ModelInstanceGroup.profile",
    "ModelInstanceGroup.rate_limiter",
    "ModelInstanceGroup.secondary_devices",
    "ModelOutput.is_non_linear_format_io",
    "ModelOutput.label_filename",
    "State.use_growable_memory",
    "State.use_same_buffer_for_input_output",
};

bool IsIgnored(const google::protobuf::FieldDescriptor& field) {
  const std::string name = Cat(field.containing_type()->name(), ".", field.name());
  return std::ranges::count(kIgnored, std::string_view(name)) > 0;
}

// Takes what is ignored out of `message`, and its names into `ignored`.
void DropIgnored(google::protobuf::Message& message, std::set<std::string>& ignored) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const auto* field : fields) {
    if (IsIgnored(*field)) {
      ignored.insert(field->name());
      reflection.ClearField(&message, field);
    } else if (field->message_type() != nullptr && !field->is_map()) {
      const int count = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
      for (int i = 0; i < count; ++i) {
        DropIgnored(field->is_repeated() ? *reflection.MutableRepeatedMessage(&message, field, i)
                                         : *reflection.MutableMessage(&message, field),
                    ignored);
      }
    }
  }
}

class FirstError final : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (text.empty()) text = Cat(line + 1, ":", column + 1, ": ", message);
  }
  std::string text;
};

absl::Status CheckKind(const ModelConfig& config) {
  constexpr std::string_view platforms[] = {"", "rlx", "onnxruntime_onnx"};
  constexpr std::string_view backends[] = {"", "rlx", "onnxruntime"};
  if (std::ranges::count(platforms, std::string_view(config.platform())) == 0) {
    return FailedPrecondition("platform \"", config.platform(), "\" is not served here");
  }
  if (std::ranges::count(backends, std::string_view(config.backend())) == 0) {
    return FailedPrecondition("backend \"", config.backend(), "\" is not served here");
  }
  if (config.model_transaction_policy().decoupled()) {
    return FailedPrecondition("decoupled models are not served here");
  }
  for (const auto& [label, version] : config.version_labels()) {
    if (!IsModelName(label) || ParseInt(label)) {
      return InvalidArgument("version_labels: \"", label.substr(0, 64),
                             "\" is no name for a version");
    }
  }
  if (config.max_batch_size() < 0) {
    return InvalidArgument("max_batch_size ", config.max_batch_size(), " is below 0");
  }
  return ReadQueueOptions(config, {}).status();
}

// Extents as configurations write them: -1 where any is good.
std::vector<int64_t> DimsOf(const TensorType& type, bool batched) {
  std::vector<int64_t> dims;
  for (size_t i = batched ? 1 : 0; i < type.shape.size(); ++i) {
    dims.push_back(type.shape[i].is_static() ? type.shape[i].value() : -1);
  }
  return dims;
}

// Whether the first extent of every tensor, and nothing else, is the batch: what requests side by
// side need. FailedPrecondition naming the tensor.
absl::Status CheckBatched(const BufferPlan& model) {
  std::vector<std::string> symbols;
  for (const IoEntry& input : model.inputs) input.type.shape[0].CollectSymbols(symbols);
  // Two sizes that no extent has by chance.
  constexpr int64_t sizes[] = {9'973, 10'007};
  const auto bound = [&](const IoEntry& entry, int64_t size) {
    DimBinding binding;
    for (const std::string& symbol : symbols) binding[symbol] = size;
    return entry.type.Bind(binding);
  };
  const auto check = [&](const IoEntry& entry) {
    const TensorType one = bound(entry, sizes[0]), other = bound(entry, sizes[1]);
    const bool first = one.shape[0] == Dim(sizes[0]) && other.shape[0] == Dim(sizes[1]);
    const bool rest = std::equal(one.shape.begin() + 1, one.shape.end(), other.shape.begin() + 1,
                                 other.shape.end());
    if (first && rest) return absl::OkStatus();
    return FailedPrecondition("\"", entry.name, "\" is ", entry.type,
                              ": a batch takes a first extent that is the batch, and no "
                              "other that depends on it");
  };
  for (const IoEntry& input : model.inputs) RLX_TRY(check(input));
  for (const IoEntry& output : model.outputs) RLX_TRY(check(output));
  return absl::OkStatus();
}

std::string Text(const auto& dims) { return Cat("[", Join(dims, ","), "]"); }

// One input or output; what it does not say is filled in. Extents that the model leaves open may be
// given, and are then what requests are held to.
template <class Declared>
absl::Status Complete(const IoEntry& entry, bool batched, Declared& declared) {
  const TypeRow* row = FindType(entry.type.dtype);
  if (row == nullptr) return FailedPrecondition(entry.type.dtype, " has no name in KServe v2");
  if (declared.data_type() == inference::TYPE_INVALID) declared.set_data_type(row->type);
  if (declared.data_type() != row->type) {
    return FailedPrecondition("is ", inference::DataType_Name(declared.data_type()),
                              " in config.pbtxt and ", row->name, " in the model");
  }
  if (batched && (entry.type.shape.empty() || entry.type.shape[0].is_static())) {
    return FailedPrecondition("has no batch to be sized by max_batch_size: it is ", entry.type);
  }
  const std::vector<int64_t> dims = DimsOf(entry.type, batched);
  if (declared.dims().empty()) declared.mutable_dims()->Add(dims.begin(), dims.end());
  const bool fits = std::ranges::equal(declared.dims(), dims, [](int64_t said, int64_t is) {
    return said == is || (is == -1 && said > 0);
  });
  if (fits) return absl::OkStatus();
  return FailedPrecondition("is ", Text(declared.dims()), " in config.pbtxt and ", Text(dims),
                            " in the model");
}

// All of them, in the model's order.
template <class Declared>
absl::Status CompleteAll(std::string_view what, const std::vector<IoEntry>& entries, bool batched,
                         google::protobuf::RepeatedPtrField<Declared>& declared) {
  google::protobuf::RepeatedPtrField<Declared> ordered;
  for (const IoEntry& entry : entries) {
    const auto found =
        std::ranges::find_if(declared, [&](const Declared& d) { return d.name() == entry.name; });
    Declared& to = *ordered.Add();
    if (found != declared.end()) {
      to = *found;
    } else if (!declared.empty()) {
      return FailedPrecondition("config.pbtxt has no ", what, " \"", entry.name, "\"");
    }
    to.set_name(entry.name);
    RLX_TRY(Annotate(Complete(entry, batched, to), what, " \"", entry.name, "\""));
  }
  if (declared.size() > ordered.size()) {
    return FailedPrecondition("config.pbtxt has ", declared.size(), " ", what, "s, and the model ",
                              ordered.size());
  }
  declared = std::move(ordered);
  return absl::OkStatus();
}

}  // namespace

std::string_view KserveName(DType dtype) {
  const TypeRow* row = FindType(dtype);
  return row == nullptr ? "" : row->name;
}

inference::DataType KserveType(DType dtype) {
  const TypeRow* row = FindType(dtype);
  return row == nullptr ? inference::TYPE_INVALID : row->type;
}

absl::StatusOr<ModelConfig> ParseModelConfig(std::string_view text,
                                             std::set<std::string>& ignored) {
  ModelConfig config;
  FirstError error;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  parser.SetRecursionLimit(32);
  if (!parser.ParseFromString(std::string(text), &config)) {
    return InvalidArgument("config.pbtxt:", error.text);
  }
  DropIgnored(config, ignored);
  RLX_TRY(Annotate(CheckKind(config), "config.pbtxt"));
  return config;
}

absl::StatusOr<std::set<int64_t>> ServedVersions(const inference::ModelVersionPolicy& policy,
                                                 const std::set<int64_t>& there) {
  if (policy.has_all()) return there;
  std::set<int64_t> out;
  if (policy.has_specific()) {
    for (int64_t version : policy.specific().versions()) {
      if (!there.contains(version)) return NotFound("there is no version ", version);
      out.insert(version);
    }
    return out;
  }
  const size_t latest = std::max(1u, policy.latest().num_versions());
  for (auto it = there.rbegin(); it != there.rend() && out.size() < latest; ++it) out.insert(*it);
  return out;
}

absl::Status CompleteModelConfig(std::string_view name, const BufferPlan& model,
                                 ModelConfig& config) {
  if (config.name().empty()) config.set_name(std::string(name));
  if (config.name() != name) {
    return FailedPrecondition("config.pbtxt calls the model \"", config.name(), "\"");
  }
  const bool batched = config.max_batch_size() > 0;
  RLX_ASSIGN(const SequencePlan sequences, ReadSequencePlan(config, model));
  std::vector<IoEntry> inputs = model.inputs, outputs = model.outputs;
  std::erase_if(inputs, [&](const IoEntry& e) { return sequences.HidesInput(e.name); });
  std::erase_if(outputs, [&](const IoEntry& e) { return sequences.HidesOutput(e.name); });
  RLX_TRY(CompleteAll("input", inputs, batched, *config.mutable_input()));
  RLX_TRY(CompleteAll("output", outputs, batched, *config.mutable_output()));
  const bool joined = config.has_dynamic_batching() || (config.has_sequence_batching() && batched);
  return joined ? CheckBatched(model) : absl::OkStatus();
}

}  // namespace rlx::server
