// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel/render/render.h"

#include <cmath>
#include <limits>
#include <vector>

#include "runtime/base/status.h"
#include "runtime/kernel/render/fill.h"
#include "runtime/kernel/scalar.h"
#include "runtime/kernel/uniform.h"
#include "runtime/kernel/verify.h"

namespace rlx::kernel {
namespace {

class Walker {
 public:
  Walker(const Kernel& kernel, const Dialect& dialect)
      : kernel_(kernel),
        dialect_(dialect),
        index_(FindIndices(kernel)),
        text_(kernel.body.size()) {}

  absl::StatusOr<std::string> Run() {
    const std::string lanes = Cat(kernel_.local);
    out_ += Fill(dialect_.head, {{'k', kernel_.name}, {'n', lanes}, {'p', Parameters()}}) + "\n";
    for (size_t at = 0; at < kernel_.body.size(); ++at) {
      RLX_TRY(Annotate(Step(at), kernel_.name, ": %", at, " ", Name(kernel_.body[at].op)));
    }
    out_ += "}\n";
    return std::move(out_);
  }

 private:
  const TypeSpelling& Spelled(Type t) const { return dialect_.types[static_cast<size_t>(t)]; }
  const std::string& Of(Value v) const { return text_[static_cast<size_t>(v.id)]; }

  std::string Parameters() const {
    std::vector<std::string> list;
    for (size_t slot = 0; slot < kernel_.buffers.size(); ++slot) {
      const BufferParam& buffer = kernel_.buffers[slot];
      list.push_back(Fill(buffer.writable ? dialect_.output : dialect_.input,
                          {{'t', Spelled(buffer.type).memory}, {'k', Cat("b", slot)}}));
    }
    for (size_t slot = 0; slot < kernel_.scalars.size(); ++slot) {
      list.push_back(Fill(dialect_.scalar,
                          {{'t', Spelled(kernel_.scalars[slot]).value}, {'k', Cat("s", slot)}}));
    }
    return Join(list, dialect_.separator);
  }

  void Line(std::string_view text) {
    out_ += std::string(2 * (depth_ + 1), ' ');
    out_ += text;
    out_ += "\n";
  }

  absl::Status Step(size_t at) {
    const Inst& inst = kernel_.body[at];
    switch (inst.op) {
      case Op::kBuffer:
        text_[at] = Cat("b", inst.imm);
        break;
      case Op::kScalar:
        text_[at] = Cat("s", inst.imm);
        break;
      case Op::kConst:
        text_[at] = Literal(inst.type, inst.imm);
        break;
      case Op::kShared:
        text_[at] = Cat("m", at);
        Line(Fill(dialect_.shared,
                  {{'t', Spelled(inst.type).memory}, {'k', text_[at]}, {'n', Cat(inst.imm)}}));
        break;
      case Op::kCell:
        text_[at] = Cat("c", at);
        Line(Cat(Spelled(inst.type).value, " ", text_[at], " = ", Of(inst.a), ";"));
        break;
      case Op::kSet:
        Line(Cat(Of(inst.a), " = ", Of(inst.b), ";"));
        break;
      case Op::kLoop:
        text_[at] = Cat("v", at);
        Line(Cat("for (", Spelled(inst.type).value, " ", text_[at], " = 0; ", text_[at], " < ",
                 Of(inst.a), "; ++", text_[at], ") {"));
        ++depth_;
        break;
      case Op::kIf:
        Line(Cat("if (", Of(inst.a), ") {"));
        ++depth_;
        break;
      case Op::kEnd:
        --depth_;
        Line("}");
        break;
      case Op::kGet:
        Define(at, Of(inst.a));
        break;
      case Op::kLoad:
        Define(at, Fill(inst.type == Type::kBool ? dialect_.load_bool : dialect_.load,
                        {{'a', Of(inst.a)}, {'b', Of(inst.b)}}));
        break;
      case Op::kStore:
        Line(Fill(dialect_.store, {{'a', Of(inst.a)}, {'b', Of(inst.b)}, {'c', Of(inst.c)}}));
        break;
      case Op::kCast: {
        RLX_ASSIGN(const std::string cast, Cast(inst.type, kernel_[inst.a].type, Of(inst.a)));
        Define(at, cast);
        break;
      }
      default:
        return Spell(at);
    }
    return absl::OkStatus();
  }

  void Define(size_t at, std::string_view expression) {
    text_[at] = Cat("v", at);
    Line(Cat("const ", Spelled(kernel_.body[at].type).value, " ", text_[at], " = ", expression,
             ";"));
  }

  // Whether the plain form of index arithmetic will do.
  bool Plain(size_t at) const {
    const Inst& inst = kernel_.body[at];
    if (!index_[at]) return false;
    if (inst.op != Op::kDiv && inst.op != Op::kRem) return true;
    return kernel_[inst.b].op == Op::kConst && kernel_[inst.b].imm > 0;
  }

