// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/generate/split_region.h"

#include <gtest/gtest.h>

#include <set>

#include "runtime/ir/builder.h"
#include "runtime/ir/op_info.h"

namespace rlx::device {
namespace {

TensorType Row() { return {DType::kF32, {Dim(8)}}; }

std::vector<Value> Wanted(const Graph& body) {
  std::vector<Value> wanted;
  for (const Output& output : body.outputs()) wanted.push_back(output.value);
  return wanted;
}

// Each needed node once, after what it reads; reads and writes agree with where values are made.
void ExpectSound(const Graph& body, const std::vector<RegionPiece>& pieces,
                 const PieceLimits& limits) {
  std::set<Value> written;
  std::set<NodeId> done;
  for (NodeId id : body.inputs()) written.insert({id, 0});
  for (const RegionPiece& piece : pieces) {
    std::set<Value> known(piece.reads.begin(), piece.reads.end());
    for (Value v : piece.reads) EXPECT_TRUE(written.count(v)) << "reads %" << v.node;
    for (NodeId id : piece.nodes) {
      EXPECT_TRUE(done.insert(id).second) << "twice %" << id;
      for (Value v : body.node(id).operands) {
        EXPECT_TRUE(known.count(v) || body.node(v.node).op == OpKind::kConstant) << "%" << id;
      }
      known.insert({id, 0});
    }
    written.insert(piece.writes.begin(), piece.writes.end());
    for (Value v : piece.writes) {
      EXPECT_TRUE(known.count(v) || body.node(v.node).op == OpKind::kConstant);
    }
    EXPECT_LE(static_cast<int64_t>(piece.reads.size()), limits.buffers);
    EXPECT_LE(static_cast<int64_t>(piece.writes.size()), limits.buffers);
    EXPECT_LE(static_cast<int64_t>(piece.nodes.size()), limits.work);
  }
  for (Value v : Wanted(body)) EXPECT_TRUE(written.count(v)) << "result %" << v.node;
}

Graph Chain(int nodes) {
  Graph body;
  GraphBuilder b(body);
  const Value x = b.Input("x", Row());
  Value v = x;
  for (int n = 0; n < nodes; ++n) v = n % 2 == 0 ? b.Add(v, x) : b.Mul(v, v);
  b.Output("", v);
  return body;
}

TEST(SplitRegion, LeavesAShortBodyWhole) {
  const Graph body = Chain(20);
  const auto pieces = SplitRegion(body, Wanted(body));
  ASSERT_EQ(pieces.size(), 1U);
  EXPECT_EQ(pieces[0].nodes.size(), 20U);
  ExpectSound(body, pieces, {});
}

TEST(SplitRegion, CutsAChainIntoFullPiecesThatHandOnOneValue) {
  const Graph body = Chain(100);
  const PieceLimits limits{.work = 10, .buffers = 8};
  const auto pieces = SplitRegion(body, Wanted(body), limits);
  EXPECT_EQ(pieces.size(), 10U);
  for (const RegionPiece& piece : pieces) EXPECT_EQ(piece.writes.size(), 1U);
  ExpectSound(body, pieces, limits);
}

// Level by level a tree of 256 leaves keeps them all alive; branch by branch few.
TEST(SplitRegion, OrdersATreeSoThatLittleIsAlive) {
  Graph body;
  GraphBuilder b(body);
  const Value x = b.Input("x", Row());
  std::vector<Value> level;
  for (int n = 0; n < 256; ++n) level.push_back(b.Mul(x, b.Scalar(DType::kF32, n)));
  for (; level.size() > 1; level.resize(level.size() / 2)) {
    for (size_t i = 0; i < level.size() / 2; ++i) level[i] = b.Add(level[2 * i], level[2 * i + 1]);
  }
  b.Output("", level[0]);
  const PieceLimits limits{.work = 64, .buffers = 32};
  const auto pieces = SplitRegion(body, Wanted(body), limits);
  ExpectSound(body, pieces, limits);
  size_t handed_on = 0;
  for (const RegionPiece& piece : pieces) handed_on += piece.writes.size();
  EXPECT_LE(handed_on, 4 * pieces.size());
}

TEST(SplitRegion, HoldsTheLimitOfBuffers) {
  Graph body;
  GraphBuilder b(body);
  std::vector<Value> values;
  for (int n = 0; n < 100; ++n) values.push_back(b.Input("", Row()));
  // All of them stay alive to the end.
  for (int n = 0; n < 100; ++n) values[n] = b.Unary(OpKind::kNeg, values[n]);
  Value sum = values[0];
  for (int n = 1; n < 100; ++n) sum = b.Add(sum, values[n]);
  b.Output("", sum);
  const PieceLimits limits{.work = 1000, .buffers = 7};
  const auto pieces = SplitRegion(body, Wanted(body), limits);
  ExpectSound(body, pieces, limits);
}

TEST(SplitRegion, PassesLeavesOnAndLeavesOutWhatNobodyWants) {
  Graph body;
  GraphBuilder b(body);
  const Value x = b.Input("x", Row()), one = b.Scalar(DType::kF32, 1);
  const Value sum = b.Add(x, one);
  const Value unread = b.Unary(OpKind::kExp, sum);
  for (Value v : {x, one, sum, unread}) b.Output("", v);
  const auto pieces = SplitRegion(body, {x, one, sum});
  ASSERT_EQ(pieces.size(), 1U);
  EXPECT_EQ(pieces[0].nodes, std::vector<NodeId>{sum.node});
  EXPECT_EQ(pieces[0].reads, std::vector<Value>{x});
  EXPECT_EQ(pieces[0].writes.size(), 3U);
}

}  // namespace
}  // namespace rlx::device
