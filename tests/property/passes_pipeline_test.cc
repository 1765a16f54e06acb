// SPDX-License-Identifier: Apache-2.0
// The whole pipeline on random graphs, for every device and under changing options.
#include "runtime/ir/all_nodes.h"
#include "runtime/ir/lower_hir.h"
#include "runtime/ir/tolerance.h"
#include "runtime/ir/verify.h"
#include "runtime/stages/pipeline.h"
#include "tests/support/oracle.h"
#include "tests/support/property.h"
#include "tests/support/random_hir.h"
#include "tests/support/same_results.h"

namespace rlx::stages {
namespace {

using ::testing::AssertionFailure;
using ::testing::AssertionResult;
using ::testing::AssertionSuccess;

AssertionResult SoundReport(const CompileResult& result) {
  if (result.fusion.nodes_after != CountAllNodes(result.lir.graph)) {
    return AssertionFailure() << "the report counts other nodes";
  }
  for (const Remark& remark : result.fusion.remarks) {
    if (remark.pass.empty() || remark.rule.empty() || remark.message.empty()) {
      return AssertionFailure() << "an empty remark by " << remark.pass;
    }
    if ((remark.kind == Remark::Kind::kMissed) != !remark.reason.empty()) {
      return AssertionFailure() << "a miss without a reason: " << remark.message;
    }
    if (remark.bytes_saved < 0) return AssertionFailure() << "negative savings: " << remark.message;
  }
  return AssertionSuccess();
}

AssertionResult CheckCompile(const Graph& graph, const CompileOptions& options, DeviceKind device,
                             Rng& rng) {
  CompileRequest request;
  request.device = device;
  request.options = options;
  const auto result = CompileGraphStages(graph, request);
  if (!result.ok()) return AssertionFailure() << result.status().ToString();
  if (AssertionResult sound = SoundReport(*result); !sound) return sound;
  AssertionResult same = test::SameResults(graph, result->lir.graph, rng());
  if (!same)
    same << " on " << Name(device) << "\n" << Print(result->lir.graph, {.full_constants = false});
  return same;
}

// A random part of the claims of MIR ops, each taken with `chance` in four.
std::set<std::string> RandomClaims(Rng& rng, uint64_t chance) {
  std::set<std::string> claims;
  for (const OpInfo* op : AllOps()) {
    if (op->level == Stage::kMir && rng() % 4 < chance) claims.emplace(op->claim);
  }
  return claims;
}

AssertionResult OnEveryDevice(const Graph& graph, Rng& rng) {
  for (int d = 0; d < kDeviceKindCount; ++d) {
    AssertionResult same = CheckCompile(graph, {}, static_cast<DeviceKind>(d), rng);
    if (!same) return same;
  }
  return AssertionSuccess();
}

TEST(Pipeline, KeepsTheMeaningForEveryDevice) {
  test::CheckRandomGraphs(50, {.steps = 24, .table = true}, OnEveryDevice);
}

CompileOptions RandomOptions(Rng& rng) {
  CompileOptions options;
  const auto coin = [&] { return rng() % 2 == 0; };
  options.dce = coin();
  options.constant_folding = coin();
  options.fusion.skip_fusion = rng() % 4 == 0;
  options.fusion.unfuse_elementwise_regions = rng() % 4 == 0;
  if (coin()) {
    options.fusion.limits =
        FusionLimits{static_cast<uint32_t>(1 + rng() % 8), static_cast<uint32_t>(1 + rng() % 6)};
  }
  options.kernel_dispatch.policy = static_cast<DispatchPolicy>(rng() % 3);
  options.disabled_passes.emplace();
  for (const passes::Pass& pass : AllPasses()) {
    if (rng() % 6 == 0) options.disabled_passes->emplace(pass.name);
  }
  if (coin()) options.supported_ops = RandomClaims(rng, 3);
  if (coin()) options.kernel_dispatch.force_common_kinds = RandomClaims(rng, 1);
  if (coin()) options.kernel_dispatch.force_native_kinds = RandomClaims(rng, 1);
  if (coin()) options.fusion_target = static_cast<FusionTarget>(rng() % kFusionTargetCount);
  return options;
}

AssertionResult UnderAnyOptions(const Graph& graph, Rng& rng) {
  const CompileOptions options = RandomOptions(rng);
  return CheckCompile(graph, options, static_cast<DeviceKind>(rng() % kDeviceKindCount), rng);
}

TEST(Pipeline, KeepsTheMeaningUnderAnyOptions) {
  test::CheckRandomGraphs(500, {.steps = 24, .table = true}, UnderAnyOptions);
}

TEST(Pipeline, KeepsTheMeaningOfWhatExportersWrite) {
  test::CheckRandomGraphs(150, {.steps = 12, .exported = true}, UnderAnyOptions);
}

TEST(Pipeline, KeepsTheMeaningOfDoublesUnderAnyOptions) {
  test::CheckRandomGraphs(100, {.dtype = DType::kF64, .table = true}, UnderAnyOptions);
}

// HIR of random blocks: both policies, lowered or compiled, mean what their primitives mean.
AssertionResult BlocksUnderAnyOptions(const Graph& hir, Rng& rng) {
  const CompileOptions options = RandomOptions(rng);
  const auto device = static_cast<DeviceKind>(rng() % kDeviceKindCount);
  const auto plain = LowerHir({Stage::kHir, FusionPolicy::kFusable, hir});
  if (!plain.ok()) return AssertionFailure() << plain.status().ToString();
  for (const FusionPolicy policy : {FusionPolicy::kDirect, FusionPolicy::kFusable}) {
    CompileRequest request;
    request.device = device;
    request.options = options;
    const auto result = CompileModuleStages({Stage::kHir, policy, hir}, request);
    if (!result.ok()) return AssertionFailure() << result.status().ToString();
    if (AssertionResult sound = SoundReport(*result); !sound) return sound;
    AssertionResult same = test::SameResults(*plain, result->lir.graph, rng());
    if (!same) return same << "\n" << Print(result->lir.graph, {.full_constants = false});
  }
  return AssertionSuccess();
}

TEST(Pipeline, KeepsTheMeaningOfBlocksUnderAnyOptions) {
  const auto make = [](uint64_t seed) {
    return test::RandomHir(seed, FusionPolicy::kFusable).graph;
  };
  test::CheckGraphs(150, make, BlocksUnderAnyOptions);
}

// With a precision asked for, results stay within what its types allow.
AssertionResult InAnyPrecision(const Graph& graph, Rng& rng) {
  CompileRequest request;
  request.device = static_cast<DeviceKind>(rng() % kDeviceKindCount);
  request.options.policy = PrecisionPolicy{static_cast<PrecisionPolicyKind>(rng() % 5), {}};
  const auto result = CompileGraphStages(graph, request);
  if (!result.ok()) return AssertionFailure() << result.status().ToString();
  const TensorMap inputs = test::RandomInputs(graph, rng());
  const auto want = Evaluate(graph, inputs), got = Evaluate(result->lir.graph, inputs);
  if (!want.ok() || !got.ok()) return AssertionFailure() << got.status().ToString();
  // Of the graph as it was, each op rounded: fusion makes the compiled one shorter.
  Tolerance tolerance = ToleranceOf(result->lir.graph);
  for (size_t i = 0; i < want->size(); ++i) {
    AssertionResult close = test::CompareToOracle((*got)[i], (*want)[i], tolerance);
    if (!close) return close << " in output " << i << "\n" << Print(result->lir.graph);
  }
  return AssertionSuccess();
}

TEST(Pipeline, StaysWithinTheToleranceInAnyPrecision) {
  test::CheckRandomGraphs(100, {.steps = 8, .smooth = true}, InAnyPrecision);
}

// Compiled with symbols and bound afterwards, or bound at once: the same results.
AssertionResult BoundLaterOrAtOnce(const Graph& graph, Rng& rng) {
  const DimBinding binding = test::RandomBinding(graph, rng);
  const auto bound = BindSymbols(graph, binding);
  if (!bound.ok()) return AssertionFailure() << bound.status().ToString();
  CompileRequest request;
  const auto symbolic = CompileGraphStages(graph, request);
  if (!symbolic.ok()) return AssertionFailure() << symbolic.status().ToString();
  const auto later = symbolic->Specialize(binding, nullptr, {});
  if (!later.ok()) return AssertionFailure() << later.status().ToString();
  request.options.dim_binding = binding;
  const auto at_once = CompileGraphStages(graph, request);
  if (!at_once.ok()) return AssertionFailure() << at_once.status().ToString();
  if (!later->lir.plan.dynamic_symbols.empty()) return AssertionFailure() << "a symbol is left";
  const uint64_t seed = rng();
  if (AssertionResult same = test::SameResults(*bound, later->lir.graph, seed); !same) return same;
  return test::SameResults(*bound, at_once->lir.graph, seed);
}

TEST(Pipeline, KeepsTheMeaningOfSymbols) {
  test::CheckRandomGraphs(150, {.symbolic = true}, BoundLaterOrAtOnce);
}

// What is left unclaimed has no decomposition.
AssertionResult NothingLeftToTakeApart(const Graph& graph, Rng& rng) {
  CompileRequest request;
  request.options.supported_ops = RandomClaims(rng, 2);
  const auto result = CompileGraphStages(graph, request);
  if (!result.ok()) return AssertionFailure() << result.status().ToString();
  for (const Node& node : result->lir.graph.nodes()) {
    const OpInfo& op = Info(node.op);
    const bool claimed = request.options.supported_ops->count(std::string(op.claim)) > 0;
    if (!claimed && op.decompose != nullptr) return AssertionFailure() << op.name << " is left";
  }
  return AssertionSuccess();
}

TEST(Pipeline, LeavesNothingUnclaimedThatCanBeTakenApart) {
  test::CheckRandomGraphs(150, {}, NothingLeftToTakeApart);
}

}  // namespace
}  // namespace rlx::stages
