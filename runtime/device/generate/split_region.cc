// SPDX-License-Identifier: Apache-2.0
#include "runtime/device/generate/split_region.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "runtime/device/generate/emit_op.h"
#include "runtime/ir/op_info.h"

namespace rlx::device {
namespace {

using Order = std::vector<NodeId>;

// Everything is indexed by node: the ops of a body have one result each.
class Splitter {
 public:
  Splitter(const Graph& body, const std::vector<Value>& wanted, const PieceLimits& limits)
      : body_(body), limits_(limits), wanted_(body.size()), needed_(body.size()) {
    for (Value v : wanted) wanted_[v.node] = needed_[v.node] = true;
    for (NodeId id = body.size() - 1; id >= 0; --id) {
      if (!needed_[id]) continue;
      for (Value v : body.node(id).operands) needed_[v.node] = true;
    }
  }

  std::vector<RegionPiece> Run(const std::vector<Value>& wanted) {
    work_.resize(body_.size());
    Order given;
    for (NodeId id = 0; id < body_.size(); ++id) {
      if (!needed_[id] || IsLeaf(body_.node(id).op)) continue;
      work_[id] = EmittedWork(body_, body_.node(id));
      given.push_back(id);
    }
    std::vector<RegionPiece> pieces = Cut(given);
    if (pieces.size() > 1) {
      std::vector<RegionPiece> deep = Cut(DepthFirst(wanted));
      if (Traffic(deep) < Traffic(pieces)) pieces = std::move(deep);
    }
    PassLeavesOn(wanted, pieces);
    return pieces;
  }

 private:
  bool IsConstant(Value v) const { return body_.node(v.node).op == OpKind::kConstant; }
  bool IsOp(Value v) const { return !IsLeaf(body_.node(v.node).op); }

  // Registers that a tree needs when its operands are computed neediest first (Sethi and Ullman).
  std::vector<int32_t> Registers() const {
    std::vector<int32_t> count(body_.size());
    std::vector<int32_t> of;
    for (NodeId id = 0; id < body_.size(); ++id) {
      of.clear();
      for (Value v : body_.node(id).operands) of.push_back(count[v.node]);
      std::sort(of.begin(), of.end(), std::greater<>());
      count[id] = 1;
      for (size_t i = 0; i < of.size(); ++i) {
        count[id] = std::max(count[id], of[i] + static_cast<int32_t>(i));
      }
    }
    return count;
  }

  // Operands right before their reader, the neediest first. With a stack of its own: a chain is as
  // deep as the body is long.
  Order DepthFirst(const std::vector<Value>& wanted) const {
    const std::vector<int32_t> registers = Registers();
    Order order;
    std::vector<bool> done(body_.size());
    struct Visit {
      NodeId id;
      bool operands_done;
    };
    std::vector<Visit> stack;
    for (Value root : wanted) {
      stack.push_back({root.node, false});
      while (!stack.empty()) {
        const Visit visit = stack.back();
        stack.pop_back();
        if (done[visit.id] || !IsOp({visit.id, 0})) continue;
        if (visit.operands_done) {
          done[visit.id] = true;
          order.push_back(visit.id);
          continue;
        }
        stack.push_back({visit.id, true});
        const size_t first = stack.size();
        for (Value v : body_.node(visit.id).operands) stack.push_back({v.node, false});
        std::stable_sort(
            stack.begin() + static_cast<std::ptrdiff_t>(first), stack.end(),
            [&](const Visit& a, const Visit& b) { return registers[a.id] < registers[b.id]; });
      }
    }
    return order;
  }

  // By node: the place in `order` of its last reader; past the end for what is wanted.
  std::vector<size_t> LastReads(const Order& order) const {
    std::vector<size_t> last(body_.size());
    for (size_t at = 0; at < order.size(); ++at) {
      for (Value v : body_.node(order[at]).operands) last[v.node] = at;
    }
    for (NodeId id : order) {
      if (wanted_[id]) last[id] = order.size();
    }
    return last;
  }

  // By place in `order`: how many results are alive after it.
  static std::vector<int64_t> AliveAfter(const Order& order, const std::vector<size_t>& last) {
    std::vector<int64_t> ends(order.size() + 1), alive(order.size());
    for (NodeId id : order) ++ends[last[id]];
    int64_t count = 0;
    for (size_t at = 0; at < order.size(); ++at) {
      count += 1 - ends[at];
      alive[at] = count;
    }
    return alive;
  }

