// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/op_info.h"
#include "runtime/passes/counts.h"
#include "runtime/passes/precision.h"
#include "tests/unit/passes/pass_test.h"

namespace rlx::passes {
namespace {

constexpr char kModel[] = R"(mir "m" {
    %0 = input "ids" : i32[3]
    %1 = input "keep" : bool[3,4]
    %2 = param "table" : f32[5,4]
    %3 = param "w" : f32[4,4]
    %4 = gather(%2, %0) {axis = 0}
    %5 = matmul(%4, %3)
    %6 = constant {value = f32[] (-1e9)}
    %7 = where(%1, %5, %6)
    %8 = softmax(%7) {axis = 1}
    %9 = topk(%8) {k = 2, axis = 1}
    %10 = cast(%8) {to = f64}
    output "y" = %8
    output "where" = %9.1
    output "wide" = %10
  })";

struct Narrowed {
  Graph graph;
  std::vector<Remark> remarks;

  DType Of(OpKind op) const {
    for (const Node& node : graph.nodes()) {
      if (node.op == op) return node.results[0].dtype;
    }
    ADD_FAILURE() << Name(op) << " is not there";
    return DType::kF32;
  }
};

Narrowed Narrow(PrecisionPolicy policy, std::string_view text = kModel, PassContext context = {}) {
  Narrowed out{ParseGraph(text), {}};
  context.policy = std::move(policy);
  context.remarks = &out.remarks;
  EXPECT_TRUE(MixedPrecision(out.graph, context).ok());
  EXPECT_TRUE(VerifyGraph(out.graph).ok()) << Text(out.graph);
  return out;
}

using enum PrecisionPolicyKind;

TEST(MixedPrecision, DoesNothingInF32) {
  ExpectUntouched(MixedPrecision, kModel);
  PassContext context;
  context.policy = {kCustom, {{"compute", Precision::kF32}}};
  ExpectUntouched(MixedPrecision, kModel, std::move(context));
}

// What reads a count is computed in full up to the function that bounds it, whose result is as its
// class; what the model computes stays narrow, and so does what integers only choose.
TEST(MixedPrecision, KeepsCountsUpToWhatBoundsThem) {
  const std::string_view text = R"(mir "m" {
    %0 = input "n" : FROM[4,1]
    %1 = param "w" : f32[1,8]
    %2 = input "x" : f32[4,8]
    %3 = param "v" : f32[8,8]
    %4 = cast(%0) {to = f32}
    %5 = matmul(%4, %1)
    %6 = sub(%5, %1)
    %7 = BOUND(%6)
    %8 = relu(%7)
    %9 = matmul(%8, %3)
    %10 = gelu(%9)
    %11 = mul(%2, %4)
    %12 = neg(%11)
    output "y" = %10
    output "z" = %12
  })";
  for (const std::string_view from : {"i16", "i32", "i64", "u32", "i8", "u8", "bool"}) {
    for (const std::string_view bound : {"sin", "tanh", "sigmoid", "softmax"}) {
      SCOPED_TRACE(Cat(from, " ", bound));
      std::string written(text);
      written.replace(written.find("FROM"), 4, from);
      written.replace(written.find("BOUND"), 5, bound);
      const Narrowed out = Narrow({kAutoMixedBf16, {}}, written);
      // A byte is exact in 16 bits.
      const bool wide = from != "i8" && from != "u8" && from != "bool";
      EXPECT_EQ(out.Of(OpKind::kMatMul), wide ? DType::kF32 : DType::kBF16);
      EXPECT_EQ(out.Of(FindOp(bound)->kind), wide || bound == "sin" ? DType::kF32 : DType::kBF16);
      EXPECT_EQ(out.Of(OpKind::kMul), wide ? DType::kF32 : DType::kBF16);
      for (OpKind op : {OpKind::kRelu, OpKind::kGelu, OpKind::kNeg}) {
        EXPECT_EQ(out.Of(op), DType::kBF16) << Name(op);
      }
    }
  }
}

