// SPDX-License-Identifier: Apache-2.0
// Convolution and pooling over [N, height, width, C]: what the pass channels_last makes of those
// over [N, C, height, width], for targets whose kernels want the channels of a place side by side.
#include <algorithm>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/ops/activation.h"
#include "runtime/ir/ops/convolution.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

using Ints = std::vector<int64_t>;

const Ints kToPlanes = {0, 3, 1, 2};  // [n,h,w,c] to [n,c,h,w]
const Ints kToRows = {0, 2, 3, 1};    // and back

TensorType Permuted(const TensorType& type, const Ints& perm) {
  TensorType out{type.dtype, {}};
  for (int64_t axis : perm) out.shape.push_back(type.shape[axis]);
  return out;
}

absl::Status RequireRank4(const InferContext& ctx, int i, std::string_view name) {
  if (ctx.operands[i].rank() == 4) return absl::OkStatus();
  return InvalidArgument(name, " has rank ", ctx.operands[i].rank(), " where 4 is needed");
}

// The type of the result, from what `plain` infers for planes.
absl::StatusOr<TensorType> InferPlanes(InferContext& ctx, const Node& plain,
                                       std::vector<TensorType> operands) {
  operands[0] = Permuted(operands[0], kToPlanes);
  InferContext inner{plain, std::move(operands), {}, {}};
  RLX_TRY(Info(plain.op).infer(inner));
  ctx.constraints.insert(ctx.constraints.end(), inner.constraints.begin(), inner.constraints.end());
  return Permuted(inner.results[0], kToRows);
}

// --- fused_conv_bias_act

// Positions of the optional operands; -1 when absent.
struct Optional {
  int bias = -1, residual = -1, count = 2;
  explicit Optional(const Node& node) {
    if (node.Bool("has_bias")) bias = count++;
    if (node.Bool("has_residual")) residual = count++;
  }
};

// What a convolution applies to its result: what a product does, and image models' own.
constexpr std::string_view kHardSwish = "hard_swish";
constexpr std::string_view kActs[] = {"none", "relu",    "gelu", "gelu_tanh",
                                      "silu", "sigmoid", "tanh", kHardSwish};

// x min(max(x/6 + 1/2, 0), 1), or an op of the activation's name.
Value Act(GraphBuilder& b, const Node& node, Value x) {
  if (node.Str("activation") != kHardSwish) return Activate(b, node, x);
  const auto number = [&](double value) { return b.Scalar(b.type(x).dtype, value); };
  const Value line = b.Add(b.Mul(x, number(1.0 / 6)), number(0.5));
  return b.Mul(x, b.Emit(OpKind::kMin, {b.Max(line, number(0)), number(1)}));
}

constexpr AttrSpec kWindowAttrs[] = {kStridesAttr, kPadsAttr, kDilationsAttr, kGroupsAttr};

