// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/status.h"
#include "runtime/device/generate/emit_op.h"
#include "runtime/device/generate/generate.h"
#include "runtime/ir/op_info.h"

namespace rlx::device {
namespace {

using kernel::Builder;
using kernel::Type;
using kernel::Value;
using Ints = std::vector<int64_t>;

// conv and pool over any number of spatial dims: lanes along the last one, everything else uniform.
struct Generator {
  Builder b;
  Ints in, out;  // spatial extents
  Ints kernel, strides, pads, dilations;
  Type wide = Type::kF32;

  size_t rank() const { return kernel.size(); }
  static int64_t Product(const Ints& list) {
    int64_t product = 1;
    for (int64_t v : list) product *= v;
    return product;
  }

  // A launch's place in the output.
  struct Place {
    Value plane{};          // batch · channels + channel
    std::vector<Value> at;  // spatial coordinates; the last differs between lanes
    Value inside{};         // whether the lane has an output
    Value to{};             // its offset
  };

  int64_t chunks() const { return (out.back() + b.local() - 1) / b.local(); }

  Place Locate() {
    Place place;
    const Value group = b.GroupId(Type::kI64);
    Value row = b.Div(group, b.I64(chunks()));
    const Value x =
        b.Add(b.Mul(b.Rem(group, b.I64(chunks())), b.I64(b.local())), b.LocalId(Type::kI64));
    place.to = b.Add(b.Mul(row, b.I64(out.back())), x);
    place.at.resize(rank());
    place.at.back() = x;
    for (size_t d = rank() - 1; d-- > 0;) {
      place.at[d] = b.Rem(row, b.I64(out[d]));
      row = b.Div(row, b.I64(out[d]));
    }
    place.plane = row;
    place.inside = b.Lt(x, b.I64(out.back()));
    return place;
  }

