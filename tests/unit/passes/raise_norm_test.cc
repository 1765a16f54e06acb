// SPDX-License-Identifier: Apache-2.0
// Norms as exporters write them out, in every combination of their spellings; and what only looks
// like one.
#include "tests/unit/passes/written.h"

namespace rlx::passes {
namespace {

using ::testing::HasSubstr;

enum class Square { kProduct, kPower };
enum class MeanBy { kMean, kSumTimes, kSumOver };
// torch and paddle divide; torch.rsqrt is 1/sqrt; TensorFlow scales first, and takes the mean off
// last.
enum class Divide { kSqrt, kReciprocal, kRsqrt, kScaleFirst, kMeanLast, kMeanLastUnscaled };

struct Spelling {
  Square square = Square::kProduct;
  MeanBy mean = MeanBy::kMean;
  Divide divide = Divide::kSqrt;
  bool gamma = true, beta = true, swapped = false;
};

struct NormWriter : Written {
  Spelling how;
  int64_t axis = -1;
  double eps = 1e-5;

  Value Both(OpKind op, Value x, Value y) { return how.swapped ? Op(op, {y, x}) : Op(op, {x, y}); }

  Value Mean(Value x) {
    const auto n = static_cast<double>(b.type(x).shape.back().value());
    if (how.mean == MeanBy::kMean) return b.Reduce(OpKind::kReduceMean, x, {axis}, true);
    const Value sum = b.Reduce(OpKind::kReduceSum, x, {axis}, true);
    return how.mean == MeanBy::kSumOver ? b.Div(sum, C(n)) : Both(OpKind::kMul, sum, C(1 / n));
  }

  Value Squared(Value x) {
    return how.square == Square::kProduct ? b.Mul(x, x) : Op(OpKind::kPow, {x, C(2)});
  }

  Value Norm(Value x, Value gamma, Value beta, bool centred) {
    const Value mean = centred ? Mean(x) : Value{};
    const Value top = centred ? b.Sub(x, mean) : x;
    const Value variance = Both(OpKind::kAdd, Mean(Squared(top)), C(eps));
    const bool rsqrt = how.divide == Divide::kRsqrt;
    const Value root = b.Unary(rsqrt ? OpKind::kRsqrt : OpKind::kSqrt, variance);
    if (how.divide == Divide::kSqrt) return Affine(b.Div(top, root), gamma, beta);
    Value inverse = rsqrt ? root : b.Div(C(1), root);
    if (how.divide == Divide::kReciprocal || rsqrt) {
      return Affine(Both(OpKind::kMul, top, inverse), gamma, beta);
    }
    if (gamma.valid() && how.divide != Divide::kMeanLastUnscaled) {
      inverse = Both(OpKind::kMul, inverse, gamma);
      gamma = {};
    }
    if (!centred || how.divide == Divide::kScaleFirst) {
      return Affine(Both(OpKind::kMul, top, inverse), gamma, beta);
    }
    const Value left = Both(OpKind::kMul, x, inverse), right = Both(OpKind::kMul, mean, inverse);
    if (gamma.valid() || !beta.valid()) return Affine(b.Sub(left, right), gamma, beta);
    return Both(OpKind::kAdd, left, b.Sub(beta, right));
  }

