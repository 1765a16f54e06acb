// SPDX-License-Identifier: Apache-2.0
#include <optional>
#include <vector>

#include "backends/cuda/call.h"
#include "backends/cuda/lowering/rows_source.h"
#include "backends/cuda/lowering/tile_source.h"
#include "backends/cuda/rule.h"
#include "runtime/base/status.h"
#include "runtime/device/generate/emit_op.h"
#include "runtime/device/generate/generate.h"
#include "runtime/ir/op_info.h"
#include "runtime/kernel/kernel.h"

// matmul and fused_matmul_bias_act in floats: cuBLASLt with what it does on the way out, and a
// generated kernel for the rest of the epilogue.
namespace rlx::cuda {
namespace {

using device::ProgramBuilder;
using device::Step;
using Operand = ProgramBuilder::Operand;
using Dims = std::vector<int64_t>;

// Stride of batch dim d of the result in an operand that broadcasts to it.
int64_t BatchStride(const Dims& dims, const Dims& strides, size_t d, size_t batch_dims) {
  const size_t own = dims.size() - 2;
  if (d + own < batch_dims) return 0;
  const size_t k = d + own - batch_dims;
  return dims[k] == 1 ? 0 : strides[k];
}

// The matrices of a product, one behind the other in each operand.
struct Batch {
  int64_t count = 1, a = 0, b = 0, d = 0;
};

std::optional<Batch> BatchOf(const Dims& x, const Dims& x_strides, const Dims& w,
                             const Dims& w_strides, const Dims& y) {
  const size_t count = y.size() - 2;
  const Dims y_strides = RowMajorStrides(y);
  Dims dims(y.begin(), y.end() - 2), a, b, d;
  for (size_t i = 0; i < count; ++i) {
    a.push_back(BatchStride(x, x_strides, i, count));
    b.push_back(BatchStride(w, w_strides, i, count));
    d.push_back(y_strides[i]);
  }
  Dims* lists[] = {&a, &b, &d};
  device::CollapseDims(dims, lists);
  if (dims.size() > 1) return std::nullopt;
  return Batch{dims[0], a[0], b[0], d[0]};
}

bool IsStatic(const Graph& graph, const Node& node) {
  for (Value v : node.operands) {
    if (!graph.type(v).NumElements()) return false;
  }
  return true;
}

std::string Refuse(const Graph& graph, const Node& node) {
  const DType dtype = node.results[0].dtype;
  const bool known =
      dtype == DType::kF16 || dtype == DType::kBF16 || dtype == DType::kF32 || dtype == DType::kF64;
  if (!known) return Cat("cuBLASLt product of ", Name(dtype));
  for (Value v : node.operands) {
    if (graph.type(v).dtype != dtype) return "cuBLASLt product of mixed types";
  }
  if (!IsStatic(graph, node)) return "";
  const Dims x = graph.type(node.operands[0]).StaticDims();
  const Dims w = graph.type(node.operands[1]).StaticDims();
  if (x.back() == 0 || *graph.type(node.operands[0]).NumElements() == 0 ||
      *graph.type(node.operands[1]).NumElements() == 0) {
    return "cuBLASLt product of nothing";
  }
  const bool one_stride =
      BatchOf(x, RowMajorStrides(x), w, RowMajorStrides(w), node.results[0].StaticDims())
          .has_value();
  return one_stride ? "" : "cuBLASLt product over more than one batch dim that broadcasts";
}

struct Matrix {
  int64_t ld = 0;
  bool transposed = false;
};

// The last two dims as a matrix; none when neither is contiguous.
std::optional<Matrix> AsMatrix(const Operand& operand) {
  const size_t r = operand.dims.size();
  const int64_t rows = operand.dims[r - 2], columns = operand.dims[r - 1];
  if (operand.strides[r - 1] == 1 || columns == 1) {
    const int64_t ld = rows == 1 ? columns : operand.strides[r - 2];
    if (ld >= columns) return Matrix{ld, false};
  }
  if (operand.strides[r - 2] == 1 || rows == 1) {
    const int64_t ld = columns == 1 ? rows : operand.strides[r - 1];
    if (ld >= rows) return Matrix{ld, true};
  }
  return std::nullopt;
}

// All rows of all matrices as one matrix: how far a row is from the next.
std::optional<int64_t> RowStride(const Operand& x) {
  Dims dims(x.dims.begin(), x.dims.end() - 1), strides(x.strides.begin(), x.strides.end() - 1);
  if (x.strides.back() != 1 && x.dims.back() != 1) return std::nullopt;
  Dims* lists[] = {&strides};
  device::CollapseDims(dims, lists);
  if (dims.size() > 1) return std::nullopt;
  const int64_t ld = dims[0] == 1 ? x.dims.back() : strides[0];
  return ld >= x.dims.back() ? std::optional(ld) : std::nullopt;
}

// Whether a value may be a view that does not begin where a multiple of eight elements does.
bool MayBeginAnywhere(const Graph& graph, Value value) {
  const Node& node = graph.node(value.node);
  switch (node.op) {
    case OpKind::kNarrow:
      return true;
    case OpKind::kReshape:
    case OpKind::kCast:
    case OpKind::kTranspose:
    case OpKind::kExpand:
      return MayBeginAnywhere(graph, node.operands[0]);
    default:
      return false;
  }
}

class Lowering {
 public:
  Lowering(ProgramBuilder& out, NodeId id)
      : out_(out),
        node_(out.graph().node(id)),
        x_(out.In(node_.operands[0])),
        w_(out.In(node_.operands[1])),
        y_(out.Out({id, 0})),
        label_(Cat(Name(node_.op), " %", id)) {}

