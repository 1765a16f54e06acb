// SPDX-License-Identifier: Apache-2.0
// Attention as exporters write it out, and what only looks like it.
#include <cmath>
#include <limits>

#include "tests/unit/passes/written.h"

namespace rlx::passes {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Two batches, four heads of 8, three queries and five keys.
struct AttentionWriter : Written {
  Value q = Input("q", {2, 4, 3, 8}), k = Input("k", {2, 4, 5, 8}), v = Input("v", {2, 4, 5, 6});

  Value Turned(Value keys) { return b.Transpose(keys, {0, 1, 3, 2}); }
  Value Scores() { return b.Div(b.MatMul(q, Turned(k)), C(std::sqrt(8.0))); }
  Value Mix(Value scores) { return b.MatMul(b.Softmax(scores), v); }
  Value Bool(std::string_view name, Shape shape) {
    return b.Input(name, {DType::kBool, std::move(shape)});
  }
  // The first key counts everywhere: what is written out makes NaN of a row without any.
  Value Keep(Shape shape) {
    const Value first = b.Constant(HostTensor::FromInts(DType::kBool, {5}, {1, 0, 0, 0, 0}));
    return Op(OpKind::kLogicalOr, {Bool("keep", std::move(shape)), first});
  }
};

using Writer = std::function<Value(AttentionWriter&)>;

Outcome Raised(const Writer& write) {
  AttentionWriter w;
  Outcome outcome = w.Run(RaiseAttention, write(w));
  EXPECT_EQ(Count(outcome.graph, OpKind::kAttention), 1) << outcome.text;
  EXPECT_EQ(Count(outcome.graph, OpKind::kSoftmax), 0) << outcome.text;
  EXPECT_EQ(Count(outcome.graph, OpKind::kMatMul), 0) << outcome.text;
  EXPECT_TRUE(outcome.Missed().empty());
  return outcome;
}

Outcome Left(const Writer& write) {
  AttentionWriter w;
  Outcome outcome = w.Run(RaiseAttention, write(w));
  EXPECT_FALSE(outcome.changed) << outcome.text;
  return outcome;
}

std::string OnlyReason(const Outcome& outcome) {
  const std::vector<Remark> missed = outcome.Missed();
  return missed.size() == 1 ? missed[0].reason : Cat(missed.size(), " misses");
}

TEST(RaiseAttention, TakesTheScaleWhereverItStands) {
  const double root = std::sqrt(8.0), quarter = std::sqrt(root);
  const std::vector<Writer> forms = {
      [](auto& w) { return w.Mix(w.Scores()); },
      [&](auto& w) { return w.Mix(w.b.Mul(w.C(1 / root), w.b.MatMul(w.q, w.Turned(w.k)))); },
      [&](auto& w) { return w.Mix(w.b.MatMul(w.b.Div(w.q, w.C(root)), w.Turned(w.k))); },
      // scaled_dot_product_attention scales both by the root of the scale
      [&](auto& w) {
        return w.Mix(
            w.b.MatMul(w.b.Mul(w.q, w.C(1 / quarter)), w.b.Mul(w.Turned(w.k), w.C(1 / quarter))));
      },
      [&](auto& w) { return w.Mix(w.b.MatMul(w.q, w.Turned(w.b.Mul(w.k, w.C(1 / root))))); }};
  for (size_t i = 0; i < forms.size(); ++i) {
    SCOPED_TRACE(i);
    EXPECT_THAT(Raised(forms[i]).text,
                HasSubstr("attention(%0, %1, %2) {num_heads = 4, head_dim = 8"));
    EXPECT_THAT(Raised(forms[i]).text,
                Not(HasSubstr("scale")));  // 1/√8 is what goes without saying
  }
  EXPECT_THAT(Raised([](auto& w) { return w.Mix(w.b.MatMul(w.q, w.Turned(w.k))); }).text,
              HasSubstr("scale = 1"));
}

TEST(RaiseAttention, TakesKeysThatWereTurnedAtOnce) {
  AttentionWriter w;
  w.k = w.Input("rows", {2, 5, 4, 8});
  const Value scores = w.b.Div(w.b.MatMul(w.q, w.b.Transpose(w.k, {0, 2, 3, 1})), w.C(2));
  const Outcome outcome = w.Run(RaiseAttention, w.Mix(scores));
  EXPECT_THAT(outcome.text, HasSubstr("perm = [0,2,1,3]"));
  EXPECT_THAT(outcome.text, HasSubstr("scale = 0.5"));
}

TEST(RaiseAttention, TakesMasksThatAreAdded) {
  for (const Shape& mask :
       {Shape{2, 1, 1, 5}, Shape{1, 1, 3, 5}, Shape{3, 5}, Shape{5}, Shape{}, Shape{2, 4, 3, 5}}) {
    SCOPED_TRACE(ToString(mask));
    EXPECT_THAT(
        Raised([&](auto& w) { return w.Mix(w.b.Add(w.Scores(), w.Input("mask", mask))); }).text,
        HasSubstr("mask = \"bias\""));
  }
  const Outcome both = Raised([](auto& w) {
    const Value position = w.Input("position", {1, 4, 3, 5}), pad = w.Input("pad", {2, 1, 1, 5});
    return w.Mix(w.b.Add(pad, w.b.Add(w.Scores(), position)));
  });
  EXPECT_EQ(Count(both.graph, OpKind::kAdd), 1);
}

TEST(RaiseAttention, TakesMasksThatChoose) {
  const Outcome keep = Raised(
      [](auto& w) { return w.Mix(w.b.Where(w.Keep({2, 1, 3, 5}), w.Scores(), w.C(-kInfinity))); });
  EXPECT_THAT(keep.text, HasSubstr("mask = \"keep\""));
}

TEST(RaiseAttention, TurnsAMaskThatDropsAround) {
  // Every row of the mask has a key that counts: RandomInputs could drop them all.
  AttentionWriter w;
  const Value drops = w.b.Constant(
      HostTensor::FromInts(DType::kBool, {3, 5}, {0, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1}));
  const Outcome outcome = w.Run(RaiseAttention, w.Mix(w.b.Where(drops, w.C(-1e4), w.Scores())));
  EXPECT_EQ(Count(outcome.graph, OpKind::kAttention), 1) << outcome.text;
  EXPECT_EQ(Count(outcome.graph, OpKind::kLogicalNot), 1);
  EXPECT_THAT(outcome.text, HasSubstr("mask = \"keep\""));
}

TEST(RaiseAttention, TakesAChoiceAndASum) {
  const Outcome outcome = Raised([](auto& w) {
    const Value kept = w.b.Constant(
        HostTensor::FromInts(DType::kBool, {3, 5}, {1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 1, 0, 0}));
    const Value causal = w.b.Where(kept, w.Scores(), w.C(-kInfinity));
    return w.Mix(w.b.Add(causal, w.Input("pad", {2, 1, 1, 5})));
  });
  EXPECT_THAT(outcome.text, HasSubstr("mask = \"bias\""));
  EXPECT_EQ(Count(outcome.graph, OpKind::kWhere), 1);
}

// As safe softmax is exported: rows that see nothing are zeros.
TEST(RaiseAttention, TakesTheGuardAgainstNan) {
  const Outcome outcome = Raised([](auto& w) {
    const Value bias = w.b.Where(w.Bool("keep", {2, 1, 3, 5}), w.C(0), w.C(-kInfinity));
    const Value weights = w.b.Softmax(w.b.Add(w.Scores(), bias));
    const Value is_nan = w.Op(OpKind::kNe, {weights, weights});
    return w.b.MatMul(w.b.Where(is_nan, w.C(0), weights), w.v);
  });
  EXPECT_EQ(Count(outcome.graph, OpKind::kNe), 0);
}

TEST(RaiseAttention, TakesASoftCap) {
  const Outcome outcome = Raised([](auto& w) {
    return w.Mix(w.b.Mul(w.b.Unary(OpKind::kTanh, w.b.Div(w.Scores(), w.C(30))), w.C(30)));
  });
  EXPECT_THAT(outcome.text, HasSubstr("softcap = 30"));
}

// Keys and values repeated for groups of heads, as Llama's are.
Value Repeated(AttentionWriter& w, Value few, int64_t groups) {
  const Shape s = w.b.type(few).shape;
  const Value lifted = w.b.Reshape(few, {s[0], s[1], 1, s[2], s[3]});
  const Value spread = w.b.Expand(lifted, {s[0], s[1], groups, s[2], s[3]});
  return w.b.Reshape(spread, {s[0], s[1] * Dim(groups), s[2], s[3]});
}

TEST(RaiseAttention, TakesGroupsOfHeads) {
  const Outcome two = Raised([](auto& w) {
    w.k = Repeated(w, w.Input("k2", {2, 2, 5, 8}), 2);
    w.v = Repeated(w, w.Input("v2", {2, 2, 5, 6}), 2);
    return w.Mix(w.Scores());
  });
  EXPECT_THAT(two.text, HasSubstr("num_kv_heads = 2"));
  EXPECT_EQ(Count(two.graph, OpKind::kExpand), 0);
  const Outcome one = Raised([](auto& w) {
    w.k = w.Input("k1", {2, 1, 5, 8});
    w.v = w.Input("v1", {2, 1, 5, 6});
    return w.Mix(w.Scores());
  });
  EXPECT_THAT(one.text, HasSubstr("num_kv_heads = 1"));
  // Interleaved instead of repeated in place: another sharing, so the copies stay.
  const Outcome other = Raised([](auto& w) {
    const Value few = w.Input("k2", {2, 2, 5, 8});
    w.k = w.b.Reshape(w.b.Expand(w.b.Reshape(few, {2, 1, 2, 5, 8}), {2, 2, 2, 5, 8}), {2, 4, 5, 8});
    w.v = Repeated(w, w.Input("v2", {2, 2, 5, 6}), 2);
    return w.Mix(w.Scores());
  });
  EXPECT_THAT(other.text, Not(HasSubstr("num_kv_heads")));
}

// As nn.MultiheadAttention is exported: batches and heads are one axis.
TEST(RaiseAttention, TakesOneAxisForBatchesAndHeads) {
  for (const Shape& mask : {Shape{8, 3, 5}, Shape{3, 5}, Shape{8, 1, 5}}) {
    AttentionWriter w;
    const Value q = w.Input("q3", {8, 3, 4}), k = w.Input("k3", {8, 5, 4}),
                v = w.Input("v3", {8, 5, 6});
    const Value scores = w.b.MatMul(w.b.Mul(q, w.C(0.5)), w.b.Transpose(k, {0, 2, 1}));
    const Value weights = w.b.Softmax(w.b.Add(scores, w.Input("mask", mask)));
    const Outcome outcome = w.Run(RaiseAttention, w.b.MatMul(weights, v));
    EXPECT_THAT(outcome.text, HasSubstr("num_heads = 1, head_dim = 4")) << outcome.text;
  }
}

TEST(RaiseAttention, KeepsSymbols) {
  const auto text = [](std::string_view mask) {
    return Cat(R"(mir "m" {
    symbol batch in [1, 4]
    symbol s in [1, 9]
    %0 = input "q" : f32[batch,2,s,8]
    %1 = input "k" : f32[batch,2,s,8]
    %2 = input "v" : f32[batch,2,s,8]
    %3 = input "mask" : f32)",
               mask, R"(
    %4 = transpose(%1) {perm = [0, 1, 3, 2]}
    %5 = matmul(%0, %4)
    %6 = add(%5, %3)
    %7 = softmax(%6)
    %8 = matmul(%7, %2)
    output "y" = %8
  })");
  };
  EXPECT_THAT(RunPass(RaiseAttention, text("[batch,1,1,s]")).text,
              HasSubstr("attention(%0, %1, %2, %3)"));
  EXPECT_THAT(RunPass(RaiseAttention, text("[s,s]")).text, HasSubstr("[1,1,s,s]"));
}