  Value Affine(Value y, Value gamma, Value beta) {
    if (gamma.valid()) y = Both(OpKind::kMul, y, gamma);
    return beta.valid() ? Both(OpKind::kAdd, y, beta) : y;
  }
};

void ForEachSpelling(const std::function<void(const Spelling&)>& check) {
  for (const Square square : {Square::kProduct, Square::kPower}) {
    for (const MeanBy mean : {MeanBy::kMean, MeanBy::kSumTimes, MeanBy::kSumOver}) {
      for (const Divide divide :
           {Divide::kSqrt, Divide::kReciprocal, Divide::kRsqrt, Divide::kScaleFirst,
            Divide::kMeanLast, Divide::kMeanLastUnscaled}) {
        for (const int affine : {0, 1, 3}) {
          for (const bool swapped : {false, true}) {
            SCOPED_TRACE(Cat(static_cast<int>(square), " ", static_cast<int>(mean), " ",
                             static_cast<int>(divide), " ", affine, " ", swapped));
            check({square, mean, divide, (affine & 1) != 0, (affine & 2) != 0, swapped});
          }
        }
      }
    }
  }
}

// That the norm is found, with what scales and shifts it.
Outcome ExpectFound(const Spelling& how, absl::Status (*pass)(Graph&, PassContext&), OpKind norm) {
  NormWriter w;
  w.how = how;
  const Value x = w.Input("x", {2, 3, 4});
  const Value gamma = how.gamma ? w.Param("g", {4}) : Value{};
  const Value beta = how.beta ? w.Param("b", {4}) : Value{};
  Outcome outcome = w.Run(pass, w.Norm(x, gamma, beta, norm == OpKind::kLayerNorm));
  EXPECT_EQ(Count(outcome.graph, norm), 1) << outcome.text;
  EXPECT_EQ(Count(outcome.graph, OpKind::kMul) + Count(outcome.graph, OpKind::kAdd), 0)
      << outcome.text;
  EXPECT_TRUE(outcome.Missed().empty());
  return outcome;
}

TEST(RaiseLayerNorm, FindsItInEverySpelling) {
  ForEachSpelling([](const Spelling& how) {
    const Outcome outcome = ExpectFound(how, RaiseLayerNorm, OpKind::kLayerNorm);
    ASSERT_EQ(outcome.remarks.size(), 1u);
    EXPECT_EQ(outcome.remarks[0].rule, "raise_layer_norm");
  });
}

TEST(RaiseRmsNorm, FindsItInEverySpelling) {
  ForEachSpelling([](const Spelling& how) { ExpectFound(how, RaiseRmsNorm, OpKind::kRmsNorm); });
}

TEST(RaiseLayerNorm, KeepsEpsAxisAndOrderOfOperands) {
  ExpectRewrite(RaiseLayerNorm, R"(mir "m" {
    symbol batch in [1, 8]
    %0 = input "x" : f32[batch,3,4]
    %1 = param "g" : f32[1,3,4]
    %2 = param "b" : f32[3,4]
    %3 = constant {value = f32[1] (0.125)} : f32[1]
    %4 = reduce_mean(%0) {axes = [1, 2], keep_dims = true}
    %5 = sub(%0, %4)
    %6 = mul(%5, %5)
    %7 = reduce_mean(%6) {axes = [1, 2], keep_dims = true}
    %8 = add(%7, %3)
    %9 = sqrt(%8)
    %10 = div(%5, %9)
    %11 = mul(%1, %10)
    %12 = add(%11, %2)
    output "y" = %12
  })",
                R"(mir "m" {
    symbol batch in [1, 8]
    %0 = input "x" : f32[batch,3,4]
    %1 = param "g" : f32[1,3,4]
    %2 = param "b" : f32[3,4]
    %3 = reshape(%1) {shape = [3,4]}
    %4 = layer_norm(%0, %3, %2) {axis = 1, eps = 0.125}
    output "y" = %4
  })");
}

// What is scaled by something else than a row keeps that, behind a norm of ones.
TEST(RaiseLayerNorm, LeavesAScaleThatIsNoRow) {
  NormWriter w;
  const Value x = w.Input("x", {2, 3, 4});
  const Outcome outcome = w.Run(
      RaiseLayerNorm, w.Norm(x, w.Input("scale", {2, 1, 4}), w.Input("shift", {2, 1, 4}), true));
  EXPECT_EQ(Count(outcome.graph, OpKind::kLayerNorm), 1);
  EXPECT_EQ(Count(outcome.graph, OpKind::kMul), 1);
  EXPECT_EQ(Count(outcome.graph, OpKind::kAdd), 1);
  EXPECT_THAT(outcome.remarks[0].message, HasSubstr("without a scale"));
}

TEST(RaiseLayerNorm, OnesOfAnUnknownNumberAreNotMadeUp) {
  const auto text = [](std::string_view affine, std::string_view out) {
    return Cat(R"(mir "m" {
    symbol n in [1, 8]
    %0 = input "x" : f32[2,n]
    %1 = input "g" : f32[n]
    %2 = input "b" : f32[n]
    %3 = constant {value = f32[] (0.001)} : f32[]
    %4 = reduce_mean(%0) {axes = [1], keep_dims = true}
    %5 = sub(%0, %4)
    %6 = mul(%5, %5)
    %7 = reduce_mean(%6) {axes = [1], keep_dims = true}
    %8 = add(%7, %3)
    %9 = sqrt(%8)
    %10 = div(%5, %9)
    )",
               affine, "\n    output \"y\" = ", out, "\n  }");
  };
  ExpectUntouched(RaiseLayerNorm, text("", "%10"));
  const Outcome whole =
      RunPass(RaiseLayerNorm, text("%11 = mul(%10, %1)\n %12 = add(%11, %2)", "%12"));
  EXPECT_EQ(Count(whole.graph, OpKind::kLayerNorm), 1);
}

// One after the other, each on its own.
TEST(RaiseLayerNorm, FindsOneBehindAnother) {
  NormWriter w;
  const Value x = w.Input("x", {2, 4}), g = w.Param("g", {4}), beta = w.Param("b", {4});
  const Value first = w.Norm(x, g, beta, true);
  const Outcome outcome = w.Run(RaiseLayerNorm, w.Norm(w.b.Add(first, x), g, beta, true));
  EXPECT_EQ(Count(outcome.graph, OpKind::kLayerNorm), 2);
  EXPECT_EQ(Count(outcome.graph, OpKind::kSqrt), 0);
}

// --- Near misses ---

