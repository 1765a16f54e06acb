// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "runtime/base/text.h"
#include "runtime/ir/builder.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/linear.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/quantized.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

//   x ──────────────────────────────────┐
//   w i8 [k,n] ─ dequantize(axis n) ── matmul   =>   dequant_matmul(x, w, scale [1,n], [zero])
//   w i8 [n,k] ─ dequantize(axis n) ─ transpose ─ matmul   =>   the same, of w transposed once
//
// Weights stay a byte each in memory and on their way to the product, where they would otherwise be
// expanded to floats when weights are bound. Where the other side is dequantized too, with one
// scale, and the target is a CPU, codes are multiplied by codes:
//
//   x ─ dequantize ─ matmul   =>   cast(matmul(x - zero, w - zero)) · scales, sums exact in i32
namespace rlx::passes {
namespace {

constexpr Rule kRule("dequant_matmul");

const std::vector<int64_t> kSwap = {1, 0};

// Terms of 8-bit codes less their zero points whose sum fits i32.
constexpr int64_t kMostTerms = 32768;

struct Weights {
  Scaling scaling;
  NodeId dequantize;
  NodeId transpose = -1;  // none: [k,n] as it is
};

class WeightFolding {
 public:
  WeightFolding(Graph& graph, PassContext& context)
      : graph_(graph), context_(context), rewriter_(graph, context), fixed_(WeightOnly(graph)) {}

  absl::Status Run() {
    for (NodeId id = 0; id < rewriter_.size(); ++id) {
      if (graph_.node(id).op == OpKind::kMatMul && !fixed_[id]) Try(id);
    }
    return rewriter_.Finish();
  }

 private:
  void Try(NodeId product) {
    const std::optional<Weights> w = Read(graph_.node(product).operands[1]);
    if (!w) return;
    const std::string why = WhyNot(product, *w);
    if (!why.empty()) {
      return Missed(context_, kRule, Reason::kQuantizedForm, graph_, w->dequantize,
                    Cat(Label(graph_, w->dequantize), " ", why));
    }
    const NodeId end = w->transpose < 0 ? w->dequantize : w->transpose;
    const auto [known, first] = leaks_.try_emplace(end);
    if (first) known->second = OtherReader(*w);
    if (const std::optional<Leak>& leak = known->second) {
      return Missed(context_, kRule, leak->reason, graph_, leak->at, leak->message);
    }
    if (!WouldRunIt(product, *w)) {
      return Missed(context_, kRule, Reason::kBackendRefuses, graph_, product,
                    Cat(Label(graph_, product), " would not run on packed weights"));
    }
    Fold(product, *w);
  }

  // Whatever dequantizes codes that weights alone determine.
  std::optional<Weights> Read(Value w) const {
    if (!fixed_[w.node]) return std::nullopt;
    Weights out{.scaling = {}, .dequantize = w.node};
    if (graph_.node(w.node).op == OpKind::kTranspose) {
      out.transpose = w.node;
      out.dequantize = graph_.node(w.node).operands[0].node;
    }
    const std::optional<Scaling> scaling = ReadDequantize(graph_, {out.dequantize, 0});
    if (!scaling) return std::nullopt;
    out.scaling = *scaling;
    return out;
  }

  std::string WhyNot(NodeId product, const Weights& w) const {
    const TensorType& type = graph_.type(w.scaling.value);
    if (type.dtype != DType::kI8) return Cat("has codes of ", type.dtype, ", not i8");
    if (type.rank() != 2 || !type.is_static()) return Cat("is no matrix of fixed size but ", type);
    if (w.transpose >= 0 && graph_.node(w.transpose).Ints("perm") != kSwap)
      return "is turned by a transpose that leaves rows and columns as they are";
    const int64_t columns = w.transpose < 0 ? 1 : 0;
    if (w.scaling.axis && *w.scaling.axis != columns) return "has a scale for each row of k";
    if (graph_.type(graph_.node(product).operands[0]).rank() < 2) return "meets a vector";
    return "";
  }

  // Weights that somebody else needs as floats would be kept twice.
  std::optional<Leak> OtherReader(const Weights& w) const {
    for (NodeId id : {w.dequantize, w.transpose}) {
      if (id < 0) continue;
      for (const Uses::Use& use : rewriter_.uses().of({id, 0})) {
        if (use.node < 0)
          return Leak{Reason::kGraphOutput, id,
                      Cat(Label(graph_, id), " is an output of the module")};
        const bool product = graph_.node(use.node).op == OpKind::kMatMul && use.slot == 1;
        if (product || use.node == w.transpose) continue;
        return Leak{Reason::kMultiConsumer, id,
                    Cat(Label(graph_, id), " is read by ", Label(graph_, use.node), " too")};
      }
    }
    return std::nullopt;
  }

  static bool HasZeros(const Scaling& s) {
    return std::ranges::any_of(s.zeros, [](int64_t z) { return z != 0; });
  }

  // dequantize computes in f32 at least.
  static DType NumberType(const Weights& w) {
    return IsNarrowFloat(w.scaling.real) ? DType::kF32 : w.scaling.real;
  }

  std::vector<Attr> AttrsOf(const Weights& w, int64_t k) const {
    return {{"scheme", std::string(HasZeros(w.scaling) ? "int8a" : "int8")}, {"block", k}};
  }

