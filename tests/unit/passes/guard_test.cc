// SPDX-License-Identifier: Apache-2.0
// Control flow that is written out computes what the module does not ask for: no run fails by it,
// and every run fails that should.
#include <cmath>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/evaluate.h"
#include "runtime/ir/op_info.h"
#include "tests/unit/passes/pass_test.h"

namespace rlx::passes {
namespace {

using Tensors = std::vector<HostTensor>;

TensorMap ByName(const Graph& graph, const Tensors& tensors) {
  TensorMap map;
  size_t next = 0;
  for (NodeId id : graph.inputs()) map.emplace(graph.node(id).name, tensors[next++]);
  return map;
}

Graph WrittenOut(Graph graph, std::set<std::string> claims = {"MatMul"}) {
  PassContext context;
  context.claims = std::move(claims);
  const absl::Status status = LowerControlFlow(graph, context);
  EXPECT_TRUE(status.ok()) << status;
  const absl::Status verified = VerifyGraph(graph);
  EXPECT_TRUE(verified.ok()) << verified << Text(graph);
  return graph;
}

// Results and failures of the two are the same.
void ExpectSameRun(const Graph& graph, const Graph& written, const Tensors& tensors) {
  const TensorMap inputs = ByName(graph, tensors);
  const auto want = Evaluate(graph, inputs), got = Evaluate(written, inputs);
  ASSERT_EQ(got.status().code(), want.status().code()) << got.status() << "\n" << want.status();
  if (!want.ok()) return;
  for (size_t i = 0; i < want->size(); ++i) {
    EXPECT_EQ((*got)[i].i, (*want)[i].i);
    for (size_t k = 0; k < (*want)[i].f.size(); ++k) {
      const double g = (*got)[i].f[k], w = (*want)[i].f[k];
      EXPECT_TRUE(g == w || (std::isnan(g) && std::isnan(w))) << g << " where " << w;
    }
  }
}

// --- Every op

// The op in the branch of an `if` on input 0; the other branch makes zeroes.
Graph InBranch(OpKind op, const OpSample& sample, bool branch) {
  Graph graph, runs, rests;
  GraphBuilder outer(graph), b(runs), zero(rests);
  std::vector<Value> operands = {outer.Input("on", {DType::kBool, {}})}, captures;
  for (size_t i = 0; i < sample.operands.size(); ++i) {
    operands.push_back(outer.Input(Cat("x", i), sample.operands[i].type));
    captures.push_back(b.Input(Cat("x", i), sample.operands[i].type));
    zero.Input(Cat("x", i), sample.operands[i].type);
  }
  const std::vector<Value> made = b.EmitAll(op, captures, sample.attrs, sample.subgraphs);
  for (const Value value : made) {
    const TensorType& type = b.type(value);
    b.Output("", value);
    zero.Output("", zero.Expand(zero.Scalar(type.dtype, 0), type.shape));
  }
  EXPECT_TRUE(b.status().ok() && zero.status().ok()) << b.status() << zero.status();
  auto yes = std::make_shared<const Graph>(std::move(runs));
  auto no = std::make_shared<const Graph>(std::move(rests));
  if (!branch) std::swap(yes, no);
  const std::vector<Value> results = outer.EmitAll(OpKind::kIf, operands, {}, {yes, no});
  for (size_t r = 0; r < results.size(); ++r) outer.Output(Cat("y", r), results[r]);
  EXPECT_TRUE(outer.status().ok()) << outer.status();
  return graph;
}

HostTensor Filled(const TensorType& type, double value) {
  const auto count = static_cast<size_t>(*type.NumElements());
  if (IsExact(type.dtype)) {
    const std::vector<int64_t> ints(count, static_cast<int64_t>(value));
    return HostTensor::FromInts(type.dtype, type.StaticDims(), ints);
  }
  const std::vector<double> doubles(type.dtype == DType::kC64 ? 2 * count : count, value);
  return HostTensor::FromDoubles(type.dtype, type.StaticDims(), doubles);
}

HostTensor Middle(const OpSample::Operand& operand) {
  return Filled(operand.type, std::floor((operand.low + operand.high) / 2));
}

// What no author would write, and what is never valid as an index, a pivot or a logit.
std::vector<double> Oddities(DType dtype) {
  if (dtype == DType::kBool) return {0, 1};
  if (IsInteger(dtype)) return {0, 100};
  return {0, NAN};
}

class RunChecks : public ::testing::TestWithParam<const OpInfo*> {};

TEST_P(RunChecks, FailOnlyWhatRuns) {
  const OpInfo& op = *GetParam();
  Rng rng(5);
  bool failed = false, may_fail = false;
  for (int round = 0; round < 16; ++round) {
    const OpSample sample = op.sample(rng);
    const bool branch = round % 2 == 0;
    const Graph graph = InBranch(op.kind, sample, branch);
    const Graph written = WrittenOut(graph);
    Tensors tensors = {Filled({DType::kBool, {}}, 0)};
    for (const OpSample::Operand& operand : sample.operands) tensors.push_back(Middle(operand));
    may_fail |= std::ranges::any_of(op.checks, [&](const RunCheck& check) {
      return check.operand < static_cast<int>(sample.operands.size());
    });
    for (size_t i = 0; i < sample.operands.size(); ++i) {
      const DType dtype = sample.operands[i].type.dtype;
      for (const double odd : Oddities(dtype)) {
        Tensors spoiled = tensors;
        spoiled[i + 1] = Filled(sample.operands[i].type, odd);
        for (const bool runs : {true, false}) {
          spoiled[0] = Filled({DType::kBool, {}}, runs == branch ? 1 : 0);
          ExpectSameRun(graph, written, spoiled);
          if (HasFatalFailure()) FAIL() << op.name << " operand " << i << " of " << odd;
          failed |= runs && !Evaluate(graph, ByName(graph, spoiled)).ok();
        }
      }
    }
  }
  EXPECT_EQ(failed, may_fail) << "the row's checks are not what the op checks";
}

std::vector<const OpInfo*> SampledOps() {
  std::vector<const OpInfo*> rows;
  for (const OpInfo* op : AllOps()) {
    const bool plain = op->op_class != OpClass::kControlFlow && op->op_class != OpClass::kLeaf;
    if (op->level == Stage::kMir && plain && op->sample != nullptr) rows.push_back(op);
  }
  return rows;
}

INSTANTIATE_TEST_SUITE_P(Ops, RunChecks, ::testing::ValuesIn(SampledOps()),
                         [](const auto& info) { return std::string(info.param->name); });

// --- Every kind of control flow

HostTensor Index(int64_t value) { return Filled({DType::kI64, {}}, static_cast<double>(value)); }
HostTensor Bool(bool value) { return Filled({DType::kBool, {}}, value ? 1 : 0); }
HostTensor Table() {
  return HostTensor::FromDoubles(DType::kF32, {4}, std::vector<double>{1, 2, 4, 8});
}

// Σ table[i] while i < n, at most 8 turns; `i` may pass the end of the table only where it runs.
constexpr std::string_view kSum = R"(mir "m" {
    %0 = input "sum" : f32[]
    %1 = input "i" : i64[]
    %2 = input "n" : i64[]
    %3 = input "table" : f32[4]
    %4 = while(%0, %1, %2, %3) {carries = 2, max_iterations = 8} graph "" {
      %0 = input "" : f32[]
      %1 = input "" : i64[]
      %2 = input "" : i64[]
      %3 = input "" : f32[4]
      %4 = lt(%1, %2)
      %5 = gather(%3, %1)
      %6 = lt(%0, %5)
      %7 = logical_or(%4, %6)
      %8 = logical_and(%4, %7)
      output "on" = %8
    } graph "" {
      %0 = input "" : f32[]
      %1 = input "" : i64[]
      %2 = input "" : i64[]
      %3 = input "" : f32[4]
      %4 = gather(%3, %1)
      %5 = add(%0, %4)
      %6 = constant {value = i64[] (1)}
      %7 = add(%1, %6)
      output "sum" = %5
      output "i" = %7
    }
    output "sum" = %4
  })";

