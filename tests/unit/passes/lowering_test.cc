// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/passes/pass_test.h"

namespace rlx::passes {
namespace {

using ::testing::HasSubstr;

int64_t CountOf(const Graph& graph, OpKind op) {
  return std::ranges::count(graph.nodes(), op, &Node::op);
}

TEST(DeadCodeElimination, KeepsTheSignature) {
  ExpectRewrite(DeadCodeElimination, R"(mir "m" {
    %0 = input "x" : f32[2]
    %1 = input "unused" : f32[2]
    %2 = param "unused weight" : f32[2]
    %3 = exp(%0)
    %4 = neg(%3)
    output "y" = %3
  })",
                R"(mir "m" {
    %0 = input "x" : f32[2]
    %1 = input "unused" : f32[2]
    %2 = param "unused weight" : f32[2]
    %3 = exp(%0)
    output "y" = %3
  })");
}

// With dead code elimination off, what the author left unread stays, through rewrites around it.
TEST(Rewriter, KeepsWhatNobodyReadBefore) {
  const Outcome outcome = RunPass(FuseMatMulBiasAct, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,3]
    %2 = param "b" : f32[3]
    %3 = matmul(%0, %1)
    %4 = add(%3, %2)
    %5 = exp(%0)
    %6 = neg(%5)
    output "y" = %4
  })");
  EXPECT_EQ(CountOf(outcome.graph, OpKind::kNeg), 1);
  EXPECT_EQ(CountOf(outcome.graph, OpKind::kMatMul), 0);
  EXPECT_EQ(outcome.graph.outputs().size(), 1u);
}

TEST(LowerDotGeneral, KeepsFreeAxesBesideAMatrix) {
  ExpectRewrite(LowerDotGeneral, R"(mir "m" {
    %0 = input "x" : f32[2,3,4]
    %1 = param "w" : f32[5,4]
    %2 = dot_general(%0, %1) {lhs_contracting = [2], rhs_contracting = [1], lhs_batch = [], rhs_batch = []}
    output "y" = %2
  })",
                R"(mir "m" {
    %0 = input "x" : f32[2,3,4]
    %1 = param "w" : f32[5,4]
    %2 = transpose(%1) {perm = [1,0]}
    %3 = matmul(%0, %2)
    output "y" = %3
  })");
}

TEST(LowerDotGeneral, LowersEveryForm) {
  const std::string_view kForms[] = {
      "lhs_contracting = [0], rhs_contracting = [0], lhs_batch = [], rhs_batch = []",
      "lhs_contracting = [2, 0], rhs_contracting = [1, 0], lhs_batch = [], rhs_batch = []",
      "lhs_contracting = [2], rhs_contracting = [1], lhs_batch = [0], rhs_batch = [0]",
      "lhs_contracting = [], rhs_contracting = [], lhs_batch = [0, 2], rhs_batch = [0, 1]",
      "lhs_contracting = [], rhs_contracting = [], lhs_batch = [], rhs_batch = []",
      "lhs_contracting = [0, 1, 2], rhs_contracting = [0, 2, 1], lhs_batch = [], rhs_batch = []",
  };
  for (std::string_view form : kForms) {
    SCOPED_TRACE(form);
    const Outcome outcome = RunPass(LowerDotGeneral, Cat(R"(mir "m" {
      %0 = input "x" : f32[2,3,4]
      %1 = input "z" : f32[2,4,3]
      %2 = dot_general(%0, %1) {)",
                                                         form, R"(}
      output "y" = %2
    })"));
    EXPECT_EQ(CountOf(outcome.graph, OpKind::kDotGeneral), 0);
    EXPECT_EQ(CountOf(outcome.graph, OpKind::kMatMul), 1);
  }
}