TEST(RaiseAttention, KnowsTheCausalMask) {
  const auto constant = [](AttentionWriter& w, const std::vector<double>& values) {
    return w.b.Constant(HostTensor::FromDoubles(DType::kF32, {3, 5}, values));
  };
  const double far = std::numeric_limits<float>::lowest();
  const std::vector<double> added = {0, 0, 0, far, far, 0, 0, 0, 0, far, 0, 0, 0, 0, 0};
  std::vector<double> other = added;
  other[2] = far;
  const Outcome causal =
      Raised([&](auto& w) { return w.Mix(w.b.Add(w.Scores(), constant(w, added))); });
  EXPECT_THAT(causal.text, HasSubstr("attention(%0, %1, %2)"));
  EXPECT_THAT(causal.text, HasSubstr("mask = \"causal\""));
  EXPECT_THAT(Raised([&](auto& w) { return w.Mix(w.b.Add(w.Scores(), constant(w, other))); }).text,
              HasSubstr("mask = \"bias\""));
  const auto chosen = [](const std::vector<int64_t>& keep) {
    return Raised([&](auto& w) {
      const Value known = w.b.Constant(HostTensor::FromInts(DType::kBool, {1, 1, 3, 5}, keep));
      return w.Mix(w.b.Where(known, w.Scores(), w.C(-1e9)));
    });
  };
  EXPECT_THAT(chosen({1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1}).text,
              HasSubstr("mask = \"causal\""));
  EXPECT_THAT(chosen({1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1}).text,
              HasSubstr("mask = \"keep\""));
}

