// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/weights.h"

#include "clients/rlxctl/module_file.h"
#include "clients/rlxctl/tensor.h"
#include "clients/rlxctl/words.h"
#include "runtime/base/checked.h"
#include "runtime/base/file.h"

namespace rlx::ctl {
namespace {

constexpr double kRange = 0.05;  // keeps the values of deep networks in bounds

v1::WeightBinding Bind(std::string_view param, const Blob& blob, const TensorSlice& slice) {
  v1::WeightBinding binding;
  binding.set_param(param.data(), param.size());
  binding.mutable_blob()->set_sha256(std::string(blob.digest.view()));
  binding.mutable_blob()->set_offset(slice.offset);
  binding.mutable_blob()->set_length(slice.length);
  binding.set_dtype(slice.dtype);
  binding.mutable_shape()->Add(slice.shape.begin(), slice.shape.end());
  return binding;
}

struct Place {
  const WeightFile* file;
  const TensorSlice* slice;
};
using Places = std::map<std::string_view, Place>;

absl::StatusOr<Places> PlacesIn(const std::vector<WeightFile>& files) {
  Places places;
  for (const WeightFile& file : files) {
    for (const auto& [name, slice] : file.tensors) {
      const auto [found, added] = places.emplace(name, Place{&file, &slice});
      if (!added) {
        return InvalidArgument("tensor \"", name, "\" is in ", found->second.file->path, " and in ",
                               file.path);
      }
    }
  }
  return places;
}

Weights BlobsOf(const std::vector<WeightFile>& files) {
  Weights weights;
  for (const WeightFile& file : files) weights.blobs.push_back(file.blob);
  return weights;
}

absl::StatusOr<std::vector<int64_t>> StaticShape(const v1::Binding& param) {
  std::vector<int64_t> shape;
  for (const v1::Dim& dim : param.type().dims()) {
    if (!dim.has_value()) {
      return FailedPrecondition("param \"", param.name(), "\" is ", TypeText(param.type()),
                                ", which has no size yet: use --bind");
    }
    shape.push_back(dim.value());
  }
  return shape;
}

absl::StatusOr<WeightFile> ReadWeightFile(std::string_view path) {
  WeightFile file{.path = std::string(path)};
  RLX_ASSIGN(const std::string real, RealPath(path));
  RLX_ASSIGN(SharedBytes bytes, MapFile(real, UINT64_MAX));
  auto tensors = ParseSafetensors(bytes.view());
  if (!tensors.ok()) return Annotate(tensors.status(), path);
  file.tensors = *std::move(tensors);
  file.blob = MakeBlob(std::move(bytes));
  return file;
}

}  // namespace

absl::StatusOr<std::vector<WeightFile>> ReadWeightFiles(
    const std::vector<std::string_view>& paths) {
  std::vector<WeightFile> files;
  for (std::string_view path : paths) {
    RLX_ASSIGN(WeightFile file, ReadWeightFile(path));
    files.push_back(std::move(file));
  }
  return files;
}

absl::StatusOr<Weights> BindParams(const v1::Manifest& manifest,
                                   const std::vector<WeightFile>& files, const OwnWeights& own) {
  constexpr size_t kNamed = 5;
  Weights weights = BlobsOf(files);
  std::map<std::string_view, const v1::WeightBinding*> by_name;
  for (const v1::WeightBinding& binding : own) by_name[binding.param()] = &binding;
  RLX_ASSIGN(const Places places, PlacesIn(files));
  std::vector<std::string_view> missing;
  for (const v1::Binding& param : manifest.params()) {
    const auto found = places.find(param.name());
    if (found == places.end()) {
      const auto model = by_name.find(param.name());
      if (model != by_name.end())
        weights.bindings.push_back(*model->second);
      else
        missing.push_back(param.name());
      continue;
    }
    weights.bindings.push_back(Bind(param.name(), found->second.file->blob, *found->second.slice));
  }
  if (missing.empty()) return weights;
  const std::string more =
      missing.size() > kNamed ? Cat(", ... (", missing.size(), " in all)") : "";
  missing.resize(std::min(missing.size(), kNamed));
  return NotFound(files.empty() ? "no --weights for params: " : "no tensor for params: ",
                  Join(missing, ", "), more);
}

absl::StatusOr<Weights> RandomWeights(const v1::Manifest& manifest, uint64_t seed,
                                      uint64_t max_bytes) {
  constexpr uint64_t kAlignment = 64;
  std::vector<TensorSlice> slices;
  uint64_t total = 0;
  for (const v1::Binding& param : manifest.params()) {
    TensorSlice slice{.dtype = param.type().dtype()};
    RLX_ASSIGN(slice.shape, StaticShape(param));
    const auto bytes = TensorBytes(slice.dtype, slice.shape);
    const auto begin = CheckedAlignUp(total, kAlignment);
    const auto end = bytes && begin ? CheckedAdd(*begin, *bytes) : std::nullopt;
    if (!end || *end > max_bytes)
      return ResourceExhausted("the params need more than a blob's ", max_bytes, " bytes");
    slice.offset = *begin;
    slice.length = *bytes;
    total = *end;
    slices.push_back(std::move(slice));
  }
  std::string bytes;
  bytes.reserve(total);
  for (size_t i = 0; i < slices.size(); ++i) {
    const v1::Binding& param = manifest.params(static_cast<int>(i));
    bytes.resize(slices[i].offset);
    AppendFilled(bytes, slices[i].dtype, slices[i].length / ElementBytes(slices[i].dtype),
                 Fill::kRandom, SeedOf(seed, param.name()), kRange);
  }
  Weights weights;
  if (slices.empty()) return weights;
  weights.blobs.push_back(MakeBlob(SharedBytes(std::move(bytes))));
  for (size_t i = 0; i < slices.size(); ++i) {
    weights.bindings.push_back(
        Bind(manifest.params(static_cast<int>(i)).name(), weights.blobs[0], slices[i]));
  }
  return weights;
}

}  // namespace rlx::ctl