const char kIf[] = R"(mir "m" {
  %0 = input "p" : bool[]
  %1 = input "x" : f32[2]
  %2 = input "z" : f32[2]
  %3 = if(%0, %1, %2) graph "then" {
    %0 = input "a" : f32[2]
    %1 = input "b" : f32[2]
    %2 = add(%0, %1)
    output "o" = %2
    output "p" = %0
  } graph "else" {
    %0 = input "a" : f32[2]
    %1 = input "b" : f32[2]
    %2 = mul(%0, %1)
    output "o" = %2
    output "p" = %1
  }
  output "y" = %3
  output "w" = %3.1
})";

TEST(LowerControlFlow, SelectsResultByResult) {
  PassContext context;
  context.claims = {"MatMul"};
  ExpectRewrite(LowerControlFlow, kIf, R"(mir "m" {
    %0 = input "p" : bool[]
    %1 = input "x" : f32[2]
    %2 = input "z" : f32[2]
    %3 = add(%1, %2)
    %4 = mul(%1, %2)
    %5 = where(%0, %3, %4)
    %6 = where(%0, %1, %2)
    output "y" = %5
    output "w" = %6
  })",
                context);
}

// A scan of `length` steps, and an `if` in which `op` makes the result of either branch.
std::string ScanOf(int64_t length) {
  return Cat(R"(mir "m" {
    %0 = input "s" : f32[2]
    %1 = input "xs" : f32[)",
             length, R"(,2]
    %2 = scan(%0, %1) {carries = 1, sequences = 1, length = [)",
             length, R"(]} graph "" {
      %0 = input "s" : f32[2]
      %1 = input "x" : f32[2]
      %2 = softmax(%0)
      %3 = add(%2, %1)
      output "s" = %3
      output "y" = %2
    }
    output "s" = %2
    output "ys" = %2.1
  })");
}

std::string IfOf(std::string_view op) {
  std::string text = kIf;
  for (std::string_view from : {"add(%0, %1)", "mul(%0, %1)"}) {
    text.replace(text.find(from), from.size(), op);
  }
  return text;
}

// What is small is written out for a target that runs it too, unless what the module does not ask
// for might then fail or take long.
TEST(LowerControlFlow, LeavesItToATargetThatRunsIt) {
  ExpectUntouched(LowerControlFlow, ScanOf(13));
  const Outcome few = RunPass(LowerControlFlow, ScanOf(12));
  EXPECT_EQ(CountOf(few.graph, OpKind::kScan), 0);
  EXPECT_EQ(CountOf(few.graph, OpKind::kSoftmax), 12);
  ExpectUntouched(LowerControlFlow, IfOf("softmax(%0)"));
  EXPECT_EQ(CountOf(RunPass(LowerControlFlow, kIf).graph, OpKind::kWhere), 2);
}

TEST(LowerControlFlow, LeavesWhatTheRequestWantsNative) {
  PassContext context;
  context.native = {"If", "Scan"};
  ExpectUntouched(LowerControlFlow, kIf, context);
  ExpectUntouched(LowerControlFlow, ScanOf(2), context);
}

// Written out, nodes could not say that a loop did not end; and 20,000 of them are enough.
TEST(LowerControlFlow, LeavesWhatCannotBeWrittenOut) {
  PassContext context;
  context.claims = {"MatMul"};
  ExpectUntouched(LowerControlFlow, ScanOf(4001), context);
  EXPECT_EQ(CountOf(RunPass(LowerControlFlow, ScanOf(40), context).graph, OpKind::kScan), 0);
  const auto loop = [](std::string_view must_end) {
    return Cat(R"(mir "m" {
    %0 = input "x" : f32[]
    %1 = while(%0) {carries = 1, max_iterations = 2, must_end = )",
               must_end, R"(} graph "" {
      %0 = input "x" : f32[]
      %1 = lt(%0, %0)
      output "on" = %1
    } graph "" {
      %0 = input "x" : f32[]
      %1 = neg(%0)
      output "x" = %1
    }
    output "y" = %1
  })");
  };
  ExpectUntouched(LowerControlFlow, loop("true"), context);
  EXPECT_EQ(CountOf(RunPass(LowerControlFlow, loop("false"), context).graph, OpKind::kWhile), 0);
}

