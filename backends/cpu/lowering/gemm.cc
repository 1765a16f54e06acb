// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/math/gemm.h"

#include "backends/cpu/lowering/activation_names.h"
#include "backends/cpu/routine.h"
#include "backends/cpu/rule.h"
#include "runtime/base/status.h"
#include "runtime/device/generate/generate.h"
#include "runtime/ir/op_info.h"

// matmul and fused_matmul_bias_act in f32: against a weight through B packed once, else batched
// with both sides as they come.
namespace rlx::cpu {
namespace {

using device::ProgramBuilder;
using device::Step;
using Operand = ProgramBuilder::Operand;

int64_t ActOf(const Node& node) {
  if (node.op != OpKind::kFusedMatMulBiasAct) return 0;
  const std::optional<Act> act = ActNamed(node.Str("activation"));
  return act ? static_cast<int64_t>(*act) : -1;
}

std::string Refuse(const Graph& graph, const Node& node) {
  for (Value v : node.operands) {
    if (graph.type(v).dtype != DType::kF32) return Cat("gemm of ", Name(graph.type(v).dtype));
  }
  return ActOf(node) < 0 ? Cat("gemm with activation ", node.Str("activation")) : "";
}

device::Schedule ScheduleOf(const LowerTarget& target) { return {.lanes = target.lanes}; }

// A matrix of f32 as the kernels take it: columns side by side.
struct Matrix {
  int64_t ld = 0;
  bool transposed = false;  // [n,k] in memory
};

// The last two dims of an operand as a matrix; none when neither is contiguous.
std::optional<Matrix> AsMatrix(const Operand& operand) {
  const size_t r = operand.dims.size();
  const int64_t rows = operand.dims[r - 2], cols = operand.dims[r - 1];
  if (operand.strides[r - 1] == 1 || cols == 1) {
    const int64_t ld = rows == 1 ? cols : operand.strides[r - 2];
    if (ld >= cols) return Matrix{ld, false};
  }
  if (operand.strides[r - 2] == 1 || rows == 1) {
    const int64_t ld = cols == 1 ? rows : operand.strides[r - 1];
    if (ld >= rows) return Matrix{ld, true};
  }
  return std::nullopt;
}

// All dims before the last as one row dim; none when their strides do not allow it.
std::optional<int64_t> RowStride(const Operand& operand) {
  int64_t ld = 0, rows = 1;
  if (operand.strides.back() != 1 && operand.dims.back() != 1) return std::nullopt;
  for (size_t d = operand.dims.size() - 1; d-- > 0;) {
    if (operand.dims[d] == 1) continue;
    if (rows == 1) {
      ld = operand.strides[d];
    } else if (operand.strides[d] != ld * rows) {
      return std::nullopt;
    }
    rows *= operand.dims[d];
  }
  if (rows == 1) ld = operand.dims.back();
  return ld >= operand.dims.back() ? std::optional(ld) : std::nullopt;
}

struct Bound {
  Operand x, w, y;
  int32_t bias = -1, residual = -1;
};

absl::StatusOr<Bound> Bind(ProgramBuilder& out, NodeId id, const LowerTarget& target) {
  const Node& node = out.graph().node(id);
  Bound bound{.x = out.In(node.operands[0]), .w = out.In(node.operands[1]), .y = out.Out({id, 0})};
  if (node.op != OpKind::kFusedMatMulBiasAct) return bound;
  size_t next = 2;
  for (auto [flag, slot] :
       {std::pair{"has_bias", &bound.bias}, std::pair{"has_residual", &bound.residual}}) {
    if (!node.Bool(flag)) continue;
    RLX_ASSIGN(const Operand dense,
               device::Densify(out, ScheduleOf(target), out.In(node.operands[next++])));
    *slot = dense.buffer;
  }
  return bound;
}

// --- Against a packed weight. pack_b: buffers b, packed; ints k, n, ldb, transposed.
// gemm_packed: buffers a, packed, bias, residual, c; ints m, n, k, lda, activation.

absl::Status RunPack(const RoutineCall& call) {
  const auto& ints = call.step.ints;
  PackB(call.math, ints[0], ints[1], call.f32(0), ints[2], ints[3] != 0, call.out_f32(1),
        call.team);
  return absl::OkStatus();
}

absl::Status RunPacked(const RoutineCall& call) {
  const auto& ints = call.step.ints;
  const int64_t n = ints[1];
  PackedGemm gemm{.m = ints[0],
                  .n = n,
                  .k = ints[2],
                  .a = call.f32(0),
                  .lda = ints[3],
                  .b = call.f32(1),
                  .c = call.out_f32(4),
                  .ldc = n};
  gemm.epilogue.bias = call.f32(2);
  gemm.epilogue.residual = call.f32(3);
  gemm.epilogue.ld_residual = n;
  gemm.epilogue.activation.kind = static_cast<Act>(ints[4]);
  Gemm(call.math, gemm, call.team);
  return absl::OkStatus();
}

absl::Status LowerPacked(ProgramBuilder& out, NodeId id, const LowerTarget& target, Bound bound,
                         const Matrix& w) {
  const Node& node = out.graph().node(id);
  const int64_t k = bound.w.dims[0], n = bound.w.dims[1];
  auto lda = RowStride(bound.x);
  if (!lda) {
    RLX_ASSIGN(bound.x, device::Densify(out, ScheduleOf(target), bound.x));
    lda = k;
  }
  const Step pack{.kind = Step::Kind::kCall,
                  .routine = "pack_b",
                  .buffers = {bound.w.buffer},
                  .ints = {k, n, w.ld, w.transposed},
                  .label = Cat("pack weight of %", id)};
  const int64_t bytes = PackedSize(*target.math, k, n) * static_cast<int64_t>(sizeof(float));
  const int32_t packed = out.Packed(node.operands[1], "gemm_b", bytes, pack);
  const int64_t m = *bound.x.type.NumElements() / k;
  out.Emit({.kind = Step::Kind::kCall,
            .routine = "gemm_packed",
            .buffers = {bound.x.buffer, packed, bound.bias, bound.residual, bound.y.buffer},
            .ints = {m, n, k, *lda, ActOf(node)},
            .label = Cat(Name(node.op), " %", id),
            .cost_flops = 2 * m * n * k,
            .cost_bytes = 4 * (m * k + k * n + m * n)});
  return absl::OkStatus();
}

// --- Both sides as they come. gemm: buffers a, b, bias, residual, c; ints as `Batched` lists them.

// Loops around a batched product: extents and element strides of a, b, c (the residual is laid out
// as c is).
struct BatchDim {
  int64_t extent = 1, a = 0, b = 0, c = 0;
};
constexpr size_t kFixedInts = 8;  // m, n, k, lda, ldb, transposed, activation, batch dims
constexpr size_t kIntsPerDim = 4;
constexpr int64_t kMostBatchDims = 64;  // Limits::max_rank

BatchedGemm Decode(const Step& step) {
  const auto& i = step.ints;
  BatchedGemm gemm{.batch = 1,
                   .m = i[0],
                   .n = i[1],
                   .k = i[2],
                   .lda = i[3],
                   .ldb = i[4],
                   .b_transposed = i[5] != 0,
                   .ldc = i[1]};
  if (i[7] > 0) {  // the innermost batch dim is the kernel's
    const int64_t* dim = &i[kFixedInts + kIntsPerDim * (static_cast<size_t>(i[7]) - 1)];
    gemm.batch = dim[0];
    gemm.stride_a = dim[1];
    gemm.stride_b = dim[2];
    gemm.stride_c = gemm.stride_residual = dim[3];
  }
  gemm.epilogue.activation.kind = static_cast<Act>(i[6]);
  gemm.epilogue.ld_residual = i[1];
  return gemm;
}

absl::Status RunBatched(const RoutineCall& call) {
  const auto& ints = call.step.ints;
  BatchedGemm gemm = Decode(call.step);
  gemm.epilogue.bias = call.f32(2);
  const size_t outer = ints[7] > 0 ? static_cast<size_t>(ints[7]) - 1 : 0;
  int64_t count = 1;
  for (size_t d = 0; d < outer; ++d) count *= ints[kFixedInts + kIntsPerDim * d];
  for (int64_t index = 0; index < count; ++index) {
    int64_t rest = index, a = 0, b = 0, c = 0;
    for (size_t d = outer; d-- > 0;) {
      const int64_t* dim = &ints[kFixedInts + kIntsPerDim * d];
      const int64_t at = rest % dim[0];
      rest /= dim[0];
      a += at * dim[1];
      b += at * dim[2];
      c += at * dim[3];
    }
    gemm.a = call.f32(0) + a;
    gemm.b = call.f32(1) + b;
    gemm.c = call.out_f32(4) + c;
    gemm.epilogue.residual = call.f32(3) == nullptr ? nullptr : call.f32(3) + c;
    Gemm(call.math, gemm, call.team, call.scratch);
  }
  return absl::OkStatus();
}

size_t BatchedScratch(const MathKernels& math, const Step& step, int threads) {
  return GemmScratchBytes(math, Decode(step), threads);
}

// Stride of batch dim d of the result in an operand that broadcasts to it.
int64_t BatchStride(const Operand& operand, size_t d, size_t batch_dims) {
  const size_t own = operand.dims.size() - 2;
  if (d + own < batch_dims) return 0;
  const size_t k = d + own - batch_dims;
  return operand.dims[k] == 1 ? 0 : operand.strides[k];
}

int64_t DimInts(const Step& step) {
  const int64_t dims = step.ints[7];
  return dims < 0 || dims > kMostBatchDims ? -1 : dims * static_cast<int64_t>(kIntsPerDim);
}

std::vector<BatchDim> BatchDims(const Bound& bound) {
  std::vector<int64_t> dims(bound.y.dims.begin(), bound.y.dims.end() - 2);
  std::vector<int64_t> a, b, c;
  for (size_t d = 0; d < dims.size(); ++d) {
    a.push_back(BatchStride(bound.x, d, dims.size()));
    b.push_back(BatchStride(bound.w, d, dims.size()));
    c.push_back(bound.y.strides[d]);
  }
  std::vector<int64_t>* lists[] = {&a, &b, &c};
  device::CollapseDims(dims, lists);
  std::vector<BatchDim> out;
  for (size_t d = 0; d < dims.size(); ++d) out.push_back({dims[d], a[d], b[d], c[d]});
  return out;
}

absl::Status LowerBatched(ProgramBuilder& out, NodeId id, const LowerTarget& target, Bound bound) {
  const Node& node = out.graph().node(id);
  auto a = AsMatrix(bound.x);
  if (!a || a->transposed) {
    RLX_ASSIGN(bound.x, device::Densify(out, ScheduleOf(target), bound.x));
    a = AsMatrix(bound.x);
  }
  auto b = AsMatrix(bound.w);
  if (!b) {
    RLX_ASSIGN(bound.w, device::Densify(out, ScheduleOf(target), bound.w));
    b = AsMatrix(bound.w);
  }
  const int64_t m = bound.y.dims[bound.y.dims.size() - 2], n = bound.y.dims.back();
  const int64_t k = bound.x.dims.back();
  const std::vector<BatchDim> dims = BatchDims(bound);
  Step step{.kind = Step::Kind::kCall,
            .routine = "gemm",
            .buffers = {bound.x.buffer, bound.w.buffer, bound.bias, bound.residual, bound.y.buffer},
            .ints = {m, n, k, a->ld, b->ld, b->transposed, ActOf(node),
                     static_cast<int64_t>(dims.size())},
            .label = Cat(Name(node.op), " %", id)};
  int64_t batch = 1;
  for (const BatchDim& dim : dims) {
    step.ints.insert(step.ints.end(), {dim.extent, dim.a, dim.b, dim.c});
    batch *= dim.extent;
  }
  step.cost_flops = 2 * batch * m * n * k;
  step.cost_bytes = 4 * batch * (m * k + k * n + m * n);
  out.Emit(std::move(step));
  return absl::OkStatus();
}

absl::Status Lower(ProgramBuilder& out, NodeId id, const LowerTarget& target) {
  RLX_ASSIGN(Bound bound, Bind(out, id, target));
  const auto w = AsMatrix(bound.w);
  if (bound.w.is_weight && bound.w.dims.size() == 2 && w) {
    return LowerPacked(out, id, target, std::move(bound), *w);
  }
  return LowerBatched(out, id, target, std::move(bound));
}

constexpr Rule kRules[] = {
    {OpKind::kMatMul, "gemm, weights packed once", Refuse, Lower},
    {OpKind::kFusedMatMulBiasAct, "gemm with epilogue, weights packed once", Refuse, Lower},
};

constexpr Routine kRoutines[] = {
    {"pack_b", "rw", 4, 0, RunPack},
    {"gemm_packed", "rrRRw", 5, 0, RunPacked},
    {"gemm", "rrRRw", kFixedInts, 0, RunBatched, BatchedScratch, DimInts},
};

}  // namespace

std::span<const Rule> GemmRules() { return kRules; }
std::span<const Routine> GemmRoutines() { return kRoutines; }

}  // namespace rlx::cpu
