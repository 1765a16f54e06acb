// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "runtime/device/generate/loop_nest.h"

namespace rlx::device {

// Rows that lanes walk together in few steps, written out: what a lane has read stays in registers
// while the row is gone over again. A group takes a row, or each of its subgroups does, which then
// meet nowhere.
class RowSteps {
 public:
  // How a group of `lanes` is shaped for `rows` of `width`; none: a lane would keep too much.
  struct Shape {
    int lanes = 0;
    int rows = 1;  // of a group
    bool valid() const { return lanes > 0; }
    int64_t Groups(int64_t all) const { return (all + rows - 1) / rows; }
  };
  static Shape ShapeFor(const Schedule& schedule, int64_t rows, int64_t width) {
    const bool narrow = width <= int64_t{schedule.row_registers} * kernel::kSubgroup;
    if (narrow && rows >= schedule.subgroup_rows) {
      return {schedule.lanes, schedule.lanes / kernel::kSubgroup};
    }
    const int lanes = schedule.RowLanes(width);
    return width <= int64_t{schedule.row_registers} * lanes ? Shape{lanes, 1} : Shape{};
  }

  RowSteps(kernel::Builder& b, const Shape& shape, int64_t rows, int64_t width)
      : b_(b), subgroups_(shape.rows > 1) {
    using kernel::Type;
    using kernel::Value;
    Value lane = b.LocalId(Type::kI64), row = b.GroupId(Type::kI64);
    const int64_t stride = subgroups_ ? kernel::kSubgroup : b.local();
    if (subgroups_) {
      row = b.Add(b.Mul(row, b.I64(shape.rows)), b.Div(lane, b.I64(stride)));
      lane = b.Rem(lane, b.I64(stride));
      // Where rows are over, the last one is walked once more and not written.
      if (rows % shape.rows != 0) {
        exists_ = b.Lt(row, b.I64(rows));
        row = b.Min(row, b.I64(rows - 1));
      }
    }
    base_ = b.Mul(row, b.I64(width));
    for (int64_t from = 0; from < width; from += stride) {
      const Value at = b.Add(lane, b.I64(from));
      steps_.push_back({at, from + stride <= width ? Value{} : b.Lt(at, b.I64(width))});
    }
  }

  kernel::Value base() const { return base_; }  // of the row's first element

  // make(step, i) for the element i of each step; `otherwise` in lanes that have none.
  template <class Make>
  std::vector<kernel::Value> Map(kernel::Value otherwise, Make&& make) {
    std::vector<kernel::Value> values;
    for (size_t s = 0; s < steps_.size(); ++s) {
      if (!steps_[s].inside.valid()) {
        values.push_back(make(s, steps_[s].at));
        continue;
      }
      const kernel::Value cell = b_.Cell(otherwise);
      b_.If(steps_[s].inside, [&] { b_.Set(cell, make(s, steps_[s].at)); });
      values.push_back(b_.Get(cell));
    }
    return values;
  }

  // visit(step, i) where there is an element: for what is written.
  template <class Visit>
  void ForEach(Visit&& visit) {
    for (size_t s = 0; s < steps_.size(); ++s) {
      kernel::Value here = steps_[s].inside;
      if (exists_.valid()) here = here.valid() ? b_.And(here, exists_) : exists_;
      if (here.valid()) {
        b_.If(here, [&] { visit(s, steps_[s].at); });
      } else {
        visit(s, steps_[s].at);
      }
    }
  }

  // Over the row; `op` is a kReduce*.
  kernel::Value Reduce(kernel::Op op, const std::vector<kernel::Value>& values) {
    kernel::Value all = values[0];
    for (size_t s = 1; s < values.size(); ++s) all = b_.Combine(op, all, values[s]);
    if (!subgroups_) return b_.Reduce(op, all);
    for (int mask = kernel::kSubgroup / 2; mask > 0; mask /= 2) {
      all = b_.Combine(op, all, b_.ShuffleXor(all, mask));
    }
    return all;
  }

 private:
  struct Step {
    kernel::Value at, inside;  // inside invalid: always
  };
  kernel::Builder& b_;
  bool subgroups_;
  kernel::Value base_ = {}, exists_ = {};
  std::vector<Step> steps_;
};

}  // namespace rlx::device
