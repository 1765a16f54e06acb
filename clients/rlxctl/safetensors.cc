// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/safetensors.h"

#include "clients/rlxctl/tensor.h"
#include "runtime/base/safetensors.h"

namespace rlx::ctl {
namespace {

struct DTypeName {
  std::string_view name;
  v1::DType dtype;
};
constexpr DTypeName kDTypes[] = {
    {"BOOL", v1::DTYPE_BOOL},       {"U8", v1::DTYPE_U8},           {"I8", v1::DTYPE_I8},
    {"I16", v1::DTYPE_I16},         {"BF16", v1::DTYPE_BF16},       {"F16", v1::DTYPE_F16},
    {"U32", v1::DTYPE_U32},         {"I32", v1::DTYPE_I32},         {"I64", v1::DTYPE_I64},
    {"F32", v1::DTYPE_F32},         {"F64", v1::DTYPE_F64},         {"C64", v1::DTYPE_C64},
    {"F8_E4M3", v1::DTYPE_FP8E4M3}, {"F8_E5M2", v1::DTYPE_FP8E5M2},
};

absl::StatusOr<TensorSlice> SliceFrom(const SafeTensor& tensor) {
  TensorSlice slice{.shape = tensor.shape, .offset = tensor.offset, .length = tensor.length};
  for (const DTypeName& known : kDTypes) {
    if (tensor.dtype == known.name) slice.dtype = known.dtype;
  }
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