TEST(LowerControlFlow, LowersNestedBranchesAndKeepsNamesAndSources) {
  PassContext context;
  context.claims = {"MatMul"};
  const Outcome outcome = RunPass(LowerControlFlow, R"(mir "m" {
    %0 = input "p" : bool[]
    %1 = input "x" : f32[2]
    %2 = exp "mine" (%1) from onnx 4 "Exp_4"
    %3 = if(%0, %0, %2) graph "then" {
      %0 = input "q" : bool[]
      %1 = input "a" : f32[2]
      %2 = if(%0, %1) graph "then" {
        %0 = input "a" : f32[2]
        %1 = neg(%0)
        output "o" = %1
      } graph "else" {
        %0 = input "a" : f32[2]
        output "o" = %0
      }
      output "o" = %2
    } graph "else" {
      %0 = input "q" : bool[]
      %1 = input "a" : f32[2]
      output "o" = %1
    } from onnx 9 "If_9"
    output "y" = %3
  })",
                                  context);
  EXPECT_EQ(CountOf(outcome.graph, OpKind::kIf), 0);
  EXPECT_EQ(CountOf(outcome.graph, OpKind::kWhere), 2);
  EXPECT_THAT(outcome.text, HasSubstr("exp \"mine\""));
  for (const Node& node : outcome.graph.nodes()) {
    if (node.op != OpKind::kWhere) continue;
    EXPECT_EQ(node.sources.at(0).name, "If_9");
  }
}

// One choice for each result of a branch, and for each carry of each step of a loop.
TEST(LowerControlFlow, WritesOutABoundedWhile) {
  PassContext context;
  context.claims = {"MatMul"};
  const Outcome one = RunPass(LowerControlFlow, R"(mir "m" {
    %0 = input "p" : bool[]
    %1 = input "x" : f32[2]
    %2 = if(%0, %1) graph "then" {
      %0 = input "a" : f32[2]
      %1 = mul(%0, %0)
      output "o" = %1
    } graph "else" {
      %0 = input "a" : f32[2]
      output "o" = %0
    }
    %3 = while(%2) {carries = 1, max_iterations = 2} graph "holds" {
      %0 = input "a" : f32[2]
      %1 = reduce_max(%0) {axes = [0]}
      %2 = lt(%1, %1)
      output "on" = %2
    } graph "body" {
      %0 = input "a" : f32[2]
      %1 = mul(%0, %0)
      output "o" = %1
    }
    output "y" = %3
  })",
                              context);
  EXPECT_EQ(CountOf(one.graph, OpKind::kWhere), 3);
  EXPECT_EQ(CountOf(one.graph, OpKind::kMul), 3);
  EXPECT_EQ(CountOf(one.graph, OpKind::kLogicalAnd), 1);
  EXPECT_EQ(CountOf(one.graph, OpKind::kIf) + CountOf(one.graph, OpKind::kWhile), 0);
  const Outcome two = RunPass(LowerControlFlow, R"(mir "m" {
    %0 = input "x" : f32[2]
    %1 = input "z" : f32[2]
    %2 = input "p" : bool[]
    %3 = while(%0, %1, %2) {carries = 2, max_iterations = 3} graph "holds" {
      %0 = input "a" : f32[2]
      %1 = input "b" : f32[2]
      %2 = input "on" : bool[]
      output "on" = %2
    } graph "body" {
      %0 = input "a" : f32[2]
      %1 = input "b" : f32[2]
      %2 = input "on" : bool[]
      %3 = add(%0, %1)
      output "a" = %1
      output "b" = %3
    }
    output "y" = %3
    output "z" = %3.1
  })",
                              context);
  EXPECT_EQ(CountOf(two.graph, OpKind::kWhere), 6);
}

