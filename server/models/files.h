// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/base/sha256.h"

// The model repository as a folder: MODEL/VERSION/FILE, and MODEL/config.pbtxt. It is the
// operator's: links are followed. No word of a client becomes a path here; names of models are
// those of its entries.
namespace rlx::server {

// What stands in one version's folder.
struct VersionFiles {
  std::string folder;
  std::vector<std::string> names;  // sorted
  Digest256 fingerprint;           // of names, sizes and times: changes when the files do
};

struct ModelFolder {
  std::string config;  // config.pbtxt, empty where there is none
  std::map<int64_t, VersionFiles> versions;
};

// Whether a folder of this name can be a model: [A-Za-z0-9] first, then also . _ - and at most 128.
bool IsModelName(std::string_view name);

// The models' names, sorted: folders whose names can be one.
absl::StatusOr<std::vector<std::string>> ListModels(const std::string& root);

// One model as it is on disk now. `name` is one of ListModels. NotFound when it has gone.
absl::StatusOr<ModelFolder> ReadModelFolder(const std::string& root, const std::string& name);

// The file that a path means, links followed: for runtime/base/file.h, which follows none.
absl::StatusOr<std::string> ResolvePath(const std::string& path);

}  // namespace rlx::server
