// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "runtime/device/program.h"

namespace rlx::kernel {
struct Kernel;
}

namespace rlx::device {

// What a back end sees while it lowers one node: where operands and results live, and how to emit
// steps. runtime/lower owns the program and resolves storage; Lower() emits into the step list that
// the node belongs to (the WeightProgram when the node depends on params and constants alone).
class ProgramBuilder {
 public:
  virtual ~ProgramBuilder() = default;
  virtual const Graph& graph() const = 0;
  virtual const Target& target() const = 0;

  // A value's bytes and its element strides there (dense row-major unless a strided view; buffers
  // of views begin at the view's first element).
  struct Operand {
    int32_t buffer = -1;
    TensorType type;
    std::vector<int64_t> dims;
    std::vector<int64_t> strides;  // elements, per dim
    bool dense = true;
    bool is_weight = false;  // fixed once weights are bound: may be packed
  };
  virtual Operand In(Value value) = 0;  // an operand
  // A result of the node being lowered; always dense. Buffer -1 when nothing reads it.
  virtual Operand Out(Value value) = 0;

  // A temporary that lives during this node only (arena); contents undefined.
  virtual int32_t Scratch(int64_t bytes) = 0;
  // A buffer filled once per WeightSet: `make` emits the weight steps that write it from `source`
  // (requires In(source).is_weight); the new buffer is appended to make.buffers. Asked again with
  // the same source and key (a packing format), the same buffer comes back: two users of one weight
  // pack it once.
  virtual int32_t Packed(Value source, std::string_view key, int64_t bytes, const Step& make) = 0;

  virtual void Launch(const kernel::Kernel& kernel, std::vector<int32_t> buffers,
                      std::vector<int64_t> scalars, int64_t groups, std::string label) = 0;
  virtual void Emit(Step step) = 0;
  virtual void Copy(int32_t from, int32_t to) = 0;

  // An `if`, `while` or `scan` as a Branch or Loop step around the steps of its bodies, whose nodes
  // the back end lowers in their turn: for devices that run such steps.
  virtual absl::Status ControlFlow(NodeId id) = 0;
};

}  // namespace rlx::device
