// SPDX-License-Identifier: Apache-2.0
#include "runtime/import/ops/carried.h"
#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"

namespace rlx::onnx {
namespace {

Results CastTo(OpNode& n, Element to) {
  const ElementInfo* info = Find(to);
  if (info == nullptr)
    return Unimplemented("a cast to ", Name(to), " (", static_cast<int>(to), ") is not supported");
  RLX_ASSIGN(const CastMode mode, CastModeOf(n));
  n.SetElement(0, to);
  if (n.element(0) == to) return One(n.In(0));
  Value x = Decode(n.b, n.In(0), n.element(0));
  if (info->carried) return One(Encode(n.b, x, to, mode));
  return One(To(n.b, x, info->dtype));
}

Results Cast(OpNode& n) { return CastTo(n, static_cast<Element>(n.Int("to", 0))); }
Results CastLike(OpNode& n) { return CastTo(n, n.element(1)); }

std::optional<DimTensor> Fold(const OpNode& n, Element to) {
  auto x = n.Dims(0);
  const ElementInfo* info = Find(to);
  if (!x || info == nullptr || info->carried) return {};
  const bool wide = info->dtype == DType::kI64 || info->dtype == DType::kI32;
  if (!wide || (!x->is_static() && info->dtype != DType::kI64)) return {};
  x->dtype = info->dtype;
  if (x->is_static() && info->dtype == DType::kI32)
    for (Dim& dim : x->elements) dim = WrapToInt(DType::kI32, dim.value());
  return x;
}

std::optional<DimTensor> FoldCast(const OpNode& n) {
  return Fold(n, static_cast<Element>(n.Int("to", 0)));
}

constexpr OpRow kRows[] = {
    {kOnnx, "Cast", 7, INT32_MAX, 1, 1, "to saturate round_mode", Cast, FoldCast, Carries::kSelf,
     "not to and from strings"},
    {kOnnx, "CastLike", 15, INT32_MAX, 2, 2, "saturate round_mode", CastLike, nullptr,
     Carries::kSelf, "not to and from strings"},
};

}  // namespace

std::span<const OpRow> CastOps() { return kRows; }

}  // namespace rlx::onnx
