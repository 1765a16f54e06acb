// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel/interpret.h"

#include <map>

#include "runtime/base/status.h"
#include "runtime/kernel/scalar.h"
#include "runtime/kernel/uniform.h"

namespace rlx::kernel {
namespace {

using Mask = std::vector<bool>;   // by lane
using Lanes = std::vector<Bits>;  // by lane

struct Memory {
  std::vector<Bits> element;
  std::vector<bool> written;
};

class Group {
 public:
  Group(const Kernel& kernel, std::span<const BufferView> buffers, std::span<const int64_t> scalars)
      : kernel_(kernel),
        buffers_(buffers),
        scalars_(scalars),
        index_(FindIndices(kernel)),
        local_(static_cast<size_t>(kernel.local)),
        value_(kernel.body.size(), Lanes(local_)) {}

  absl::Status Run(int64_t group) {
    group_ = group;
    shared_.clear();
    return Range(0, kernel_.body.size(), Mask(local_, true));
  }

 private:
  // The index of the end that closes the bracket at `open`.
  size_t Close(size_t open) const {
    size_t depth = 0;
    for (size_t at = open;; ++at) {
      const Op op = kernel_.body[at].op;
      if (op == Op::kLoop || op == Op::kIf) ++depth;
      if (op == Op::kEnd && --depth == 0) return at;
    }
  }

  absl::Status Range(size_t begin, size_t end, const Mask& on) {
    for (size_t at = begin; at < end; ++at) {
      const Op op = kernel_.body[at].op;
      if (op == Op::kLoop || op == Op::kIf) {
        const size_t close = Close(at);
        RLX_TRY(op == Op::kLoop ? Loop(at, close, on) : If(at, close, on));
        at = close;
        continue;
      }
      RLX_TRY(Annotate(Step(at, on), kernel_.name, ": %", at, " ", Name(op)));
    }
    return absl::OkStatus();
  }

  absl::Status Loop(size_t at, size_t close, const Mask& on) {
    size_t first = 0;
    while (first < local_ && !on[first]) ++first;
    if (first == local_) return absl::OkStatus();
    const Bits trips = Of(kernel_.body[at].a)[first];  // the same in every lane: verified
    for (Bits i = 0; i < trips; ++i) {
      value_[at].assign(local_, i);
      RLX_TRY(Range(at + 1, close, on));
    }
    return absl::OkStatus();
  }

  absl::Status If(size_t at, size_t close, const Mask& on) {
    Mask taken = on;
    bool any = false;
    for (size_t lane = 0; lane < local_; ++lane) {
      taken[lane] = on[lane] && Of(kernel_.body[at].a)[lane] != 0;
      any |= taken[lane];
    }
    return any ? Range(at + 1, close, taken) : absl::OkStatus();
  }

  const Lanes& Of(Value v) const { return value_[static_cast<size_t>(v.id)]; }

  absl::Status Step(size_t at, const Mask& on) {
    const Inst& inst = kernel_.body[at];
    switch (inst.op) {
      case Op::kReduceAdd:
      case Op::kReduceMul:
      case Op::kReduceMax:
      case Op::kReduceMin:
        Reduce(at);
        return absl::OkStatus();
      case Op::kShuffleXor:
        Shuffle(at);
        return absl::OkStatus();
      case Op::kStore:
        return Store(inst, on);
      case Op::kShared:
        shared_.try_emplace(static_cast<int32_t>(at), Fresh(inst.imm));
        break;
      default:
        break;
    }
    for (size_t lane = 0; lane < local_; ++lane) {
      if (on[lane]) RLX_TRY(Annotate(Lane(at, lane), "lane ", lane));
    }
    return absl::OkStatus();
  }

  static Memory Fresh(int64_t elements) {
    const auto size = static_cast<size_t>(elements);
    return {std::vector<Bits>(size), std::vector<bool>(size)};
  }

  absl::Status Lane(size_t at, size_t lane) {
    const Inst& inst = kernel_.body[at];
    Bits& out = value_[at][lane];
    switch (inst.op) {
      case Op::kConst:
        out = inst.imm;
        break;
      case Op::kScalar:
        out = ScalarArgument(inst);
        break;
      case Op::kGroupId:
        out = EncodeInt(inst.type, group_);
        if (out != group_) return Internal("group ", group_, " does not fit ", Name(inst.type));
        break;
      case Op::kLocalId:
        out = static_cast<Bits>(lane);
        break;
      case Op::kCell:
      case Op::kGet:
        out = Of(inst.a)[lane];
        break;
      case Op::kSet:
        value_[static_cast<size_t>(inst.a.id)][lane] = Of(inst.b)[lane];
        break;
      case Op::kLoad:
        return Load(inst, Of(inst.b)[lane], out);
      case Op::kBuffer:
      case Op::kShared:
      case Op::kBarrier:
        break;
      default:
        return Compute(at, lane, out);
    }
    return absl::OkStatus();
  }

  Bits ScalarArgument(const Inst& inst) const {
    return LoadScalar(inst.type, &scalars_[static_cast<size_t>(inst.imm)]);
  }

