// SPDX-License-Identifier: Apache-2.0
// Weights that stay packed: products that decode as they go, and the decoding alone. The layouts
// are those of runtime/tensor/quant_scheme.h.
#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/ops/elementwise.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/matmul.h"
#include "runtime/ir/ops/rules.h"
#include "runtime/tensor/float8.h"
#include "runtime/tensor/quant_scheme.h"

namespace rlx {
namespace {

using Ints = std::vector<int64_t>;

const QuantSchemeInfo& Scheme(const Node& node) {
  return Info(*ParseQuantScheme(node.Str("scheme")));
}

// How many operands describe the weights: the bytes, then what else the scheme has.
struct WeightOperands {
  int least, most;
};
WeightOperands OperandsOf(QuantScheme scheme) {
  if (Info(scheme).is_block()) return {1, 1};
  switch (scheme) {
    case QuantScheme::kInt8Asym:
    case QuantScheme::kNvfp4:
      return {3, 3};
    case QuantScheme::kInt4:
      return {2, 3};
    default:
      return {2, 2};
  }
}

absl::Status RequireBytes(const InferContext& ctx, int i, DType dtype) {
  if (ctx.operands[i].dtype == dtype) return absl::OkStatus();
  return InvalidArgument("weights are ", ctx.operands[i].dtype, " where ", dtype, " is needed");
}

absl::Status RequireFloat(const InferContext& ctx, int i, std::string_view name) {
  if (IsFloat(ctx.operands[i].dtype)) return absl::OkStatus();
  return InvalidArgument(name, " is ", ctx.operands[i].dtype, " where a float is needed");
}

// Blocks [.., n, bytes] hold [.., n, k].
absl::StatusOr<Shape> BlockShape(const InferContext& ctx, int w) {
  const QuantSchemeInfo& info = Scheme(ctx.node);
  Shape shape = ctx.operands[w].shape;
  RLX_TRY(RequireBytes(ctx, w, DType::kU8));
  if (shape.empty() || !shape.back().is_static() || shape.back().value() % info.block_bytes != 0)
    return InvalidArgument("weights are ", ctx.operands[w], ", whose rows are not blocks of ",
                           info.block_bytes, " bytes");
  shape.back() = Dim(shape.back().value() / info.block_bytes) * info.block_elements;
  return shape;
}

// Scales, one for each group of rows, and zero points like them.
absl::Status CheckGroups(InferContext& ctx, int w, const Dim& k, const Dim& n) {
  const int64_t block = ctx.node.Int("block");
  if (!k.is_static() || k.value() % block != 0)
    return InvalidArgument("k is ", k, ", not a multiple of block ", block);
  const int count = static_cast<int>(ctx.operands.size());
  for (int i = w + 1; i < count; ++i) {
    const std::string_view name = i == w + 1 ? "scale" : "zero point";
    RLX_TRY(RequireFloat(ctx, i, name));
    RLX_TRY(RequireShape(ctx, i, name, {k.value() / block, n}));
  }
  return absl::OkStatus();
}

absl::Status CheckNvfp4(InferContext& ctx, int w, const Dim& k, const Dim& n) {
  RLX_TRY(RequireBytes(ctx, w + 1, DType::kU8));
  RLX_TRY(RequireShape(ctx, w + 1, "scale", {FloorDiv(k + Dim(15), 16), n}));
  RLX_TRY(RequireFloat(ctx, w + 2, "global scale"));
  return RequireShape(ctx, w + 2, "global scale", {1});
}

// The shape that operands from `w` on decode to: [k, n], or [.., n, k] for blocks.
absl::StatusOr<Shape> DecodedShape(InferContext& ctx, int w) {
  const QuantSchemeInfo& info = Scheme(ctx.node);
  const auto [least, most] = OperandsOf(info.scheme);
  const int count = static_cast<int>(ctx.operands.size()) - w;
  if (count < least || count > most)
    return InvalidArgument("scheme ", info.name, " has ", least, " to ", most,
                           " weight operands, got ", count);
  if (info.is_block()) return BlockShape(ctx, w);
  const bool is_signed = info.scheme == QuantScheme::kInt8 || info.scheme == QuantScheme::kInt8Asym;
  const bool nibbles = info.scheme == QuantScheme::kInt4 || info.scheme == QuantScheme::kNvfp4;
  RLX_TRY(RequireBytes(ctx, w, is_signed ? DType::kI8 : DType::kU8));
  if (ctx.operands[w].rank() != 2)
    return InvalidArgument("weights have rank ", ctx.operands[w].rank(), " where 2 is needed");
  const Dim k = ctx.operands[w].shape[0];
  const Dim n = nibbles ? ctx.operands[w].shape[1] * Dim(2) : ctx.operands[w].shape[1];
  if (info.scheme == QuantScheme::kNvfp4) {
    RLX_TRY(CheckNvfp4(ctx, w, k, n));
  } else if (info.scheme == QuantScheme::kFp8E4M3 || info.scheme == QuantScheme::kFp8E5M2) {
    RLX_TRY(RequireFloat(ctx, w + 1, "scale"));
    RLX_TRY(RequireShape(ctx, w + 1, "scale", {n}));
  } else {
    RLX_TRY(CheckGroups(ctx, w, k, n));
  }
  return Shape{k, n};
}

uint8_t Nibble(const EvalTensor& w, int64_t element) {
  return static_cast<uint8_t>(w.i[element / 2] >> (element % 2 * 4) & 15);
}

// Element (p, j) of weights whose scales are tensors of their own.
double Decoded(const EvalContext& ctx, int w, QuantScheme scheme, int64_t block, int64_t p,
               int64_t j, int64_t n) {
  const EvalTensor &q = *ctx.operands[w], &scale = *ctx.operands[w + 1];
  const int64_t at = p * n + j;
  switch (scheme) {
    case QuantScheme::kFp8E4M3:
      return Fp8E4M3ToF32(static_cast<uint8_t>(q.i[at])) * scale.f[j];
    case QuantScheme::kFp8E5M2:
      return Fp8E5M2ToF32(static_cast<uint8_t>(q.i[at])) * scale.f[j];
    case QuantScheme::kNvfp4:
      return static_cast<double>(Fp4E2M1ToF32(Nibble(q, at))) *
             Nvfp4ScaleToF32(static_cast<uint8_t>(scale.i[p / 16 * n + j])) *
             ctx.operands[w + 2]->f[0];
    default: {
      const int64_t group = p / block * n + j;
      const bool has_zero = static_cast<int>(ctx.operands.size()) > w + 2;
      const double zero = has_zero ? ctx.operands[w + 2]->f[group] : 0;
      const double code =
          scheme == QuantScheme::kInt4 ? Nibble(q, at) : static_cast<double>(q.i[at]);
      return (code - zero) * scale.f[group];
    }
  }
}

void DecodeBlocks(QuantScheme scheme, const EvalTensor& bytes, std::vector<double>& out) {
  const QuantSchemeInfo& info = Info(scheme);
  std::vector<uint8_t> block(info.block_bytes);
  for (int64_t b = 0; b < bytes.size() / info.block_bytes; ++b) {
    for (int i = 0; i < info.block_bytes; ++i)
      block[i] = static_cast<uint8_t>(bytes.i[b * info.block_bytes + i]);
    DecodeBlock(scheme, block.data(), out.data() + b * info.block_elements);
  }
}

// The operands from `w` on, decoded: [k, n], or [.., n, k] for blocks.
EvalTensor Decode(const EvalContext& ctx, int w) {
  const QuantSchemeInfo& info = Scheme(ctx.node);
  Ints dims = ctx.operands[w]->dims;
  if (info.is_block()) {
    dims.back() = dims.back() / info.block_bytes * info.block_elements;
    EvalTensor out = EvalTensor::Zeros(DType::kF64, std::move(dims));
    DecodeBlocks(info.scheme, *ctx.operands[w], out.f);
    return out;
  }
  if (info.scheme == QuantScheme::kInt4 || info.scheme == QuantScheme::kNvfp4) dims[1] *= 2;
  EvalTensor out = EvalTensor::Zeros(DType::kF64, dims);
  const int64_t block = ctx.node.Int("block");
  for (int64_t p = 0; p < dims[0]; ++p)
    for (int64_t j = 0; j < dims[1]; ++j)
      out.f[p * dims[1] + j] = Decoded(ctx, w, info.scheme, block, p, j, dims[1]);
  return out;
}

// [.., a, b] as [.., b, a].
EvalTensor SwapLast(const EvalTensor& x) {
  Ints dims = x.dims;
  std::swap(dims[dims.size() - 1], dims[dims.size() - 2]);
  EvalTensor out = EvalTensor::Zeros(x.dtype, dims);
  const int64_t rows = dims[dims.size() - 1], columns = dims[dims.size() - 2];
  for (int64_t k = 0; k < x.size(); ++k) {
    const int64_t matrix = k / (rows * columns), r = k / columns % rows, c = k % columns;
    out.f[matrix * rows * columns + c * rows + r] = x.f[k];
  }
  return out;
}

Value SwapLast(GraphBuilder& b, Value x) {
  Ints perm(b.type(x).shape.size());
  for (size_t d = 0; d < perm.size(); ++d) perm[d] = static_cast<int64_t>(d);
  if (perm.size() >= 2) std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return b.Transpose(x, std::move(perm));
}

// --- dequantize_blocks

absl::Status InferDequantizeBlocks(InferContext& ctx) {
  RLX_ASSIGN(Shape shape, DecodedShape(ctx, 0));
  const DType to = ctx.node.Type("to");
  if (!IsFloat(to)) return InvalidArgument("to is ", to, " where a float is needed");
  ctx.results = {{to, std::move(shape)}};
  return absl::OkStatus();
}

absl::Status EvaluateDequantizeBlocks(EvalContext& ctx) {
  ctx.results[0].f = Decode(ctx, 0).f;
  return absl::OkStatus();
}

// --- dequant_matmul

absl::Status InferDequantMatMul(InferContext& ctx) {
  const TensorType& x = ctx.operands[0];
  RLX_TRY(RequireFloats(ctx, 1));
  RLX_ASSIGN(Shape w, DecodedShape(ctx, 1));
  if (w.size() != 2) return InvalidArgument("weights have rank ", w.size(), " where 2 is needed");
  if (Scheme(ctx.node).is_block()) std::swap(w[0], w[1]);
  if (x.rank() < 2) return InvalidArgument("x has rank ", x.rank(), " where 2 or more are needed");
  RLX_TRY(RequireEqual(ctx, x.shape.back(), w[0], "k"));
  TensorType out = x;
  out.shape.back() = w[1];
  ctx.results = {std::move(out)};
  return absl::OkStatus();
}

absl::Status EvaluateDequantMatMul(EvalContext& ctx) {
  const EvalTensor w = Scheme(ctx.node).is_block() ? SwapLast(Decode(ctx, 1)) : Decode(ctx, 1);
  EvalTensor x = *ctx.operands[0], out = ctx.results[0];
  for (EvalTensor* rows : {&x, &out}) {  // every leading dim is a row
    rows->dims = {rows->size() / rows->dims.back(), rows->dims.back()};
  }
  MatMulInto(x, w, out);
  ctx.results[0].f = std::move(out.f);
  return absl::OkStatus();
}

// 16-bit floats meet the weights in f32, as a kernel's accumulator does.
DType Wide(DType dtype) { return ByteWidth(dtype) < 4 ? DType::kF32 : dtype; }

Value To(GraphBuilder& b, Value x, DType dtype) {
  return b.type(x).dtype == dtype ? x : b.Cast(x, dtype);
}

Value EmitDecoded(GraphBuilder& b, const Node& node, size_t first, size_t count, DType to) {
  const auto begin = node.operands.begin() + static_cast<int64_t>(first);
  return b.Emit(OpKind::kDequantizeBlocks, {begin, begin + static_cast<int64_t>(count)},
                {{"scheme", node.Str("scheme")}, {"block", node.Int("block")}, {"to", to}});
}

absl::StatusOr<std::vector<Value>> DecomposeDequantMatMul(GraphBuilder& b, const Node& node) {
  const TensorType& type = node.results[0];
  const DType wide = Wide(type.dtype);
  Value w = EmitDecoded(b, node, 1, node.operands.size() - 1, wide);
  if (Scheme(node).is_block()) w = SwapLast(b, w);
  const Value x = To(b, node.operands[0], wide);
  return Lowered(b, {To(b, b.MatMul(x, w), type.dtype)});
}

// --- dequant_moe_weights, dequant_grouped_matmul

absl::Status InferDequantMoeWeights(InferContext& ctx) {
  RLX_ASSIGN(Shape shape, DecodedShape(ctx, 0));
  if (shape.size() != 3)
    return InvalidArgument("weights have rank ", shape.size(), " where 3 is needed");
  const DType to = ctx.node.Type("to");
  if (!IsFloat(to)) return InvalidArgument("to is ", to, " where a float is needed");
  std::swap(shape[1], shape[2]);
  ctx.results = {{to, std::move(shape)}};
  return absl::OkStatus();
}

absl::Status EvaluateDequantMoeWeights(EvalContext& ctx) {
  ctx.results[0].f = SwapLast(Decode(ctx, 0)).f;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Value>> DecomposeDequantMoeWeights(GraphBuilder& b, const Node& node) {
  return Lowered(b, {SwapLast(b, EmitDecoded(b, node, 0, 1, node.Type("to")))});
}

absl::Status InferDequantGroupedMatMul(InferContext& ctx) {
  RLX_TRY(RequireFloats(ctx, 1));
  RLX_TRY(RequireIndices(ctx, 2));
  RLX_TRY(RequireBytes(ctx, 1, DType::kU8));
  RLX_ASSIGN(const Shape w, BlockShape(ctx, 1));
  const TensorType& x = ctx.operands[0];
  if (w.size() != 3) return InvalidArgument("weights have rank ", w.size(), " where 3 is needed");
  if (x.rank() != 2) return InvalidArgument("x has rank ", x.rank(), " where 2 is needed");
  RLX_TRY(RequireEqual(ctx, x.shape[1], w[2], "k"));
  RLX_TRY(RequireShape(ctx, 2, "expert", {x.shape[0]}));
  ctx.results = {{x.dtype, {x.shape[0], w[1]}}};
  return absl::OkStatus();
}

absl::Status EvaluateDequantGroupedMatMul(EvalContext& ctx) {
  const EvalTensor& x = *ctx.operands[0];
  const EvalTensor w = Decode(ctx, 1);  // [e, n, k]
  const int64_t n = w.dims[1], k = w.dims[2];
  for (int64_t row = 0; row < x.dims[0]; ++row) {
    const int64_t expert = ctx.operands[2]->i[row];
    if (expert < 0 || expert >= w.dims[0])
      return InvalidArgument("expert ", expert, " is outside ", w.dims[0]);
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t p = 0; p < k; ++p) sum += x.f[row * k + p] * w.f[(expert * n + j) * k + p];
      ctx.results[0].f[row * n + j] = sum;
    }
  }
  return absl::OkStatus();
}

// The experts' bytes are picked before they are decoded.
absl::StatusOr<std::vector<Value>> DecomposeDequantGroupedMatMul(GraphBuilder& b,
                                                                 const Node& node) {
  const TensorType& type = node.results[0];
  const DType wide = Wide(type.dtype);
  const Value picked =
      b.Emit(OpKind::kGather, {node.operands[1], node.operands[2]},
             {{"axis", int64_t{0}}, {"of", std::string("dequant_grouped_matmul")}});
  const Value w =
      b.Emit(OpKind::kDequantizeBlocks, {picked},
             {{"scheme", node.Str("scheme")}, {"block", node.Int("block")}, {"to", wide}});
  const Value x = To(b, node.operands[0], wide);
  RLX_TRY(b.status());
  const Shape rows = b.type(x).shape;
  const Value out = b.MatMul(b.Reshape(x, {rows[0], 1, rows[1]}), SwapLast(b, w));
  return Lowered(b, {To(b, b.Reshape(out, type.shape), type.dtype)});
}

// --- Samples

// Bytes below 64 keep every half and float in a block finite and of moderate size.
OpSample::Operand Bytes(Shape shape) {
  return {.type = {DType::kU8, std::move(shape)}, .low = 0, .high = 63};
}

// Operands of weights [k, n] (n even), drawn for a scheme.
struct WeightSample {
  int64_t k, n;
  std::vector<OpSample::Operand> operands;
  std::vector<Attr> attrs;
};

WeightSample SampleWeights(Rng& rng, QuantScheme scheme) {
  const QuantSchemeInfo& info = Info(scheme);
  const int64_t n = 2 * Draw(rng, 1, 9);
  WeightSample out{0, n, {}, {{"scheme", std::string(info.name)}}};
  if (info.is_block()) {
    const int64_t blocks = Draw(rng, 1, 2);
    out.k = blocks * info.block_elements;
    out.operands = {Bytes({n, blocks * info.block_bytes})};
    return out;
  }
  const int64_t block = Pick<int64_t>(rng, {1, 4, 32}), groups = Draw(rng, 1, 3);
  out.k = scheme == QuantScheme::kNvfp4 ? Draw(rng, 1, 40) : block * groups;
  const OpSample::Operand per_group = FloatOperand({groups, n}, 0.1, 1);
  switch (scheme) {
    case QuantScheme::kInt8:
    case QuantScheme::kInt8Asym:
      out.operands = {{.type = {DType::kI8, {out.k, n}}, .low = -128, .high = 127}, per_group};
      break;
    case QuantScheme::kInt4:
      out.operands = {{.type = {DType::kU8, {out.k, n / 2}}, .low = 0, .high = 255}, per_group};
      break;
    case QuantScheme::kNvfp4:
      out.operands = {{.type = {DType::kU8, {out.k, n / 2}}, .low = 0, .high = 255},
                      Bytes({(out.k + 15) / 16, n}),
                      FloatOperand({1}, 0.1, 1)};
      break;
    default:  // fp8 below NaN and infinity
      out.operands = {{.type = {DType::kU8, {out.k, n}}, .low = 0, .high = 120},
                      FloatOperand({n}, 0.1, 1)};
  }
  const bool zero = scheme == QuantScheme::kInt8Asym || (scheme == QuantScheme::kInt4 && Flip(rng));
  if (zero) out.operands.push_back(FloatOperand({groups, n}, -8, 8));
  const bool grouped = scheme == QuantScheme::kInt8 || scheme == QuantScheme::kInt4 ||
                       scheme == QuantScheme::kInt8Asym;
  if (grouped) out.attrs.push_back({"block", block});
  return out;
}

QuantScheme AnyScheme(Rng& rng) {
  return static_cast<QuantScheme>(Draw(rng, 0, kQuantSchemeCount - 1));
}
QuantScheme AnyBlockScheme(Rng& rng) {
  return static_cast<QuantScheme>(
      Draw(rng, static_cast<int64_t>(QuantScheme::kQ4_0), kQuantSchemeCount - 1));
}

OpSample SampleDequantizeBlocks(Rng& rng) {
  WeightSample w = SampleWeights(rng, AnyScheme(rng));
  w.attrs.push_back({"to", Pick(rng, {DType::kF32, DType::kF64})});
  return {std::move(w.operands), std::move(w.attrs)};
}

OpSample SampleDequantMatMul(Rng& rng) {
  WeightSample w = SampleWeights(rng, AnyScheme(rng));
  Shape x;
  for (int64_t d = Draw(rng, 1, 2); d > 0; --d) x.push_back(Draw(rng, 1, 5));
  x.push_back(w.k);
  w.operands.insert(w.operands.begin(), FloatOperand(std::move(x)));
  return {std::move(w.operands), std::move(w.attrs)};
}

OpSample SampleDequantMoeWeights(Rng& rng) {
  const QuantSchemeInfo& info = Info(AnyBlockScheme(rng));
  return {{Bytes({Draw(rng, 1, 4), Draw(rng, 1, 9), Draw(rng, 1, 2) * info.block_bytes})},
          {{"scheme", std::string(info.name)}, {"to", DType::kF32}}};
}

OpSample SampleDequantGroupedMatMul(Rng& rng) {
  const QuantSchemeInfo& info = Info(AnyBlockScheme(rng));
  const int64_t experts = Draw(rng, 1, 4), blocks = Draw(rng, 1, 2), rows = Draw(rng, 1, 7);
  return {{FloatOperand({rows, blocks * info.block_elements}),
           Bytes({experts, Draw(rng, 1, 9), blocks * info.block_bytes}),
           {.type = {Pick(rng, {DType::kI32, DType::kI64}), {rows}},
            .low = 0,
            .high = static_cast<double>(experts - 1)}},
          {{"scheme", std::string(info.name)}}};
}

absl::StatusOr<std::vector<Value>> LowerDequantMatMul(GraphBuilder& b, const Node& node) {
  return Lowered(b, {b.Emit(OpKind::kDequantMatMul, node.operands, node.attrs)});
}

// --- Rows

struct Names {
  std::string_view all[kQuantSchemeCount], blocks[kQuantSchemeCount];
  size_t block_count = 0;
};
constexpr Names GatherNames() {
  Names names;
  for (int i = 0; i < kQuantSchemeCount; ++i) {
    names.all[i] = kQuantSchemes[i].name;
    if (kQuantSchemes[i].is_block()) names.blocks[names.block_count++] = kQuantSchemes[i].name;
  }
  return names;
}
constexpr Names kNames = GatherNames();

constexpr AttrSpec kSchemeAttr = {.name = "scheme",
                                  .type = AttrType::kString,
                                  .choices = kNames.all,
                                  .doc = "how the weights are packed: quant_scheme.h"};
constexpr AttrSpec kBlockSchemeAttr = {
    .name = "scheme",
    .type = AttrType::kString,
    .choices = std::span(kNames.blocks, kNames.block_count),
    .doc = "how the weights are packed, in self-contained blocks"};
constexpr AttrSpec kBlockAttr = {
    .name = "block",
    .type = AttrType::kInt,
    .required = false,
    .fallback = int64_t{32},
    .min = 1,
    .max = int64_t{1} << 30,
    .doc = "int8, int8a, int4: rows that share a scale; divides k. Other schemes ignore it"};
constexpr AttrSpec kToAttr = {
    .name = "to", .type = AttrType::kDType, .doc = "the result's element type, a float"};

constexpr AttrSpec kDecodeAttrs[] = {kSchemeAttr, kBlockAttr, kToAttr};
constexpr AttrSpec kMatMulAttrs[] = {kSchemeAttr, kBlockAttr};
constexpr AttrSpec kMoeDecodeAttrs[] = {kBlockSchemeAttr, kBlockAttr, kToAttr};
constexpr AttrSpec kMoeMatMulAttrs[] = {kBlockSchemeAttr, kBlockAttr};

constexpr RunCheck kExpertChecks[] = {{.operand = 2}};

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kDequantizeBlocks,
     .name = "dequantize_blocks",
     .claim = "DequantizeBlocks",
     .op_class = OpClass::kSpecial,
     .min_operands = 1,
     .max_operands = 3,
     .attrs = kDecodeAttrs,
     .infer = InferDequantizeBlocks,
     .evaluate = EvaluateDequantizeBlocks,
     .sample = SampleDequantizeBlocks,
     .doc = "(w[, scale][, zero point or global scale]): packed weights as floats: [k,n], or for "
            "blocks [..,n,bytes] → [..,n,k]"},
    {.kind = OpKind::kDequantMatMul,
     .name = "dequant_matmul",
     .claim = "DequantMatMul",
     .op_class = OpClass::kComposite,
     .min_operands = 2,
     .max_operands = 4,
     .attrs = kMatMulAttrs,
     .infer = InferDequantMatMul,
     .evaluate = EvaluateDequantMatMul,
     .decompose = DecomposeDequantMatMul,
     .sample = SampleDequantMatMul,
     .doc = "(x [..,k], w[, scale][, zero point or global scale]): x·W, W [k,n] as "
            "dequantize_blocks has it; int8: i8 [k,n], scale [k/block,n], int8a with a zero point "
            "like it; int4: u8 [k,n/2], an even column in the low nibble, its zero point optional; "
            "fp8: u8 [k,n], scale [n]; nvfp4: u8 [k,n/2], scale u8 [(k+15)/16,n] of E4M3, global "
            "scale [1]; gguf: u8 [n,bytes], a row of blocks for each column"},
    {.kind = OpKind::kDequantMoeWeights,
     .name = "dequant_moe_weights",
     .claim = "DequantMoEWeights",
     .op_class = OpClass::kComposite,
     .min_operands = 1,
     .max_operands = 1,
     .attrs = kMoeDecodeAttrs,
     .infer = InferDequantMoeWeights,
     .evaluate = EvaluateDequantMoeWeights,
     .decompose = DecomposeDequantMoeWeights,
     .sample = SampleDequantMoeWeights,
     .doc = "(w u8 [e,n,bytes]): the blocks of every expert as floats [e,k,n]"},
    {.kind = OpKind::kDequantGroupedMatMul,
     .name = "dequant_grouped_matmul",
     .claim = "DequantGroupedMatMul",
     .op_class = OpClass::kComposite,
     .min_operands = 3,
     .max_operands = 3,
     .attrs = kMoeMatMulAttrs,
     .checks = kExpertChecks,
     .infer = InferDequantGroupedMatMul,
     .evaluate = EvaluateDequantGroupedMatMul,
     .decompose = DecomposeDequantGroupedMatMul,
     .sample = SampleDequantGroupedMatMul,
     .doc = "(x [m,k], w u8 [e,n,bytes], expert [m]): out[i] = x[i]·W[expert[i]]"},
    {.kind = OpKind::kHirDequantMatMul,
     .name = "hir.dequant_matmul",
     .claim = "",
     .op_class = OpClass::kBlock,
     .level = Stage::kHir,
     .min_operands = 2,
     .max_operands = 4,
     .attrs = kMatMulAttrs,
     .infer = InferDequantMatMul,
     .decompose = LowerDequantMatMul,
     .doc = "(x [..,k], w[, scale][, zero point or global scale]): dequant_matmul as a block",
     .label = [](const Node& node) { return Cat("dequant_matmul(", node.Str("scheme"), ")"); }},
};

}  // namespace

std::span<const OpInfo> QuantizedWeightOps() { return kTable; }

}  // namespace rlx