std::string Almost(std::string_view what, std::string_view with) {
  std::string text = R"(mir "m" {
    %0 = input "x" : f32[2,3,4]
    %1 = constant {value = f32[] (0.001)} : f32[]
    %2 = reduce_mean(%0) {axes = [2], keep_dims = true}
    %3 = sub(%0, %2)
    %4 = mul(%3, %3)
    %5 = reduce_mean(%4) {axes = [2], keep_dims = true}
    %6 = add(%5, %1)
    %7 = sqrt(%6)
    %8 = div(%3, %7)
    output "y" = %8
  })";
  if (what.empty()) return text;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size()))
    text.replace(at, what.size(), with);
  return text;
}

void ExpectMiss(PassFn pass, std::string_view text, std::string_view reason,
                std::string_view message) {
  const Outcome outcome = RunPass(pass, text);
  EXPECT_FALSE(outcome.changed) << outcome.text;
  ASSERT_EQ(outcome.Missed().size(), 1u);
  EXPECT_EQ(outcome.Missed()[0].reason, reason);
  EXPECT_THAT(outcome.Missed()[0].message, HasSubstr(message));
}

TEST(RaiseLayerNorm, LeavesWhatIsAlmostOne) {
  EXPECT_TRUE(RunPass(RaiseLayerNorm, Almost("", "")).changed);
  ExpectUntouched(RaiseLayerNorm, Almost("%7 = sqrt(%6)", "%7 = sqrt(%5)"));  // no eps
  ExpectUntouched(RaiseLayerNorm, Almost("%7 = sqrt(%6)", "%7 = exp(%6)"));
  ExpectUntouched(RaiseLayerNorm, Almost("%4 = mul(%3, %3)", "%4 = mul(%3, %0)"));
  ExpectUntouched(RaiseLayerNorm, Almost("%4 = mul(%3, %3)", "%4 = abs(%3)"));
  ExpectUntouched(RaiseLayerNorm, Almost("(0.001)", "(-0.001)"));
  ExpectUntouched(RaiseLayerNorm, Almost("{value = f32[] (0.001)} : f32[]",
                                         "{value = f32[2,1,1] (0.1, 0.2)} : f32[2,1,1]"));
  ExpectUntouched(RaiseLayerNorm, Almost("sub(%0, %2)", "sub(%2, %0)"));
  ExpectUntouched(RaiseLayerNorm,
                  Almost("reduce_mean(%4) {axes = [2]", "reduce_mean(%4) {axes = [1]"));
  ExpectUntouched(RaiseLayerNorm, Almost("reduce_mean(%4)", "reduce_max(%4)"));
}

TEST(RaiseLayerNorm, SaysWhyItLeavesOne) {
  ExpectMiss(RaiseLayerNorm, Almost("axes = [2]", "axes = [1]"), "norm_other_form",
             "%7 (sqrt) is over axes that are not the last ones");
  ExpectMiss(RaiseLayerNorm, Almost("div(%3, %7)", "div(%0, %7)"), "norm_other_form",
             "%7 (sqrt) divides something else than %3 (sub)");
  ExpectMiss(RaiseLayerNorm, Almost("output \"y\" = %8", "output \"y\" = %8 output \"m\" = %2"),
             "graph_output", "%2 (reduce_mean) is an output of the module, so layer_norm stays");
  ExpectMiss(RaiseLayerNorm,
             Almost("output \"y\" = %8", "%9 = exp(%7) output \"y\" = %8 output \"m\" = %9"),
             "multi_consumer", "%7 (sqrt) is read by %9 (exp) too");
}

// A mean that somebody else reads leaves an rms norm of what is centred.
TEST(RaiseRmsNorm, TakesWhatALayerNormCannot) {
  const std::string text = Almost("output \"y\" = %8", "output \"y\" = %8 output \"m\" = %2");
  const Outcome outcome = RunPass(RaiseRmsNorm, text);
  EXPECT_EQ(Count(outcome.graph, OpKind::kRmsNorm), 1) << outcome.text;
  EXPECT_EQ(Count(outcome.graph, OpKind::kSub), 1);
}

TEST(RaiseLayerNorm, AsksTheBackEnd) {
  PassContext context;
  context.runs = [](const Graph& g, NodeId id) { return g.node(id).op != OpKind::kLayerNorm; };
  const Outcome outcome = RunPass(RaiseLayerNorm, Almost("", ""), context);
  EXPECT_FALSE(outcome.changed);
  ASSERT_EQ(outcome.Missed().size(), 1u);
  EXPECT_EQ(outcome.Missed()[0].reason, "backend_refuses");
}

// A donated input is not read later than it was.
TEST(RaiseLayerNorm, LeavesADonatedInput) {
  ExpectUntouched(RaiseLayerNorm, Almost("output \"y\" = %8", R"(%9 = neg(%0)
    output "y" = %8
    output "state" = %9
    alias 0 -> 1)"));
}

}  // namespace
}  // namespace rlx::passes