// A mask made of integers, as exporters write it, takes no attention out of the narrow type.
TEST(MixedPrecision, NarrowsMasksMadeOfIntegers) {
  for (const std::string_view mask : {"mul(%5, %3)", "where(%6, %3, %5)"}) {
    SCOPED_TRACE(mask);
    std::string text = R"(mir "m" {
      %0 = input "mask" : i64[1,1,1,4]
      %1 = input "x" : f32[1,4,8]
      %2 = constant {value = f32[] (1)}
      %3 = constant {value = f32[] (-3.4028235e38)}
      %4 = cast(%0) {to = f32}
      %5 = sub(%2, %4)
      %6 = cast(%5) {to = bool}
      %7 = MASK
      %8 = add(%7, %7)
      %9 = attention(%1, %1, %1, %8) {num_heads = 2, head_dim = 4, mask = "bias"}
      output "y" = %9
    })";
    text.replace(text.find("MASK"), 4, mask);
    EXPECT_EQ(Narrow({kAutoMixedBf16, {}}, text).Of(OpKind::kAttention), DType::kBF16);
  }
}

// An angle is whole whatever it is made of: what leads up to it is, products before that are not.
TEST(MixedPrecision, KeepsAngles) {
  for (const std::string_view function : {"sin", "cos", "tan"}) {
    std::string text = R"(mir "m" {
      %0 = input "x" : f32[4,8]
      %1 = param "w" : f32[8,8]
      %2 = matmul(%0, %1)
      %3 = add(%2, %0)
      %4 = FUNCTION(%3)
      %5 = relu(%4)
      output "y" = %5
    })";
    text.replace(text.find("FUNCTION"), 8, function);
    const Narrowed out = Narrow({kAlwaysF16, {}}, text);
    EXPECT_EQ(out.Of(OpKind::kMatMul), DType::kF16);
    EXPECT_EQ(out.Of(OpKind::kAdd), DType::kF32);
    EXPECT_EQ(out.Of(FindOp(function)->kind), DType::kF32);
    EXPECT_EQ(out.Of(OpKind::kRelu), DType::kF16);
  }
}

// What is in no other class is computed in f16 always, or in f32: that tells always_f16 from
// auto_mixed. What solves a system is in f32 under either.
TEST(MixedPrecision, NarrowsTheBoundaryWhereThePolicySaysAlways) {
  const std::string_view text = R"(mir "m" {
    %0 = input "x" : f32[2,8]
    %1 = input "a" : f32[8,8]
    %2 = input "b" : f32[8]
    %3 = fft(%0)
    %4 = dense_solve(%1, %2)
    %5 = relu(%3)
    output "y" = %5
    output "x" = %4
  })";
  struct Case {
    PrecisionPolicy policy;
    DType fft, relu;
  };
  const DType f16 = DType::kF16, f32 = DType::kF32, bf16 = DType::kBF16;
  const Case cases[] = {
      {{kAlwaysF32, {}}, f32, f32},      {{kAlwaysF16, {}}, f16, f16},
      {{kAutoMixed, {}}, f32, f16},      {{kAutoMixedConservative, {}}, f32, f32},
      {{kAutoMixedBf16, {}}, f32, bf16}, {{kCustom, {{"boundary", Precision::kBF16}}}, bf16, f32},
  };
  for (const auto& [policy, fft, relu] : cases) {
    SCOPED_TRACE(static_cast<int>(policy.kind));
    const Narrowed out = Narrow(policy, text);
    EXPECT_EQ(out.Of(OpKind::kFft), fft);
    EXPECT_EQ(out.Of(OpKind::kRelu), relu);
    EXPECT_EQ(out.Of(OpKind::kDenseSolve), f32);
  }
}