  absl::Status Run() {
    RLX_TRY(Epilogues());
    const int32_t given = w_.buffer;
    RLX_TRY(Place());
    weight_is_fixed_ = w_.is_weight && w_.buffer == given;
    RLX_TRY(Describe());
    if (const auto tile = Tile()) {
      EmitTile(*tile);
      return absl::OkStatus();
    }
    const bool more = after_activation_ || after_residual_ || after_bias_;
    const int32_t to = more ? out_.Scratch(*y_.type.ByteSize()) : y_.buffer;
    out_.Emit({.kind = Step::Kind::kCall,
               .routine = std::string(kMatMulRoutine),
               .buffers = {x_.buffer, w_.buffer, after_bias_ ? -1 : bias_,
                           after_residual_ ? -1 : residual_, to},
               .ints = ints_,
               .label = label_,
               .cost_flops = 2 * ints_[kBatch] * ints_[kM] * ints_[kN] * ints_[kK]});
    return more ? EmitRest(to) : absl::OkStatus();
  }

 private:
  absl::StatusOr<int32_t> Dense(size_t operand, bool* fixed = nullptr) {
    const Operand given = out_.In(node_.operands[operand]);
    RLX_ASSIGN(const Operand dense, device::Densify(out_, kSchedule, given));
    if (fixed != nullptr) *fixed = given.is_weight && dense.buffer == given.buffer;
    return dense.buffer;
  }

  // Who does what after the product. A residual comes after the activation, so cuBLASLt can add it
  // only where there is none; its GELU is the tanh form, exact enough for 16 bits.
  absl::Status Epilogues() {
    if (node_.op != OpKind::kFusedMatMulBiasAct) return absl::OkStatus();
    activation_ = node_.Str("activation");
    size_t next = 2;
    if (node_.Bool("has_bias")) {
      RLX_ASSIGN(bias_, Dense(next++, &bias_is_fixed_));
    }
    if (node_.Bool("has_residual")) {
      RLX_ASSIGN(residual_, Dense(next++));
    }
    const DType dtype = y_.type.dtype;
    if (activation_ == "relu" && dtype != DType::kF64) epilogue_ = Epilogue::kRelu;
    if (activation_ == "gelu_tanh" && ByteWidth(dtype) == 2) epilogue_ = Epilogue::kGeluTanh;
    after_bias_ = bias_ >= 0 && dtype == DType::kF64;
    after_activation_ = activation_ != "none" && epilogue_ == Epilogue::kNone;
    after_residual_ = residual_ >= 0 && (activation_ != "none" || after_bias_);
    return absl::OkStatus();
  }

  // Operands in a form that cuBLASLt reads; dense copies of those that are not.
  absl::Status Place() {
    if (!AsMatrix(x_)) {
      RLX_ASSIGN(x_, device::Densify(out_, kSchedule, x_));
    }
    if (!AsMatrix(w_)) {
      RLX_ASSIGN(w_, device::Densify(out_, kSchedule, w_));
    }
    if (BatchOf(x_.dims, x_.strides, w_.dims, w_.strides, y_.dims)) return absl::OkStatus();
    RLX_ASSIGN(x_, device::Densify(out_, kSchedule, x_));
    RLX_ASSIGN(w_, device::Densify(out_, kSchedule, w_));
    return absl::OkStatus();
  }

  absl::Status Describe() {
    const auto a = AsMatrix(x_), b = AsMatrix(w_);
    auto batch = BatchOf(x_.dims, x_.strides, w_.dims, w_.strides, y_.dims);
    if (!a || !b || !batch) return Internal(label_, ": operands have no form for cuBLASLt");
    Matrix left = *a;
    int64_t rows = y_.dims[y_.dims.size() - 2];
    const auto ld = RowStride(x_);
    if (batch->b == 0 && ld && x_.dims.size() == y_.dims.size()) {  // one weight for all
      rows *= batch->count;
      *batch = {};
      left = {*ld, false};
    }
    ints_.resize(kMatMulInts);
    ints_[kM] = rows;
    ints_[kN] = y_.dims.back();
    ints_[kK] = x_.dims.back();
    ints_[kLda] = left.ld;
    ints_[kTransposedA] = left.transposed;
    ints_[kLdb] = b->ld;
    ints_[kTransposedB] = b->transposed;
    ints_[kDType] = static_cast<int64_t>(y_.type.dtype);
    ints_[kEpilogue] = static_cast<int64_t>(epilogue_);
    ints_[kBatch] = batch->count;
    ints_[kStrideA] = batch->a;
    ints_[kStrideB] = batch->b;
    ints_[kStrideD] = batch->d;
    return absl::OkStatus();
  }