// --- Near misses ---

TEST(RaiseAttention, LeavesScoresThatOthersRead) {
  const Outcome outcome = Left([](auto& w) {
    const Value scores = w.Scores();
    w.b.Output("scores", scores);
    return w.Mix(scores);
  });
  EXPECT_EQ(OnlyReason(outcome), "graph_output");
  EXPECT_EQ(OnlyReason(Left([](auto& w) {
              const Value weights = w.b.Softmax(w.Scores());
              w.b.Output("weights", weights);
              return w.b.MatMul(weights, w.v);
            })),
            "graph_output");
}

TEST(RaiseAttention, LeavesAFiniteFillWhereARowMayBeEmpty) {
  EXPECT_EQ(OnlyReason(Left([](auto& w) {
              return w.Mix(w.b.Where(w.Bool("keep", {2, 1, 3, 5}), w.Scores(), w.C(-1e9)));
            })),
            "attention_not_raised");
  // Known, and one row keeps nothing.
  EXPECT_EQ(OnlyReason(Left([](auto& w) {
              const Value keep =
                  w.b.Constant(HostTensor::FromInts(DType::kBool, {3, 1}, {1, 0, 1}));
              return w.Mix(w.b.Where(keep, w.Scores(), w.C(-1e9)));
            })),
            "attention_not_raised");
  // Not far enough below.
  EXPECT_EQ(OnlyReason(Left([](auto& w) {
              const Value keep = w.b.Constant(HostTensor::FromInts(DType::kBool, {1, 1}, {1}));
              return w.Mix(w.b.Where(keep, w.Scores(), w.C(-10)));
            })),
            "attention_not_raised");
  // A sum of masks may bring what counts down to what does not.
  EXPECT_EQ(OnlyReason(Left([](auto& w) {
              const Value keep =
                  w.b.Constant(HostTensor::FromInts(DType::kBool, {1, 5}, {1, 1, 1, 0, 0}));
              const Value chosen = w.b.Where(keep, w.Scores(), w.C(-1e4));
              return w.Mix(w.b.Add(chosen, w.Input("pad", {2, 1, 1, 5})));
            })),
            "attention_not_raised");
}