  std::vector<RegionPiece> Cut(const Order& order) const {
    const std::vector<size_t> last = LastReads(order);
    const std::vector<int64_t> alive = AliveAfter(order, last);
    std::vector<RegionPiece> pieces;
    std::vector<int32_t> piece_of(body_.size(), -1), read_by(body_.size(), -1);
    for (size_t begin = 0; begin < order.size();) {
      Window window{last, alive, piece_of, read_by, static_cast<int32_t>(pieces.size())};
      const size_t end = EndOf(order, begin, window);
      RegionPiece& piece = pieces.emplace_back();
      for (size_t at = begin; at < end; ++at) {
        piece.nodes.push_back(order[at]);
        if (last[order[at]] >= end) piece.writes.push_back({order[at], 0});
      }
      begin = end;
    }
    FindReads(pieces);
    return pieces;
  }

  // A piece as it grows by one node after the other.
  struct Window {
    const std::vector<size_t>& last;
    const std::vector<int64_t>& alive;
    std::vector<int32_t>& piece_of;  // by node: the piece that computes it, once one does
    std::vector<int32_t>& read_by;   // by node: the last piece that reads it from memory
    int32_t number;
    int64_t work = 0, reads = 0, writes = 0;
  };

  void Grow(Window& w, const Order& order, size_t at) const {
    w.work += work_[order[at]];
    w.piece_of[order[at]] = w.number;
    ++w.writes;
    const std::vector<Value>& operands = body_.node(order[at]).operands;
    for (auto v = operands.begin(); v != operands.end(); ++v) {
      if (IsConstant(*v) || std::find(operands.begin(), v, *v) != v) continue;
      if (w.piece_of[v->node] == w.number) {
        w.writes -= w.last[v->node] == at ? 1 : 0;
      } else if (w.read_by[v->node] != w.number) {
        w.read_by[v->node] = w.number;
        ++w.reads;
      }
    }
  }

  // Where the piece that begins at `begin` ends: of the places in the second half of its work, the
  // one after which least is alive. At least one node.
  size_t EndOf(const Order& order, size_t begin, Window& w) const {
    size_t best = begin + 1;
    for (size_t at = begin; at < order.size(); ++at) {
      Grow(w, order, at);
      if (at > begin && (w.work > limits_.work || w.reads > limits_.buffers)) return best;
      if (w.writes > limits_.buffers) continue;
      const bool early = 2 * w.work < limits_.work;
      if (early || w.alive[at] <= w.alive[best - 1]) best = at + 1;
    }
    return w.writes > limits_.buffers ? best : order.size();
  }

  void FindReads(std::vector<RegionPiece>& pieces) const {
    std::vector<int32_t> known(body_.size(), -1);  // piece that computed or read it
    for (size_t p = 0; p < pieces.size(); ++p) {
      const auto number = static_cast<int32_t>(p);
      for (NodeId id : pieces[p].nodes) {
        for (Value v : body_.node(id).operands) {
          if (known[v.node] == number || IsConstant(v)) continue;
          known[v.node] = number;
          pieces[p].reads.push_back(v);
        }
        known[id] = number;
      }
    }
  }

  // Results that are inputs or constants of the body: written by the last piece, or by more.
  void PassLeavesOn(const std::vector<Value>& wanted, std::vector<RegionPiece>& pieces) const {
    std::set<Value> leaves;
    for (Value v : wanted) {
      if (!IsOp(v)) leaves.insert(v);
    }
    for (Value v : leaves) {
      const bool full = pieces.empty() ||
                        static_cast<int64_t>(pieces.back().reads.size()) >= limits_.buffers ||
                        static_cast<int64_t>(pieces.back().writes.size()) >= limits_.buffers;
      if (full) pieces.emplace_back();
      RegionPiece& piece = pieces.back();
      piece.writes.push_back(v);
      const bool read = std::find(piece.reads.begin(), piece.reads.end(), v) != piece.reads.end();
      if (!read && !IsConstant(v)) piece.reads.push_back(v);
    }
  }

  static size_t Traffic(const std::vector<RegionPiece>& pieces) {
    return std::accumulate(pieces.begin(), pieces.end(), size_t{0},
                           [](size_t sum, const RegionPiece& piece) {
                             return sum + piece.reads.size() + piece.writes.size();
                           });
  }

  const Graph& body_;
  const PieceLimits& limits_;
  std::vector<bool> wanted_, needed_;
  std::vector<int64_t> work_;
};

}  // namespace

std::vector<RegionPiece> SplitRegion(const Graph& body, const std::vector<Value>& wanted,
                                     const PieceLimits& limits) {
  return Splitter(body, wanted, limits).Run(wanted);
}

}  // namespace rlx::device
