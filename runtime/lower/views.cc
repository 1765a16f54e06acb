// SPDX-License-Identifier: Apache-2.0
#include "runtime/lower/views.h"

#include <map>

#include "runtime/ir/op_info.h"

namespace rlx::lower {
namespace {

// Each reads the operand's extents and view and writes the result's strides and offset.
struct Source {
  const Node& node;
  std::vector<int64_t> from;
  std::vector<int64_t> to;
  const View& of;
};
using ViewFn = bool (*)(const Source&, View&);

bool ViewReshape(const Source& s, View& view) {
  auto strides = ReshapeStrides(s.from, s.of.strides, s.to);
  if (!strides) return false;
  view.strides = std::move(*strides);
  return true;
}

bool ViewCast(const Source& s, View& view) {
  view.strides = s.of.strides;
  return true;
}

bool ViewTranspose(const Source& s, View& view) {
  for (int64_t from : s.node.Ints("perm")) view.strides.push_back(s.of.strides[from]);
  return true;
}

bool ViewNarrow(const Source& s, View& view) {
  view.strides = s.of.strides;
  view.offset += s.node.Int("start") * s.of.strides[s.node.Int("axis")];
  return true;
}

bool ViewExpand(const Source& s, View& view) {
  const size_t lead = s.to.size() - s.from.size();
  view.strides.assign(s.to.size(), 0);
  for (size_t d = 0; d < s.from.size(); ++d) {
    if (s.from[d] == s.to[lead + d]) view.strides[lead + d] = s.of.strides[d];
  }
  return true;
}

ViewFn ViewFnFor(const Graph& graph, const Node& node) {
  static const std::map<OpKind, ViewFn> table = {{OpKind::kReshape, ViewReshape},
                                                 {OpKind::kCast, ViewCast},
                                                 {OpKind::kTranspose, ViewTranspose},
                                                 {OpKind::kNarrow, ViewNarrow},
                                                 {OpKind::kExpand, ViewExpand}};
  const auto it = table.find(node.op);
  if (it == table.end() || node.operands.empty()) return nullptr;
  if (graph.type(node.operands[0]).dtype != node.results[0].dtype) return nullptr;
  return it->second;
}

// Whether strides address `dims` as one row-major block (extents of 1 may have any stride).
bool IsDense(const std::vector<int64_t>& dims, const std::vector<int64_t>& strides) {
  const std::vector<int64_t> row_major = RowMajorStrides(dims);
  for (size_t d = 0; d < dims.size(); ++d) {
    if (dims[d] != 1 && strides[d] != row_major[d]) return false;
  }
  return true;
}

}  // namespace

std::optional<std::vector<int64_t>> ReshapeStrides(const std::vector<int64_t>& from,
                                                   const std::vector<int64_t>& strides,
                                                   const std::vector<int64_t>& to) {
  // Walk both shapes in groups of equal products; within a group the source must be contiguous.
  std::vector<int64_t> dims, steps;
  for (size_t d = 0; d < from.size(); ++d) {
    if (from[d] == 1) continue;
    dims.push_back(from[d]);
    steps.push_back(strides[d]);
  }
  std::vector<int64_t> out(to.size(), 0);
  size_t i = 0, j = 0;
  while (j < to.size()) {
    if (to[j] == 1) {
      out[j++] = 0;
      continue;
    }
    if (i == dims.size()) return std::nullopt;
    size_t i_end = i + 1, j_end = j + 1;
    int64_t from_product = dims[i], to_product = to[j];
    while (from_product != to_product) {
      if (from_product < to_product) {
        if (i_end == dims.size()) return std::nullopt;
        if (steps[i_end - 1] != steps[i_end] * dims[i_end]) return std::nullopt;
        from_product *= dims[i_end++];
      } else {
        if (j_end == to.size()) return std::nullopt;
        to_product *= to[j_end++];
      }
    }
    int64_t step = steps[i_end - 1];
    for (size_t k = j_end; k-- > j;) {
      out[k] = step;
      step *= to[k];
    }
    i = i_end;
    j = j_end;
  }
  return out;
}

std::optional<View> ViewOf(const Graph& graph, const Node& node, const View& of) {
  const ViewFn fn = ViewFnFor(graph, node);
  if (fn == nullptr) return std::nullopt;
  const Source source{node, graph.type(node.operands[0]).StaticDims(), node.results[0].StaticDims(),
                      of};
  View view{of.root, of.offset, {}, false};
  if (!fn(source, view)) return std::nullopt;
  view.dense = IsDense(source.to, view.strides);
  if (view.dense) view.strides = RowMajorStrides(source.to);
  return view;
}

}  // namespace rlx::lower
