// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"

namespace rlx::onnx {
namespace {

using Ints = std::vector<int64_t>;

Results Transpose(OpNode& n) {
  const int rank = n.rank(0);
  Ints perm = n.IntList("perm");
  if (!n.HasAttr("perm")) {
    perm.resize(static_cast<size_t>(rank));
    std::iota(perm.rbegin(), perm.rend(), 0);
  }
  if (static_cast<int>(perm.size()) != rank)
    return InvalidArgument("perm names ", perm.size(), " axes of rank ", rank);
  RLX_ASSIGN(perm, n.Axes(perm, rank));
  return One(n.b.Transpose(n.In(0), std::move(perm)));
}

// --- Concat, Split ---

std::optional<DimTensor> FoldConcat(const OpNode& n) {
  DimTensor out;
  for (int i = 0; i < n.inputs(); ++i) {
    const auto part = n.Dims(i);
    if (!part || part->rank != 1) return {};
    out.dtype = part->dtype;
    out.elements.insert(out.elements.end(), part->elements.begin(), part->elements.end());
  }
  return out;
}

Results Concat(OpNode& n) {
  if (!n.HasAttr("axis")) return InvalidArgument("attribute \"axis\" is not given");
  RLX_ASSIGN(const int64_t axis, n.Axis(n.Int("axis", 0), n.rank(0)));
  std::vector<Value> parts;
  for (int i = 0; i < n.inputs(); ++i) {
    if (!n.Has(i)) return InvalidArgument("operand ", i, " is not given");
    const auto& content = n.tensor(i)->constant;
    if (content && content->size() == 0) continue;  // adds nothing
    parts.push_back(n.In(i));
  }
  if (parts.empty()) return Unimplemented("the result has no elements");
  return One(parts.size() == 1 ? parts[0] : n.b.Concat(std::move(parts), axis));
}

absl::StatusOr<Ints> SplitSizes(const OpNode& n, const Dim& extent) {
  if (n.opset < 13 && n.HasAttr("split")) return n.IntList("split");
  if (n.opset >= 13 && n.Has(1)) return n.Ints(1, "split");
  const int64_t count = n.opset >= 18 ? n.Int("num_outputs", n.outputs()) : n.outputs();
  if (!extent.is_static())
    return Unimplemented("splitting an axis of extent ", extent, " needs sizes");
  if (count < 1 || count > extent.value())
    return InvalidArgument("extent ", extent, " cannot be split into ", count);
  const int64_t chunk = (extent.value() + count - 1) / count;
  Ints sizes(static_cast<size_t>(count), chunk);
  sizes.back() = extent.value() - chunk * (count - 1);
  return sizes;
}

Results Split(OpNode& n) {
  RLX_ASSIGN(const int64_t axis, n.Axis(n.Int("axis", 0), n.rank(0)));
  RLX_ASSIGN(const Ints sizes, SplitSizes(n, n.shape(0)[static_cast<size_t>(axis)]));
  std::vector<Value> parts;
  const Value x = n.In(0);
  int64_t start = 0;
  for (const int64_t size : sizes) {
    if (size < 0) return InvalidArgument("a part has extent ", size);
    if (size == 0) {
      if (!n.type(0).is_static()) return Unimplemented("a part has no elements");
      std::vector<int64_t> dims = n.type(0).StaticDims();
      dims[static_cast<size_t>(axis)] = 0;
      n.SetEmpty(static_cast<int>(parts.size()), n.dtype(0), std::move(dims), n.element(0));
      parts.emplace_back();
      continue;
    }
    parts.push_back(n.b.Narrow(x, axis, start, size));
    n.SetElement(static_cast<int>(parts.size()) - 1, n.element(0));
    start += size;
  }
  return parts;
}

// --- Slice ---

struct Range {
  int64_t axis = 0;
  Dim start, length;
  int64_t step = 1;
};

// `at` counted from the start, within [low, extent + high].
absl::StatusOr<Dim> Place(const OpNode& n, Dim at, const Dim& extent, int64_t low, int64_t high) {
  const auto sign = CompareDims(at, Dim(0), n.symbols());
  if (!sign) return Unimplemented("whether ", at, " counts from the end depends on sizes");
  if (*sign < 0) at = at + extent;
  const Dim top = extent + Dim(high);
  if (const auto below = CompareDims(at, Dim(low), n.symbols()); below && *below < 0)
    return Dim(low);
  else if (!below)
    at = Max(at, Dim(low));
  const auto above = CompareDims(at, top, n.symbols());
  if (above) return *above > 0 ? top : at;
  return Min(at, top);
}

absl::StatusOr<Range> RangeOf(const OpNode& n, int64_t axis, const Dim& start, const Dim& end,
                              int64_t step) {
  if (step == 0) return InvalidArgument("step is 0");
  const Dim& extent = n.shape(0)[static_cast<size_t>(axis)];
  Range out{axis, 0, 0, step};
  if (step > 0) {
    RLX_ASSIGN(out.start, Place(n, start, extent, 0, 0));
    RLX_ASSIGN(const Dim stop, Place(n, end, extent, 0, 0));
    out.length = FloorDiv(stop - out.start + Dim(step - 1), step);
    return out;
  }
  RLX_ASSIGN(out.start, Place(n, start, extent, 0, -1));
  // A stop before the first element is written as a very negative number.
  const bool all = end.is_static() && extent.is_static()
                       ? end.value() < -extent.value()
                       : end.is_static() && end.value() < -1'000'000;
  Dim stop(-1);
  if (!all) {
    RLX_ASSIGN(stop, Place(n, end, extent, -1, -1));
  }
  out.length = FloorDiv(out.start - stop + Dim(-step - 1), -step);
  return out;
}

absl::StatusOr<std::vector<Range>> RangesOf(const OpNode& n) {
  std::vector<Dim> starts, ends;
  Ints axes, steps;
  if (n.opset < 10) {
    const Ints from = n.IntList("starts"), to = n.IntList("ends");
    starts.assign(from.begin(), from.end());
    ends.assign(to.begin(), to.end());
    axes = n.IntList("axes");
  } else {
    if (n.inputs() < 3) return InvalidArgument("starts and ends are not given");
    RLX_ASSIGN(starts, n.Extents(1, "starts"));
    RLX_ASSIGN(ends, n.Extents(2, "ends"));
    if (n.Has(3)) {
      RLX_ASSIGN(axes, n.Ints(3, "axes"));
    }
    if (n.Has(4)) {
      RLX_ASSIGN(steps, n.Ints(4, "steps"));
    }
  }
  if (axes.empty())
    for (size_t i = 0; i < starts.size(); ++i) axes.push_back(static_cast<int64_t>(i));
  if (steps.empty()) steps.assign(starts.size(), 1);
  if (ends.size() != starts.size() || axes.size() != starts.size() || steps.size() != starts.size())
    return InvalidArgument("starts, ends, axes and steps differ in length");
  RLX_ASSIGN(axes, n.Axes(axes, n.rank(0)));
  std::vector<Range> ranges;
  for (size_t i = 0; i < starts.size(); ++i) {
    RLX_ASSIGN(Range range, RangeOf(n, axes[i], starts[i], ends[i], steps[i]));
    ranges.push_back(std::move(range));
  }
  return ranges;
}

Results Slice(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const std::vector<Range> ranges, RangesOf(n));
  const auto is_empty = [](const Range& r) { return r.length.is_static() && r.length.value() < 1; };
  if (std::any_of(ranges.begin(), ranges.end(), is_empty)) {
    Shape shape = n.shape(0);
    for (const Range& r : ranges) shape[static_cast<size_t>(r.axis)] = Max(r.length, Dim(0));
    const TensorType type{n.dtype(0), std::move(shape)};
    if (!type.is_static()) return Unimplemented("the result has no elements");
    n.SetEmpty(0, type.dtype, type.StaticDims(), n.element(0));
    return std::vector<Value>{};
  }
  Value x = n.In(0);
  for (const Range& r : ranges) {
    const Dim& extent = n.shape(0)[static_cast<size_t>(r.axis)];
    if (r.step == 1 && r.start == Dim(0) && r.length == extent) continue;
    if (r.start.is_static() && r.length.is_static()) {
      x = Strided(b, x, r.axis, r.start.value(), r.step, r.length.value());
      continue;
    }
    Value index = EmitIota(b, r.length);
    if (r.step != 1) index = b.Mul(index, Like(b, index, static_cast<double>(r.step)));
    if (r.start != Dim(0)) index = b.Add(index, EmitDim(b, r.start, DType::kI64));
    x = b.Gather(x, index, r.axis);
  }
  return One(x);
}

std::optional<DimTensor> FoldSlice(const OpNode& n) {
  const auto x = n.Dims(0);
  if (!x || x->rank != 1) return {};
  const auto ranges = RangesOf(n);
  if (!ranges.ok() || ranges->size() != 1) return {};
  const Range& r = (*ranges)[0];
  if (!r.start.is_static() || !r.length.is_static()) return {};
  DimTensor out{x->dtype, 1, {}};
  for (int64_t i = 0; i < r.length.value(); ++i)
    out.elements.push_back(x->elements[static_cast<size_t>(r.start.value() + i * r.step)]);
  return out;
}

// --- Tile, Pad ---

Results Tile(OpNode& n) {
  RLX_ASSIGN(const std::vector<Dim> repeats, n.Extents(1, "repeats"));
  const Shape& from = n.shape(0);
  if (repeats.size() != from.size())
    return InvalidArgument("repeats names ", repeats.size(), " axes of rank ", from.size());
  Shape apart, spread, joined;
  for (size_t i = 0; i < from.size(); ++i) {
    apart.insert(apart.end(), {Dim(1), from[i]});
    spread.insert(spread.end(), {repeats[i], from[i]});
    joined.push_back(repeats[i] * from[i]);
  }
  if (std::any_of(repeats.begin(), repeats.end(),
                  [](const Dim& r) { return r.is_static() && r.value() < 1; }))
    return Unimplemented("the result has no elements");
  const Value x = n.In(0);
  if (joined == from) return One(x);
  return One(n.b.Reshape(n.b.Expand(n.b.Reshape(x, apart), spread), joined));
}

// Which element of [0, extent) stands at each place from -before to extent + after.
Ints Mirrored(int64_t extent, int64_t before, int64_t after, std::string_view mode) {
  Ints places;
  for (int64_t at = -before; at < extent + after; ++at) {
    int64_t place = at;
    if (mode == "edge") {
      place = std::clamp<int64_t>(at, 0, extent - 1);
    } else if (mode == "wrap") {
      place = ((at % extent) + extent) % extent;
    } else if (extent == 1) {
      place = 0;
    } else {  // reflect
      const int64_t period = 2 * (extent - 1);
      place = ((at % period) + period) % period;
      if (place >= extent) place = period - place;
    }
    places.push_back(place);
  }
  return places;
}

absl::StatusOr<std::pair<Ints, Ints>> PadsOf(const OpNode& n) {
  const auto rank = static_cast<size_t>(n.rank(0));
  Ints pads, axes;
  if (n.opset < 11) {
    pads = n.IntList("pads");
  } else {
    if (!n.Has(1)) return InvalidArgument("operand 1 (pads) is not given");
    RLX_ASSIGN(pads, n.Ints(1, "pads"));
  }
  if (n.Has(3)) {
    RLX_ASSIGN(axes, n.Ints(3, "axes"));
  } else {
    for (size_t i = 0; i < rank; ++i) axes.push_back(static_cast<int64_t>(i));
  }
  RLX_ASSIGN(axes, n.Axes(axes, n.rank(0)));
  if (pads.size() != 2 * axes.size())
    return InvalidArgument("pads has ", pads.size(), " entries for ", axes.size(), " axes");
  std::pair<Ints, Ints> out(Ints(rank, 0), Ints(rank, 0));
  for (size_t i = 0; i < axes.size(); ++i) {
    for (const int64_t pad : {pads[i], pads[i + axes.size()]})
      if (std::abs(pad) > (int64_t{1} << 31)) return InvalidArgument("pads has ", pad);
    out.first[static_cast<size_t>(axes[i])] = pads[i];
    out.second[static_cast<size_t>(axes[i])] = pads[i + axes.size()];
  }
  return out;
}

Results Pad(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const std::string mode,
             n.Choice("mode", "constant", {"constant", "reflect", "edge", "wrap"}));
  RLX_ASSIGN(const auto pads, PadsOf(n));
  Value x = n.In(0);
  if (mode == "constant") {
    Value fill;
    if (n.opset < 11)
      fill = Like(b, x, n.Float("value", 0));
    else
      fill = n.Has(2) ? b.Reshape(n.In(2), {}) : Like(b, x, 0);
    return One(PadWith(b, x, pads.first, pads.second, fill));
  }
  for (size_t i = 0; i < pads.first.size(); ++i) {
    if (pads.first[i] == 0 && pads.second[i] == 0) continue;
    const Dim& extent = n.shape(0)[i];
    if (!extent.is_static())
      return Unimplemented("mode ", mode, " along an axis of extent ", extent);
    if (extent.value() + pads.first[i] + pads.second[i] > kMaxPlaces)
      return Unimplemented("mode ", mode, " of ", extent, " elements");
    const Ints places = Mirrored(extent.value(), pads.first[i], pads.second[i], mode);
    if (places.empty()) return Unimplemented("the result has no elements");
    x = Pick(b, x, static_cast<int64_t>(i), places);
  }
  return One(x);
}