TEST(WrittenOut, LoopsFailWhereTheyRun) {
  const Graph graph = ParseGraph(kSum), written = WrittenOut(graph);
  for (int64_t from = -1; from <= 5; ++from) {
    for (int64_t to = -1; to <= 6; ++to) {
      SCOPED_TRACE(Cat(from, " to ", to));
      ExpectSameRun(graph, written,
                    {Filled({DType::kF32, {}}, 0), Index(from), Index(to), Table()});
    }
  }
}

// What a branch does with i and a table; `result` is its last node.
struct Inner {
  std::string_view text, result;
};

// In an `if` on p, with a q beside it.
std::string Nested(const Inner& inner) {
  return Cat(R"(mir "m" {
    %0 = input "p" : bool[]
    %1 = input "q" : bool[]
    %2 = input "i" : i64[]
    %3 = input "table" : f32[4]
    %4 = if(%0, %1, %2, %3) graph "" {
      %0 = input "" : bool[]
      %1 = input "" : i64[]
      %2 = input "" : f32[4]
)",
             inner.text, "\n output \"o\" = ", inner.result, R"(
    } graph "" {
      %0 = input "" : bool[]
      %1 = input "" : i64[]
      %2 = input "" : f32[4]
      %3 = reduce_sum(%2) {axes = [0]}
      output "o" = %3
    }
    output "y" = %4
  })");
}