  // Calls visit(tap, offset) under the condition that the tap lies inside the input.
  template <class Visit>
  void ForEachTap(const Place& place, Visit&& visit) {
    b.For(b.I64(Product(kernel)), [&](Value tap) {
      Value rest = tap, offset = b.I64(0), valid = place.inside;
      std::vector<Value> k(rank());
      for (size_t d = rank(); d-- > 0;) {
        k[d] = d == 0 ? rest : b.Rem(rest, b.I64(kernel[d]));
        if (d > 0) rest = b.Div(rest, b.I64(kernel[d]));
      }
      for (size_t d = 0; d < rank(); ++d) {
        const Value at = b.Add(b.Mul(place.at[d], b.I64(strides[d])),
                               b.Sub(b.Mul(k[d], b.I64(dilations[d])), b.I64(pads[d])));
        valid = b.And(valid, b.And(b.Ge(at, b.I64(0)), b.Lt(at, b.I64(in[d]))));
        offset = b.Add(b.Mul(offset, b.I64(in[d])), at);
      }
      b.If(valid, [&] { visit(tap, offset); });
    });
  }
};

Generator Start(const Node& node, const ProgramBuilder::Operand& x,
                const ProgramBuilder::Operand& y, Ints kernel, Ints dilations,
                const Schedule& schedule) {
  Generator g{.b = Builder("window", schedule.lanes)};
  g.in = Ints(x.dims.begin() + 2, x.dims.end());
  g.out = Ints(y.dims.begin() + 2, y.dims.end());
  g.kernel = std::move(kernel);
  g.strides = node.Ints("strides");
  g.pads = node.Ints("pads");
  g.dilations = std::move(dilations);
  g.wide = WideType(x.type.dtype);
  return g;
}

}  // namespace

std::string WhyNotWindow(const Graph& graph, const Node& node) { return WhyNotTypes(graph, node); }

absl::Status GenerateConv(ProgramBuilder& out, NodeId id, const Schedule& schedule) {
  const Node& node = out.graph().node(id);
  RLX_ASSIGN(const auto x, Densify(out, schedule, out.In(node.operands[0])));
  RLX_ASSIGN(const auto w, Densify(out, schedule, out.In(node.operands[1])));
  const ProgramBuilder::Operand y = out.Out({id, 0});
  Generator g =
      Start(node, x, y, Ints(w.dims.begin() + 2, w.dims.end()), node.Ints("dilations"), schedule);
  Builder& b = g.b;
  const Type stored = *kernel::FromDType(x.type.dtype);
  std::vector<int32_t> buffers = {x.buffer, w.buffer};
  const Value in_x = b.Input(stored), in_w = b.Input(stored);
  Value bias{};
  if (node.operands.size() > 2) {
    RLX_ASSIGN(const auto dense, Densify(out, schedule, out.In(node.operands[2])));
    buffers.push_back(dense.buffer);
    bias = b.Input(stored);
  }
  buffers.push_back(y.buffer);
  const Value to = b.Output(stored);

  const int64_t channels = y.dims[1], per_group = w.dims[1];
  const int64_t group_out = channels / node.Int("groups");
  const int64_t plane = Generator::Product(g.in), taps = Generator::Product(g.kernel);
  const Generator::Place place = g.Locate();
  const Value batch = b.Div(place.plane, b.I64(channels));
  const Value channel = b.Rem(place.plane, b.I64(channels));
  const Value first = b.Add(b.Mul(batch, b.I64(x.dims[1])),
                            b.Mul(b.Div(channel, b.I64(group_out)), b.I64(per_group)));
  const Value sum = b.Cell(bias.valid() ? b.LoadWide(bias, channel) : b.Float(g.wide, 0));
  b.For(b.I64(per_group), [&](Value c) {
    const Value from = b.Mul(b.Add(first, c), b.I64(plane));
    const Value weights = b.Mul(b.Add(b.Mul(channel, b.I64(per_group)), c), b.I64(taps));
    g.ForEachTap(place, [&](Value tap, Value offset) {
      const Value product =
          b.Mul(b.LoadWide(in_x, b.Add(from, offset)), b.LoadWide(in_w, b.Add(weights, tap)));
      b.Set(sum, b.Add(b.Get(sum), product));
    });
  });
  b.If(place.inside, [&] { b.StoreCast(to, place.to, b.Get(sum)); });
  const int64_t groups = *y.type.NumElements() / g.out.back() * g.chunks();
  RLX_ASSIGN(const kernel::Kernel kernel, std::move(b).Finish());
  out.Launch(kernel, std::move(buffers), {}, groups, Cat("conv %", id));
  return absl::OkStatus();
}

absl::Status GeneratePool(ProgramBuilder& out, NodeId id, const Schedule& schedule) {
  const Node& node = out.graph().node(id);
  RLX_ASSIGN(const auto x, Densify(out, schedule, out.In(node.operands[0])));
  const ProgramBuilder::Operand y = out.Out({id, 0});
  const bool max = node.Str("mode") == "max";
  Generator g = Start(node, x, y, node.Ints("kernel"), Ints(y.dims.size() - 2, 1), schedule);
  Builder& b = g.b;
  const Type stored = *kernel::FromDType(x.type.dtype);
  const Value in_x = b.Input(stored), to = b.Output(stored);
  const Generator::Place place = g.Locate();
  const kernel::Op op = max ? kernel::Op::kReduceMax : kernel::Op::kReduceAdd;
  const Value total = b.Cell(b.Identity(op, g.wide)), count = b.Cell(b.Float(g.wide, 0));
  const Value from = b.Mul(place.plane, b.I64(Generator::Product(g.in)));
  g.ForEachTap(place, [&](Value, Value offset) {
    b.Set(total, b.Combine(op, b.Get(total), b.LoadWide(in_x, b.Add(from, offset))));
    b.Set(count, b.Add(b.Get(count), b.Float(g.wide, 1)));
  });
  b.If(place.inside, [&] {
    const Value divisor = node.Bool("count_include_pad")
                              ? b.Float(g.wide, static_cast<double>(Generator::Product(g.kernel)))
                              : b.Get(count);
    b.StoreCast(to, place.to, max ? b.Get(total) : b.Div(b.Get(total), divisor));
  });
  const int64_t groups = *y.type.NumElements() / g.out.back() * g.chunks();
  RLX_ASSIGN(const kernel::Kernel kernel, std::move(b).Finish());
  out.Launch(kernel, {x.buffer, y.buffer}, {}, groups, Cat("pool %", id));
  return absl::OkStatus();
}

}  // namespace rlx::device
