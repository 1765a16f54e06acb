// SPDX-License-Identifier: Apache-2.0
// Activations as exporters write them out, and what only looks like one.
#include <cmath>

#include "tests/unit/passes/written.h"

namespace rlx::passes {
namespace {

using ::testing::HasSubstr;

struct ActivationWriter : Written {
  Value x = Input("x", {2, 3});

  Value Half(Value v) { return b.Mul(v, C(0.5)); }
  Value OnePlus(Value v) { return b.Add(v, C(1)); }
  Value Erf() { return b.Unary(OpKind::kErf, b.Div(x, C(std::sqrt(2.0)))); }
  Value Cube() { return b.Mul(b.Mul(x, x), x); }
  Value Tanh(Value inner) { return b.Unary(OpKind::kTanh, b.Mul(inner, C(0.7978845608))); }
  Value Sigmoid(Value v) { return b.Unary(OpKind::kSigmoid, v); }
  Value Exp(Value v) { return b.Unary(OpKind::kExp, v); }
  Value Neg(Value v) { return b.Unary(OpKind::kNeg, v); }
};

using Writer = std::function<Value(ActivationWriter&)>;

void ExpectRaised(OpKind op, const std::vector<Writer>& forms) {
  for (size_t i = 0; i < forms.size(); ++i) {
    SCOPED_TRACE(i);
    ActivationWriter w;
    const Outcome outcome = w.Run(RaiseActivation, forms[i](w));
    EXPECT_EQ(Count(outcome.graph, op), 1) << outcome.text;
    EXPECT_EQ(outcome.graph.size(), 2) << outcome.text;
    EXPECT_TRUE(outcome.Missed().empty());
  }
}

TEST(RaiseActivation, FindsGelu) {
  ExpectRaised(OpKind::kGelu,
               {// torch, opset 11 to 19: x·(erf(x/√2) + 1)·0.5, and with the half first
                [](auto& w) { return w.Half(w.b.Mul(w.x, w.OnePlus(w.Erf()))); },
                [](auto& w) { return w.b.Mul(w.Half(w.x), w.OnePlus(w.Erf())); },
                // TensorFlow: x·(0.5·(1 + erf(x·0.7071)))
                [](auto& w) {
                  const Value erf = w.b.Unary(OpKind::kErf, w.b.Mul(w.C(M_SQRT1_2), w.x));
                  return w.b.Mul(w.x, w.b.Mul(w.C(0.5), w.b.Add(w.C(1), erf)));
                },
                // paddle: numbers of shape [1], and a half that is a quotient
                [](auto& w) {
                  const auto one = [&](double v) {
                    return w.b.Constant(HostTensor::FromDoubles(DType::kF32, {1}, {v}));
                  };
                  const Value erf = w.b.Unary(OpKind::kErf, w.b.Div(w.x, one(1.4142135381698608)));
                  return w.b.Div(w.b.Mul(w.x, w.b.Add(erf, one(1))), one(2));
                },
                // taken apart: x/2 + x/2·erf
                [](auto& w) { return w.b.Add(w.Half(w.x), w.b.Mul(w.Half(w.x), w.Erf())); }});
}

TEST(RaiseActivation, FindsGeluOfTanh) {
  const auto inner = [](auto& w, Value cube) { return w.b.Add(w.x, w.b.Mul(w.C(0.044715), cube)); };
  ExpectRaised(
      OpKind::kGeluTanh,
      {[&](auto& w) { return w.b.Mul(w.Half(w.x), w.OnePlus(w.Tanh(inner(w, w.Cube())))); },
       [&](auto& w) {
         const Value cube = w.Op(OpKind::kPow, {w.x, w.C(3)});
         return w.Half(w.b.Mul(w.x, w.OnePlus(w.Tanh(inner(w, cube)))));
       },
       // x·√(2/π)·(1 + 0.0447·x²)
       [](auto& w) {
         const Value rest = w.OnePlus(w.b.Mul(w.C(0.044715), w.b.Mul(w.x, w.x)));
         const Value bent =
             w.b.Unary(OpKind::kTanh, w.b.Mul(w.b.Mul(w.x, w.C(0.7978845608)), rest));
         return w.b.Mul(w.Half(w.x), w.OnePlus(bent));
       },
       // by a sigmoid: x·sigmoid(2·√(2/π)·(x + 0.0447·x³))
       [&](auto& w) {
         return w.b.Mul(w.x, w.Sigmoid(w.b.Mul(inner(w, w.Cube()), w.C(2 * 0.7978845608))));
       }});
}

TEST(RaiseActivation, FindsSilu) {
  ExpectRaised(
      OpKind::kSilu,
      {[](auto& w) { return w.b.Mul(w.x, w.Sigmoid(w.x)); },
       [](auto& w) { return w.b.Mul(w.Sigmoid(w.b.Mul(w.x, w.C(1))), w.x); },
       [](auto& w) { return w.b.Div(w.x, w.OnePlus(w.Exp(w.Neg(w.x)))); },
       [](auto& w) { return w.b.Mul(w.x, w.b.Div(w.C(1), w.b.Add(w.C(1), w.Exp(w.Neg(w.x))))); },
       [](auto& w) {
         return w.b.Mul(w.Half(w.x), w.OnePlus(w.b.Unary(OpKind::kTanh, w.Half(w.x))));
       }});
}

TEST(RaiseActivation, FindsSigmoid) {
  ExpectRaised(OpKind::kSigmoid,
               {[](auto& w) { return w.b.Div(w.C(1), w.OnePlus(w.Exp(w.Neg(w.x)))); },
                [](auto& w) { return w.Half(w.OnePlus(w.b.Unary(OpKind::kTanh, w.Half(w.x)))); }});
}

// In f16 the numbers themselves are rounded.
TEST(RaiseActivation, KnowsRoundedNumbers) {
  const auto text = [](std::string_view type, std::string_view root) {
    return Cat(R"(mir "m" { %0 = input "x" : )", type, R"([4]
      %1 = constant {value = )",
               type, "[] (", root, ")} : ", type, R"([]
      %2 = constant {value = )",
               type, R"([] (1)} : )", type, R"([]
      %3 = constant {value = )",
               type, R"([] (0.5)} : )", type, R"([]
      %4 = div(%0, %1)
      %5 = erf(%4)
      %6 = add(%5, %2)
      %7 = mul(%0, %6)
      %8 = mul(%7, %3)
      output "y" = %8 })");
  };
  const auto raised = [](const std::string& module) {
    Graph graph = ParseGraph(module);
    PassContext context;
    EXPECT_TRUE(RaiseActivation(graph, context).ok());
    return context.changed;
  };
  EXPECT_TRUE(raised(text("f16", "1.414")));
  EXPECT_FALSE(raised(text("f16", "1.42")));
  EXPECT_TRUE(raised(text("f32", "1.4142135")));
  EXPECT_FALSE(raised(text("f32", "1.4142")));
  EXPECT_FALSE(raised(text("f64", "1.4142135")));
  EXPECT_TRUE(raised(text("f64", "1.4142135623730951")));
}

// What follows stays, and so does what makes x.
TEST(RaiseActivation, TakesNoMoreThanTheFunction) {
  ActivationWriter w;
  w.x = w.b.Mul(w.b.Add(w.x, w.Param("b", {3})), w.C(2));
  const Value up = w.Input("up", {2, 3});
  const Outcome outcome = w.Run(RaiseActivation, w.b.Mul(w.b.Mul(w.x, w.Sigmoid(w.x)), up));
  EXPECT_EQ(Count(outcome.graph, OpKind::kSilu), 1);
  EXPECT_EQ(Count(outcome.graph, OpKind::kMul), 2) << outcome.text;
  EXPECT_EQ(Count(outcome.graph, OpKind::kSigmoid), 0);
}

TEST(RaiseActivation, FindsOneInAnother) {
  ActivationWriter w;
  w.x = w.Half(w.b.Mul(w.x, w.OnePlus(w.Erf())));
  const Outcome outcome = w.Run(RaiseActivation, w.b.Mul(w.x, w.Sigmoid(w.x)));
  EXPECT_EQ(Count(outcome.graph, OpKind::kGelu), 1) << outcome.text;
  EXPECT_EQ(Count(outcome.graph, OpKind::kSilu), 1);
}

TEST(RaiseActivation, LeavesWhatIsAlmostOne) {
  const std::vector<Writer> forms = {
      [](auto& w) {  // another root
        const Value erf = w.b.Unary(OpKind::kErf, w.b.Div(w.x, w.C(1.5)));
        return w.Half(w.b.Mul(w.x, w.OnePlus(erf)));
      },
      [](auto& w) { return w.b.Mul(w.x, w.Sigmoid(w.b.Mul(w.x, w.C(1.702)))); },
      [](auto& w) { return w.b.Mul(w.x, w.OnePlus(w.Erf())); },                // no half
      [](auto& w) { return w.Half(w.b.Mul(w.x, w.b.Sub(w.C(1), w.Erf()))); },  // the other side
      [](auto& w) { return w.b.Mul(w.b.Mul(w.x, w.x), w.Sigmoid(w.x)); },
      [](auto& w) { return w.b.Mul(w.Input("z", {2, 3}), w.Sigmoid(w.x)); },
      [](auto& w) { return w.b.Mul(w.x, w.Sigmoid(w.Neg(w.x))); },
      [](auto& w) { return w.b.Div(w.x, w.b.Add(w.Exp(w.Neg(w.x)), w.C(2))); },
      [](auto& w) { return w.b.Div(w.x, w.OnePlus(w.Exp(w.x))); },
      [](auto& w) {  // numbers that differ by row
        const Value rows = w.b.Constant(HostTensor::FromDoubles(DType::kF32, {3}, {1, 1, 1.1}));
        return w.b.Mul(w.x, w.Sigmoid(w.b.Mul(w.x, rows)));
      },
      [](auto& w) {  // a number that stretches
        const Value one = w.b.Constant(HostTensor::FromDoubles(DType::kF32, {1, 1, 1}, {1}));
        return w.b.Mul(w.b.Mul(w.x, one), w.Sigmoid(w.x));
      }};
  for (size_t i = 0; i < forms.size(); ++i) {
    SCOPED_TRACE(i);
    ActivationWriter w;
    const Outcome outcome = w.Run(RaiseActivation, forms[i](w));
    EXPECT_FALSE(outcome.changed) << outcome.text;
  }
}

TEST(RaiseActivation, SaysWhatItLeaves) {
  ActivationWriter quick;
  const Outcome other = quick.Run(
      RaiseActivation, quick.b.Mul(quick.x, quick.Sigmoid(quick.b.Mul(quick.x, quick.C(1.702)))));
  ASSERT_EQ(other.Missed().size(), 1u);
  EXPECT_EQ(other.Missed()[0].reason, "activation_other_form");
  EXPECT_THAT(other.Missed()[0].message, HasSubstr("%4 (mul) gates by another function"));

  ActivationWriter shared;
  const Value erf = shared.Erf();
  shared.b.Output("erf", erf);
  const Outcome read =
      shared.Run(RaiseActivation, shared.Half(shared.b.Mul(shared.x, shared.OnePlus(erf))));
  EXPECT_FALSE(read.changed);
  ASSERT_EQ(read.Missed().size(), 1u);
  EXPECT_EQ(read.Missed()[0].reason, "graph_output");
  EXPECT_THAT(read.Missed()[0].message, HasSubstr("so gelu stays as it is written"));
}

TEST(RaiseSoftmax, FindsItAlongAnyAxis) {
  for (const int64_t axis : {0, 1, 2}) {
    Written w;
    const Value x = w.Input("x", {2, 3, 4});
    const Value powers =
        w.b.Unary(OpKind::kExp, w.b.Sub(x, w.b.Reduce(OpKind::kReduceMax, x, {axis}, true)));
    const Outcome outcome =
        w.Run(RaiseSoftmax, w.b.Div(powers, w.b.Reduce(OpKind::kReduceSum, powers, {axis}, true)));
    EXPECT_EQ(outcome.graph.size(), 2) << outcome.text;
    EXPECT_THAT(outcome.text, HasSubstr(Cat("softmax(%0) {axis = ", axis, "}")));
  }
}

TEST(RaiseSoftmax, LeavesWhatIsAlmostOne) {
  struct Case {
    bool greatest;     // taken off
    int64_t max, sum;  // axes
    OpKind fold;
  };
  for (const Case& s : {Case{false, 1, 1, OpKind::kReduceSum}, Case{true, 0, 1, OpKind::kReduceSum},
                        Case{true, 1, 1, OpKind::kReduceMean}}) {
    Written w;
    const Value x = w.Input("x", {2, 3});
    const Value top = w.b.Reduce(OpKind::kReduceMax, x, {s.max}, true);
    const Value powers = w.b.Unary(OpKind::kExp, s.greatest ? w.b.Sub(x, top) : x);
    const Outcome outcome =
        w.Run(RaiseSoftmax, w.b.Div(powers, w.b.Reduce(s.fold, powers, {s.sum}, true)));
    EXPECT_FALSE(outcome.changed) << outcome.text;
  }
}

TEST(RaiseSoftmax, LeavesPowersThatOthersRead) {
  Written w;
  const Value x = w.Input("x", {2, 3});
  const Value powers =
      w.b.Unary(OpKind::kExp, w.b.Sub(x, w.b.Reduce(OpKind::kReduceMax, x, {1}, true)));
  w.b.Output("powers", powers);
  const Outcome outcome =
      w.Run(RaiseSoftmax, w.b.Div(powers, w.b.Reduce(OpKind::kReduceSum, powers, {1}, true)));
  EXPECT_FALSE(outcome.changed);
  ASSERT_EQ(outcome.Missed().size(), 1u);
  EXPECT_EQ(outcome.Missed()[0].reason, "graph_output");
}

}  // namespace
}  // namespace rlx::passes