absl::Status InferFusedConv(InferContext& ctx) {
  const Optional at(ctx.node);
  RLX_TRY(RequireOperands(ctx, at.count, "x, w, then bias and residual by attribute"));
  RLX_TRY(RequireFloats(ctx, at.count));
  RLX_TRY(RequireRank4(ctx, 0, "x"));
  RLX_TRY(RequireRank4(ctx, 1, "the weight"));
  Node conv;
  conv.op = OpKind::kConv;
  conv.attrs = PickAttrs(ctx.node, kWindowAttrs);
  std::vector<TensorType> operands = {ctx.operands[0], ctx.operands[1]};
  if (at.bias >= 0) operands.push_back(ctx.operands[at.bias]);
  RLX_ASSIGN(TensorType type, InferPlanes(ctx, conv, std::move(operands)));
  if (at.residual >= 0) RLX_TRY(RequireShape(ctx, at.residual, "residual", type.shape));
  ctx.results = {std::move(type)};
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Value>> DecomposeFusedConv(GraphBuilder& b, const Node& node) {
  const Optional at(node);
  std::vector<Value> operands = {b.Transpose(node.operands[0], kToPlanes), node.operands[1]};
  if (at.bias >= 0) operands.push_back(node.operands[at.bias]);
  const Value planes = b.Emit(OpKind::kConv, std::move(operands), PickAttrs(node, kWindowAttrs));
  Value out = b.Transpose(planes, kToRows);
  if (at.residual >= 0) out = b.Add(out, node.operands[at.residual]);
  return Lowered(b, {Act(b, node, out)});
}

int64_t Extent(int64_t in, int64_t pads, int64_t kernel, int64_t stride, int64_t dilation) {
  return (in + pads - dilation * (kernel - 1) - 1) / stride + 1;
}

struct DrawnWindow {
  int64_t groups, in, out;  // in and out: channels
  int64_t kernel[2];
  Ints strides, dilations;
};

DrawnWindow AnyWindow(Rng& rng) {
  const int64_t groups = Pick<int64_t>(rng, {1, 1, 2, 5}), each = Draw(rng, 1, 9);
  const bool depthwise = groups > 1 && Flip(rng);
  const int64_t in = groups * (depthwise ? 1 : each);
  const int64_t out = groups * (depthwise && Flip(rng) ? 1 : Draw(rng, 1, 9));
  return {groups,
          in,
          out,
          {Draw(rng, 1, 3), Draw(rng, 1, 3)},
          {Draw(rng, 1, 3), Draw(rng, 1, 3)},
          {Draw(rng, 1, 2), 1}};
}

// So many channels that a back end may go by transformed tiles.
DrawnWindow ManyChannels(Rng& rng) {
  return {1, Draw(rng, 32, 50), Draw(rng, 32, 50), {3, 3}, {1, 1}, {1, 1}};
}

// One channel a group, square windows: what image models have.
DrawnWindow OneChannelEach(Rng& rng) {
  const int64_t groups = Draw(rng, 2, 40), kernel = Pick<int64_t>(rng, {3, 5, 7});
  const int64_t stride = Draw(rng, 1, 2);
  return {groups, groups, groups, {kernel, kernel}, {stride, stride}, {1, 1}};
}

OpSample SampleFusedConv(Rng& rng) {
  const int64_t form = Draw(rng, 0, 3);
  const DrawnWindow c = form == 0   ? ManyChannels(rng)
                        : form == 1 ? OneChannelEach(rng)
                                    : AnyWindow(rng);
  const auto [kh, kw] = c.kernel;
  const int64_t n = Draw(rng, 1, 2), h = Draw(rng, std::max<int64_t>(kh, 5), 9);
  const int64_t w = Draw(rng, std::max<int64_t>(kw, 5), 17);
  const Ints pads = {Draw(rng, 0, 2), Draw(rng, 0, 2), Draw(rng, 0, 2), Draw(rng, 0, 2)};
  const bool bias = Flip(rng), residual = Flip(rng);
  OpSample sample{
      {FloatOperand({n, h, w, c.in}, -1, 1), FloatOperand({c.out, c.in / c.groups, kh, kw}, -1, 1)},
      {{"strides", c.strides},
       {"pads", pads},
       {"dilations", c.dilations},
       {"groups", c.groups},
       {"has_bias", bias},
       {"has_residual", residual},
       {"activation", std::string(kActs[Draw(rng, 0, std::size(kActs) - 1)])}}};
  if (bias) sample.operands.push_back(FloatOperand({c.out}));
  if (residual) {
    sample.operands.push_back(
        FloatOperand({n, Extent(h, pads[0] + pads[2], kh, c.strides[0], c.dilations[0]),
                      Extent(w, pads[1] + pads[3], kw, c.strides[1], c.dilations[1]), c.out}));
  }
  return sample;
}

// --- pool_channels_last

absl::Status InferPoolRows(InferContext& ctx) {
  RLX_TRY(RequireRank4(ctx, 0, "x"));
  Node pool;
  pool.op = OpKind::kPool;
  pool.attrs = PickAttrs(ctx.node, kPoolAttrs);
  RLX_ASSIGN(TensorType type, InferPlanes(ctx, pool, {ctx.operands[0]}));
  ctx.results = {std::move(type)};
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Value>> DecomposePoolRows(GraphBuilder& b, const Node& node) {
  const Value planes = b.Emit(OpKind::kPool, {b.Transpose(node.operands[0], kToPlanes)},
                              PickAttrs(node, kPoolAttrs));
  return Lowered(b, {b.Transpose(planes, kToRows)});
}

OpSample SamplePoolRows(Rng& rng) {
  OpSample sample{
      {FloatOperand({Draw(rng, 1, 3), Draw(rng, 3, 9), Draw(rng, 3, 9), Draw(rng, 1, 37)})}};
  const Ints kernel = {Draw(rng, 1, 3), Draw(rng, 1, 3)};
  Ints pads;
  for (size_t i = 0; i < 4; ++i) pads.push_back(Draw(rng, 0, kernel[i % 2] - 1));
  sample.attrs = {{"mode", Pick<std::string>(rng, {"max", "mean"})},
                  {"kernel", kernel},
                  {"strides", Ints{Draw(rng, 1, 3), Draw(rng, 1, 3)}},
                  {"pads", std::move(pads)},
                  {"count_include_pad", Flip(rng)}};
  return sample;
}

constexpr AttrSpec Flag(std::string_view name, std::string_view doc) {
  return {.name = name, .type = AttrType::kBool, .required = false, .fallback = false, .doc = doc};
}

constexpr AttrSpec kFusedConvAttrs[] = {
    kStridesAttr,
    kPadsAttr,
    kDilationsAttr,
    kGroupsAttr,
    Flag("has_bias", "a bias operand follows the weight"),
    Flag("has_residual", "a residual operand comes last"),
    {.name = "activation",
     .type = AttrType::kString,
     .required = false,
     .fallback = std::string_view("none"),
     .choices = kActs,
     .doc = "applied last"},
};

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kFusedConvBiasAct,
     .name = "fused_conv_bias_act",
     .claim = "FusedConvBiasAct",
     .op_class = OpClass::kContraction,
     .min_operands = 2,
     .max_operands = 4,
     .attrs = kFusedConvAttrs,
     .infer = InferFusedConv,
     .evaluate = EvaluateDecomposed,
     .decompose = DecomposeFusedConv,
     .sample = SampleFusedConv,
     .doc = "(x [n,h,w,c_in], weight [c_out,c_in/groups,kernel_h,kernel_w][, bias [c_out]][, "
            "residual, as the result]): activation(conv + bias + residual), channels last; the "
            "windows of conv"},
    {.kind = OpKind::kPoolChannelsLast,
     .name = "pool_channels_last",
     .claim = "PoolChannelsLast",
     .op_class = OpClass::kReduction,
     .min_operands = 1,
     .max_operands = 1,
     .attrs = kPoolAttrs,
     .infer = InferPoolRows,
     .evaluate = EvaluateDecomposed,
     .decompose = DecomposePoolRows,
     .sample = SamplePoolRows,
     .doc = "(x [n,h,w,c]): pool with channels last"},
};

}  // namespace

std::span<const OpInfo> ChannelsLastOps() { return kTable; }

}  // namespace rlx
