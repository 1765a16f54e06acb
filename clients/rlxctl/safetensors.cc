// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/safetensors.h"

#include "clients/rlxctl/tensor.h"
#include "runtime/base/safetensors.h"

namespace rlx::ctl {
namespace {

v1::DType DTypeOf(std::string_view safetensors_name) {
  std::string name = Cat("DTYPE_", DTypeNameFromSafetensors(safetensors_name));
  for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  v1::DType dtype = v1::DTYPE_UNSPECIFIED;
  return v1::DType_Parse(name, &dtype) ? dtype : v1::DTYPE_UNSPECIFIED;
}

absl::StatusOr<TensorSlice> SliceFrom(const SafeTensor& tensor) {
  TensorSlice slice{.shape = tensor.shape, .offset = tensor.offset, .length = tensor.length};
  slice.dtype = DTypeOf(tensor.dtype);
  if (slice.dtype == v1::DTYPE_UNSPECIFIED) {
    return InvalidArgument("rlxd has no element type \"", tensor.dtype, "\"");
  }
  if (TensorBytes(slice.dtype, slice.shape) == slice.length) return slice;
  return InvalidArgument(slice.length, " bytes do not hold shape [", Join(slice.shape, ", "), "]");
}

}  // namespace

absl::StatusOr<std::map<std::string, TensorSlice, std::less<>>> ParseSafetensors(
    std::string_view bytes) {
  RLX_ASSIGN(const auto found, rlx::ParseSafetensors(bytes));
  std::map<std::string, TensorSlice, std::less<>> tensors;
  for (const auto& [name, tensor] : found) {
    const auto slice = SliceFrom(tensor);
    if (!slice.ok()) return Annotate(slice.status(), "tensor \"", name, "\"");
    tensors.emplace(name, *slice);
  }
  return tensors;
}

}  // namespace rlx::ctl
