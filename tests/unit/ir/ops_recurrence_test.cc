// SPDX-License-Identifier: Apache-2.0
// gated_delta_net against the scalar recurrence on deterministic inputs, and both recurrences
// carried on over a cut: nothing is hidden in the op.
#include <gtest/gtest.h>

#include <cmath>

#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/ops/recurrence.h"
#include "runtime/ir/verify.h"
#include "tests/unit/ir/op_testing.h"

namespace rlx {
namespace {

HostTensor F64(std::vector<int64_t> dims, const std::vector<double>& values) {
  return HostTensor::FromDoubles(DType::kF64, std::move(dims), values);
}

HostTensor Ramp(std::vector<int64_t> dims, double start, double step) {
  int64_t size = 1;
  for (int64_t dim : dims) size *= dim;
  std::vector<double> values(size);
  for (int64_t i = 0; i < size; ++i) values[i] = start + step * static_cast<double>(i);
  return F64(std::move(dims), values);
}

// b=1, s=4, h=2, n=3, as a plain scalar program over named quantities.
TEST(GatedDeltaNet, IsTheScalarRecurrence) {
  const int s = 4, h = 2, n = 3;
  const OpCase op_case{
      OpKind::kGatedDeltaNet,
      {Ramp({1, s, h, n}, .05, .03), Ramp({1, s, h, n}, .10, .02), Ramp({1, s, h, n}, .30, .05),
       Ramp({1, s, h}, -.20, -.01), Ramp({1, s, h}, .40, .02)},
      {}};
  const auto got = EvalOp(op_case), parts = EvalParts(op_case);
  ASSERT_TRUE(got.ok()) << Message(got.status());
  ASSERT_TRUE(parts.ok()) << Message(parts.status());
  std::vector<std::vector<double>> state(h, std::vector<double>(n * n));
  for (int t = 0; t < s; ++t) {
    for (int head = 0; head < h; ++head) {
      const auto at = [&](int j) { return (t * h + head) * n + j; };
      const double g = std::exp(-.20 - .01 * (t * h + head)), beta = .40 + .02 * (t * h + head);
      std::vector<double>& S = state[head];
      for (double& x : S) x *= g;
      double d[3];
      for (int j = 0; j < n; ++j) {
        double u = 0;
        for (int i = 0; i < n; ++i) u += S[i * n + j] * (.10 + .02 * at(i));
        d[j] = (.30 + .05 * at(j) - u) * beta;
      }
      for (int i = 0; i < n; ++i)
        for (int j = 0; j < n; ++j) S[i * n + j] += (.10 + .02 * at(i)) * d[j];
      for (int j = 0; j < n; ++j) {
        double o = 0;
        for (int i = 0; i < n; ++i) o += S[i * n + j] * (.05 + .03 * at(i)) / std::sqrt(3.0);
        EXPECT_NEAR((*got)[0].f[at(j)], o, 1e-12);
        EXPECT_NEAR((*parts)[0].f[at(j)], o, 1e-12);
      }
    }
  }
  for (int head = 0; head < h; ++head)
    for (int i = 0; i < n * n; ++i)
      EXPECT_NEAR((*got)[1].f[head * n * n + i], state[head][i], 1e-12);
}

// Steps [first, first + count) of a [b, s, ..] tensor.
HostTensor Steps(const HostTensor& x, int64_t first, int64_t count) {
  const std::vector<double> all = x.ToDoubles();
  std::vector<int64_t> dims = x.dims();
  const int64_t inner = x.size() / (dims[0] * dims[1]);
  std::vector<double> kept;
  for (int64_t b = 0; b < dims[0]; ++b)
    for (int64_t k = 0; k < count * inner; ++k)
      kept.push_back(all[(b * dims[1] + first) * inner + k]);
  dims[1] = count;
  return F64(dims, kept);
}

void ExpectCarriesOn(OpKind op, const std::vector<HostTensor>& operands, int whole_operand) {
  const auto together = EvalOp({op, operands, {}});
  ASSERT_TRUE(together.ok()) << Message(together.status());
  std::vector<HostTensor> first, second;
  for (size_t i = 0; i < operands.size(); ++i) {
    const bool whole = static_cast<int>(i) == whole_operand;
    first.push_back(whole ? operands[i] : Steps(operands[i], 0, 2));
    second.push_back(whole ? operands[i] : Steps(operands[i], 2, operands[0].dims()[1] - 2));
  }
  const auto begin = EvalOp({op, first, {}});
  ASSERT_TRUE(begin.ok()) << Message(begin.status());
  second.push_back((*begin)[1].ToHost());
  const auto end = EvalOp({op, second, {}});
  ASSERT_TRUE(end.ok()) << Message(end.status());
  EXPECT_LT(MaxDifference((*end)[1], (*together)[1]), 1e-12);
  const HostTensor tail = Steps((*together)[0].ToHost(), 2, operands[0].dims()[1] - 2);
  EXPECT_LT(MaxDifference((*end)[0], EvalTensor::From(tail)), 1e-12);
}

TEST(GatedDeltaNet, CarriesItsStateOn) {
  Rng rng(1);
  const auto row = [&] { return RandomF64(rng, {2, 5, 3, 4}, -1, 1); };
  const auto gate = [&](double low, double high) { return RandomF64(rng, {2, 5, 3}, low, high); };
  ExpectCarriesOn(OpKind::kGatedDeltaNet, {row(), row(), row(), gate(-1, 0), gate(0, 1)}, -1);
}

TEST(SelectiveScan, CarriesItsStateOn) {
  Rng rng(2);
  ExpectCarriesOn(
      OpKind::kSelectiveScan,
      {RandomF64(rng, {2, 6, 3}), RandomF64(rng, {2, 6, 3}, 0, 1), RandomF64(rng, {3, 4}, -2, 0),
       RandomF64(rng, {2, 6, 4}), RandomF64(rng, {2, 6, 4})},
      2);
}

// One channel, one state, constant inputs: h_t = Σ a^i · step, a geometric series.
TEST(SelectiveScan, SumsAGeometricSeries) {
  const double delta = 0.5, a = -0.8;
  const auto same = [](double v) { return F64({1, 6, 1}, std::vector<double>(6, v)); };
  const auto got = EvalOp(
      {OpKind::kSelectiveScan, {same(3), same(delta), F64({1, 1}, {a}), same(2), same(1)}, {}});
  ASSERT_TRUE(got.ok()) << Message(got.status());
  const double r = std::exp(delta * a), step = delta * 2 * 3;
  for (int t = 0; t < 6; ++t)
    EXPECT_NEAR((*got)[0].f[t], step * (1 - std::pow(r, t + 1)) / (1 - r), 1e-12);
}

TEST(GatedDeltaNet, BatchesDoNotShareAState) {
  Rng rng(3);
  const auto twice = [](const HostTensor& x) {
    std::vector<double> values = x.ToDoubles(), both = values;
    both.insert(both.end(), values.begin(), values.end());
    std::vector<int64_t> dims = x.dims();
    dims[0] = 2;
    return F64(dims, both);
  };
  std::vector<HostTensor> operands;
  for (int i = 0; i < 3; ++i) operands.push_back(twice(RandomF64(rng, {1, 3, 2, 2}, -1, 1)));
  operands.push_back(twice(RandomF64(rng, {1, 3, 2}, -1, 0)));
  operands.push_back(twice(RandomF64(rng, {1, 3, 2}, 0, 1)));
  const auto got = EvalOp({OpKind::kGatedDeltaNet, operands, {}});
  ASSERT_TRUE(got.ok());
  const size_t half = (*got)[0].f.size() / 2;
  for (size_t k = 0; k < half; ++k) EXPECT_EQ((*got)[0].f[k], (*got)[0].f[half + k]);
}

// The op, with `length` (null: that of its operands) for the extent of the sequence, and in levels.
absl::StatusOr<Graph> WholeAndLevels(const OpCase& op_case, const Dim* length) {
  Graph graph;
  graph.symbols = {{"s", {1, 1000}}};
  GraphBuilder b(graph);
  const int64_t s = op_case.operands[0].dims()[1];
  std::vector<Value> operands;
  for (const HostTensor& x : op_case.operands) {
    TensorType type = x.type();
    const bool sequence = operands.size() < 5 && type.rank() > 2;
    if (length != nullptr && sequence && type.shape[1] == Dim(s)) type.shape[1] = *length;
    operands.push_back(b.Input(Cat("x", operands.size()), std::move(type)));
  }
  const std::vector<Value> whole = b.EmitAll(op_case.op, operands);
  RLX_TRY(b.status());
  const Node node = graph.node(whole[0].node);
  RLX_ASSIGN(const std::vector<Value> levels, DecomposeInLevels(b, node));
  for (size_t r = 0; r < whole.size(); ++r) {
    b.Output(Cat("whole", r), whole[r]);
    b.Output(Cat("levels", r), levels[r]);
  }
  RLX_TRY(b.status());
  RLX_TRY(VerifyGraph(graph));
  return graph;
}

void ExpectSameInLevels(const Graph& graph, const OpCase& op_case) {
  TensorMap inputs;
  for (size_t i = 0; i < op_case.operands.size(); ++i) inputs[Cat("x", i)] = op_case.operands[i];
  const auto got = Evaluate(graph, inputs);
  ASSERT_TRUE(got.ok()) << Message(got.status());
  EXPECT_LT(MaxDifference((*got)[0], (*got)[1]), 1e-12);
  EXPECT_LT(MaxDifference((*got)[2], (*got)[3]), 1e-12);
}

OpCase LongCase(OpKind op, int64_t s, bool state, Rng& rng) {
  const auto row = [&](std::vector<int64_t> dims) {
    return RandomF64(rng, std::move(dims), -1, 1);
  };
  const auto gate = [&](std::vector<int64_t> dims, double low, double high) {
    return RandomF64(rng, std::move(dims), low, high);
  };
  OpCase out{op, {}, {}};
  if (op == OpKind::kGatedDeltaNet) {
    out.operands = {row({2, s, 3, 4}), row({2, s, 3, 4}), row({2, s, 3, 4}), gate({2, s, 3}, -1, 0),
                    gate({2, s, 3}, 0, 0.5)};
    if (state) out.operands.push_back(row({2, 3, 4, 4}));
  } else {
    out.operands = {row({2, s, 3}), gate({2, s, 3}, 0, 1), gate({3, 4}, -2, 0), row({2, s, 4}),
                    row({2, s, 4})};
    if (state) out.operands.push_back(row({2, 3, 4}));
  }
  return out;
}

TEST(Recurrence, IsItsLevels) {
  Rng rng(11);
  const Dim symbol = Dim::Symbol("s");
  for (const OpKind op : {OpKind::kGatedDeltaNet, OpKind::kSelectiveScan}) {
    for (const int64_t s : {1, 2, 5, 8, 37}) {
      for (const bool state : {false, true}) {
        SCOPED_TRACE(Cat(Name(op), " of ", s));
        const OpCase op_case = LongCase(op, s, state, rng);
        const auto known = WholeAndLevels(op_case, nullptr);
        ASSERT_TRUE(known.ok()) << Message(known.status());
        ExpectSameInLevels(*known, op_case);
        const auto symbolic = WholeAndLevels(op_case, &symbol);
        ASSERT_TRUE(symbolic.ok()) << Message(symbolic.status());
        const auto bound = BindSymbols(*symbolic, {{"s", s}});
        ASSERT_TRUE(bound.ok()) << Message(bound.status());
        ExpectSameInLevels(*bound, op_case);
      }
    }
  }
}

// A gate that forgets everything: what decays are summed up by would lose it in -1e30.
TEST(GatedDeltaNet, ForgetsInLevelsToo) {
  Rng rng(12);
  OpCase op_case = LongCase(OpKind::kGatedDeltaNet, 9, true, rng);
  std::vector<double> gates = op_case.operands[3].ToDoubles();
  gates[12] = -INFINITY, gates[20] = -1e30;
  op_case.operands[3] = F64({2, 9, 3}, gates);
  const auto graph = WholeAndLevels(op_case, nullptr);
  ASSERT_TRUE(graph.ok()) << Message(graph.status());
  ExpectSameInLevels(*graph, op_case);
}

TEST(Recurrence, NamesWhatIsWrong) {
  const TensorType q = F32({1, 4, 2, 3}), gate = F32({1, 4, 2});
  EXPECT_EQ(WhyNot(OpKind::kGatedDeltaNet, {q, q, q, gate, gate}), "");
  EXPECT_NE(WhyNot(OpKind::kGatedDeltaNet, {q, q, q, gate, F32({1, 4, 3})}).find("beta"),
            std::string::npos);
  EXPECT_NE(WhyNot(OpKind::kGatedDeltaNet, {q, q, q, gate, gate, F32({1, 2, 3, 4})}).find("state"),
            std::string::npos);
}

}  // namespace
}  // namespace rlx
