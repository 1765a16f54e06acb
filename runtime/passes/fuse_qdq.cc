// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "runtime/base/text.h"
#include "runtime/ir/builder.h"
#include "runtime/passes/analysis.h"
#include "runtime/passes/linear.h"
#include "runtime/passes/passes.h"
#include "runtime/passes/quantized.h"
#include "runtime/passes/remarks.h"
#include "runtime/passes/rewriter.h"

//   x i8 ─ dequantize ──┐
//   w i8 ─ dequantize ─ matmul | conv ─ [add dequantized i32 bias] ─ [relu] ─ quantize i8
//                       =>   qmatmul | qconv2d(x, w, bias) {multipliers = sx·sw / sy}
//
// The bias may be the convolution's own operand instead, never both.
// Sums are exact in i32 and rounded once, where the floats rounded at every step: a result may
// differ by one code where the real number lies next to the middle between two. relu goes where
// codes end at the zero point, since saturation does the same.
namespace rlx::passes {
namespace {

constexpr Rule kRule("quantized_product");

// Terms of 8-bit codes less their zero points whose sum, with a bias, fits i32.
constexpr int64_t kMostTerms = 16384;

// What was found from the quantize node upwards.
struct Product {
  NodeId node = -1;
  bool conv = false;
  Scaling x, w, y;
  Value bias;                 // real, then its i32; invalid: none
  bool two_biases = false;    // the convolution's own, and one added
  std::vector<NodeId> nodes;  // the quantize node first
};

struct Refused {
  Reason reason;
  std::string message;
};

class QdqFusion {
 public:
  QdqFusion(Graph& graph, PassContext& context)
      : graph_(graph), context_(context), rewriter_(graph, context) {}

  absl::Status Run() {
    for (NodeId id = 0; id < rewriter_.size(); ++id) {
      if (graph_.node(id).op == OpKind::kQuantize) Try(id);
    }
    return rewriter_.Finish();
  }

 private:
  void Try(NodeId root) {
    Product p;
    if (!Read(root, p)) return;
    if (!context_.Accepts(p.conv ? "QConv2d" : "QMatMul")) return;
    std::optional<Refused> refused = Check(p);
    if (refused) {
      return Missed(context_, kRule, refused->reason, graph_, p.node,
                    Cat(Label(graph_, p.node), " ", refused->message));
    }
    if (const std::optional<Leak> leak = FindLeak(graph_, rewriter_.uses(), p.nodes)) {
      return Missed(context_, kRule, leak->reason, graph_, leak->at, leak->message);
    }
    if (!rewriter_.AnyTaken(p.nodes)) Fuse(root, p);
  }

  bool Read(NodeId root, Product& p) const {
    p.y = *ReadQuantize(graph_, {root, 0});
    p.nodes = {root};
    Value at = p.y.value;
    if (graph_.node(at.node).op == OpKind::kRelu && EndsAtZero(p.y)) at = Enter(at, p);
    if (graph_.node(at.node).op == OpKind::kAdd) {
      const Node& add = graph_.node(at.node);
      const int side = IsProduct(add.operands[0]) ? 0 : 1;
      p.bias = add.operands[1 - side];
      p.nodes.push_back(at.node);
      at = add.operands[side];
    }
    if (!IsProduct(at)) return false;
    p.node = at.node;
    p.nodes.push_back(at.node);
    const Node& node = graph_.node(at.node);
    p.conv = node.op == OpKind::kConv;
    if (p.conv && node.operands.size() > 2) {
      p.two_biases = p.bias.valid();
      p.bias = node.operands[2];
    }
    const std::optional<Scaling> x = ReadDequantize(graph_, node.operands[0]);
    const std::optional<Scaling> w = ReadDequantize(graph_, node.operands[1]);
    if (!x || !w) return false;
    p.x = *x;
    p.w = *w;
    return true;
  }

  static bool EndsAtZero(const Scaling& y) {
    return y.OneZero().value_or(-1) == RangeOf(y.code).low;
  }

  Value Enter(Value at, Product& p) const {
    p.nodes.push_back(at.node);
    return graph_.node(at.node).operands[0];
  }

  bool IsProduct(Value v) const {
    const OpKind op = graph_.node(v.node).op;
    return op == OpKind::kMatMul || op == OpKind::kConv;
  }

  // Replaces a real bias by its codes.
  std::optional<Refused> Check(Product& p) const {
    const auto form = [](std::string message) {
      return Refused{Reason::kQuantizedForm, std::move(message)};
    };
    if (p.x.code != DType::kI8 || p.w.code != DType::kI8 || p.y.code != DType::kI8)
      return form("is not between codes of i8");
    if (p.x.axis || p.y.axis) return form("has activations with a scale for each channel");
    const TensorType& w = graph_.type(p.w.value);
    const int rank = p.conv ? 4 : 2;
    if (w.rank() != rank) return form(Cat("has weights of rank ", w.rank()));
    const int64_t channels = p.conv ? 0 : 1;
    if (p.w.axis && *p.w.axis != channels) return form("has weights scaled along another axis");
    const auto in_range = [](const Scaling& s) {
      const std::optional<int64_t> zero = s.OneZero();
      return zero && *zero >= -128 && *zero <= 127;
    };
    if (!in_range(p.x) || !in_range(p.w) || !in_range(p.y))
      return form("has zero points that differ or are no codes");
    if (!w.is_static()) return form("has weights of no fixed size");
    const int64_t n = w.shape[channels].value();
    if (*w.NumElements() / n > kMostTerms) return form("sums more terms than i32 holds");
    if (p.two_biases) return form("has a bias of its own beside the one added");
    if (p.bias.valid()) {
      std::string why = ReadBias(p, n);
      if (!why.empty()) return form(std::move(why));
    }
    return WouldRunIt(p, n)
               ? std::nullopt
               : std::optional(Refused{Reason::kBackendRefuses, "is not run on codes"});
  }

