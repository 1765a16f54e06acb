// SPDX-License-Identifier: Apache-2.0
#include "tests/support/oracle.h"

#include <cmath>

#include "runtime/base/status.h"

namespace rlx::test {
namespace {

using ::testing::AssertionFailure;
using ::testing::AssertionResult;
using ::testing::AssertionSuccess;

double GreatestMagnitude(const std::vector<double>& values) {
  double greatest = 0;
  for (double value : values)
    if (std::isfinite(value)) greatest = std::max(greatest, std::abs(value));
  return greatest;
}

// The error in units of what is allowed: at most 1 passes.
double ErrorOf(double got, double want, double scale, const Tolerance& tolerance) {
  if (got == want || (std::isnan(got) && std::isnan(want))) return 0;
  if (!std::isfinite(got) || !std::isfinite(want)) return INFINITY;
  const double allowed = tolerance.relative * std::abs(want) + tolerance.scale * scale;
  return allowed > 0 ? std::abs(got - want) / allowed : INFINITY;
}

AssertionResult CompareExact(const EvalTensor& got, const EvalTensor& want) {
  for (size_t k = 0; k < want.i.size(); ++k) {
    if (got.i[k] != want.i[k])
      return AssertionFailure() << "element " << k << " is " << got.i[k] << ", want " << want.i[k];
  }
  return AssertionSuccess();
}

}  // namespace

AssertionResult CompareToOracle(const EvalTensor& got, const EvalTensor& want,
                                Tolerance tolerance) {
  if (got.dtype != want.dtype || got.dims != want.dims)
    return AssertionFailure() << "type is " << Cat(got.ToHost().type()) << ", want "
                              << Cat(want.ToHost().type());
  if (IsExact(want.dtype)) return CompareExact(got, want);
  const double scale = GreatestMagnitude(want.f);
  double worst = 0;
  size_t where = 0, failures = 0;
  for (size_t k = 0; k < want.f.size(); ++k) {
    const double error = ErrorOf(got.f[k], want.f[k], scale, tolerance);
    if (error > 1) ++failures;
    if (error > worst) {
      worst = error;
      where = k;
    }
  }
  if (failures == 0) return AssertionSuccess();
  return AssertionFailure() << failures << " of " << want.f.size() << " elements differ, worst is "
                            << where << ": " << Cat(got.f[where]) << ", want " << Cat(want.f[where])
                            << " (" << worst << " times what is allowed)";
}

AssertionResult CompareToOracle(const HostTensor& got, const EvalTensor& want,
                                Tolerance tolerance) {
  return CompareToOracle(EvalTensor::From(got), want, tolerance);
}

}  // namespace rlx::test
