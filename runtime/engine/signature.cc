// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/signature.h"

#include <algorithm>
#include <optional>

#include "runtime/base/checked.h"
#include "runtime/base/fault.h"
#include "runtime/base/status.h"

namespace rlx::engine {
namespace {

// Client names in messages.
std::string_view Short(std::string_view name) { return name.substr(0, 64); }

std::string TypeText(DType dtype, std::span<const int64_t> dims) {
  return ToString(TensorType{dtype, Shape(dims.begin(), dims.end())});
}

bool SameType(const TensorType& type, DType dtype, std::span<const int64_t> dims) {
  return type.dtype == dtype && std::equal(type.shape.begin(), type.shape.end(), dims.begin(),
                                           dims.end(), [](const Dim& dim, int64_t extent) {
                                             return dim.is_static() && dim.value() == extent;
                                           });
}

// `what` is `input "x"` or `weight "w"`.
absl::Status CheckTensor(std::string_view what, std::string_view name, const TensorType& type,
                         DType dtype, std::span<const int64_t> dims,
                         std::span<const uint8_t> bytes) {
  if (!SameType(type, dtype, dims)) {
    return InvalidArgument(what, " \"", name, "\": ", type, " is wanted, ", TypeText(dtype, dims),
                           " given");
  }
  const auto size = type.ByteSize();
  if (!size || static_cast<uint64_t>(*size) != bytes.size()) {
    return InvalidArgument(what, " \"", name, "\": ", type, " has ", size.value_or(-1), " bytes, ",
                           bytes.size(), " given");
  }
  if (dtype == DType::kBool &&
      std::any_of(bytes.begin(), bytes.end(), [](uint8_t byte) { return byte > 1; })) {
    return InvalidArgument(what, " \"", name, "\": a bool is neither 0 nor 1");
  }
  return absl::OkStatus();
}

// The position of a name; most callers keep the declared order, so `hint` comes first.
size_t FindName(const std::vector<IoEntry>& declared, std::string_view name, size_t hint) {
  if (hint < declared.size() && declared[hint].name == name) return hint;
  const auto found = std::find_if(declared.begin(), declared.end(),
                                  [&](const IoEntry& entry) { return entry.name == name; });
  return static_cast<size_t>(found - declared.begin());
}

constexpr size_t kAbsent = SIZE_MAX;

// For each declared entry the position of its namesake among `count` given ones.
template <class NameAt>
absl::Status MatchNames(std::string_view what, const std::vector<IoEntry>& declared, size_t count,
                        const NameAt& name_at, std::vector<size_t>& order) {
  order.assign(declared.size(), kAbsent);
  for (size_t i = 0; i < count; ++i) {
    const std::string_view name = name_at(i);
    const size_t place = FindName(declared, name, i);
    if (place == declared.size()) {
      return WithReason(InvalidArgument("unknown ", what, " \"", Short(name), "\""),
                        Cat("unknown_", what));
    }
    if (order[place] != kAbsent) {
      return InvalidArgument(what, " \"", Short(name), "\" is given twice");
    }
    order[place] = i;
  }
  for (size_t i = 0; i < declared.size(); ++i) {
    if (order[i] != kAbsent) continue;
    return WithReason(InvalidArgument(what, " \"", declared[i].name, "\" is missing"),
                      Cat("missing_", what));
  }
  return absl::OkStatus();
}

// A large model has thousands of params: by name in a map instead of one by one.
absl::StatusOr<std::vector<size_t>> MatchWeights(const std::vector<IoEntry>& params,
                                                 const std::vector<WeightSource>& weights) {
  std::map<std::string_view, size_t> places;
  for (size_t i = 0; i < params.size(); ++i) places.emplace(params[i].name, i);
  std::vector<size_t> order(params.size(), kAbsent);
  for (size_t i = 0; i < weights.size(); ++i) {
    const auto place = places.find(weights[i].param);
    if (place == places.end()) {
      return WithReason(InvalidArgument("unknown weight \"", Short(weights[i].param), "\""),
                        "unknown_weight");
    }
    if (order[place->second] != kAbsent) {
      return InvalidArgument("weight \"", Short(weights[i].param), "\" is given twice");
    }
    order[place->second] = i;
  }
  for (size_t i = 0; i < params.size(); ++i) {
    if (order[i] != kAbsent) continue;
    return WithReason(InvalidArgument("weight \"", params[i].name, "\" is missing"),
                      "missing_weight");
  }
  return order;
}

// coefficient · symbol + constant, or nothing where a dim is no such thing.
struct Linear {
  std::string symbol;
  int64_t coefficient = 0, constant = 0;
};
std::optional<Linear> AsLinear(const Dim& dim) {
  if (dim.is_static()) return std::nullopt;
  Linear out;
  for (const DimTerm& term : dim.expr()->terms) {
    if (term.atoms.empty()) {
      out.constant = term.coefficient;
    } else if (term.atoms.size() == 1 && term.atoms[0].kind == DimAtom::Kind::kSymbol &&
               out.symbol.empty()) {
      out.symbol = term.atoms[0].symbol;
      out.coefficient = term.coefficient;
    } else {
      return std::nullopt;
    }
  }
  return out;
}

// The symbol's size where `dim` is `extent`; nothing where no size makes it that.
std::optional<int64_t> Solve(const Linear& linear, int64_t extent) {
  const auto rest = CheckedSub(extent, linear.constant);
  if (!rest || *rest == INT64_MIN || *rest % linear.coefficient != 0) return std::nullopt;
  const int64_t size = *rest / linear.coefficient;
  return size >= 0 ? std::optional(size) : std::nullopt;
}

// Sizes from extents and demands that are linear in one symbol without a size, as long as there are
// any.
absl::Status SolveOpen(const LirModule& lir, std::span<const NamedInput> given,
                       const std::vector<size_t>& order, DimBinding& binding) {
  const auto solve = [&](const Dim& dim, int64_t extent, std::string_view where) -> absl::Status {
    const std::optional<Linear> linear = AsLinear(dim.Bind(binding));
    if (!linear) return absl::OkStatus();
    const std::optional<int64_t> size = Solve(*linear, extent);
    if (!size) {
      return InvalidArgument(where, dim, " is wanted, ", extent, " given: no ", linear->symbol,
                             " makes it that");
    }
    binding.emplace(linear->symbol, *size);
    return absl::OkStatus();
  };
  for (size_t known = SIZE_MAX; known != binding.size();) {
    known = binding.size();
    if (known >= lir.plan.dynamic_symbols.size()) break;
    for (size_t i = 0; i < lir.plan.inputs.size(); ++i) {
      const NamedInput& input = given[order[i]];
      const Shape& shape = lir.plan.inputs[i].type.shape;
      for (size_t d = 0; d < shape.size(); ++d) {
        RLX_TRY(solve(shape[d], input.dims[d], Cat("input \"", Short(input.name), "\": ")));
      }
    }
    for (const DimConstraint& demand : lir.graph.constraints) {
      RLX_TRY(solve(demand.a - demand.b, 0, "the module: "));
    }
  }
  return absl::OkStatus();
}

class WeightReader {
 public:
  WeightReader(uint64_t max_inline_bytes, ReadBlob read, OrderedWeights& out)
      : max_inline_(max_inline_bytes), read_(read), out_(out) {}