  absl::Status Compute(size_t at, size_t lane, Bits& out) {
    const Inst& inst = kernel_.body[at];
    const auto operand = [&](Value v) { return v.valid() ? Of(v)[lane] : 0; };
    const Bits a = operand(inst.a), b = operand(inst.b), c = operand(inst.c);
    const Type from = kernel_[inst.op == Op::kSelect ? inst.b : inst.a].type;
    if (index_[at]) {
      const bool narrows = inst.op == Op::kCast && EncodeInt(inst.type, a) != a;
      if (narrows || Overflows(inst.op, inst.type, a, b))
        return Internal("index arithmetic overflows");
    }
    out = Evaluate(inst.op, inst.type, from, {a, b, c});
    return absl::OkStatus();
  }

  // Halves on halves, as kernel.h says.
  void Reduce(size_t at) {
    const Inst& inst = kernel_.body[at];
    Lanes lanes = Of(inst.a);
    for (size_t half = local_ / 2; half > 0; half /= 2) {
      for (size_t lane = 0; lane < half; ++lane) {
        lanes[lane] = Evaluate(inst.op, inst.type, inst.type, {lanes[lane], lanes[lane + half], 0});
      }
    }
    value_[at].assign(local_, lanes[0]);
  }

  void Shuffle(size_t at) {
    const Inst& inst = kernel_.body[at];
    const Lanes& from = Of(inst.a);
    for (size_t lane = 0; lane < local_; ++lane) {
      value_[at][lane] = from[lane ^ static_cast<size_t>(inst.imm)];
    }
  }

  int64_t ElementsOf(const Inst& pointer) const {
    if (pointer.op == Op::kShared) return pointer.imm;
    return buffers_[static_cast<size_t>(pointer.imm)].elements;
  }

  void* Address(const Inst& pointer, Bits index) const {
    auto* base = static_cast<char*>(buffers_[static_cast<size_t>(pointer.imm)].data);
    return base + index * ByteWidth(pointer.type);
  }

  absl::Status CheckBounds(Value pointer, Bits index) const {
    const int64_t elements = ElementsOf(kernel_[pointer]);
    if (index >= 0 && index < elements) return absl::OkStatus();
    return Internal("index ", index, " outside the ", elements, " elements of %", pointer.id);
  }

  absl::Status Load(const Inst& inst, Bits index, Bits& out) {
    RLX_TRY(CheckBounds(inst.a, index));
    const Inst& pointer = kernel_[inst.a];
    if (pointer.op == Op::kBuffer) {
      out = LoadScalar(inst.type, Address(pointer, index));
      return absl::OkStatus();
    }
    const Memory& memory = shared_.at(inst.a.id);
    if (!memory.written[static_cast<size_t>(index)])
      return Internal("reads unwritten %", inst.a.id);
    out = memory.element[static_cast<size_t>(index)];
    return absl::OkStatus();
  }

  absl::Status Store(const Inst& inst, const Mask& on) {
    std::map<Bits, Bits> stored;
    for (size_t lane = 0; lane < local_; ++lane) {
      if (!on[lane]) continue;
      const Bits index = Of(inst.b)[lane], value = Of(inst.c)[lane];
      RLX_TRY(Annotate(CheckBounds(inst.a, index), "lane ", lane));
      const auto [at, fresh] = stored.emplace(index, value);
      if (!fresh && at->second != value) return Internal("lanes disagree on element ", index);
      Write(inst.a, index, value);
    }
    return absl::OkStatus();
  }

  void Write(Value pointer, Bits index, Bits value) {
    const Inst& inst = kernel_[pointer];
    if (inst.op == Op::kBuffer) return StoreScalar(inst.type, value, Address(inst, index));
    Memory& memory = shared_.at(pointer.id);
    memory.element[static_cast<size_t>(index)] = value;
    memory.written[static_cast<size_t>(index)] = true;
  }

  const Kernel& kernel_;
  std::span<const BufferView> buffers_;
  std::span<const int64_t> scalars_;
  std::vector<bool> index_;
  size_t local_;
  int64_t group_ = 0;
  std::vector<Lanes> value_;  // by instruction; of a cell, what is in it
  std::map<int32_t, Memory> shared_;
};

}  // namespace

absl::Status Interpret(const Kernel& kernel, std::span<const BufferView> buffers,
                       std::span<const int64_t> scalars, int64_t group_begin, int64_t group_end) {
  if (buffers.size() != kernel.buffers.size() || scalars.size() != kernel.scalars.size()) {
    return InvalidArgument(kernel.name, ": takes ", kernel.buffers.size(), " buffers and ",
                           kernel.scalars.size(), " scalars, not ", buffers.size(), " and ",
                           scalars.size());
  }
  if (!kernel.source.empty()) return Unimplemented(kernel.name, ": has a source of its own");
  Group group(kernel, buffers, scalars);
  for (int64_t id = group_begin; id < group_end; ++id) {
    RLX_TRY(Annotate(group.Run(id), "group ", id));
  }
  return absl::OkStatus();
}

}  // namespace rlx::kernel
