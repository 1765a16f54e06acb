// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bench/models/models.h"
#include "runtime/base/check.h"
#include "runtime/ir/builder.h"

namespace rlx::models {

// A module under construction. A network that does not build is a mistake of ours: Finish checks.
class Net {
 public:
  Net(std::string_view name, const Extents& extents, FusionPolicy policy, DType dtype = DType::kF32)
      : module_{Stage::kHir, policy, {}}, b_(module_.graph, policy), dtype_(dtype) {
    module_.graph.name = name;
    Declare(extents.batch, extents.max_batch);
    Declare(extents.seq, extents.max_seq);
  }
  Net(const Net&) = delete;
  Net& operator=(const Net&) = delete;

  GraphBuilder& b() { return b_; }
  Value Input(std::string_view name, Shape shape) { return Input(name, dtype_, std::move(shape)); }
  Value Input(std::string_view name, DType dtype, Shape shape) {
    return b_.Input(name, {dtype, std::move(shape)});
  }
  Value Param(std::string_view name, Shape shape) {
    return b_.Param(Cat(prefix_, name), {dtype_, std::move(shape)});
  }
  // What the names of params start with from here on.
  void SetPrefix(std::string prefix) { prefix_ = std::move(prefix); }
  // A block whose node carries the prefix, without its last dot, as its name.
  Value Block(OpKind op, std::vector<Value> operands, std::vector<Attr> attrs) {
    const Value out = b_.Emit(op, std::move(operands), std::move(attrs));
    if (out.valid()) module_.graph.node(out.node).name = prefix_.substr(0, prefix_.rfind('.'));
    return out;
  }
  // A symbol's range; nothing for a constant.
  void Declare(const Dim& dim, int64_t max) {
    if (const auto symbol = dim.symbol()) module_.graph.symbols[std::string(*symbol)] = {1, max};
  }
  Module Finish(std::string_view output, Value value) {
    b_.Output(output, value);
    CHECK(b_.status().ok(), module_.graph.name, ": ", Cat(b_.status()));
    return std::move(module_);
  }

 private:
  Module module_;
  GraphBuilder b_;
  DType dtype_;
  std::string prefix_;
};

}  // namespace rlx::models