// Loops inside loops multiply, loops beside loops add up: neither may fill the memory.
TEST(LowerControlFlow, LeavesLoopsThatWouldGrowTooLarge) {
  PassContext context;
  context.claims = {"MatMul"};
  const auto loop = [](int bound, std::string_view body) {
    return Cat("while(%0) {carries = 1, max_iterations = ", bound, R"(} graph "holds" {
      %0 = input "a" : f32[]
      %1 = lt(%0, %0)
      output "on" = %1
    } graph "body" {
      %0 = input "a" : f32[]
      %1 = )",
               body, R"(
      output "o" = %1
    })");
  };
  const auto module = [](std::string_view node, int copies) {
    std::string text = "mir \"m\" { %0 = input \"x\" : f32[]\n";
    for (int i = 1; i <= copies; ++i)
      text += Cat("%", i, " = ", node, "\noutput \"y", i, "\" = %", i, "\n");
    return text + "}";
  };
  ExpectUntouched(LowerControlFlow, module(loop(100, loop(100, "exp(%0)")), 1), context);
  const Outcome nested =
      RunPass(LowerControlFlow, module(loop(10, loop(10, "exp(%0)")), 1), context);
  EXPECT_EQ(CountOf(nested.graph, OpKind::kWhile), 0);
  EXPECT_EQ(CountOf(nested.graph, OpKind::kExp), 100);
  const Outcome beside = RunPass(LowerControlFlow, module(loop(3'900, "exp(%0)"), 8), context);
  EXPECT_EQ(CountOf(beside.graph, OpKind::kWhile), 3);
}

TEST(DecomposeUnclaimed, WritesOutTheLoopOfARecurrence) {
  PassContext context;
  context.claims = {"Binary",    "Activation", "Reduce", "Reshape",
                    "Transpose", "Expand",     "Narrow", "Concat"};
  const Outcome outcome = RunPass(DecomposeUnclaimed, R"(mir "m" {
    %0 = input "q" : f32[1,3,2,4]
    %1 = input "g" : f32[1,3,2]
    %2 = gated_delta_net(%0, %0, %0, %1, %1)
    output "y" = %2
    output "state" = %2.1
  })",
                                  context);
  EXPECT_EQ(CountOf(outcome.graph, OpKind::kGatedDeltaNet), 0);
  EXPECT_EQ(CountOf(outcome.graph, OpKind::kScan), 0);
}

std::string DeltaNet(std::string_view symbols, std::string_view tokens) {
  return Cat("mir \"m\" { ", symbols, R"(
    %0 = input "q" : f32[1,)",
             tokens, R"(,2,4]
    %1 = input "g" : f32[1,)",
             tokens, R"(,2]
    %2 = softmax(%0)
    %3 = mul(%1, %1)
    %4 = neg(%3)
    %5 = gated_delta_net(%0, %2, %0, %4, %3)
    output "y" = %5
  })");
}

// What cannot be written out, on a target that runs no loops: nothing is left of a loop.
TEST(DecomposeUnclaimed, SolvesALongRecurrenceInLevels) {
  PassContext context;
  context.claims = {"Binary", "Activation", "Reduce",  "Reshape", "Transpose", "Expand", "Narrow",
                    "Concat", "Gather",     "Compare", "Where",   "MatMul",    "Softmax"};
  for (const std::string& text : {DeltaNet("symbol seq in [1, 300]", "seq"), DeltaNet("", "600")}) {
    const Outcome outcome = RunPass(DecomposeUnclaimed, text, context);
    EXPECT_EQ(CountOf(outcome.graph, OpKind::kGatedDeltaNet), 0);
    EXPECT_EQ(CountOf(outcome.graph, OpKind::kScan), 0);
    EXPECT_EQ(CountOf(outcome.graph, OpKind::kCumsum), 0);
    EXPECT_LT(outcome.graph.size(), 300);
  }
  context.claims.insert("Scan");
  const Outcome loop =
      RunPass(DecomposeUnclaimed, DeltaNet("symbol seq in [1, 300]", "seq"), context);
  EXPECT_EQ(CountOf(loop.graph, OpKind::kScan), 1);
}