  bool WouldRunIt(NodeId product, const Weights& w) const {
    const auto [k, n] = Extents(w);
    const TensorType numbers{NumberType(w), {1, n}};
    std::vector<TensorType> types = {
        graph_.type(graph_.node(product).operands[0]), {DType::kI8, {k, n}}, numbers};
    if (HasZeros(w.scaling)) types.push_back(numbers);
    return WouldRun(context_, OpKind::kDequantMatMul, types, AttrsOf(w, k));
  }

  struct KN {
    int64_t k, n;
  };
  KN Extents(const Weights& w) const {
    const Shape& shape = graph_.type(w.scaling.value).shape;
    const int64_t a = shape[0].value(), b = shape[1].value();
    return w.transpose < 0 ? KN{a, b} : KN{b, a};
  }

  // The codes that the product's other side stands for.
  std::optional<Scaling> OtherCodes(NodeId product, const Weights& w) const {
    std::optional<Scaling> x = ReadDequantize(graph_, graph_.node(product).operands[0]);
    const bool narrow = x && (x->code == DType::kI8 || x->code == DType::kU8);
    if (context_.target != FusionTarget::kCpu || !narrow || !x->OneZero() || x->axis) return {};
    const bool fits = x->real == DType::kF32 && Extents(w).k <= kMostTerms;
    return fits ? x : std::nullopt;
  }

  // [n] of scales or zero points, which the weights may have one of.
  template <class Number>
  static std::vector<double> ByColumn(const Weights& w, const std::vector<Number>& numbers,
                                      int64_t n) {
    std::vector<double> out(n);
    for (int64_t j = 0; j < n; ++j)
      out[j] = static_cast<double>(numbers[static_cast<size_t>(w.scaling.axis ? j : 0)]);
    return out;
  }

  void MultiplyCodes(NodeId product, const Weights& w, const Scaling& x) {
    const int64_t n = Extents(w).n;
    Applied(
        context_, kRule, graph_, {product, w.dequantize},
        Cat(Label(graph_, product), " multiplies codes by those of ", Label(graph_, w.dequantize)),
        {.launches = 0, .bytes = 0});
    GraphBuilder& b = rewriter_.For({product});
    const auto centred = [&](Value codes, const HostTensor& zero) {
      const Value wide = b.Cast(codes, DType::kI32);
      return b.Sub(wide, b.Constant(zero));
    };
    const Value left = centred(x.value, HostTensor::FromInts(DType::kI32, {}, {*x.OneZero()}));
    const Value codes = w.transpose < 0 ? w.scaling.value : b.Transpose(w.scaling.value, kSwap);
    const Value right =
        centred(codes, HostTensor::FromDoubles(DType::kI32, {n}, ByColumn(w, w.scaling.zeros, n)));
    const Value sums = b.Cast(b.MatMul(left, right), DType::kF32);
    std::vector<double> scales = ByColumn(w, w.scaling.scales, n);
    for (double& scale : scales) scale *= x.scale(0);
    rewriter_.Replace({product, 0},
                      b.Mul(sums, b.Constant(HostTensor::FromDoubles(DType::kF32, {n}, scales))));
  }

  void Fold(NodeId product, const Weights& w) {
    if (rewriter_.Taken(product)) return;
    if (const std::optional<Scaling> x = OtherCodes(product, w)) {
      return MultiplyCodes(product, w, *x);
    }
    const auto [k, n] = Extents(w);
    const Value x = graph_.node(product).operands[0];
    Applied(context_, kRule, graph_, {product, w.dequantize},
            Cat(Label(graph_, product), " reads the codes of ", Label(graph_, w.dequantize)),
            {.launches = 0, .bytes = k * n * (ByteWidth(w.scaling.real) - 1)});
    std::vector<NodeId> replaced = {product, w.dequantize};
    if (w.transpose >= 0) replaced.push_back(w.transpose);
    GraphBuilder& b = rewriter_.For(replaced);
    Value codes = w.scaling.value;
    if (w.transpose >= 0) codes = b.Transpose(codes, kSwap);
    const auto row = [&](const std::vector<double>& numbers) {
      return b.Constant(HostTensor::FromDoubles(NumberType(w), {1, n}, numbers));
    };
    std::vector<Value> operands = {x, codes, row(ByColumn(w, w.scaling.scales, n))};
    if (HasZeros(w.scaling)) operands.push_back(row(ByColumn(w, w.scaling.zeros, n)));
    rewriter_.Replace({product, 0},
                      b.Emit(OpKind::kDequantMatMul, std::move(operands), AttrsOf(w, k)));
  }

  Graph& graph_;
  PassContext& context_;
  Rewriter rewriter_;
  const std::vector<bool> fixed_;
  std::map<NodeId, std::optional<Leak>> leaks_;  // by the last node of the weights
};

}  // namespace

absl::Status FuseDequantMatMul(Graph& graph, PassContext& context) {
  return WeightFolding(graph, context).Run();
}

extern const Pass kFuseDequantMatMulPass = {
    .name = "fuse_dequant_matmul",
    .run = FuseDequantMatMul,
    .needs = {OpKind::kMatMul},
    .gate = "DequantMatMul",
    .fusion = true,
    .after = "fuse_qdq",
    .before = "decompose_unclaimed",
    .why = "Products whose activations are floats, once those between codes are gone",
};

}  // namespace rlx::passes