  absl::Status Add(const WeightSource& weight) {
    if (const auto* bytes = std::get_if<SharedBytes>(&weight.source)) return AddInline(*bytes);
    return AddSlice(std::get<WeightSource::Slice>(weight.source));
  }

 private:
  absl::Status AddInline(const SharedBytes& bytes) {
    out_.inline_bytes += static_cast<int64_t>(bytes.size());
    if (static_cast<uint64_t>(out_.inline_bytes) > max_inline_) {
      return WithLimit(ResourceExhausted("inline weights have more than ", max_inline_, " bytes"),
                       "max_inline_weight_bytes", max_inline_);
    }
    out_.sources.push_back(Sha256Of(bytes.view()));
    out_.bytes.push_back(bytes);
    return absl::OkStatus();
  }

  absl::Status AddSlice(const WeightSource::Slice& slice) {
    SharedBytes& blob = blobs_[slice.blob];
    if (blob.data() == nullptr) {
      RLX_ASSIGN(blob, read_(slice.blob));
    }
    const auto end = CheckedAdd(slice.offset, slice.length);
    if (!end || *end > blob.size()) {
      return OutOfRange("[", slice.offset, ", + ", slice.length, ") is not within blob ",
                        slice.blob, " of ", blob.size(), " bytes");
    }
    out_.sources.push_back(
        FieldHasher().Add(slice.blob).AddInt(slice.offset).AddInt(slice.length).Finish());
    out_.bytes.push_back(blob.Slice(slice.offset, slice.length));
    return absl::OkStatus();
  }