// A state for each of so many tokens fits nowhere. What was tried leaves no trace.
TEST(DecomposeUnclaimed, KeepsARecurrenceThatFitsInNoLevels) {
  PassContext context;
  context.claims = {"Binary", "Activation", "Softmax"};
  ExpectUntouched(DecomposeUnclaimed, DeltaNet("symbol seq in [1, 20000000000]", "seq"), context);
}

TEST(DecomposeUnclaimed, TakesApartOnlyWhatIsUnclaimed) {
  PassContext context;
  context.claims = {"FusedSwiGLU", "MatMul", "Binary", "LayerNorm"};
  const Outcome outcome = RunPass(DecomposeUnclaimed, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "w" : f32[4,6]
    %2 = param "b" : f32[6]
    %3 = param "g" : f32[3]
    %4 = fused_matmul_bias_act(%0, %1, %2) {has_bias = true}
    %5 = fused_swiglu(%4) {gate_first = true}
    %6 = fused_residual_layer_norm(%5, %5, %3, %3)
    output "y" = %6
  })",
                                  context);
  EXPECT_EQ(CountOf(outcome.graph, OpKind::kFusedSwiglu), 1);
  EXPECT_EQ(CountOf(outcome.graph, OpKind::kLayerNorm), 1);
  EXPECT_EQ(CountOf(outcome.graph, OpKind::kMatMul), 1);
  EXPECT_EQ(CountOf(outcome.graph, OpKind::kFusedMatMulBiasAct), 0);
  EXPECT_EQ(CountOf(outcome.graph, OpKind::kFusedResidualLayerNorm), 0);
  EXPECT_EQ(outcome.remarks.size(), 2u);
}

TEST(DecomposeUnclaimed, GoesDownToPrimitives) {
  PassContext context;
  context.claims = {"Binary", "Activation", "Reduce", "Reshape", "Expand"};
  const Outcome outcome = RunPass(DecomposeUnclaimed, R"(mir "m" {
    %0 = input "x" : f32[2,4]
    %1 = param "g" : f32[4]
    %2 = fused_residual_rms_norm(%0, %0, %1)
    %3 = softmax(%2)
    output "y" = %3
  })",
                                  context);
  EXPECT_EQ(CountOf(outcome.graph, OpKind::kRmsNorm), 0);
  EXPECT_EQ(CountOf(outcome.graph, OpKind::kSoftmax), 0);
}

// gate_first, scale, softcap and mask survive decomposition (RunPass compares the values).
TEST(DecomposeUnclaimed, KeepsWhatAttributesMean) {
  PassContext context;
  context.common = {"FusedSwiGLU"};
  const Outcome outcome = RunPass(DecomposeUnclaimed, R"(mir "m" {
    %0 = input "x" : f32[2,6]
    %1 = fused_swiglu(%0) {gate_first = true}
    %2 = fused_swiglu(%0) {gate_first = false}
    output "y" = %1
    output "z" = %2
  })",
                                  context);
  EXPECT_EQ(CountOf(outcome.graph, OpKind::kFusedSwiglu), 0);
}

TEST(DecomposeUnclaimed, KeepsUnclaimedKindsUnderForceNative) {
  PassContext context;
  context.claims = {"Binary"};
  context.keep_unclaimed = true;
  ExpectUntouched(DecomposeUnclaimed, R"(mir "m" {
    %0 = input "x" : f32[2,6]
    %1 = fused_swiglu(%0)
    output "y" = %1
  })",
                  context);
}

