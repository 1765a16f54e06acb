// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <complex>

#include "backends/cpu/element.h"
#include "backends/cpu/routine.h"
#include "backends/cpu/rule.h"
#include "runtime/base/check.h"
#include "runtime/base/status.h"
#include "runtime/base/thread_pool.h"
#include "runtime/device/generate/loop_nest.h"
#include "runtime/ir/op_info.h"

// Elementwise ops that read or make c64, for which the kernel IR has no type. In double, rounded
// once, with any strides.
namespace rlx::cpu {
namespace {

using Complex = std::complex<double>;
using device::ProgramBuilder;
using device::Step;

// Up to three operands; a real one is a complex one without imaginary part.
using Compute = Complex (*)(const Complex*);
struct Function {
  OpKind kind;
  Compute compute;
};
constexpr Function kFunctions[] = {
    {OpKind::kAdd, [](const Complex* v) { return v[0] + v[1]; }},
    {OpKind::kSub, [](const Complex* v) { return v[0] - v[1]; }},
    {OpKind::kMul, [](const Complex* v) { return v[0] * v[1]; }},
    {OpKind::kDiv, [](const Complex* v) { return v[0] / v[1]; }},
    {OpKind::kEq, [](const Complex* v) { return Complex(v[0] == v[1] ? 1 : 0); }},
    {OpKind::kNe, [](const Complex* v) { return Complex(v[0] != v[1] ? 1 : 0); }},
    {OpKind::kWhere, [](const Complex* v) { return v[0].real() != 0 ? v[1] : v[2]; }},
    {OpKind::kNeg, [](const Complex* v) { return -v[0]; }},
    {OpKind::kExp, [](const Complex* v) { return std::exp(v[0]); }},
    {OpKind::kLog, [](const Complex* v) { return std::log(v[0]); }},
    {OpKind::kSqrt, [](const Complex* v) { return std::sqrt(v[0]); }},
    {OpKind::kCast, [](const Complex* v) { return v[0]; }},
    {OpKind::kComplex, [](const Complex* v) { return Complex(v[0].real(), v[1].real()); }},
    {OpKind::kReal, [](const Complex* v) { return Complex(v[0].real()); }},
    {OpKind::kImag, [](const Complex* v) { return Complex(v[0].imag()); }},
    {OpKind::kConjugate, [](const Complex* v) { return std::conj(v[0]); }},
    {OpKind::kComplexNormSq, [](const Complex* v) { return Complex(std::norm(v[0])); }},
};

constexpr size_t kMostOperands = 3;

// Buffers: operands (-1 where absent), then the result. ints: function, result dtype, operand
// dtypes, rank, extents, then strides of each operand.
enum Slot : size_t { kFunction, kTo, kTypes, kRank = kTypes + kMostOperands, kDims };

// An integer becomes an f32 in one rounding, not by way of double.
Complex LoadComplex(const void* buffer, DType dtype, int64_t i) {
  if (IsExact(dtype)) return static_cast<float>(LoadInt(buffer, dtype, i));
  if (dtype != DType::kC64) return LoadNumber(buffer, dtype, i);
  return {LoadNumber(buffer, dtype, 2 * i), LoadNumber(buffer, dtype, 2 * i + 1)};
}

void StoreResult(void* buffer, DType dtype, int64_t i, Complex z) {
  if (dtype == DType::kBool) return StoreAs(buffer, i, static_cast<uint8_t>(z.real() != 0));
  if (dtype != DType::kC64) return StoreFloat(buffer, dtype, i, z.real());
  StoreFloat(buffer, dtype, 2 * i, z.real());
  StoreFloat(buffer, dtype, 2 * i + 1, z.imag());
}

absl::Status Run(const RoutineCall& call) {
  const auto& ints = call.step.ints;
  const auto rank = static_cast<size_t>(ints[kRank]);
  const Compute compute = kFunctions[ints[kFunction]].compute;
  int64_t count = 1;
  for (size_t d = 0; d < rank; ++d) count *= ints[kDims + d];
  call.team.ParallelFor(0, count, 4096, [&](int64_t begin, int64_t end, int) {
    for (int64_t k = begin; k < end; ++k) {
      std::array<int64_t, kMostOperands> at{};
      int64_t rest = k;
      for (size_t d = rank; d-- > 0; rest /= ints[kDims + d])
        for (size_t v = 0; v < kMostOperands; ++v)
          at[v] += rest % ints[kDims + d] * ints[kDims + (v + 1) * rank + d];
      std::array<Complex, kMostOperands> values;
      for (size_t v = 0; v < kMostOperands && call.buffers[v] != nullptr; ++v)
        values[v] = LoadComplex(call.buffers[v], static_cast<DType>(ints[kTypes + v]), at[v]);
      StoreResult(call.buffers[kMostOperands], static_cast<DType>(ints[kTo]), k,
                  compute(values.data()));
    }
  });
  return absl::OkStatus();
}

std::string Refuse(const Graph& graph, const Node& node) {
  for (Value v : node.operands)
    if (graph.type(v).dtype == DType::kC64) return "";
  return node.results[0].dtype == DType::kC64 ? "" : "no operand is c64";
}

absl::Status Lower(ProgramBuilder& out, NodeId id, const LowerTarget&) {
  const Node& node = out.graph().node(id);
  const ProgramBuilder::Operand y = out.Out({id, 0});
  Step step{.kind = Step::Kind::kCall,
            .routine = "complex",
            .buffers = {-1, -1, -1, y.buffer},
            .label = Cat(Name(node.op), " %", id)};
  const size_t rank = y.dims.size();
  step.ints.assign(kDims + (kMostOperands + 1) * rank, 0);
  const auto* row = std::find_if(std::begin(kFunctions), std::end(kFunctions),
                                 [&](const Function& f) { return f.kind == node.op; });
  CHECK(row != std::end(kFunctions), "no complex ", Name(node.op));
  step.ints[kFunction] = row - kFunctions;
  step.ints[kTo] = static_cast<int64_t>(y.type.dtype);
  step.ints[kRank] = static_cast<int64_t>(rank);
  for (size_t v = 0; v < node.operands.size(); ++v) {
    const ProgramBuilder::Operand x = out.In(node.operands[v]);
    const device::LoopOperand seen = device::AsLoopOperand(x, y.dims);
    step.buffers[v] = x.buffer;
    step.ints[kTypes + v] = static_cast<int64_t>(x.type.dtype);
    for (size_t d = 0; d < rank; ++d) step.ints[kDims + (v + 1) * rank + d] = seen.strides[d];
  }
  for (size_t d = 0; d < rank; ++d) step.ints[kDims + d] = y.dims[d];
  step.cost_flops = 16 * *y.type.NumElements();
  step.cost_bytes = 2 * *y.type.ByteSize();
  out.Emit(std::move(step));
  return absl::OkStatus();
}

// Extents, and strides of each operand.
int64_t MoreInts(const Step& step) {
  return static_cast<int64_t>(kMostOperands + 1) * step.ints[kRank];
}

constexpr Routine kRoutines[] = {{"complex", "RRRw", kDims, 0, Run, nullptr, MoreInts}};

}  // namespace

std::span<const Rule> ComplexRules() {
  static const std::vector<Rule> rules = [] {
    std::vector<Rule> all;
    for (const Function& f : kFunctions)
      all.push_back({f.kind, "complex arithmetic in double", Refuse, Lower});
    return all;
  }();
  return rules;
}
std::span<const Routine> ComplexRoutines() { return kRoutines; }

}  // namespace rlx::cpu