TEST(MixedPrecision, ComputesEachClassInItsType) {
  struct Case {
    PrecisionPolicy policy;
    DType matmul, softmax, where, gather;
  };
  const DType f16 = DType::kF16, f32 = DType::kF32, bf16 = DType::kBF16;
  const Case cases[] = {
      {{kAlwaysF16, {}}, f16, f16, f16, f16},
      {{kAutoMixed, {}}, f16, f16, f16, f16},
      // Elementwise and movement follow what they read.
      {{kAutoMixedConservative, {}}, f16, f32, f16, f32},
      {{kAutoMixedBf16, {}}, bf16, bf16, bf16, bf16},
      {{kCustom, {{"compute", Precision::kBF16}, {"elementwise", Precision::kF16}}},
       bf16,
       f32,
       f16,
       f32},
  };
  for (const auto& [policy, matmul, softmax, where, gather] : cases) {
    SCOPED_TRACE(static_cast<int>(policy.kind));
    const Narrowed out = Narrow(policy);
    EXPECT_EQ(out.Of(OpKind::kMatMul), matmul);
    EXPECT_EQ(out.Of(OpKind::kSoftmax), softmax);
    EXPECT_EQ(out.Of(OpKind::kWhere), where);
    EXPECT_EQ(out.Of(OpKind::kGather), gather);
    EXPECT_EQ(out.Of(OpKind::kTopK), DType::kF32);  // it decides
  }
}

// A row number is computed in f32 up to where it is one: 3001 is 3008 in bf16. The product before
// it is as its class.
TEST(MixedPrecision, KeepsWhatLeadsUpToADecision) {
  const std::string_view text = R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,4]
    %2 = input "table" : f32[4000]
    %3 = matmul(%0, %1)
    %4 = sigmoid(%3)
    %5 = reduce_sum(%4) {axes = [1], keep_dims = false}
    %6 = reshape(%5) {shape = [1, 2]}
    %7 = DECISION
    output "y" = %7
    %8 = tanh(%3)
    output "z" = %8
  })";
  for (const std::string_view decision :
       {"cast(%6) {to = i32}", "cast(%6) {to = bool}", "floor(%6)", "lt(%6, %6)",
        "topk(%6) {k = 1, axis = 1}"}) {
    SCOPED_TRACE(decision);
    std::string written(text);
    written.replace(written.find("DECISION"), 8, decision);
    const Narrowed out = Narrow({kAutoMixedBf16, {}}, written);
    for (OpKind op : {OpKind::kSigmoid, OpKind::kReduceSum, OpKind::kReshape}) {
      EXPECT_EQ(out.Of(op), DType::kF32) << Name(op);
    }
    EXPECT_EQ(out.Of(OpKind::kMatMul), DType::kBF16);
    EXPECT_EQ(out.Of(OpKind::kTanh), DType::kBF16);
  }
}

// The signature, integers, booleans, indices and f64 stay (the original retags them).
TEST(MixedPrecision, TouchesNothingButF32) {
  const Narrowed out = Narrow({kAlwaysF16, {}});
  const Graph before = ParseGraph(kModel);
  for (size_t i = 0; i < before.outputs().size(); ++i) {
    EXPECT_EQ(before.type(before.outputs()[i].value), out.graph.type(out.graph.outputs()[i].value));
  }
  for (const Node& node : out.graph.nodes()) {
    if (node.op == OpKind::kInput || node.op == OpKind::kParam) {
      EXPECT_NE(node.results[0].dtype, DType::kF16) << node.name;
    }
    if (node.op == OpKind::kGather) {
      EXPECT_EQ(out.graph.type(node.operands[1]).dtype, DType::kI32);
    }
    if (node.op == OpKind::kWhere) {
      EXPECT_EQ(out.graph.type(node.operands[0]).dtype, DType::kBool);
    }
  }
}

// What leads up to a carry would be rounded in each turn: products before it are as their class,
// what is done with them is in full.
TEST(MixedPrecision, KeepsWhatLeadsUpToACarry) {
  const std::string_view body = R"(mir "body" {
    %0 = input "h" : f32[4,4]
    %1 = input "w" : f32[4,4]
    %2 = matmul(%0, %1)
    %3 = tanh(%2)
    %4 = sigmoid(%3)
    output "h" = %3
    output "y" = %4
  })";
  for (const size_t kept : {0, 1, 2}) {
    PassContext context;
    context.kept_outputs = kept;
    const Narrowed out = Narrow({kAutoMixed, {}}, body, std::move(context));
    EXPECT_EQ(out.Of(OpKind::kMatMul), DType::kF16);
    EXPECT_EQ(out.Of(OpKind::kTanh), kept < 1 ? DType::kF16 : DType::kF32);
    EXPECT_EQ(out.Of(OpKind::kSigmoid), kept < 2 ? DType::kF16 : DType::kF32);
  }
}

