// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/op_docs.h"

#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"

namespace rlx {
namespace {

constexpr std::string_view kIntroduction = R"(# Ops

Written from the op table by the test `OpDocs.AreUpToDate`; change the rows in `runtime/ir/ops`, then run that
test with `RLX_UPDATE_DOCS=1`.

Shapes are outermost first and row-major. Elementwise ops broadcast as numpy does. Float operands of one op
have one element type. An attribute in brackets may be left out. A composite is defined by what it decomposes
into; a back end may run it natively. What may fail a run (an index out of range, a singular matrix) fails it
where it is run alone: not in the branch that is not taken, whatever the target makes of it, and perhaps not
where no output depends on the value. The claim is the name that lists of supported ops and reports use.
)";

std::string_view Heading(OpClass op_class) {
  constexpr std::string_view kHeadings[] = {
      "Leaves",   "Elementwise", "Reduction", "Contraction",  "Normalization",
      "Movement", "Composite",   "Special",   "Control flow", "HIR blocks"};
  static_assert(std::size(kHeadings) == static_cast<size_t>(OpClass::kBlock) + 1);
  return kHeadings[static_cast<int>(op_class)];
}

std::string Count(const OpInfo& op) {
  if (op.max_operands < 0) return Cat(op.min_operands, " or more operands");
  if (op.min_operands != op.max_operands) {
    return Cat(op.min_operands, " to ", op.max_operands, " operands");
  }
  return Cat(op.min_operands, op.min_operands == 1 ? " operand" : " operands");
}

std::string Facts(const OpInfo& op) {
  std::string facts = Count(op);
  if (op.results > 1) facts += Cat(", ", op.results, " results");
  if (op.results < 0) facts += ", any number of results";
  if (op.subgraphs > 0) facts += Cat(", ", op.subgraphs, op.subgraphs == 1 ? " graph" : " graphs");
  if (op.commutative) facts += ", commutative";
  if (!op.checks.empty()) facts += ", may fail a run";
  if (op.decompose != nullptr && op.level == Stage::kMir) facts += ", decomposes";
  if (!op.claim.empty()) facts += Cat(", claim `", op.claim, "`");
  return facts;
}

std::string Fallback(const AttrSpec& spec) {
  if (const auto* i = std::get_if<int64_t>(&spec.fallback)) return Cat(*i);
  if (const auto* f = std::get_if<double>(&spec.fallback)) return Cat(*f);
  if (const auto* b = std::get_if<bool>(&spec.fallback)) return Cat(*b);
  if (const auto* s = std::get_if<std::string_view>(&spec.fallback)) return std::string(*s);
  return {};
}

std::string Attribute(const AttrSpec& spec) {
  std::string line = spec.required ? Cat("- `", spec.name, "` ") : Cat("- [`", spec.name, "`] ");
  line += Name(spec.type);
  if (const std::string fallback = Fallback(spec); !fallback.empty()) line += Cat(" = ", fallback);
  if (!spec.choices.empty()) line += Cat(" (", Join(spec.choices, ", "), ")");
  if (!spec.doc.empty()) line += Cat(": ", spec.doc);
  return line + "\n";
}

std::string Section(const OpInfo& op) {
  std::string text = Cat("\n### ", op.name, "\n\n", Facts(op), "\n");
  if (!op.doc.empty()) text += Cat("\n", op.doc, "\n");
  if (!op.attrs.empty()) text += "\n";
  for (const AttrSpec& spec : op.attrs) text += Attribute(spec);
  return text;
}

}  // namespace

std::string OpDocs() {
  std::string text(kIntroduction);
  for (int c = 0; c <= static_cast<int>(OpClass::kBlock); ++c) {
    text += Cat("\n## ", Heading(static_cast<OpClass>(c)), "\n");
    for (const OpInfo* op : AllOps()) {
      if (static_cast<int>(op->op_class) == c) text += Section(*op);
    }
  }
  return text;
}

}  // namespace rlx
