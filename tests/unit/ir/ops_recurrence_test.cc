// SPDX-License-Identifier: Apache-2.0
// gated_delta_net against the scalar recurrence on deterministic inputs, and both recurrences
// carried on over a cut: nothing is hidden in the op.
#include <gtest/gtest.h>

#include <cmath>

#include "runtime/base/status.h"
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
