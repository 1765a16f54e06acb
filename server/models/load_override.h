// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>

#include "inference/grpc_service.pb.h"
#include "server/models/files.h"

namespace rlx::server {

// What a request to load a model says in the place of the repository.
struct LoadOverride {
  std::optional<std::string> config;  // in the form of config.pbtxt
  // By version and name of the file; with any of them nothing of the repository's folder counts.
  std::map<int64_t, std::map<std::string, std::string>> files;
};

// `config` (a ModelConfig as JSON) and `file:VERSION/NAME` (bytes; then `config` must be there).
// Null: nothing is said. InvalidArgument for any other parameter, and for a name that is none.
using LoadParameters = google::protobuf::Map<std::string, inference::ModelRepositoryParameter>;
absl::StatusOr<std::shared_ptr<const LoadOverride>> ReadLoadParameters(
    const LoadParameters& parameters);

// The model's folder as `said` has it, instead of the one under `root`. Its files lie in a folder
// of their own in `scratch` as long as this lives: whoever loads them copies them.
class OverriddenFolder {
 public:
  explicit OverriddenFolder(std::string scratch) : scratch_(std::move(scratch)) {}
  ~OverriddenFolder();
  OverriddenFolder(const OverriddenFolder&) = delete;
  OverriddenFolder& operator=(const OverriddenFolder&) = delete;
  absl::StatusOr<ModelFolder> Read(const std::string& root, const std::string& name,
                                   const LoadOverride& said);

 private:
  absl::Status Write(const std::string& name, const LoadOverride& said);

  const std::string scratch_;
  std::string folder_;
};

}  // namespace rlx::server