constexpr Inner kInner[] = {{R"(
      %3 = if(%0, %1, %2) graph "" {
        %0 = input "" : i64[]
        %1 = input "" : f32[4]
        %2 = reduce_max(%1) {axes = [0]}
        output "o" = %2
      } graph "" {
        %0 = input "" : i64[]
        %1 = input "" : f32[4]
        %2 = gather(%1, %0)
        output "o" = %2
      })",
                             "%3"},
                            {R"(
      %3 = reduce_sum(%2) {axes = [0]}
      %4 = scan(%3, %1, %2, %2) {carries = 1, sequences = 1, length = [4]} graph "" {
        %0 = input "" : f32[]
        %1 = input "" : i64[]
        %2 = input "" : f32[4]
        %3 = input "" : f32[]
        %4 = gather(%2, %1)
        %5 = mul(%4, %3)
        %6 = add(%0, %5)
        output "o" = %6
      })",
                             "%4"},
                            {R"(
      %3 = custom(%1, %2) {name = "pick"} graph "" {
        %0 = input "" : i64[]
        %1 = input "" : f32[4]
        %2 = gather(%1, %0)
        output "o" = %2
      })",
                             "%3"},
                            // Until i is 3, which it never is from 4 on.
                            {R"(
      %3 = while(%1) {carries = 1, max_iterations = 4, must_end = true} graph "" {
        %0 = input "" : i64[]
        %1 = constant {value = i64[] (3)}
        %2 = ne(%0, %1)
        output "on" = %2
      } graph "" {
        %0 = input "" : i64[]
        %1 = constant {value = i64[] (1)}
        %2 = add(%0, %1)
        output "i" = %2
      }
      %4 = gather(%2, %3))",
                             "%4"}};

TEST(WrittenOut, NestedControlFlowFailsWhereItRuns) {
  const std::set<std::string> some[] = {
      {"MatMul"}, {"MatMul", "While"}, {"MatMul", "Scan", "Custom"}, {"If", "MatMul"}};
  for (const Inner& inner : kInner) {
    const Graph graph = ParseGraph(Nested(inner));
    for (const auto& claims : some) {
      const Graph written = WrittenOut(graph, claims);
      SCOPED_TRACE(Text(written));
      for (const bool p : {true, false}) {
        for (const bool q : {true, false}) {
          for (const int64_t i : {0, 3, 4, -1, 7}) {
            SCOPED_TRACE(Cat(p, " ", q, " ", i));
            ExpectSameRun(graph, written, {Bool(p), Bool(q), Index(i), Table()});
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace rlx::passes
