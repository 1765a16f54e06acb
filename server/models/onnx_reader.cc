// SPDX-License-Identifier: Apache-2.0
#include "server/models/onnx_reader.h"

#include <algorithm>
#include <map>

#include "runtime/base/status.h"
#include "runtime/cache/blob_store.h"
#include "runtime/import/import.h"

namespace rlx::server {
namespace {

struct Stored {
  Digest256 digest;
  SharedBytes bytes;
};

// The files of a version as blobs, each copied once.
class StoredFiles {
 public:
  explicit StoredFiles(const ReadContext& context) : context_(context) {}

  absl::StatusOr<Stored> Get(std::string_view name) {
    if (const auto known = files_.find(name); known != files_.end()) return known->second;
    // The model's text becomes a path only if it is the name of a file of this very folder.
    if (std::ranges::find(context_.files.names, name) == context_.files.names.end()) {
      return NotFound("no file \"", name.substr(0, 256), "\" lies beside the model");
    }
    RLX_ASSIGN(const Digest256 digest,
               StoreFile(context_.path(name), context_.blobs, context_.cancel));
    RLX_ASSIGN(SharedBytes bytes, context_.blobs.Read(kRepositoryOwner, digest));
    return files_.emplace(name, Stored{digest, std::move(bytes)}).first->second;
  }

 private:
  const ReadContext& context_;
  std::map<std::string, Stored, std::less<>> files_;
};

}  // namespace

absl::StatusOr<ReadModel> ReadOnnxModel(const ReadContext& context) {
  StoredFiles files(context);
  RLX_ASSIGN(const Stored model, files.Get(context.file));
  const auto external = [&files](std::string_view location) -> absl::StatusOr<SharedBytes> {
    RLX_ASSIGN(Stored file, files.Get(location));
    return std::move(file.bytes);
  };
  RLX_ASSIGN(onnx::Imported imported, onnx::Import(model.bytes, external, context.limits));
  ReadModel out{.module = std::move(imported.module)};
  for (const onnx::Weight& weight : imported.weights) {
    RLX_ASSIGN(Stored file, files.Get(weight.location.empty() ? context.file : weight.location));
    out.weights.push_back({weight.param, weight.type.dtype, weight.type.StaticDims(),
                           engine::WeightSource::Slice{file.digest, weight.offset, weight.length}});
    out.held.push_back(std::move(file.bytes));
  }
  return out;
}

}  // namespace rlx::server