TEST(DecomposeRefused, TakesApartTheNodesTheBackEndRefuses) {
  PassContext context;
  context.runs = [](const Graph& graph, NodeId id) {
    return graph.node(id).op != OpKind::kFusedSwiglu || graph.type({id, 0}).dtype == DType::kF32;
  };
  const Outcome outcome = RunPass(DecomposeRefused, R"(mir "m" {
    %0 = input "x" : f32[2,6]
    %1 = input "h" : f64[2,6]
    %2 = fused_swiglu(%0)
    %3 = fused_swiglu(%1)
    output "y" = %2
    output "z" = %3
  })",
                                  context);
  EXPECT_EQ(CountOf(outcome.graph, OpKind::kFusedSwiglu), 1);
}

// A causal mask's positions are a cumulative sum of ones, which the target need not have.
TEST(DecomposeRefused, FoldsWhatPartsComputeFromConstants) {
  PassContext context;
  context.runs = [](const Graph& graph, NodeId id) {
    return graph.node(id).op != OpKind::kAttention;
  };
  const std::string module = R"(mir "m" {
    %0 = input "q" : f64[1,3,8]
    %1 = attention(%0, %0, %0) {num_heads = 2, head_dim = 4, mask = "causal"}
    output "y" = %1
  })";
  EXPECT_EQ(CountOf(RunPass(DecomposeRefused, module, context).graph, OpKind::kCumsum), 0);
  context.constant_folding = false;
  EXPECT_GT(CountOf(RunPass(DecomposeRefused, module, context).graph, OpKind::kCumsum), 0);
}

TEST(ConstantFolding, FoldsEveryType) {
  ExpectRewrite(ConstantFolding, R"(mir "m" {
    %0 = constant {value = i64[3] (1, 2, 3)}
    %1 = constant {value = i64[] (9007199254740993)}
    %2 = add(%0, %1)
    %3 = constant {value = f32[2] (1.5, -2)}
    %4 = gelu(%3)
    %5 = relu(%3)
    %6 = cast(%5) {to = i32}
    %7 = lt(%3, %5)
    %8 = where(%7, %3, %5)
    output "exact" = %2
    output "cast" = %6
    output "where" = %8
  })",
                R"(mir "m" {
    %0 = constant {value = i64[3] (9007199254740994, 9007199254740995, 9007199254740996)}
    %1 = constant {value = i32[2] (1, 0)}
    %2 = constant {value = f32[2] (1.5, -2)}
    output "exact" = %0
    output "cast" = %1
    output "where" = %2
  })");
}

TEST(ConstantFolding, LeavesParamsAndLargeResults) {
  ExpectUntouched(ConstantFolding, R"(mir "m" {
    %0 = param "w" : f32[2]
    %1 = exp(%0)
    %2 = constant {value = f32[] (1)}
    %3 = expand(%2) {shape = [1024,1024]}
    output "y" = %1
    output "z" = %3
  })");
}

// Of eight equal sums, each of 3·100 elements: what the budget has, and a word about the others.
TEST(ConstantFolding, StopsAtTheModulesBudgetOfWork) {
  std::string text = R"(mir "m" {
    %0 = constant {value = f32[] (1)}
    %1 = expand(%0) {shape = [100]}
)";
  for (int i = 2; i < 10; ++i) text += Cat("    %", i, " = add(%1, %1)\n");
  for (int i = 2; i < 10; ++i) text += Cat("    output \"y", i, "\" = %", i, "\n");
  PassContext context;
  context.folding.work = 101 + 5 * 300 + 299;
  const Outcome outcome = RunPass(ConstantFolding, text + "}", context);
  EXPECT_EQ(CountOf(outcome.graph, OpKind::kAdd), 3);
  ASSERT_EQ(outcome.Missed().size(), 1u);
  EXPECT_EQ(outcome.Missed()[0].reason, "folding_budget");
  EXPECT_THAT(outcome.Missed()[0].message, testing::HasSubstr("more work"));
}