  // Whether the bias is the convolution's operand, [n], and not added to what it makes.
  bool IsOwn(const Product& p) const {
    const std::vector<Value>& operands = graph_.node(p.node).operands;
    return operands.size() > 2 && operands[2] == p.bias;
  }

  // The i32 behind a bias of one number a channel, at the scale of the products.
  std::string ReadBias(Product& p, int64_t n) const {
    const TensorType& type = graph_.type(p.bias);
    Shape want = p.conv ? Shape{n, 1, 1} : Shape{n};
    const bool fits = p.conv ? type.shape == want || type.shape == Shape{1, n, 1, 1} || IsOwn(p)
                             : IsRow(type, Dim(n));
    if (!fits) return Cat("adds ", type, ", not one number a channel");
    Value at = p.bias;
    if (graph_.node(at.node).op == OpKind::kReshape) at = graph_.node(at.node).operands[0];
    const std::optional<Scaling> bias = ReadDequantize(graph_, at);
    if (!bias || bias->code != DType::kI32 || bias->OneZero().value_or(1) != 0)
      return "adds a bias that is not i32 around 0";
    if (bias->scales.size() != 1 && bias->scales.size() != static_cast<size_t>(n))
      return "adds a bias scaled along another axis than the channels";
    for (int64_t c = 0; c < n; ++c) {
      const auto at_c = static_cast<size_t>(c);
      const double product = p.x.scale(0) * p.w.scale(at_c);
      if (!(std::abs(bias->scale(at_c) - product) <= 1e-6 * product))
        return "adds a bias at another scale than the products'";
    }
    p.bias = bias->value;
    return "";
  }

  std::vector<Attr> AttrsOf(const Product& p) const {
    std::vector<double> multipliers;
    for (size_t c = 0; c < p.w.scales.size(); ++c)
      multipliers.push_back(p.x.scale(0) * p.w.scale(c) / p.y.scale(0));
    std::vector<Attr> attrs = {{"x_zp", *p.x.OneZero()},
                               {"w_zp", *p.w.OneZero()},
                               {"out_zp", *p.y.OneZero()},
                               {"multipliers", std::move(multipliers)}};
    if (p.conv) {
      const Node& conv = graph_.node(p.node);
      for (const char* name : {"strides", "pads", "dilations", "groups"})
        attrs.push_back({name, *conv.Find(name)});
    }
    return attrs;
  }

  bool WouldRunIt(const Product& p, int64_t n) const {
    return WouldRun(context_, p.conv ? OpKind::kQConv2d : OpKind::kQMatMul,
                    {graph_.type(p.x.value), graph_.type(p.w.value), {DType::kI32, {n}}},
                    AttrsOf(p));
  }

  void Fuse(NodeId root, const Product& p) {
    const int64_t n = graph_.type(p.w.value).shape[p.conv ? 0 : 1].value();
    std::vector<Value> reals;
    for (NodeId id : p.nodes) {
      if (id != root) reals.push_back({id, 0});
    }
    Applied(context_, kRule, graph_, p.nodes, Cat(Label(graph_, p.node), " multiplies codes"),
            {.launches = static_cast<int64_t>(p.nodes.size()) - 1,
             .bytes = RoundTripBytes(graph_, reals)});
    std::vector<Attr> attrs = AttrsOf(p);
    GraphBuilder& b = rewriter_.For(p.nodes);
    Value bias = p.bias;
    if (!bias.valid()) {
      bias = b.Constant(HostTensor::FromInts(DType::kI32, {n}, std::vector<int64_t>(n)));
    } else if (b.type(bias).rank() != 1) {
      bias = b.Reshape(bias, {n});
    }
    rewriter_.Replace({root, 0}, b.Emit(p.conv ? OpKind::kQConv2d : OpKind::kQMatMul,
                                        {p.x.value, p.w.value, bias}, std::move(attrs)));
  }

  Graph& graph_;
  PassContext& context_;
  Rewriter rewriter_;
};

}  // namespace

absl::Status FuseQdq(Graph& graph, PassContext& context) { return QdqFusion(graph, context).Run(); }

extern const Pass kFuseQdqPass = {
    .name = "fuse_qdq",
    .run = FuseQdq,
    .needs = {OpKind::kQuantize},
    .fusion = true,
    .after = "cancel_quantize_pairs",
    .why =
        "After pairs that cancel are gone, so that a product's codes come straight from the last",
};

}  // namespace rlx::passes