// --- Blocks of pixels ---

Results DepthToSpace(OpNode& n) {
  RLX_ASSIGN(const std::string mode, n.Choice("mode", "DCR", {"DCR", "CRD"}));
  const int64_t block = n.Int("blocksize", 0);
  if (n.rank(0) != 4 || block < 1) return InvalidArgument("needs rank 4 and a positive blocksize");
  const Shape& s = n.shape(0);
  const Dim depth = FloorDiv(s[1], Dim(block * block));
  GraphBuilder& b = n.b;
  Value x;
  if (mode == "DCR") {
    x = b.Reshape(n.In(0), {s[0], block, block, depth, s[2], s[3]});
    x = b.Transpose(x, {0, 3, 4, 1, 5, 2});
  } else {
    x = b.Reshape(n.In(0), {s[0], depth, block, block, s[2], s[3]});
    x = b.Transpose(x, {0, 1, 4, 2, 5, 3});
  }
  return One(b.Reshape(x, {s[0], depth, s[2] * Dim(block), s[3] * Dim(block)}));
}

Results SpaceToDepth(OpNode& n) {
  RLX_ASSIGN(const std::string mode, n.Choice("mode", "DCR", {"DCR", "CRD"}));
  const int64_t block = n.Int("blocksize", 0);
  if (n.rank(0) != 4 || block < 1) return InvalidArgument("needs rank 4 and a positive blocksize");
  const Shape& s = n.shape(0);
  const Dim high = FloorDiv(s[2], Dim(block)), wide = FloorDiv(s[3], Dim(block));
  Value x = n.b.Reshape(n.In(0), {s[0], s[1], high, block, wide, block});
  x = n.b.Transpose(x, mode == "DCR" ? Ints{0, 3, 5, 1, 2, 4} : Ints{0, 1, 3, 5, 2, 4});
  return One(n.b.Reshape(x, {s[0], s[1] * Dim(block * block), high, wide}));
}

