// SPDX-License-Identifier: Apache-2.0
#include <charconv>

#include "runtime/base/status.h"
#include "runtime/kernel/scalar.h"
#include "runtime/kernel/text.h"

namespace rlx::kernel {
namespace {

using Words = std::vector<std::string_view>;

Words WordsOf(std::string_view line) {
  line = line.substr(0, line.find('#'));
  Words words;
  for (std::string_view word : Split(line, ' ')) {
    if (!Trim(word).empty()) words.push_back(Trim(word));
  }
  return words;
}

class Parser {
 public:
  absl::StatusOr<Kernel> Run(std::string_view text) {
    for (std::string_view line : Split(text, '\n')) {
      ++line_;
      const Words words = WordsOf(line);
      if (words.empty()) continue;
      RLX_TRY(Line(words));
    }
    if (!named_) return InvalidArgument("kernel text has no kernel line");
    return std::move(kernel_);
  }

 private:
  template <class... Parts>
  absl::Status Error(const Parts&... parts) const {
    return InvalidArgument("kernel text, line ", line_, ": ", parts...);
  }

  absl::Status Line(const Words& words) {
    if (!named_) return Header(words);
    if (words[0] == "buffers") return Buffers(words);
    if (words[0] == "scalars") return Scalars(words);
    return Instruction(words);
  }

  absl::Status Header(const Words& words) {
    const bool fits = words.size() == 4 && words[0] == "kernel" && words[2] == "local";
    const std::optional<int64_t> local = fits ? ParseInt(words[3]) : std::nullopt;
    if (!local || *local < 1 || *local > kMaxLocal)
      return Error("want `kernel <name> local <lanes>`");
    kernel_.name = std::string(words[1]);
    kernel_.local = static_cast<int>(*local);
    named_ = true;
    return absl::OkStatus();
  }

  absl::StatusOr<Type> TypeFrom(std::string_view word) const {
    const std::optional<Type> t = ParseType(word);
    if (!t) return Error("\"", word, "\" is no type");
    return *t;
  }

  static std::string_view WithoutComma(std::string_view word) {
    return word.ends_with(',') ? word.substr(0, word.size() - 1) : word;
  }

  absl::Status Buffers(const Words& words) {
    for (size_t i = 1; i < words.size(); ++i) {
      const std::string_view word = WithoutComma(words[i]);
      if (word == "mut" && !kernel_.buffers.empty()) {
        kernel_.buffers.back().writable = true;
        continue;
      }
      RLX_ASSIGN(const Type t, TypeFrom(word));
      kernel_.buffers.push_back({t, false});
    }
    return absl::OkStatus();
  }

  absl::Status Scalars(const Words& words) {
    for (size_t i = 1; i < words.size(); ++i) {
      RLX_ASSIGN(const Type t, TypeFrom(WithoutComma(words[i])));
      kernel_.scalars.push_back(t);
    }
    return absl::OkStatus();
  }

  // [%at =] op [type] {%operand} [immediate]
  absl::Status Instruction(const Words& words) {
    size_t next = 0;
    const bool has_result = words.size() >= 4 && words[1] == "=";
    if (has_result) {
      if (words[0] != Cat("%", kernel_.body.size())) return Error("want %", kernel_.body.size());
      next = 2;
    }
    const OpInfo* info = FindOp(words[next]);
    if (info == nullptr) return Error("\"", words[next], "\" is no op");
    ++next;
    Inst inst{.op = info->op};
    if (has_result) {
      RLX_ASSIGN(inst.type, TypeFrom(words[next]));
      ++next;
    }
    RLX_TRY(Operands(words, next, *info, inst));
    RLX_TRY(Immediate(words, next, inst));
    if (next != words.size()) return Error("does not expect \"", words[next], "\"");
    kernel_.body.push_back(inst);
    return absl::OkStatus();
  }

  absl::Status Operands(const Words& words, size_t& next, const OpInfo& info, Inst& inst) {
    Value* const slots[] = {&inst.a, &inst.b, &inst.c};
    for (int i = 0; i < info.operands; ++i, ++next) {
      if (next >= words.size()) return Error(info.name, " has ", info.operands, " operands");
      std::string_view word = words[next];
      if (!word.starts_with('%')) return Error("\"", word, "\" is no operand");
      const std::optional<int64_t> id = ParseInt(word.substr(1));
      if (!id || *id < 0 || *id > std::numeric_limits<int32_t>::max()) {
        return Error("\"", word, "\" is no operand");
      }
      slots[i]->id = static_cast<int32_t>(*id);
    }
    return absl::OkStatus();
  }

  absl::Status Immediate(const Words& words, size_t& next, Inst& inst) {
    switch (inst.op) {
      case Op::kConst:
      case Op::kBuffer:
      case Op::kScalar:
      case Op::kShared:
      case Op::kShuffleXor:
        break;
      default:
        return absl::OkStatus();
    }
    if (next >= words.size()) return Error(Name(inst.op), " lacks its immediate");
    std::string_view word = words[next++];
    const bool is_float = Has(kFloats | kNarrowFloats, inst.type);
    const bool as_bits = word.starts_with("bits:");
    if (inst.op == Op::kConst && is_float && !as_bits) {
      double value = 0;
      const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
      if (error != std::errc() || end != word.data() + word.size()) {
        return Error("\"", word, "\" is no number");
      }
      inst.imm = EncodeFloat(inst.type, value);
      return absl::OkStatus();
    }
    const std::optional<int64_t> value = ParseInt(as_bits ? word.substr(5) : word);
    if (!value) return Error("\"", word, "\" is no integer");
    inst.imm = *value;
    return absl::OkStatus();
  }

  Kernel kernel_;
  int line_ = 0;
  bool named_ = false;
};

}  // namespace

absl::StatusOr<Kernel> Parse(std::string_view text) { return Parser().Run(text); }

}  // namespace rlx::kernel
