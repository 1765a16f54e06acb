// SPDX-License-Identifier: Apache-2.0
#include "runtime/import/ops/window.h"

#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"

namespace rlx::onnx {
namespace {

using Ints = std::vector<int64_t>;

absl::StatusOr<int64_t> GroupsOf(const OpNode& n) {
  const int64_t groups = n.Int("group", 1);
  if (groups < 1) return InvalidArgument("attribute \"group\" is ", groups);
  return groups;
}

// The kernel's extents: of an attribute, checked against the weights, else theirs.
absl::StatusOr<Ints> KernelOf(const OpNode& n, int operand) {
  if (n.rank(operand) < 3)
    return InvalidArgument("operand ", operand, " has rank ", n.rank(operand), ", less than 3");
  Ints kernel;
  for (size_t i = 2; i < n.shape(operand).size(); ++i) {
    const Dim& dim = n.shape(operand)[i];
    if (!dim.is_static()) return Unimplemented("a kernel of extent ", dim);
    kernel.push_back(dim.value());
  }
  if (n.HasAttr("kernel_shape") && n.IntList("kernel_shape") != kernel)
    return InvalidArgument("attribute \"kernel_shape\" differs from the weights");
  return kernel;
}

Value EmitConv(GraphBuilder& b, std::vector<Value> operands, const Window& w, int64_t groups) {
  return b.Emit(
      OpKind::kConv, std::move(operands),
      {{"strides", w.strides}, {"pads", w.pads}, {"dilations", w.dilations}, {"groups", groups}});
}

Results Conv(OpNode& n) {
  RLX_ASSIGN(const int64_t groups, GroupsOf(n));
  RLX_ASSIGN(const Ints kernel, KernelOf(n, 1));
  RLX_ASSIGN(const Window window, WindowOf(n, kernel));
  std::vector<Value> operands = {n.In(0), n.In(1)};
  if (n.Has(2)) operands.push_back(n.In(2));
  return One(EmitConv(n.b, std::move(operands), window, groups));
}

// Integers as they are after their zero points, in f64, where sums of products are exact.
absl::StatusOr<Value> Centred(OpNode& n, int operand, int zero_point) {
  const Value x = n.b.Cast(n.In(operand), DType::kF32);
  if (!n.Has(zero_point)) return x;
  Value zero = n.b.Cast(n.In(zero_point), DType::kF32);
  if (n.rank(zero_point) == 1 && n.shape(zero_point)[0] != Dim(1))
    zero = Along(n.b, zero, 0, n.rank(operand));
  else
    zero = n.b.Reshape(zero, {});
  return n.b.Sub(x, zero);
}

Results ConvInteger(OpNode& n) {
  RLX_ASSIGN(const int64_t groups, GroupsOf(n));
  RLX_ASSIGN(const Ints kernel, KernelOf(n, 1));
  RLX_ASSIGN(const Window window, WindowOf(n, kernel));
  // Padding stands for the zero point, which is 0 once that is taken off.
  RLX_ASSIGN(const Value x, Centred(n, 0, 2));
  RLX_ASSIGN(const Value w, Centred(n, 1, 3));
  // Up to 256 sums of products of 9 bits are exact in f32; more are added up in f64.
  const auto count = Product(n.shape(1), 1, n.shape(1).size());
  const DType dtype = count.is_static() && count.value() <= 64 ? DType::kF32 : DType::kF64;
  return One(
      n.b.Cast(EmitConv(n.b, {To(n.b, x, dtype), To(n.b, w, dtype)}, window, groups), DType::kI32));
}

// --- ConvTranspose: zeros between the elements, then a convolution with the mirrored kernel ---

struct Transposed {
  Window window;
  Ints output_padding;
};

absl::StatusOr<Transposed> TransposedOf(const OpNode& n, const Ints& kernel) {
  const size_t spatial = kernel.size();
  Transposed out;
  RLX_ASSIGN(out.window.strides, PositiveList(n, "strides", spatial));
  RLX_ASSIGN(out.window.dilations, PositiveList(n, "dilations", spatial));
  out.output_padding = n.IntList("output_padding");
  out.output_padding.resize(spatial, 0);
  out.window.pads = n.IntList("pads");
  out.window.pads.resize(2 * spatial, 0);
  RLX_ASSIGN(const std::string mode,
             n.Choice("auto_pad", "NOTSET", {"NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"}));
  const Ints shape = n.IntList("output_shape");
  if (shape.empty() && (mode == "NOTSET" || mode == "VALID")) return out;
  if (!shape.empty() && shape.size() != spatial)
    return InvalidArgument("attribute \"output_shape\" has ", shape.size(), " extents");
  for (size_t i = 0; i < spatial; ++i) {
    const Dim& extent = n.shape(0)[i + 2];
    if (!extent.is_static()) return Unimplemented("auto_pad of extent ", extent);
    const int64_t stride = out.window.strides[i];
    const int64_t wanted = shape.empty() ? extent.value() * stride : shape[i];
    int64_t total = stride * (extent.value() - 1) + out.output_padding[i] +
                    (kernel[i] - 1) * out.window.dilations[i] + 1 - wanted;
    if (total < 0) {  // more than the kernel reaches: at the end
      out.output_padding[i] -= total;
      total = 0;
    }
    const int64_t small = total / 2, large = total - small;
    const bool upper = mode == "SAME_UPPER";
    out.window.pads[i] = upper ? small : large;
    out.window.pads[i + spatial] = upper ? large : small;
  }
  return out;
}

// stride - 1 zeros after each element but the last of every spatial axis.
Value Spread(GraphBuilder& b, Value x, const Ints& strides) {
  for (size_t i = 0; i < strides.size(); ++i) {
    if (strides[i] == 1) continue;
    const Shape shape = ShapeOf(b, x);
    const size_t axis = i + 2;
    Shape apart = shape;
    apart.insert(apart.begin() + static_cast<std::ptrdiff_t>(axis) + 1, Dim(1));
    Shape zeros = apart;
    zeros[axis + 1] = strides[i] - 1;
    const Value pieces = b.Concat({b.Reshape(x, apart), b.Expand(Like(b, x, 0), zeros)},
                                  static_cast<int64_t>(axis) + 1);
    Shape joined = shape;
    joined[axis] = shape[axis] * Dim(strides[i]);
    x = b.Reshape(pieces, joined);
    Ints before(shape.size(), 0), after(shape.size(), 0);
    after[axis] = -(strides[i] - 1);
    x = PadWith(b, x, before, after, Like(b, x, 0));
  }
  return x;
}

// [in, out/groups, kernel…] → [out, in/groups, kernel…], mirrored.
absl::StatusOr<Value> Mirrored(OpNode& n, const Ints& kernel, int64_t groups) {
  GraphBuilder& b = n.b;
  Value w = n.In(1);
  for (size_t i = 0; i < kernel.size(); ++i)
    if (kernel[i] > 1) w = Strided(b, w, static_cast<int64_t>(i) + 2, kernel[i] - 1, -1, kernel[i]);
  const Shape s = n.shape(1);
  Shape apart = {Dim(groups), FloorDiv(s[0], Dim(groups)), s[1]},
        joined = {s[1] * Dim(groups), apart[1]};
  Ints perm = {0, 2, 1};
  for (size_t i = 0; i < kernel.size(); ++i) {
    apart.push_back(s[i + 2]);
    joined.push_back(s[i + 2]);
    perm.push_back(static_cast<int64_t>(i) + 3);
  }
  return b.Reshape(b.Transpose(b.Reshape(w, apart), perm), joined);
}

Results ConvTranspose(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const int64_t groups, GroupsOf(n));
  RLX_ASSIGN(const Ints kernel, KernelOf(n, 1));
  if (n.rank(0) != n.rank(1))
    return InvalidArgument("operands have rank ", n.rank(0), " and ", n.rank(1));
  RLX_ASSIGN(const Transposed t, TransposedOf(n, kernel));
  const size_t spatial = kernel.size();
  const bool cut_only =
      std::none_of(t.window.pads.begin(), t.window.pads.end(), [](int64_t pad) { return pad < 0; });
  std::vector<Value> operands = {n.In(0), n.In(1)};
  if (n.Has(2)) operands.push_back(n.In(2));
  if (spatial == 2 && cut_only) {
    return One(b.Emit(OpKind::kConvTranspose2d, operands,
                      {{"strides", t.window.strides},
                       {"pads", t.window.pads},
                       {"dilations", t.window.dilations},
                       {"output_padding", t.output_padding},
                       {"groups", groups}}));
  }
  const Value x = Spread(b, n.In(0), t.window.strides);
  RLX_ASSIGN(operands[1], Mirrored(n, kernel, groups));
  Ints before(spatial + 2, 0), after = before;
  for (size_t i = 0; i < spatial; ++i) {
    const int64_t reach = (kernel[i] - 1) * t.window.dilations[i];
    before[i + 2] = reach - t.window.pads[i];
    after[i + 2] = reach - t.window.pads[i + spatial] + t.output_padding[i];
  }
  operands[0] = PadWith(b, x, before, after, Like(b, x, 0));
  Window plain{Ints(spatial, 1), Ints(2 * spatial, 0), t.window.dilations};
  return One(EmitConv(b, std::move(operands), plain, groups));
}

constexpr std::string_view kConvAttributes = "auto_pad dilations group kernel_shape pads strides";

constexpr OpRow kRows[] = {
    {kOnnx, "Conv", 7, INT32_MAX, 2, 3, kConvAttributes, Conv},
    {kOnnx, "ConvInteger", 10, INT32_MAX, 2, 4, kConvAttributes, ConvInteger},
    {kOnnx, "ConvTranspose", 7, INT32_MAX, 2, 3,
     "auto_pad dilations group kernel_shape output_padding output_shape pads strides",
     ConvTranspose},
};

}  // namespace

std::span<const OpRow> ConvOps() { return kRows; }

}  // namespace rlx::onnx
