// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/inputs.h"

#include "clients/rlxctl/failure.h"
#include "clients/rlxctl/module_file.h"
#include "clients/rlxctl/npy.h"
#include "clients/rlxctl/tensor.h"
#include "clients/rlxctl/words.h"
#include "runtime/base/checked.h"
#include "runtime/base/file.h"

namespace rlx::ctl {
namespace {

constexpr uint64_t kMaxInputBytes = INT32_MAX;  // what a message can hold
constexpr double kRange = 1;

std::optional<int64_t> Apply(v1::DimExpr::Op op, int64_t a, int64_t b) {
  switch (op) {
    case v1::DimExpr::OP_ADD:
      return CheckedAdd(a, b);
    case v1::DimExpr::OP_MUL:
      return CheckedMul(a, b);
    case v1::DimExpr::OP_FLOOR_DIV:
      return b >= 1 && a >= 0 ? std::optional(a / b) : std::nullopt;
    case v1::DimExpr::OP_MIN:
      return std::min(a, b);
    case v1::DimExpr::OP_MAX:
      return std::max(a, b);
    default:
      return std::nullopt;
  }
}

std::optional<int64_t> Extent(std::string_view symbol, const Extents& extents) {
  const auto found = extents.find(symbol);
  return found == extents.end() ? std::nullopt : std::optional(found->second);
}

std::optional<int64_t> EvaluateExpr(const v1::DimExpr& expr, const Extents& extents) {
  std::vector<int64_t> stack;
  for (const v1::DimExpr::Term& term : expr.terms()) {
    std::optional<int64_t> value;
    if (term.kind_case() == v1::DimExpr::Term::kConstant) {
      value = term.constant();
    } else if (term.kind_case() == v1::DimExpr::Term::kSymbol) {
      value = Extent(term.symbol(), extents);
    } else if (stack.size() >= 2) {
      const int64_t b = stack.back();
      stack.pop_back();
      value = Apply(term.op(), stack.back(), b);
      stack.pop_back();
    }
    if (!value) return std::nullopt;
    stack.push_back(*value);
  }
  return stack.size() == 1 ? std::optional(stack[0]) : std::nullopt;
}

absl::StatusOr<Extents> ExtentsFrom(const Flags& flags) {
  Extents extents;
  for (std::string_view text : flags.All("extent")) {
    const auto pair = SplitPair(text);
    const std::optional<int64_t> size = pair ? ParseInt(pair->second) : std::nullopt;
    if (!size || *size < 1) return Usage("--extent is SYMBOL=N, not \"", text, "\"");
    extents[pair->first] = *size;
  }
  return extents;
}

absl::StatusOr<v1::Tensor> MakeUp(const v1::Binding& input, Fill fill, uint64_t seed,
                                  const Extents& extents) {
  v1::Tensor tensor;
  std::vector<int64_t> shape;
  for (const v1::Dim& dim : input.type().dims()) {
    const std::optional<int64_t> size = EvaluateDim(dim, extents);
    if (!size) {
      return Usage("input \"", input.name(), "\" is ", TypeText(input.type()),
                   ": give its symbols sizes with --extent SYMBOL=N");
    }
    shape.push_back(*size);
  }
  tensor.set_dtype(input.type().dtype());
  tensor.mutable_shape()->Add(shape.begin(), shape.end());
  const std::optional<uint64_t> bytes = TensorBytes(tensor.dtype(), shape);
  if (!bytes || *bytes > kMaxInputBytes) {
    return ResourceExhausted("input \"", input.name(), "\" would be ",
                             TypeText(tensor.dtype(), tensor.shape()), ", more than a call holds");
  }
  AppendFilled(*tensor.mutable_data(), tensor.dtype(), *bytes / ElementBytes(tensor.dtype()), fill,
               SeedOf(seed, input.name()), kRange);
  return tensor;
}

absl::StatusOr<v1::Tensor> ReadInput(std::string_view path) {
  RLX_ASSIGN(const std::string real, RealPath(path));
  RLX_ASSIGN(const SharedBytes bytes, MapFile(real, kMaxInputBytes));
  auto tensor = ParseNpy(bytes.view());
  if (!tensor.ok()) return Annotate(tensor.status(), path);
  return tensor;
}

std::optional<Fill> FillFrom(std::string_view source) {
  if (source == "random") return Fill::kRandom;
  if (source == "zeros") return Fill::kZeros;
  if (source == "ones") return Fill::kOnes;
  return std::nullopt;
}

// --input by name; "*" stands for those without one.
absl::StatusOr<std::map<std::string_view, std::string_view>> SourcesFrom(
    const v1::Manifest& manifest, const Flags& flags) {
  std::map<std::string_view, std::string_view> sources;
  for (std::string_view text : flags.All("input")) {
    const auto pair = SplitPair(text);
    if (!pair || pair->second.empty())
      return Usage("--input is NAME=FILE.npy or NAME=random|zeros|ones, not \"", text, "\"");
    const auto& inputs = manifest.inputs();
    const bool known = pair->first == "*" ||
                       std::any_of(inputs.begin(), inputs.end(),
                                   [&](const auto& input) { return input.name() == pair->first; });
    if (!known) return InvalidArgument("the module has no input \"", pair->first, "\"");
    if (!sources.insert(*pair).second) return Usage("--input ", pair->first, " is given twice");
  }
  return sources;
}

}  // namespace

std::optional<int64_t> EvaluateDim(const v1::Dim& dim, const Extents& extents) {
  std::optional<int64_t> size;
  if (dim.has_value()) size = dim.value();
  if (dim.kind_case() == v1::Dim::kSymbol) size = Extent(dim.symbol(), extents);
  if (dim.has_expr()) size = EvaluateExpr(dim.expr(), extents);
  return size && *size >= 1 ? size : std::nullopt;
}

absl::StatusOr<std::vector<v1::NamedTensor>> MakeInputs(const v1::Manifest& manifest,
                                                        const Flags& flags) {
  RLX_ASSIGN(const auto sources, SourcesFrom(manifest, flags));
  RLX_ASSIGN(const Extents extents, ExtentsFrom(flags));
  RLX_ASSIGN(const int64_t seed, flags.Int("seed", 0, 0, INT64_MAX));
  std::vector<v1::NamedTensor> inputs;
  for (const v1::Binding& input : manifest.inputs()) {
    auto source = sources.find(input.name());
    if (source == sources.end()) source = sources.find("*");
    if (source == sources.end()) {
      return Usage("no --input for \"", input.name(), "\", which is ", TypeText(input.type()));
    }
    v1::NamedTensor& named = inputs.emplace_back();
    named.set_name(input.name());
    const std::optional<Fill> fill = FillFrom(source->second);
    RLX_ASSIGN(*named.mutable_tensor(),
               fill ? MakeUp(input, *fill, static_cast<uint64_t>(seed), extents)
                    : ReadInput(source->second));
  }
  return inputs;
}

}  // namespace rlx::ctl
