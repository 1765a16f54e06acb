// SPDX-License-Identifier: Apache-2.0
#include "server/onnx_wire.h"

#include "runtime/base/fault.h"
#include "runtime/import/import.h"
#include "runtime/wire/enums.h"
#include "runtime/wire/tensor.h"

namespace rlx::server {
namespace {

using Files = std::map<std::string_view, const v1::BlobRef*>;  // by location

absl::StatusOr<Files> FilesOf(const v1::OnnxModel& model) {
  Files files;
  for (const v1::OnnxModel::External& file : model.external())
    if (!files.emplace(file.location(), &file.blob()).second)
      return InvalidField("spec.onnx.external", "\"", file.location(), "\" is given twice");
  return files;
}

}  // namespace

absl::Status ReadOnnx(const v1::OnnxModel& model, const BlobReader& blobs, const Limits& limits,
                      engine::CompileSpec& out) {
  RLX_ASSIGN(const Files files, FilesOf(model));
  RLX_ASSIGN(const SharedBytes bytes, blobs(model.model(), "spec.onnx.model"));
  const onnx::ExternalFiles external =
      [&](std::string_view location) -> absl::StatusOr<SharedBytes> {
    const auto found = files.find(location);
    if (found == files.end())
      return NotFound("no spec.onnx.external is \"", location.substr(0, 256), "\"");
    return blobs(*found->second, "spec.onnx.external");
  };
  RLX_ASSIGN(onnx::Imported imported, onnx::Import(bytes, external, limits));
  for (onnx::Weight& weight : imported.weights) {
    const v1::BlobRef* blob = &model.model();
    if (!weight.location.empty()) {
      const auto found = files.find(weight.location);
      if (found == files.end())
        return NotFound("initializer \"", weight.param, "\": no spec.onnx.external is \"",
                        weight.location, "\"");
      blob = found->second;
    }
    const auto digest = Digest256::FromBytes(blob->sha256());
    if (!digest) return InvalidArgument("a blob's sha256 has ", blob->sha256().size(), " bytes");
    out.weights.push_back({std::move(weight.param), weight.type.dtype, weight.type.StaticDims(),
                           engine::WeightSource::Slice{*digest, weight.offset, weight.length}});
  }
  out.module = std::move(imported.module);
  return absl::OkStatus();
}

void WeightToWire(const engine::WeightSource& weight, v1::WeightBinding& out) {
  out.set_param(weight.param);
  out.set_dtype(wire::ToWire(weight.dtype));
  out.mutable_shape()->Assign(weight.dims.begin(), weight.dims.end());
  if (const auto* slice = std::get_if<engine::WeightSource::Slice>(&weight.source)) {
    out.mutable_blob()->set_sha256(std::string(slice->blob.view()));
    out.mutable_blob()->set_offset(slice->offset);
    out.mutable_blob()->set_length(slice->length);
    return;
  }
  auto tensor = HostTensor::Create(weight.dtype, weight.dims, std::get<SharedBytes>(weight.source));
  if (tensor.ok()) wire::TensorToWire(*tensor, *out.mutable_inline_());
}

}  // namespace rlx::server