TEST(RaiseAttention, LeavesWhatIsAlmostOne) {
  const std::vector<Writer> forms = {
      // another axis
      [](auto& w) { return w.b.MatMul(w.b.Softmax(w.Scores(), 1), w.v); },
      // weights on the right
      [](auto& w) {
        return w.b.MatMul(w.b.Transpose(w.v, {0, 1, 3, 2}),
                          w.b.Transpose(w.b.Softmax(w.Scores()), {0, 1, 3, 2}));
      },
      // scores that come from no product
      [](auto& w) { return w.Mix(w.Input("scores", {2, 4, 3, 5})); },
      // a mask that stretches the scores
      [](auto& w) {
        w.q = w.Input("q1", {2, 4, 1, 8});
        return w.Mix(w.b.Add(w.Scores(), w.Input("mask", {1, 1, 3, 5})));
      },
      // queries for each head, keys of one batch
      [](auto& w) {
        w.k = w.Input("k1", {1, 4, 5, 8});
        return w.Mix(w.Scores());
      },
      // numbers that differ by head
      [](auto& w) {
        const Value scale =
            w.b.Constant(HostTensor::FromDoubles(DType::kF32, {4, 1, 1}, {1, 2, 3, 4}));
        return w.Mix(w.b.Mul(w.b.MatMul(w.q, w.Turned(w.k)), scale));
      },
      // no transpose
      [](auto& w) { return w.Mix(w.b.MatMul(w.q, w.Input("turned", {2, 4, 8, 5}))); }};
  for (size_t i = 0; i < forms.size(); ++i) {
    SCOPED_TRACE(i);
    Left(forms[i]);
  }
}

// Keys whose transpose somebody else reads are read as they were before it.
TEST(RaiseAttention, LeavesATransposeToItsOtherReaders) {
  const Outcome outcome = Raised([](auto& w) {
    const Value turned = w.Turned(w.k);
    w.b.Output("turned", turned);
    return w.Mix(w.b.MatMul(w.q, turned));
  });
  EXPECT_EQ(Count(outcome.graph, OpKind::kTranspose), 1);
}

TEST(RaiseAttention, AsksTheBackEnd) {
  AttentionWriter w;
  w.b.Output("y", w.Mix(w.Scores()));
  PassContext context;
  context.runs = [](const Graph& g, NodeId id) { return g.node(id).op != OpKind::kAttention; };
  const Outcome outcome = RunPass(RaiseAttention, Print(w.graph), context);
  EXPECT_FALSE(outcome.changed);
  EXPECT_EQ(OnlyReason(outcome), "backend_refuses");
}

}  // namespace
}  // namespace rlx::passes