  const uint64_t max_inline_;
  const ReadBlob read_;
  OrderedWeights& out_;
  std::map<Digest256, SharedBytes> blobs_;
};

}  // namespace

absl::StatusOr<OrderedWeights> OrderWeights(const std::vector<IoEntry>& params,
                                            const std::vector<WeightSource>& weights,
                                            uint64_t max_inline_bytes, ReadBlob read) {
  RLX_ASSIGN(const std::vector<size_t> order, MatchWeights(params, weights));
  OrderedWeights out;
  WeightReader reader(max_inline_bytes, read, out);
  for (size_t i = 0; i < params.size(); ++i) {
    const WeightSource& weight = weights[order[i]];
    if (!params[i].type.is_static()) {
      return FailedPrecondition("param \"", params[i].name, "\": ", params[i].type,
                                " has an unbound symbol");
    }
    if (absl::Status status = reader.Add(weight); !status.ok()) {
      return Annotate(std::move(status), "weight \"", params[i].name, "\"");
    }
    RLX_TRY(CheckTensor("weight", params[i].name, params[i].type, weight.dtype, weight.dims,
                        out.bytes.back().span()));
  }
  return out;
}

absl::Status OrderInputs(const std::vector<IoEntry>& declared, std::span<const NamedInput> given,
                         std::vector<size_t>& order) {
  return MatchNames(
      "input", declared, given.size(), [&](size_t i) { return given[i].name; }, order);
}

absl::Status CheckInput(const NamedInput& input, const TensorType& type) {
  return CheckTensor("input", input.name, type, input.dtype, input.dims, input.bytes);
}

absl::StatusOr<DimBinding> InferBinding(const LirModule& lir, std::span<const NamedInput> given,
                                        const std::vector<size_t>& order) {
  const BufferPlan& plan = lir.plan;
  DimBinding binding;
  for (size_t i = 0; i < plan.inputs.size(); ++i) {
    const TensorType& type = plan.inputs[i].type;
    const NamedInput& input = given[order[i]];
    if (input.dims.size() != type.shape.size() || input.dtype != type.dtype) {
      return InvalidArgument("input \"", input.name, "\": ", type, " is wanted, ",
                             TypeText(input.dtype, input.dims), " given");
    }
    for (size_t d = 0; d < input.dims.size(); ++d) {
      const auto symbol = type.shape[d].symbol();
      if (!symbol) continue;
      const auto [place, added] = binding.emplace(*symbol, input.dims[d]);
      if (!added && place->second != input.dims[d]) {
        return InvalidArgument("input \"", input.name, "\": ", *symbol, " is ", input.dims[d],
                               " here and ", place->second, " elsewhere");
      }
    }
  }
  RLX_TRY(SolveOpen(lir, given, order, binding));
  for (const std::string& symbol : plan.dynamic_symbols) {
    if (!binding.contains(symbol)) {
      return InvalidArgument("no input has ", symbol, " as an extent: bind it when compiling");
    }
  }
  for (size_t i = 0; i < plan.inputs.size(); ++i) {
    RLX_TRY(CheckInput(given[order[i]], plan.inputs[i].type.Bind(binding)));
  }
  return binding;
}

absl::Status OrderOutputs(const std::vector<IoEntry>& declared,
                          std::span<const std::string_view> wanted, std::vector<size_t>& order) {
  order.clear();
  for (size_t i = 0; wanted.empty() && i < declared.size(); ++i) order.push_back(i);
  for (std::string_view name : wanted) {
    const size_t place = FindName(declared, name, order.size());
    if (place == declared.size()) return InvalidArgument("unknown output \"", Short(name), "\"");
    if (std::find(order.begin(), order.end(), place) != order.end()) {
      return InvalidArgument("output \"", Short(name), "\" is asked for twice");
    }
    order.push_back(place);
  }
  return absl::OkStatus();
}

}  // namespace rlx::engine