// A long chain of which one value is wanted: the budget of bytes holds two links of it.
TEST(ConstantFolding, KeepsNoIntermediateResult) {
  std::string text = R"(mir "m" {
    %0 = constant {value = f32[] (1)}
    %1 = expand(%0) {shape = [100]}
)";
  for (int i = 2; i < 60; ++i) text += Cat("    %", i, " = add(%", i - 1, ", %0)\n");
  PassContext context;
  context.folding.bytes = 2 * 400;
  const Outcome outcome = RunPass(ConstantFolding, text + "    output \"y\" = %59\n}", context);
  EXPECT_EQ(outcome.graph.size(), 1) << outcome.text;
  EXPECT_THAT(outcome.Missed(), testing::IsEmpty());
}

TEST(ConstantFolding, HoldsNoMoreThanItsBudget) {
  std::string text = R"(mir "m" {
    %0 = constant {value = f32[] (1)}
    %1 = input "x" : f32[100]
)";
  for (int i = 2; i < 20; i += 2) {
    text += Cat("    %", i, " = expand(%0) {shape = [100]}\n");
    text += Cat("    %", i + 1, " = mul(%1, %", i, ")\n");
    text += Cat("    output \"y", i, "\" = %", i + 1, "\n");
  }
  PassContext context;
  context.folding.bytes = 5 * 400;
  const Outcome outcome = RunPass(ConstantFolding, text + "}", context);
  EXPECT_EQ(CountOf(outcome.graph, OpKind::kExpand), 9 - 5);
  ASSERT_EQ(outcome.Missed().size(), 1u);
  EXPECT_THAT(outcome.Missed()[0].message, testing::HasSubstr("more memory"));
}

TEST(ConstantFolding, EndsWithItsCaller) {
  Graph graph = ParseGraph(R"(mir "m" {
    %0 = constant {value = f32[] (1)}
    %1 = expand(%0) {shape = [100]}
    output "y" = %1
  })");
  PassContext context;
  context.cancel = CancelToken({}, CancelToken::Clock::now());
  EXPECT_TRUE(absl::IsDeadlineExceeded(ConstantFolding(graph, context)));
  EXPECT_TRUE(absl::IsDeadlineExceeded(CommonSubexpressionElimination(graph, context)));
  EXPECT_EQ(CountOf(graph, OpKind::kExpand), 1);
}

// An index out of range is for the run to report.
TEST(ConstantFolding, LeavesWhatCannotBeEvaluated) {
  Graph graph = ParseGraph(R"(mir "m" {
    %0 = constant {value = f32[2] (1, 2)}
    %1 = constant {value = i64[1] (7)}
    %2 = gather(%0, %1) {axis = 0}
    output "y" = %2
  })");
  PassContext context;
  EXPECT_TRUE(ConstantFolding(graph, context).ok());
  EXPECT_EQ(CountOf(graph, OpKind::kGather), 1);
}

TEST(CommonSubexpressionElimination, JoinsEqualWeightExpressions) {
  ExpectRewrite(CommonSubexpressionElimination, R"(mir "m" {
    %0 = input "x" : f32[4,4]
    %1 = param "w" : f32[4,4]
    %2 = transpose(%1) {perm = [1,0]}
    %3 = transpose(%1) {perm = [1,0]}
    %4 = matmul(%0, %2)
    %5 = matmul(%4, %3)
    %6 = exp(%0)
    %7 = exp(%0)
    output "y" = %5
    output "a" = %6
    output "b" = %7
  })",
                R"(mir "m" {
    %0 = input "x" : f32[4,4]
    %1 = param "w" : f32[4,4]
    %2 = transpose(%1) {perm = [1,0]}
    %3 = matmul(%0, %2)
    %4 = matmul(%3, %2)
    %5 = exp(%0)
    %6 = exp(%0)
    output "y" = %4
    output "a" = %5
    output "b" = %6
  })");
}

}  // namespace
}  // namespace rlx::passes
