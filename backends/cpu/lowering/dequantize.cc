// SPDX-License-Identifier: Apache-2.0
#include "backends/cpu/element.h"
#include "backends/cpu/routine.h"
#include "backends/cpu/rule.h"
#include "runtime/base/status.h"
#include "runtime/base/thread_pool.h"
#include "runtime/device/generate/loop_nest.h"
#include "runtime/ir/op_info.h"
#include "runtime/tensor/float8.h"
#include "runtime/tensor/quant_scheme.h"

// dequantize_blocks: once per WeightSet where the weights are params, so plain loops will do.
namespace rlx::cpu {
namespace {

using device::ProgramBuilder;
using device::Step;

// Buffers w, scale or -1, zero point or global scale or -1, out. Blocks are kRows of them; else the
// result is [kRows, kColumns], a scale for each kBlock rows.
enum Slot : size_t { kScheme, kTo, kScaleType, kExtraType, kRows, kColumns, kBlock, kIntCount };

template <class T>
void DecodeBlocks(const RoutineCall& call, QuantScheme scheme, int64_t begin, int64_t end) {
  const QuantSchemeInfo& info = Info(scheme);
  const auto to = static_cast<DType>(call.step.ints[kTo]);
  const auto* bytes = static_cast<const uint8_t*>(call.buffers[0]);
  T values[256];
  for (int64_t b = begin; b < end; ++b) {
    DecodeBlock(scheme, bytes + b * info.block_bytes, values);
    for (int i = 0; i < info.block_elements; ++i)
      StoreFloat(call.buffers[3], to, b * info.block_elements + i, static_cast<double>(values[i]));
  }
}

double Code(QuantScheme scheme, const void* w, int64_t at) {
  const auto nibble = [&] {
    return static_cast<uint8_t>(LoadAs<uint8_t>(w, at / 2) >> (at % 2 * 4) & 15);
  };
  switch (scheme) {
    case QuantScheme::kFp8E4M3:
      return Fp8E4M3ToF32(LoadAs<uint8_t>(w, at));
    case QuantScheme::kFp8E5M2:
      return Fp8E5M2ToF32(LoadAs<uint8_t>(w, at));
    case QuantScheme::kNvfp4:
      return Fp4E2M1ToF32(nibble());
    case QuantScheme::kInt4:
      return nibble();
    default:
      return LoadAs<int8_t>(w, at);
  }
}

void DecodeRows(const RoutineCall& call, QuantScheme scheme, int64_t begin, int64_t end) {
  const auto& ints = call.step.ints;
  const auto to = static_cast<DType>(ints[kTo]), scale_type = static_cast<DType>(ints[kScaleType]);
  const auto extra_type = static_cast<DType>(ints[kExtraType]);
  const int64_t n = ints[kColumns];
  const bool per_column = scheme == QuantScheme::kFp8E4M3 || scheme == QuantScheme::kFp8E5M2;
  const bool nvfp4 = scheme == QuantScheme::kNvfp4;
  const void *scales = call.buffers[1], *extra = call.buffers[2];
  for (int64_t p = begin; p < end; ++p) {
    for (int64_t j = 0; j < n; ++j) {
      const int64_t group = per_column ? j : p / ints[kBlock] * n + j;
      const double code = Code(scheme, call.buffers[0], p * n + j);
      double value;
      if (nvfp4) {
        value = code * Nvfp4ScaleToF32(LoadAs<uint8_t>(scales, group)) *
                LoadNumber(extra, extra_type, 0);
      } else {
        const double zero = extra != nullptr ? LoadNumber(extra, extra_type, group) : 0;
        value = (code - zero) * LoadNumber(scales, scale_type, group);
      }
      StoreFloat(call.buffers[3], to, p * n + j, value);
    }
  }
}

absl::Status Run(const RoutineCall& call) {
  const auto& ints = call.step.ints;
  const auto scheme = static_cast<QuantScheme>(ints[kScheme]);
  const int64_t row = Info(scheme).is_block() ? Info(scheme).block_elements : ints[kColumns];
  const int64_t grain = std::max<int64_t>(1, (16 << 10) / row);
  call.team.ParallelFor(0, ints[kRows], grain, [&](int64_t begin, int64_t end, int) {
    if (!Info(scheme).is_block())
      DecodeRows(call, scheme, begin, end);
    else if (static_cast<DType>(ints[kTo]) == DType::kF64)
      DecodeBlocks<double>(call, scheme, begin, end);
    else
      DecodeBlocks<float>(call, scheme, begin, end);
  });
  return absl::OkStatus();
}

std::string Refuse(const Graph&, const Node&) { return ""; }

absl::Status Lower(ProgramBuilder& out, NodeId id, const LowerTarget& target) {
  const Node& node = out.graph().node(id);
  const QuantSchemeInfo& info = Info(*ParseQuantScheme(node.Str("scheme")));
  const ProgramBuilder::Operand y = out.Out({id, 0});
  Step step{.kind = Step::Kind::kCall,
            .routine = "dequantize_blocks",
            .buffers = {-1, -1, -1, y.buffer},
            .label = Cat("dequantize_blocks %", id)};
  step.ints.assign(kIntCount, 0);
  for (size_t i = 0; i < node.operands.size(); ++i) {
    RLX_ASSIGN(const auto operand,
               device::Densify(out, {.lanes = target.lanes}, out.In(node.operands[i])));
    step.buffers[i] = operand.buffer;
    if (i > 0) step.ints[kScaleType + i - 1] = static_cast<int64_t>(operand.type.dtype);
  }
  step.ints[kScheme] = static_cast<int64_t>(info.scheme);
  step.ints[kTo] = static_cast<int64_t>(y.type.dtype);
  step.ints[kColumns] = y.dims.back();
  step.ints[kRows] = info.is_block() ? *y.type.NumElements() / info.block_elements : y.dims[0];
  step.ints[kBlock] = info.block_elements > 0 ? info.block_elements : node.Int("block");
  step.cost_bytes = *y.type.ByteSize();
  step.cost_flops = *y.type.NumElements();
  out.Emit(std::move(step));
  return absl::OkStatus();
}

constexpr Rule kRules[] = {{OpKind::kDequantizeBlocks, "decoded by blocks", Refuse, Lower}};
constexpr Routine kRoutines[] = {{"dequantize_blocks", "rRRw", kIntCount, 0, Run}};

}  // namespace

std::span<const Rule> DequantizeRules() { return kRules; }
std::span<const Routine> DequantizeRoutines() { return kRoutines; }

}  // namespace rlx::cpu