  absl::StatusOr<const Spelling*> Find(Op op, Type type, Type from, bool plain) const {
    for (const Spelling& row : dialect_.ops) {
      if (row.op == op && Has(row.types, type) && (from == Type::kVoid || Has(row.from, from)) &&
          (!row.index || plain)) {
        return &row;
      }
    }
    return Internal(dialect_.name, " has no word for it on ", Name(type));
  }

  absl::Status Spell(size_t at) {
    const Inst& inst = kernel_.body[at];
    const Type from = inst.a.valid() ? kernel_[inst.a].type : Type::kVoid;
    const bool compares = Info(inst.op).form == Form::kCompare;
    const Type type = compares ? from : inst.type == Type::kVoid ? Type::kI32 : inst.type;
    RLX_ASSIGN(const Spelling* row, Find(inst.op, type, from, Plain(at)));
    const auto operand = [&](Value v) { return v.valid() ? Of(v) : std::string(); };
    const uint64_t lanes = kernel_.local >= kSubgroup ? 0xffffffff : (1ull << kernel_.local) - 1;
    const std::string text = Fill(row->text, {{'a', operand(inst.a)},
                                              {'b', operand(inst.b)},
                                              {'c', operand(inst.c)},
                                              {'t', Spelled(inst.type).value},
                                              {'u', Spelled(inst.type).wrap},
                                              {'n', Cat(inst.imm)},
                                              {'f', type == Type::kF32 ? "f" : ""},
                                              {'m', Cat(lanes, "u")}});
    if (inst.type == Type::kVoid) {
      Line(text);
    } else {
      Define(at, text);
    }
    return absl::OkStatus();
  }

  // Narrow floats go by way of f32, where the row from f64 keeps what the second rounding needs.
  absl::StatusOr<std::string> Cast(Type to, Type from, const std::string& value) const {
    if (to == from) return value;
    if (Has(kNarrowFloats, from) && to != Type::kF32) {
      RLX_ASSIGN(const std::string wide, Cast(Type::kF32, from, value));
      return Cast(to, Type::kF32, wide);
    }
    if (Has(kNarrowFloats, to) && from != Type::kF32 && from != Type::kF64) {
      RLX_ASSIGN(const std::string single, Cast(Type::kF32, from, value));
      return Cast(to, Type::kF32, single);
    }
    RLX_ASSIGN(const Spelling* row, Find(Op::kCast, to, from, false));
    return Fill(row->text, {{'a', value},
                            {'t', Spelled(to).value},
                            {'u', Spelled(to).wrap},
                            {'f', from == Type::kF32 ? "f" : ""}});
  }

  std::string Literal(Type t, Bits bits) const {
    if (t == Type::kBool) return bits != 0 ? "true" : "false";
    if (Has(kFloats, t)) return FloatLiteral(t, bits);
    if (Has(kNarrow, t)) return Cat("(", Spelled(t).value, ")", bits);
    if (t == Type::kU32) return Cat(bits, "u");
    const std::string_view suffix = t == Type::kI64 ? "ll" : "";
    const int64_t lowest =
        t == Type::kI64 ? std::numeric_limits<int64_t>::min() : std::numeric_limits<int32_t>::min();
    if (bits == lowest) return Cat("(", bits + 1, suffix, " - 1)");
    return bits < 0 ? Cat("(", bits, suffix, ")") : Cat(bits, suffix);
  }

  // Shortest decimals that read back; what has none, by its bits.
  std::string FloatLiteral(Type t, Bits bits) const {
    const double value = ToDouble(t, bits);
    if (!std::isfinite(value)) {
      const bool single = t == Type::kF32;
      const std::string word = Cat(static_cast<uint64_t>(bits), single ? "u" : "ull");
      return Fill("rlx_bits<$t>($a)", {{'t', Spelled(t).value}, {'a', word}});
    }
    std::string text = t == Type::kF64 ? Cat(value) : Cat(static_cast<float>(value));
    if (text.find_first_of(".e") == text.npos) text += ".0";
    if (t == Type::kF32) text += "f";
    return std::signbit(value) ? Cat("(", text, ")") : text;
  }

  const Kernel& kernel_;
  const Dialect& dialect_;
  const std::vector<bool> index_;
  std::vector<std::string> text_;  // by instruction: how its result is called
  std::string out_;
  size_t depth_ = 0;
};

}  // namespace

absl::StatusOr<std::string> Render(std::span<const Kernel> kernels, const Dialect& dialect) {
  std::string out(dialect.prelude);
  for (const Kernel& given : kernels) {
    RLX_TRY(Verify(given));
    if (!given.source.empty()) {
      out += Cat("\n", Fill(given.source, {{'k', given.name}}));
      continue;
    }
    Kernel kernel = given;
    for (auto pass : dialect.legalize) {
      RLX_ASSIGN(kernel, pass(kernel));
    }
    RLX_TRY(Require(kernel, dialect.needs));
    RLX_ASSIGN(const std::string text, Walker(kernel, dialect).Run());
    out += Cat("\n", text);
  }
  return out;
}

}  // namespace rlx::kernel