// --- CenterCropPad ---

Results CenterCropPad(OpNode& n) {
  RLX_ASSIGN(const Ints target, n.Ints(1, "shape"));
  Ints axes = n.IntList("axes");
  if (!n.HasAttr("axes"))
    for (int i = 0; i < n.rank(0); ++i) axes.push_back(i);
  RLX_ASSIGN(axes, n.Axes(axes, n.rank(0)));
  if (axes.size() != target.size()) return InvalidArgument("shape and axes differ in length");
  Ints before(static_cast<size_t>(n.rank(0)), 0), after = before;
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto axis = static_cast<size_t>(axes[i]);
    const Dim& extent = n.shape(0)[axis];
    if (!extent.is_static()) return Unimplemented("axis ", axis, " has extent ", extent);
    const int64_t more = target[i] - extent.value();
    before[axis] = more >= 0 ? more / 2 : -(-more / 2);
    after[axis] = more - before[axis];
  }
  const Value x = n.In(0);
  return One(PadWith(n.b, x, before, after, Like(n.b, x, 0)));
}

constexpr OpRow kRows[] = {
    {kOnnx, "CenterCropPad", 18, INT32_MAX, 2, 2, "axes", CenterCropPad},
    {kOnnx, "Concat", 7, INT32_MAX, 1, -1, "axis", Concat, FoldConcat, Carries::kMove},
    {kOnnx, "DepthToSpace", 7, INT32_MAX, 1, 1, "blocksize mode", DepthToSpace},
    {kOnnx, "Pad", 7, INT32_MAX, 1, 4, "mode pads value", Pad, nullptr, Carries::kNo,
     "the amounts have to be known"},
    {kOnnx, "Slice", 7, INT32_MAX, 1, 5, "axes ends starts", Slice, FoldSlice, Carries::kMove,
     "starts and ends have to follow from shapes, and leave an element"},
    {kOnnx, "SpaceToDepth", 7, INT32_MAX, 1, 1, "blocksize mode", SpaceToDepth},
    {kOnnx, "Split", 7, INT32_MAX, 1, 2, "axis num_outputs split", Split, nullptr, Carries::kMove},
    {kOnnx, "Tile", 7, INT32_MAX, 2, 2, "", Tile, nullptr, Carries::kMove,
     "repeats have to follow from shapes"},
    {kOnnx, "Transpose", 7, INT32_MAX, 1, 1, "perm", Transpose, nullptr, Carries::kMove},
};

}  // namespace

std::span<const OpRow> MovementOps() { return kRows; }

}  // namespace rlx::onnx
