// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/ir/python_ops.h"

#include <algorithm>
#include <sstream>
#include <vector>

#include "runtime/base/text.h"
#include "runtime/ir/op_info.h"

namespace rlx {
namespace {

constexpr std::string_view kHead = R"(# SPDX-License-Identifier: Apache-2.0
# fmt: off
# ruff: noqa
"""Ops as methods, written from the server's op table by the test `OpDocs.PythonBuildersAreComplete`.

Change the rows in `runtime/ir/ops`, then run that test with `RLX_UPDATE_DOCS=1`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from rlxd.dims import Shape
from rlxd.dtypes import DType
from rlxd.graph import Attrs, Graph, Value, dims
from rlxd.tensors import to_wire


def _given(*operands: Value | None) -> tuple[Value, ...]:
    return tuple(value for value in operands if value is not None)
)";

// What a row's sentence says of its operands: "(x [m,k], w[, bias [n]], rest…): ...".
struct Operand {
  std::string name;
  bool optional = false;
  bool variadic = false;
};

// "w u8 [k,n]" is w, "zero point or global scale" is zero_point.
std::string NameIn(std::string_view text) {
  std::string name;
  for (std::string_view word : Split(text.substr(0, text.find('[')), ' ')) {
    if (word == "or") break;
    const bool type = word == "bool" || (word.size() > 1 && word.find_first_of("iuf") == 0 &&
                                         word.find_first_not_of("0123456789", 1) == word.npos);
    if (!word.empty() && !type) name += Cat(name.empty() ? "" : "_", word);
  }
  return name;
}

// Empty when the sentence does not begin so, or does not agree with the row.
std::vector<Operand> OperandsOf(const OpInfo& op) {
  constexpr std::string_view kMore = "…";
  const std::string_view doc = op.doc;
  std::vector<Operand> out;
  std::string text;
  bool optional = false;
  int depth = 0;  // of shapes
  const auto end = [&] {
    const bool variadic = text.ends_with(kMore);
    if (variadic) text.resize(text.size() - kMore.size());
    const std::string name = NameIn(text);
    if (!name.empty()) out.push_back({.name = name, .optional = optional, .variadic = variadic});
    text.clear();
  };
  size_t at = 1;
  for (; doc.starts_with('(') && at < doc.size() && (depth > 0 || doc[at] != ')'); ++at) {
    const bool opens = doc[at] == '[';
    if (depth == 0 && opens && doc.substr(at + 1).starts_with(',')) {
      end();
      optional = true;
      ++at;
    } else if (depth == 0 && (doc[at] == ',' || doc[at] == ']')) {
      end();
      if (doc[at] == ']') optional = false;
    } else {
      depth += opens ? 1 : doc[at] == ']' ? -1 : 0;
      text += doc[at];
    }
  }
  end();
  const auto needed = std::count_if(out.begin(), out.end(), [](const Operand& operand) {
    return !operand.optional && !operand.variadic;
  });
  const bool variadic = !out.empty() && out.back().variadic;
  const bool agrees =
      variadic ? op.max_operands < 0
               : needed == op.min_operands && static_cast<int>(out.size()) == op.max_operands;
  if (!agrees) return {};
  for (Operand& operand : out) {  // an attribute of that name says how to read it
    const bool taken = std::any_of(op.attrs.begin(), op.attrs.end(),
                                   [&](const AttrSpec& spec) { return spec.name == operand.name; });
    if (taken) operand.name += "_values";
  }
  return out;
}

std::string PythonType(const AttrSpec& spec) {
  switch (spec.type) {
    case AttrType::kInt:
      return "int";
    case AttrType::kFloat:
      return "float";
    case AttrType::kBool:
      return "bool";
    case AttrType::kString: {
      if (spec.choices.empty()) return "str";
      std::string choices;
      for (std::string_view choice : spec.choices) {
        choices += Cat(choices.empty() ? "" : ", ", "\"", choice, "\"");
      }
      return Cat("Literal[", choices, "]");
    }
    case AttrType::kInts:
      return "Sequence[int]";
    case AttrType::kFloats:
      return "Sequence[float]";
    case AttrType::kDType:
      return "DType | str";
    case AttrType::kShape:
      return "Shape";
    case AttrType::kTensor:
      return "npt.ArrayLike";
  }
  return "";
}

// An int where a float is meant is one on the wire, too.
std::string Converted(const AttrSpec& spec, const std::string& name) {
  switch (spec.type) {
    case AttrType::kFloat:
      return Cat("float(", name, ")");
    case AttrType::kFloats:
      return Cat("[float(v) for v in ", name, "]");
    case AttrType::kDType:
      return Cat("DType.of(", name, ")");
    case AttrType::kShape:
      return Cat("dims(", name, ")");
    case AttrType::kTensor:
      return Cat("to_wire(np.asarray(", name, "))");
    default:
      return name;
  }
}

bool Exists(const std::vector<Operand>& operands, std::string_view name) {
  return std::any_of(operands.begin(), operands.end(),
                     [&](const Operand& operand) { return operand.name == name; });
}

// The items between brackets: in one line where it is not long, else a line each.
std::string Listed(std::string_view open, const std::vector<std::string>& items,
                   std::string_view close, std::string_view indent) {
  const std::string line = Cat(open, Join(items, ", "), close);
  if (line.size() <= 98) return line;
  std::string out = Cat(open, "\n");
  for (const std::string& item : items) out += Cat(indent, "    ", item, ",\n");
  return Cat(out, indent, close);
}

// One method.
class Method {
 public:
  explicit Method(const OpInfo& op) : op_(op), operands_(OperandsOf(op)) {}

  std::string Text() {
    Operands();
    Attributes();
    std::vector<std::string> parameters = parameters_;
    if (!keywords_.empty() && !star_) parameters.emplace_back("*");
    parameters.insert(parameters.end(), keywords_.begin(), keywords_.end());
    const bool several = op_.results > 1;
    const std::string end = Cat(") -> ", several ? "tuple[Value, ...]" : "Value", ":");
    std::string out =
        Cat("\n", Listed(Cat("    def ", PythonName(op_.name), "("), parameters, end, "    "), "\n",
            Doc());
    if (!attributes_.empty()) {
      out += Cat(Listed("        attrs: Attrs = {", attributes_, "}", "        "), "\n");
    }
    out += Cat("        ", several ? "first = " : "return ", "self.emit(\"", op_.name, "\", ",
               emitted_, attributes_.empty() ? "" : ", attrs", ")\n");
    if (several) {
      out += Cat("        return tuple(self.result(first, i) for i in range(", op_.results, "))\n");
    }
    return out;
  }

 private:
  void Operands() {
    parameters_.emplace_back("self");
    if (operands_.empty()) {
      star_ = true;
      parameters_.emplace_back("*operands: Value");
      emitted_ = "operands";
      return;
    }
    std::vector<std::string> names;
    for (const Operand& operand : operands_) {
      names.push_back(operand.name);
      if (operand.variadic) {
        parameters_.push_back(Cat(operand.name, ": Sequence[Value]"));
        names.back() = Cat("*", operand.name);
      } else if (operand.optional) {
        keywords_.push_back(Cat(operand.name, ": Value | None = None"));
      } else {
        parameters_.push_back(Cat(operand.name, ": Value"));
      }
    }
    const bool optional = !keywords_.empty();
    emitted_ = optional ? Cat("_given(", Join(names, ", "), ")")
                        : Cat("(", Join(names, ", "), names.size() == 1 ? ",)" : ")");
  }

  void Attributes() {
    std::vector<std::string> optional;
    for (const AttrSpec& spec : op_.attrs) {
      const std::string wire = std::string(spec.name);
      // Whether an operand is there is not said twice.
      if (wire.starts_with("has_") && Exists(operands_, wire.substr(4))) {
        attributes_.push_back(Cat("\"", wire, "\": ", wire.substr(4), " is not None"));
        continue;
      }
      const std::string name = PythonName(wire);
      const std::string value = Converted(spec, name);
      if (spec.required) {
        keywords_.insert(keywords_.begin() + required_++, Cat(name, ": ", PythonType(spec)));
        attributes_.push_back(Cat("\"", wire, "\": ", value));
      } else {
        optional.push_back(Cat(name, ": ", PythonType(spec), " | None = None"));
        attributes_.push_back(
            Cat("\"", wire,
                "\": ", value == name ? value : Cat("None if ", name, " is None else ", value)));
      }
    }
    keywords_.insert(keywords_.end(), optional.begin(), optional.end());
  }

  std::string Doc() const {
    std::string sentence(op_.doc);
    const size_t colon = sentence.find("): ");
    if (!operands_.empty() && colon != sentence.npos) sentence.erase(0, colon + 3);
    std::string out = Cat("        r\"\"\"", sentence, ".");
    for (const AttrSpec& spec : op_.attrs) {
      if (spec.name.starts_with("has_") && Exists(operands_, spec.name.substr(4))) continue;
      out += Cat("\n\n        ", spec.name, ": ", spec.doc, ".");
    }
    return out + (op_.attrs.empty() ? "\"\"\"\n" : "\n        \"\"\"\n");
  }

  const OpInfo& op_;
  const std::vector<Operand> operands_;
  std::vector<std::string> parameters_, keywords_, attributes_;
  std::string emitted_;
  int required_ = 0;
  bool star_ = false;
};

std::string Class(std::string_view name, std::string_view doc, Stage level,
                  const std::set<std::string>& written) {
  std::string out = Cat("\n\nclass ", name, "(Graph):\n    \"\"\"", doc, "\"\"\"\n");
  for (const OpInfo* op : AllOps()) {
    const bool plain = op->subgraphs == 0 && !IsLeaf(op->kind);
    if (op->level == level && plain && !written.contains(PythonName(op->name))) {
      out += Method(*op).Text();
    }
  }
  return out;
}

}  // namespace

std::string PythonName(std::string_view op) {
  constexpr std::string_view kKeywords[] = {"and", "as",     "assert", "for", "if",   "in",   "is",
                                            "not", "lambda", "or",     "try", "with", "while"};
  if (op.starts_with("hir.")) return Cat(op.substr(4), "_block");
  const bool keyword =
      std::find(std::begin(kKeywords), std::end(kKeywords), op) != std::end(kKeywords);
  return keyword ? Cat(op, "_") : std::string(op);
}

std::set<std::string> MethodsOf(const std::string& source) {
  std::set<std::string> out;
  std::istringstream lines(source);
  constexpr std::string_view kDef = "    def ";
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(kDef)) continue;
    out.insert(line.substr(kDef.size(), line.find('(') - kDef.size()));
  }
  return out;
}

std::string PythonOps(const std::set<std::string>& written) {
  return Cat(kHead, Class("MirOps", "Tensor ops.", Stage::kMir, written),
             Class("HirOps", "Blocks.", Stage::kHir, written));
}

}  // namespace rlx
