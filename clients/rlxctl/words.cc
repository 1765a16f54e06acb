// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/words.h"

#include <google/protobuf/descriptor.h>

#include "clients/rlxctl/table.h"

namespace rlx::ctl {
namespace {

// Every enum of ours has a zero value named PREFIX_UNSPECIFIED.
std::string_view Prefix(const google::protobuf::EnumDescriptor& type) {
  constexpr std::string_view kZero = "UNSPECIFIED";
  std::string_view zero = type.value(0)->name();
  return zero.ends_with(kZero) ? zero.substr(0, zero.size() - kZero.size()) : "";
}

std::string Lower(std::string_view name, std::string_view prefix) {
  if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  std::string word(name);
  for (char& c : word) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return word;
}

// Two operands as one, in brackets or as a call.
std::string Combine(v1::DimExpr::Op op, const std::string& a, const std::string& b) {
  switch (op) {
    case v1::DimExpr::OP_ADD:
      return Cat("(", a, "+", b, ")");
    case v1::DimExpr::OP_MUL:
      return Cat(a, "*", b);
    case v1::DimExpr::OP_FLOOR_DIV:
      return Cat("(", a, "/", b, ")");
    default:
      return Cat(Word(op), "(", a, ",", b, ")");
  }
}

std::string ExprText(const v1::DimExpr& expr) {
  std::vector<std::string> stack;
  for (const v1::DimExpr::Term& term : expr.terms()) {
    if (term.kind_case() == v1::DimExpr::Term::kConstant) {
      stack.push_back(Cat(term.constant()));
    } else if (term.kind_case() == v1::DimExpr::Term::kSymbol) {
      stack.push_back(term.symbol());
    } else if (stack.size() >= 2) {
      const std::string b = std::move(stack.back());
      stack.pop_back();
      stack.back() = Combine(term.op(), stack.back(), b);
    }
  }
  return stack.empty() ? "?" : stack.back();
}

}  // namespace

std::string WordOf(const google::protobuf::EnumDescriptor& type, int value) {
  const auto* found = type.FindValueByNumber(value);
  return found == nullptr ? Cat(value) : Lower(found->name(), Prefix(type));
}

absl::StatusOr<int> ValueOf(const google::protobuf::EnumDescriptor& type, std::string_view word) {
  std::string wanted(word);
  std::replace(wanted.begin(), wanted.end(), '-', '_');
  std::vector<std::string> words;
  for (int i = 0; i < type.value_count(); ++i) {
    if (type.value(i)->number() == 0) continue;
    words.push_back(Lower(type.value(i)->name(), Prefix(type)));
    if (words.back() == wanted) return type.value(i)->number();
  }
  return InvalidArgument("\"", word, "\" is none of: ", Join(words, ", "));
}

absl::StatusOr<v1::TargetSpec> ParseTarget(std::string_view text) {
  const size_t colon = text.find(':');
  v1::TargetSpec spec;
  RLX_ASSIGN(const auto device, Parse<v1::Device>(text.substr(0, colon)));
  spec.set_device(device);
  if (colon != std::string_view::npos) spec.set_profile(std::string(text.substr(colon + 1)));
  return spec;
}

std::string TargetWord(const v1::Target& target) {
  return target.profile().empty() ? Word(target.device()) : target.profile();
}

std::string WarningLines(const google::protobuf::RepeatedPtrField<std::string>& warnings) {
  std::string out;
  for (const std::string& warning : warnings) out += Cat("warning: ", Printable(warning), "\n");
  return out;
}

std::string DimText(const v1::Dim& dim) {
  switch (dim.kind_case()) {
    case v1::Dim::kValue:
      return Cat(dim.value());
    case v1::Dim::kSymbol:
      return dim.symbol();
    case v1::Dim::kExpr:
      return ExprText(dim.expr());
    default:
      return "?";
  }
}

std::string TypeText(const v1::TensorType& type) {
  return Cat(
      Word(type.dtype()), "[",
      Join(type.dims(), ",", [](std::string& out, const v1::Dim& dim) { out += DimText(dim); }),
      "]");
}

std::string TypeText(v1::DType dtype, const google::protobuf::RepeatedField<int64_t>& shape) {
  return Cat(Word(dtype), "[", Join(shape, ","), "]");
}

}  // namespace rlx::ctl
