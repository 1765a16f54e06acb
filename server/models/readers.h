// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "runtime/engine/session.h"
#include "server/models/files.h"

namespace rlx {
struct Limits;
class CancelToken;
}  // namespace rlx
namespace rlx::cache {
class BlobStore;
}

// The kinds of files that a version may be: one row each.
namespace rlx::server {

// Who owns the sessions and blobs of the repository's models: no client's name has a space.
inline constexpr std::string_view kRepositoryOwner = "model repository";

// A version's model: the module, not yet verified, and where the elements of its params lie. The
// weights are blobs of kRepositoryOwner, held as long as this lives.
struct ReadModel {
  Module module;
  std::vector<engine::WeightSource> weights;
  std::vector<SharedBytes> held;
};

// What a reader may use.
struct ReadContext {
  const VersionFiles& files;
  std::string file;  // the model, one of files.names
  const Limits& limits;
  cache::BlobStore& blobs;
  const CancelToken& cancel;

  std::string path(std::string_view name) const { return files.folder + "/" + std::string(name); }
};

struct ModelReader {
  std::string_view file;      // "module.txt"
  std::string_view platform;  // as model metadata says it
  std::string_view backend;
  absl::StatusOr<ReadModel> (*read)(const ReadContext& context);
};
std::span<const ModelReader> ModelReaders();

// The row for a version's files, and the name of its model's file: `wanted`
// (default_model_filename), or the one that is there. NotFound for none, FailedPrecondition for
// several.
struct ChosenReader {
  const ModelReader* reader = nullptr;
  std::string file;
};
absl::StatusOr<ChosenReader> ChooseReader(const VersionFiles& files, std::string_view wanted);

// Copies a file into the store, unless it is there already. Unavailable when it changes meanwhile:
// the copy is whole, or is not made.
absl::StatusOr<Digest256> StoreFile(const std::string& path, cache::BlobStore& blobs,
                                    const CancelToken& cancel);

}  // namespace rlx::server
