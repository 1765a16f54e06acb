// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/weight_digest.h"

#include "runtime/device/params_read.h"
#include "runtime/tensor/shape.h"

namespace rlx::engine {
namespace {

using device::Buffer;
using device::Program;
using device::Step;

class Digester {
 public:
  explicit Digester(const Program& program) : program_(program) {}

  Digest256 Run() {
    out_.Add(program_.target_fingerprint);
    const std::vector<bool> read = device::ParamsRead(program_, program_.steps);
    out_.AddInt(program_.params.size());
    for (size_t i = 0; i < read.size(); ++i) {
      const device::TensorSpec& param = program_.params[i];
      out_.Add(param.name).Add(ToString(param.type)).AddInt(read[i] ? 1 : 0);
    }
    Ints(program_.weight_slots);
    Steps(program_.weight_steps);
    if (launches_) out_.Add(program_.object);
    return out_.Finish();
  }

 private:
  void Ints(const std::vector<int64_t>& values) {
    out_.AddInt(values.size());
    for (int64_t value : values) out_.AddInt(static_cast<uint64_t>(value));
  }

  // By place, not by number: numbering is the whole program's. Constants by content.
  void BufferOf(int32_t number) {
    if (number < 0) {
      out_.Add("none");
      return;
    }
    const Buffer& buffer = program_.buffers[number];
    out_.AddInt(static_cast<uint64_t>(buffer.storage));
    if (buffer.storage == Storage::kConstant) {
      out_.Add(Sha256Of(program_.constants[buffer.index].bytes().view()));
    } else {
      out_.AddInt(static_cast<uint64_t>(buffer.index));
    }
    out_.AddInt(static_cast<uint64_t>(buffer.offset)).AddInt(static_cast<uint64_t>(buffer.bytes));
  }

  // The verified nesting of steps bounds the recursion.
  void Steps(const std::vector<Step>& steps) {
    out_.AddInt(steps.size());
    for (const Step& step : steps) {
      out_.AddInt(static_cast<uint64_t>(step.kind)).Add(step.routine);
      launches_ |= step.kind == Step::Kind::kLaunch;
      if (step.kernel >= 0) out_.Add(program_.kernels[step.kernel].name);
      out_.AddInt(static_cast<uint64_t>(step.groups));
      Ints(step.ints);
      out_.AddInt(step.floats.size());
      for (double value : step.floats) out_.AddInt(std::bit_cast<uint64_t>(value));
      out_.AddInt(step.buffers.size());
      for (int32_t buffer : step.buffers) BufferOf(buffer);
      out_.AddInt(step.bodies.size());
      for (const auto& body : step.bodies) Steps(body);
    }
  }

  const Program& program_;
  FieldHasher out_;
  bool launches_ = false;
};

}  // namespace

Digest256 WeightProgramDigest(const device::Program& program) { return Digester(program).Run(); }

}  // namespace rlx::engine
