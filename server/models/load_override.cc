// SPDX-License-Identifier: Apache-2.0
#include "server/models/load_override.h"

#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>
#include <stdlib.h>

#include <cerrno>
#include <filesystem>

#include "runtime/base/file.h"
#include "runtime/base/status.h"

namespace rlx::server {
namespace {

constexpr std::string_view kFile = "file:";

absl::StatusOr<std::string> ConfigFrom(const std::string& json) {
  inference::ModelConfig config;
  const auto status = google::protobuf::util::JsonStringToMessage(json, &config);
  if (!status.ok()) {
    return InvalidArgument("load parameter 'config' is no ModelConfig: ",
                           std::string(status.message()));
  }
  std::string text;
  google::protobuf::TextFormat::PrintToString(config, &text);
  return text;
}

// "file:1/model.onnx".
absl::Status AddFile(std::string_view key, const std::string& bytes, LoadOverride& out) {
  const std::string_view path = key.substr(kFile.size());
  const size_t slash = path.find('/');
  const auto version = ParseInt(path.substr(0, slash));
  const std::string_view file = slash == path.npos ? "" : path.substr(slash + 1);
  if (!version || *version < 0 || !IsModelName(file)) {
    return InvalidArgument("load parameter '", key.substr(0, 64), "' is not file:VERSION/NAME");
  }
  out.files[*version][std::string(file)] = bytes;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const LoadOverride>> ReadLoadParameters(
    const LoadParameters& parameters) {
  if (parameters.empty()) return nullptr;
  auto out = std::make_shared<LoadOverride>();
  for (const auto& [name, value] : parameters) {
    if (name == "config" && value.has_string_param()) {
      RLX_ASSIGN(out->config, ConfigFrom(value.string_param()));
    } else if (name.starts_with(kFile) && value.has_bytes_param()) {
      RLX_TRY(AddFile(name, value.bytes_param(), *out));
    } else {
      return InvalidArgument("load parameter '", name.substr(0, 64), "' is not known here");
    }
  }
  if (!out->files.empty() && !out->config) {
    return InvalidArgument("load parameters: files take a 'config'");
  }
  return out;
}

OverriddenFolder::~OverriddenFolder() {
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

absl::Status OverriddenFolder::Write(const std::string& name, const LoadOverride& said) {
  std::string made = Cat(scratch_, "/rlxd-load-XXXXXX");
  if (mkdtemp(made.data()) == nullptr) return ErrnoStatus(errno, "make", made);
  folder_ = made;
  std::error_code failed;
  for (const auto& [version, files] : said.files) {
    const std::string folder = Cat(folder_, "/", name, "/", version);
    std::filesystem::create_directories(folder, failed);
    if (failed) return ErrnoStatus(failed.value(), "make", folder);
    for (const auto& [file, bytes] : files) {
      RLX_TRY(WriteFileAtomic(Cat(folder, "/", file), {bytes}));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ModelFolder> OverriddenFolder::Read(const std::string& root, const std::string& name,
                                                   const LoadOverride& said) {
  if (!said.files.empty()) RLX_TRY(Write(name, said));
  RLX_ASSIGN(ModelFolder folder, ReadModelFolder(said.files.empty() ? root : folder_, name));
  if (said.config) folder.config = *said.config;
  return folder;
}

}  // namespace rlx::server
