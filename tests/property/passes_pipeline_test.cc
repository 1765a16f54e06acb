// SPDX-License-Identifier: Apache-2.0
// The whole pipeline on random graphs, for every device and under changing options.
#include "runtime/ir/all_nodes.h"
#include "runtime/ir/lower_hir.h"
#include "runtime/ir/tolerance.h"
#include "runtime/ir/verify.h"
#include "runtime/stages/pipeline.h"
#include "tests/support/expected_run.h"
#include "tests/support/oracle.h"
#include "tests/support/property.h"
#include "tests/support/random_hir.h"
#include "tests/support/random_loops.h"
#include "tests/support/random_options.h"
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

// Every buffer of the arena begins where it was asked to, and the plan says what was asked.
AssertionResult SoundPlan(const CompileResult& result) {
  const BufferPlan& plan = result.lir.plan;
  if (plan.alignment != result.options.arena_alignment) {
    return AssertionFailure() << "the plan is aligned to " << plan.alignment << ", not "
                              << result.options.arena_alignment;
  }
  for (const Assignment& at : plan.assignments) {
    if (at.storage == Storage::kArena && at.offset % plan.alignment != 0) {
      return AssertionFailure() << Cat(at.value) << " begins at " << at.offset;
    }
  }
  return AssertionSuccess();
}

AssertionResult CheckCompile(const Graph& graph, const CompileOptions& options, DeviceKind device,
                             Rng& rng, bool may_fail = false) {
  CompileRequest request;
  request.device = device;
  request.options = options;
  const auto result = CompileGraphStages(graph, request);
  if (!result.ok()) return AssertionFailure() << result.status().ToString();
  if (AssertionResult sound = SoundReport(*result); !sound) return sound;
  if (AssertionResult sound = SoundPlan(*result); !sound) return sound;
  if (result->lir.graph.aliases != graph.aliases) return AssertionFailure() << "other aliases";
  AssertionResult same = may_fail ? test::SameOutcome(graph, result->lir.graph, rng())
                                  : test::SameResults(graph, result->lir.graph, rng());
  if (!same)
    same << " on " << Name(device) << "\n" << Print(result->lir.graph, {.full_constants = false});
  return same;
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

AssertionResult UnderAnyOptions(const Graph& graph, Rng& rng) {
  const CompileOptions options = test::RandomOptions(rng);
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

// Bodies drawn as the graph around them is, nested.
TEST(Pipeline, KeepsTheMeaningOfBodiesUnderAnyOptions) {
  test::CheckRandomGraphs(150, {.steps = 8, .table = true, .loops = true}, UnderAnyOptions);
}

// What a run refuses is refused still, but for errors of what no output depends on: nothing else
// that fails is dropped, and nothing is moved out of a branch or computed behind the end of a loop.
TEST(Pipeline, KeepsTheOutcomeOfLoopsUnderAnyOptions) {
  int fails = 0;
  test::CheckGraphs(200, test::RandomLoops, [&](const Graph& graph, Rng& rng) {
    const CompileOptions options = test::RandomOptions(rng);
    const auto device = static_cast<DeviceKind>(rng() % kDeviceKindCount);
    Rng draws = rng;
    fails += test::Expect(graph, test::RandomInputs(graph, draws())).live.ok() ? 0 : 1;
    return CheckCompile(graph, options, device, rng, true);
  });
  EXPECT_GT(fails, 0);
}

// HIR of random blocks: both policies, lowered or compiled, mean what their primitives mean.
AssertionResult BlocksUnderAnyOptions(const Graph& hir, Rng& rng) {
  const CompileOptions options = test::RandomOptions(rng);
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
AssertionResult WithinTheTolerance(const Graph& graph, const CompileOptions& options, Rng& rng) {
  CompileRequest request;
  request.device = static_cast<DeviceKind>(rng() % kDeviceKindCount);
  request.options = options;
  const auto result = CompileGraphStages(graph, request);
  if (!result.ok()) return AssertionFailure() << result.status().ToString();
  const TensorMap inputs = test::RandomInputs(graph, rng());
  const auto want = Evaluate(graph, inputs), got = Evaluate(result->lir.graph, inputs);
  if (!want.ok() || !got.ok()) return AssertionFailure() << got.status().ToString();
  // Of the graph as it was, each op rounded: fusion makes the compiled one shorter.
  const Tolerance was = ToleranceOf(graph), is = ToleranceOf(result->lir.graph);
  const Tolerance tolerance = {std::max(was.relative, is.relative), std::max(was.scale, is.scale)};
  for (size_t i = 0; i < want->size(); ++i) {
    AssertionResult close = test::CompareToOracle((*got)[i], (*want)[i], tolerance);
    if (!close) return close << " in output " << i << "\n" << Print(result->lir.graph);
  }
  return AssertionSuccess();
}

AssertionResult InAnyPrecision(const Graph& graph, Rng& rng) {
  CompileOptions options = test::RandomSwitches(rng);
  test::DrawPrecision(rng, options);
  return WithinTheTolerance(graph, options, rng);
}

TEST(Pipeline, StaysWithinTheToleranceInAnyPrecision) {
  test::CheckRandomGraphs(150, {.steps = 8, .smooth = true}, InAnyPrecision);
}

TEST(Pipeline, StaysWithinTheToleranceOfNarrowFloats) {
  const auto check = [](const Graph& graph, Rng& rng) {
    return WithinTheTolerance(graph, test::RandomSwitches(rng), rng);
  };
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    test::CheckRandomGraphs(60, {.steps = 6, .dtype = dtype, .casts = false, .smooth = true},
                            check);
  }
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

// Symbols that the options bind, some of them or all, and what is left bound afterwards.
AssertionResult OfSymbolsUnderAnyOptions(const Graph& graph, Rng& rng) {
  CompileRequest request;
  request.device = static_cast<DeviceKind>(rng() % kDeviceKindCount);
  request.options = test::RandomOptions(rng);
  test::DrawBinding(graph, rng, 2, request.options);
  const auto result = CompileGraphStages(graph, request);
  if (!result.ok()) return AssertionFailure() << result.status().ToString();
  if (AssertionResult sound = SoundReport(*result); !sound) return sound;
  if (AssertionResult sound = SoundPlan(*result); !sound) return sound;
  DimBinding binding = test::RandomBinding(graph, rng);
  for (const auto& [symbol, size] : *request.options.dim_binding) {
    binding[symbol] = size;
    if (result->lir.graph.symbols.contains(symbol))
      return AssertionFailure() << symbol << " is left";
  }
  const auto before = BindSymbols(graph, binding);
  std::erase_if(binding, [&](const auto& symbol) {
    return request.options.dim_binding->contains(symbol.first);
  });
  const auto after = BindSymbols(result->lir.graph, binding);
  if (!before.ok() || !after.ok()) {
    return AssertionFailure() << before.status().ToString() << after.status().ToString();
  }
  return test::SameResults(*before, *after, rng());
}

TEST(Pipeline, KeepsTheMeaningOfSymbolsUnderAnyOptions) {
  test::CheckRandomGraphs(200, {.symbolic = true}, OfSymbolsUnderAnyOptions);
}

TEST(Pipeline, KeepsTheMeaningOfSymbolsInBodiesUnderAnyOptions) {
  test::CheckRandomGraphs(60, {.steps = 8, .symbolic = true, .loops = true},
                          OfSymbolsUnderAnyOptions);
}

// What is left unclaimed has no decomposition.
AssertionResult NothingLeftToTakeApart(const Graph& graph, Rng& rng) {
  CompileRequest request;
  request.options.supported_ops = test::RandomClaims(rng, 2);
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
