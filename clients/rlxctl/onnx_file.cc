// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/onnx_file.h"

#include "clients/rlxctl/context.h"
#include "clients/rlxctl/module_file.h"
#include "clients/rlxctl/upload.h"
#include "runtime/base/file.h"

namespace rlx::ctl {
namespace {

constexpr int kMaxDepth = 100;

// Messages of the ONNX schema on the way to TensorProto.external_data, by field number.
enum class Kind : uint8_t { kOther, kModel, kGraph, kNode, kAttribute, kTensor, kFunction, kEntry };
struct Way {
  Kind from;
  uint64_t field;
  Kind to;
};
constexpr Way kWays[] = {
    {Kind::kModel, 7, Kind::kGraph},      {Kind::kModel, 25, Kind::kFunction},
    {Kind::kGraph, 1, Kind::kNode},       {Kind::kGraph, 5, Kind::kTensor},
    {Kind::kFunction, 7, Kind::kNode},    {Kind::kNode, 5, Kind::kAttribute},
    {Kind::kAttribute, 5, Kind::kTensor}, {Kind::kAttribute, 6, Kind::kGraph},
    {Kind::kTensor, 13, Kind::kEntry},
};

Kind Below(Kind from, uint64_t field) {
  for (const Way& way : kWays)
    if (way.from == from && way.field == field) return way.to;
  return Kind::kOther;
}

bool TakeVarint(std::string_view& rest, uint64_t& value) {
  value = 0;
  for (int shift = 0; shift < 64 && !rest.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(rest.front());
    rest.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return true;
  }
  return false;
}

bool TakeBytes(std::string_view& rest, uint64_t length, std::string_view& bytes) {
  if (length > rest.size()) return false;
  bytes = rest.substr(0, length);
  rest.remove_prefix(length);
  return true;
}

// Collects what entries "location" say below the message; false when it is broken.
bool Collect(std::string_view rest, Kind kind, int depth, std::set<std::string>& out) {
  if (depth > kMaxDepth) return false;
  std::string_view key, value, content;
  while (!rest.empty()) {
    uint64_t tag = 0, number = 0;
    if (!TakeVarint(rest, tag)) return false;
    switch (tag & 7) {
      case 0:
        if (!TakeVarint(rest, number)) return false;
        continue;
      case 1:
        if (!TakeBytes(rest, 8, content)) return false;
        continue;
      case 5:
        if (!TakeBytes(rest, 4, content)) return false;
        continue;
      case 2:
        if (!TakeVarint(rest, number) || !TakeBytes(rest, number, content)) return false;
        break;
      default:
        return false;
    }
    const uint64_t field = tag >> 3;
    if (kind == Kind::kEntry) (field == 1 ? key : value) = content;
    const Kind below = Below(kind, field);
    if (below != Kind::kOther && !Collect(content, below, depth + 1, out)) return false;
  }
  if (kind == Kind::kEntry && key == "location") out.emplace(value);
  return true;
}

v1::BlobRef RefOf(const Blob& blob) {
  v1::BlobRef ref;
  ref.set_sha256(std::string(blob.digest.view()));
  ref.set_size(blob.bytes.size());
  return ref;
}

absl::StatusOr<v1::BlobRef> UploadFile(const std::string& real, Context& context) {
  RLX_ASSIGN(SharedBytes bytes, MapFile(real, UINT64_MAX));
  const Blob blob = MakeBlob(std::move(bytes));
  RLX_TRY(Upload(blob, context.server, context.progress).status());
  return RefOf(blob);
}

}  // namespace

absl::StatusOr<std::set<std::string>> ExternalLocations(std::string_view model) {
  std::set<std::string> out;
  if (!Collect(model, Kind::kModel, 0, out)) return InvalidArgument("is no ONNX model");
  return out;
}

absl::StatusOr<std::string> BesideModel(std::string_view folder, std::string_view location) {
  const auto outside = [&] {
    return PermissionDenied("external data \"", location, "\" is outside of the model's folder");
  };
  if (location.starts_with('/')) return outside();
  RLX_ASSIGN(std::string real, RealPath(Cat(folder, "/", location)));
  const bool inside = std::string_view(real).starts_with(folder) &&
                      (folder.ends_with('/') || real.substr(folder.size()).starts_with('/'));
  if (!inside) return outside();
  return real;
}

absl::StatusOr<v1::OnnxModel> UploadOnnx(std::string_view path, Context& context) {
  RLX_ASSIGN(const std::string real, RealPath(path));
  RLX_ASSIGN(const SharedBytes bytes, MapFile(real, UINT64_MAX));
  const auto locations = ExternalLocations(bytes.view());
  if (!locations.ok()) return Annotate(locations.status(), path);
  const std::string folder = real.substr(0, std::max<size_t>(real.rfind('/'), 1));
  v1::OnnxModel out;
  RLX_ASSIGN(*out.mutable_model(), UploadFile(real, context));
  for (const std::string& location : *locations) {
    RLX_ASSIGN(const std::string file, BesideModel(folder, location));
    v1::OnnxModel::External& external = *out.add_external();
    external.set_location(location);
    RLX_ASSIGN(*external.mutable_blob(), UploadFile(file, context));
  }
  return out;
}

}  // namespace rlx::ctl