  // The product as one kernel of ours, where that is faster.
  std::optional<TileShape> Tile() const {
    const DType dtype = y_.type.dtype;
    const auto& i = ints_;
    if (out_.target().arch != "sm_90" || ByteWidth(dtype) != 2) return std::nullopt;
    if (!EpilogueShape::Knows(activation_) || i[kBatch] != 1 || i[kTransposedA] != 0 ||
        i[kTransposedB] != 0 || i[kLda] % 8 != 0 || i[kLdb] % 8 != 0 || i[kN] % 32 != 0) {
      return std::nullopt;
    }
    for (Value v : node_.operands) {
      if (MayBeginAnywhere(out_.graph(), v)) return std::nullopt;
    }
    auto shape = ChooseTile(i[kM], i[kN], i[kK], after_activation_);
    if (!shape) return std::nullopt;
    shape->dtype = dtype;
    shape->x_row = i[kLda];
    shape->w_row = i[kLdb];
    shape->activation = activation_;
    shape->bias = bias_ >= 0;
    shape->residual = residual_ >= 0;
    shape->fixed = weight_is_fixed_ && (bias_ < 0 || bias_is_fixed_);
    return shape;
  }

  void EmitTile(const TileShape& shape) {
    const kernel::Type type = *kernel::FromDType(shape.dtype);
    kernel::Kernel made{.name = "product", .local = shape.Lanes(), .source = TileSource(shape)};
    std::vector<int32_t> buffers = {x_.buffer, w_.buffer};
    if (bias_ >= 0) buffers.push_back(bias_);
    if (residual_ >= 0) buffers.push_back(residual_);
    buffers.push_back(y_.buffer);
    made.buffers.assign(buffers.size(), {type, false});
    made.buffers.back().writable = true;
    out_.Launch(made, std::move(buffers), {}, shape.Groups(), label_);
  }

  void EmitInSteps(const EpilogueShape& shape, int32_t from) {
    const kernel::Type type = *kernel::FromDType(shape.dtype);
    kernel::Kernel made{.name = "epilogue",
                        .local = EpilogueShape::kLanes,
                        .buffers = {{type, false}},
                        .source = EpilogueSource(shape)};
    std::vector<int32_t> buffers = {from};
    if (shape.residual) {
      buffers.push_back(residual_);
      made.buffers.push_back({type, false});
    }
    buffers.push_back(y_.buffer);
    made.buffers.push_back({type, true});
    out_.Launch(made, std::move(buffers), {}, shape.Groups(), Cat(label_, ", epilogue"));
  }

  absl::Status EmitRest(int32_t from) {
    const DType dtype = y_.type.dtype;
    const EpilogueShape shape{
        .dtype = dtype,
        .elements = *y_.type.NumElements(),
        .activation = after_activation_ ? std::string_view(activation_) : "none",
        .residual = after_residual_};
    if (ByteWidth(dtype) == 2 && shape.elements % kStep == 0 && shape.Knows(shape.activation)) {
      EmitInSteps(shape, from);
      return absl::OkStatus();
    }
    const int64_t n = y_.dims.back(), rows = *y_.type.NumElements() / n;
    std::vector<device::LoopOperand> inputs = {{from, dtype, {n, 1}}};
    if (after_bias_) inputs.push_back({bias_, dtype, {0, 1}});
    if (after_residual_) inputs.push_back({residual_, dtype, {n, 1}});
    const auto body = [&](kernel::Builder& b, std::span<const kernel::Value> v) {
      kernel::Value sum = v[0];
      if (after_bias_) sum = b.Add(sum, v[1]);
      if (after_activation_) sum = device::EmitActivation(b, activation_, sum);
      if (after_residual_) sum = b.Add(sum, v.back());
      return std::vector<kernel::Value>{sum};
    };
    return device::EmitLoopNest(out_, kSchedule, {rows, n}, std::move(inputs),
                                {{y_.buffer, dtype, {n, 1}}}, body, Cat(label_, ", epilogue"));
  }

  ProgramBuilder& out_;
  const Node& node_;
  Operand x_, w_, y_;
  std::string label_, activation_ = "none";
  int32_t bias_ = -1, residual_ = -1;
  Epilogue epilogue_ = Epilogue::kNone;
  bool weight_is_fixed_ = false, bias_is_fixed_ = false;
  bool after_bias_ = false, after_activation_ = false, after_residual_ = false;
  std::vector<int64_t> ints_;
};

absl::Status Lower(ProgramBuilder& out, NodeId id) { return Lowering(out, id).Run(); }

constexpr Rule kRules[] = {
    {OpKind::kMatMul, "cuBLASLt or own kernel", Refuse, Lower},
    {OpKind::kFusedMatMulBiasAct, "cuBLASLt or own kernel, with epilogue", Refuse, Lower},
};

}  // namespace

std::span<const Rule> MatMulRules() { return kRules; }

}  // namespace rlx::cuda