// Control flow may decide by anything that it is given, and its bodies are told so.
TEST(MixedPrecision, KeepsWhatControlFlowDecidesBy) {
  const Graph graph = ParseGraph(R"(mir "m" {
    %0 = input "p" : bool[]
    %1 = input "x" : f32[4]
    %2 = exp(%1)
    %3 = if(%0, %2) graph "" {
      %0 = input "" : f32[4]
      %1 = neg(%0)
      output "o" = %1
    } graph "" {
      %0 = input "" : f32[4]
      output "o" = %0
    }
    %4 = cast(%3) {to = i32}
    output "y" = %4
  })");
  EXPECT_EQ(ComputedInFull(graph, 0, Counts(graph)),
            (std::vector<bool>{false, false, true, true, true}));
}

// Neighbours in one type have no casts between them, a value is cast once, and what is finite stays
// finite.
TEST(MixedPrecision, CastsOnceAtTheBorder) {
  const Narrowed out = Narrow({kAlwaysF16, {}}, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,4]
    %2 = constant {value = f32[] (-1e9)}
    %3 = matmul(%0, %1)
    %4 = add(%3, %0)
    %5 = max(%4, %2)
    output "y" = %5
  })");
  int casts = 0;
  for (const Node& node : out.graph.nodes()) {
    casts += node.op == OpKind::kCast;
    if (node.op == OpKind::kConstant) {
      EXPECT_EQ(node.Tensor("value").ToDoubles()[0], -65504);
    }
  }
  EXPECT_EQ(casts, 3);  // x, w, and the result back
  ASSERT_EQ(out.remarks.size(), 3u);
  EXPECT_EQ(out.remarks[0].message, "1 add computed in f16");
  EXPECT_GT(out.remarks[0].bytes_saved, 0);
}

TEST(MixedPrecision, LeavesWhatTheBackEndLacks) {
  PassContext context;
  context.runs = [](const Graph& graph, NodeId id) {
    return graph.node(id).op != OpKind::kSoftmax;
  };
  const Narrowed out = Narrow({kAlwaysF16, {}}, kModel, std::move(context));
  EXPECT_EQ(out.Of(OpKind::kSoftmax), DType::kF32);
  EXPECT_EQ(out.Of(OpKind::kMatMul), DType::kF16);
  const auto missed = std::ranges::find(out.remarks, "backend_refuses", &Remark::reason);
  ASSERT_NE(missed, out.remarks.end());
  EXPECT_EQ(missed->message, "1 softmax stay in f32: there is no softmax of f16 like %8 (softmax)");
}

// What weights alone decide is computed in full and narrowed when they are bound.
TEST(MixedPrecision, KeepsWeightArithmeticInF32) {
  const Narrowed out = Narrow({kAlwaysF16, {}}, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,4]
    %2 = exp(%1)
    %3 = matmul(%0, %2)
    output "y" = %3
  })");
  EXPECT_EQ(out.Of(OpKind::kExp), DType::kF32);
  EXPECT_EQ(out.Of(OpKind::kMatMul), DType::kF16);
}

// A composite computes in the class of the heaviest op inside it.
TEST(MixedPrecision, ClassesCompositesByWhatTheyHold) {
  const Narrowed out = Narrow({kCustom, {{"compute", Precision::kF16}}}, R"(mir "m" {
    %0 = input "x" : f32[1,3,4]
    %1 = attention(%0, %0, %0) {num_heads = 2, head_dim = 2}
    %2 = fused_swiglu(%1)
    output "y" = %2
  })");
  EXPECT_EQ(out.Of(OpKind::kAttention), DType::kF16);
  EXPECT_EQ(out.Of(OpKind::kFusedSwiglu), DType::kF32);
}

}  // namespace
}  // namespace rlx::passes
