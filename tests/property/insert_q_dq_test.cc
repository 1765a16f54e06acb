// SPDX-License-Identifier: Apache-2.0
// Taps on random graphs: where the numbers are those of codes already there nothing changes, and
// anywhere else every reader sees codes.
#include "runtime/passes/insert_q_dq.h"
#include "runtime/ir/verify.h"
#include "runtime/passes/quantized.h"
#include "tests/support/property.h"
#include "tests/support/same_results.h"

namespace rlx::passes {
namespace {

using ::testing::AssertionFailure;
using ::testing::AssertionResult;
using ::testing::AssertionSuccess;

AssertionResult Insert(Graph& graph, const std::vector<Tap>& record) {
  absl::Status status = InsertQDq(graph, record);
  if (status.ok()) status = VerifyGraph(graph);
  if (!status.ok()) return AssertionFailure() << status.ToString() << "\n" << Print(graph);
  return AssertionSuccess();
}

// Reals that stand for 8-bit codes come back as they were.
TEST(InsertQDq, KeepsWhatIsCodesAlready) {
  size_t taps = 0;
  test::CheckRandomGraphs(200, {.steps = 12}, [&](const Graph& before, Rng& rng) {
    std::vector<Tap> record;
    for (NodeId id = 0; id < before.size(); ++id) {
      const std::optional<Scaling> s = ReadDequantize(before, {id, 0});
      if (!s || s->code == DType::kI32 || s->real != DType::kF32) continue;
      record.push_back({{id, 0}, s->code, s->axis, s->scales, s->zeros});
    }
    taps += record.size();
    Graph after = before;
    AssertionResult inserted = Insert(after, record);
    return inserted ? test::SameResults(before, after, rng()) : inserted;
  });
  EXPECT_GT(taps, 20u);
}

TEST(InsertQDq, EveryReaderSeesCodes) {
  constexpr int64_t kZero = 101;  // that random graphs do not draw
  test::CheckRandomGraphs(200, {.symbolic = true}, [=](const Graph& before, Rng& rng) {
    std::vector<Tap> record;
    for (NodeId id = 0; id < before.size(); ++id) {
      if (before.type({id, 0}).dtype != DType::kF32 || rng() % 3 != 0) continue;
      const DType code = rng() % 2 == 0 ? DType::kI8 : DType::kU8;
      record.push_back({{id, 0}, code, {}, {0.01 * static_cast<double>(1 + rng() % 9)}, {kZero}});
    }
    Graph after = before;
    if (AssertionResult inserted = Insert(after, record); !inserted) return inserted;
    const Uses uses(after);
    size_t codes = 0;
    for (NodeId id = 0; id < after.size(); ++id) {
      const Node& node = after.node(id);
      if (node.op != OpKind::kQuantize || node.Ints("zero_points") != std::vector<int64_t>{kZero})
        continue;
      ++codes;
      if (uses.OnlyUser(node.operands[0]) != id)
        return AssertionFailure() << "%" << id << " is not the only reader:\n" << Print(after);
    }
    if (codes < record.size()) return AssertionFailure() << "a tap is missing:\n" << Print(after);
    return AssertionSuccess();
  });
}

}  // namespace
}  // namespace rlx::passes
