// SPDX-License-Identifier: Apache-2.0
#include "server/models/config.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <algorithm>

#include "runtime/base/status.h"

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

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

bool IsWord(char c) {
  return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Fields of Triton's that say how to serve a model, and not what it computes: it serves without.
constexpr std::string_view kWithoutMeaning[] = {
    "cc_model_filenames", "dynamic_batching", "instance_group",     "metric_tags",
    "model_metrics",      "optimization",     "response_cache",     "runtime",
    "label_filename",     "optional",         "allow_ragged_batch",
};

// The parser skips what the messages do not have, and complains here: `Message type
// "inference.ModelConfig" has no field named "x".`
class Complaints final : public google::protobuf::io::ErrorCollector {
 public:
  explicit Complaints(std::set<std::string>& ignored) : ignored_(ignored) {}

  void AddError(int line, int column, const std::string& message) override {
    if (error_.empty()) error_ = Cat(line + 1, ":", column + 1, ": ", message);
  }
  void AddWarning(int line, int column, const std::string& message) override {
    constexpr std::string_view before = "has no field named \"";
    const size_t at = message.find(before);
    if (at == message.npos) return;
    const size_t from = at + before.size();
    const std::string field = message.substr(from, message.find('"', from) - from);
    if (std::ranges::count(kWithoutMeaning, std::string_view(field)) > 0) {
      ignored_.insert(field);
    } else {
      AddError(line, column, Cat("\"", field, "\" is nothing that is known here"));
    }
  }
  const std::string& error() const { return error_; }

 private:
  std::set<std::string>& ignored_;
  std::string error_;
};

// The text format lets the colon before a list of messages go, but its parser skips no such list of
// a field that it does not know: `instance_group [{ ... }]`, as most files write it. Returns the
// text with these colons, in the place of a blank where there is one so that columns stay.
std::string WithColons(std::string_view text) {
  std::string out;
  bool after_name = false, after_colon = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (IsBlank(c)) {
      out += c;
      continue;
    }
    size_t end = i + 1;
    const bool word = IsWord(c);
    if (word) {
      while (end < text.size() && IsWord(text[end])) ++end;
    } else if (c == '#') {
      end = std::min(text.find('\n', i), text.size());
    } else if (c == '"' || c == '\'') {
      while (end < text.size() && text[end] != c) end += text[end] == '\\' ? 2 : 1;
      end = std::min(end + 1, text.size());
    } else if (c == '[' && after_name) {
      if (!out.empty() && out.back() == ' ') out.pop_back();
      out += ':';
    }
    out += text.substr(i, end - i);
    if (c != '#') {
      after_name = word && !after_colon;
      after_colon = c == ':';
    }
    i = end - 1;
  }
  return out;
}

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
  if (config.max_batch_size() < 0) {
    return InvalidArgument("max_batch_size ", config.max_batch_size(), " is below 0");
  }
  return absl::OkStatus();
}

// Extents as configurations write them: -1 where any is good.
std::vector<int64_t> DimsOf(const TensorType& type, bool batched) {
  std::vector<int64_t> dims;
  for (size_t i = batched ? 1 : 0; i < type.shape.size(); ++i) {
    dims.push_back(type.shape[i].is_static() ? type.shape[i].value() : -1);
  }
  return dims;
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
  Complaints complaints(ignored);
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&complaints);
  parser.AllowUnknownField(true);
  parser.SetRecursionLimit(32);
  const bool parsed = parser.ParseFromString(WithColons(text), &config);
  if (!parsed || !complaints.error().empty()) {
    return InvalidArgument("config.pbtxt:", complaints.error());
  }
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
  RLX_TRY(CompleteAll("input", model.inputs, batched, *config.mutable_input()));
  return CompleteAll("output", model.outputs, batched, *config.mutable_output());
}

}  // namespace rlx::server
