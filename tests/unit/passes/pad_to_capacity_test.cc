// SPDX-License-Identifier: Apache-2.0
#include "runtime/passes/pad_to_capacity.h"

#include <gtest/gtest.h>

#include "runtime/base/text.h"
#include "runtime/ir/verify.h"
#include "runtime/passes/padded_axis.h"
#include "tests/support/graphs.h"
#include "tests/support/oracle.h"
#include "tests/support/padding.h"
#include "tests/support/same_results.h"

namespace rlx::passes {
namespace {

const Dim kS = Dim::Symbol("s"), kB = Dim::Symbol("b");

TEST(PaddedAxis, MergesWhatIsTrueThroughout) {
  PaddedAxis axis(kS, 8);
  axis.Append({4, 4});
  EXPECT_EQ(axis, PaddedAxis(kS * 4, 32));
  EXPECT_TRUE(axis.prefix());
  PaddedAxis led(3, 3);
  led.Append({kS, 8});
  EXPECT_FALSE(led.prefix());
  EXPECT_EQ(led.capacity(), 24);
  EXPECT_EQ(led.extent(), kS * 3);
  EXPECT_EQ(PaddedAxis(1, 1).capacity(), 1);
}

TEST(PaddedAxis, RegroupsPartsWithoutTearingThem) {
  const PaddedAxes axes = {PaddedAxis(kB, 4), PaddedAxis(kS, 8), PaddedAxis(6, 6)};
  const auto flat = Regroup(axes, {kB * kS, 6}, {32, 6});
  ASSERT_TRUE(flat.has_value());
  EXPECT_EQ(flat->front().parts().size(), 2u);
  EXPECT_EQ(Regroup(*flat, {kB, kS, 2, 3}, {4, 8, 2, 3}),
            (PaddedAxes{axes[0], axes[1], PaddedAxis(2, 2), PaddedAxis(3, 3)}));
  EXPECT_EQ(Regroup({PaddedAxis(kS * 4, 32)}, {kS, 4}, {8, 4}),
            (PaddedAxes{PaddedAxis(kS, 8), PaddedAxis(4, 4)}));
  EXPECT_FALSE(Regroup({PaddedAxis(kS, 8)}, {2, FloorDiv(kS, 2)}, {2, 4}).has_value());
  // The same capacities, other extents.
  EXPECT_FALSE(Regroup({PaddedAxis(kB, 8), PaddedAxis(kS, 8)}, {kS, kB}, {8, 8}).has_value());
}

Graph Parse(std::string_view body) {
  return test::ParseGraph(Cat("mir \"g\" {\nsymbol b in [1, 4]\nsymbol p in [1, 6]\n",
                              "symbol s in [1, 5]\n", body, "}\n"));
}

// At every size up to the capacity, with garbage around.
void ExpectSameAtEverySize(const Graph& graph) {
  const DimBinding capacity = {{"b", 4}, {"p", 6}, {"s", 5}};
  const auto padded = PadToCapacity(graph, capacity);
  ASSERT_TRUE(padded.ok()) << padded.status();
  ASSERT_TRUE(VerifyGraph(padded->graph).ok()) << VerifyGraph(padded->graph);
  for (int64_t b : {1, 3, 4}) {
    for (int64_t p : {1, 4, 6}) {
      for (int64_t s : {1, 2, 5}) {
        const DimBinding sizes = {{"b", b}, {"p", p}, {"s", s}};
        SCOPED_TRACE(Cat("b ", b, ", p ", p, ", s ", s));
        const auto bound = BindSymbols(graph, sizes);
        ASSERT_TRUE(bound.ok()) << bound.status();
        const TensorMap inputs = test::RandomInputs(*bound, 7);
        const auto want = Evaluate(*bound, inputs);
        ASSERT_TRUE(want.ok()) << want.status();
        const auto got = Evaluate(padded->graph, test::PaddedInputs(*padded, inputs, sizes));
        ASSERT_TRUE(got.ok()) << got.status();
        for (size_t i = 0; i < want->size(); ++i) {
          const EvalTensor first = test::FirstPlaces((*got)[i], (*want)[i].dims);
          ASSERT_TRUE(test::CompareToOracle(first, (*want)[i], {1e-9, 1e-9})) << "output " << i;
        }
      }
    }
  }
}

TEST(PadToCapacity, AttentionSeesTrueKeysAlone) {
  for (const std::string_view mask :
       {"mask = \"none\"", "mask = \"causal\"", "mask = \"sliding_window\", window = 2"}) {
    SCOPED_TRACE(mask);
    // Keys of a cache and new ones: places of the whole are not a prefix of the parts'.
    ExpectSameAtEverySize(
        Parse(Cat("%0 = input \"q\" : f32[b,s,8]\n%1 = input \"past\" : f32[b,p,8]\n",
                  "%2 = input \"new\" : f32[b,s,8]\n%3 = concat(%1, %2) {axis = 1}\n",
                  "%4 = attention(%0, %3, %3) {num_heads = 2, head_dim = 4, ", mask, "}\n",
                  "output \"y\" = %4\noutput \"cache\" = %3\n")));
  }
}

TEST(PadToCapacity, AttentionKeepsItsOwnMask) {
  ExpectSameAtEverySize(
      Parse("%0 = input \"q\" : f32[b,s,8]\n%1 = input \"k\" : f32[b,p,8]\n"
            "%2 = input \"keep\" : bool[b,p]\n"
            "%3 = attention(%0, %1, %1, %2) {num_heads = 2, head_dim = 4, mask = \"keep\"}\n"
            "output \"y\" = %3\n"));
  ExpectSameAtEverySize(
      Parse("%0 = input \"q\" : f32[b,s,8]\n%1 = input \"k\" : f32[b,p,8]\n"
            "%2 = input \"bias\" : f32[b,1,s,p]\n"
            "%3 = attention(%0, %1, %1, %2) {num_heads = 2, head_dim = 4, mask = \"bias\"}\n"
            "output \"y\" = %3\n"));
}

TEST(PadToCapacity, ReductionsCountTruePlaces) {
  for (const std::string_view op :
       {"reduce_mean", "reduce_sum", "reduce_max", "reduce_min", "reduce_prod"}) {
    SCOPED_TRACE(op);
    ExpectSameAtEverySize(
        Parse(Cat("%0 = input \"x\" : f32[b,s,3]\n%1 = ", op,
                  "(%0) {axes = [0, 1], keep_dims = false}\n", "output \"y\" = %1\n")));
  }
  ExpectSameAtEverySize(
      Parse("%0 = input \"x\" : f32[b,s,3]\n%1 = softmax(%0) {axis = 1}\n"
            "%2 = cumsum(%1) {axis = 1}\n%3 = topk(%0) {axis = 1, k = 1}\n"
            "output \"y\" = %2\noutput \"best\" = %3\noutput \"at\" = %3.1\n"));
}

TEST(PadToCapacity, ProductsSumOverTruePlaces) {
  ExpectSameAtEverySize(
      Parse("%0 = input \"x\" : f32[b,3,s]\n%1 = input \"w\" : f32[b,s,p]\n"
            "%2 = matmul(%0, %1)\noutput \"y\" = %2\n"));
}

TEST(PadToCapacity, ConvolutionsKeepBatchesApart) {
  ExpectSameAtEverySize(
      Parse("%0 = input \"x\" : f32[b,2,4,4]\n%1 = param \"w\" : f32[3,2,3,3]\n"
            "%2 = conv(%0, %1) {strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1]}\noutput "
            "\"y\" = %2\n"));
}

// Turns behind the end leave the carry alone, whatever lies in the sequences there: an index, say.
TEST(PadToCapacity, ScansHaveTrueTurnsAlone) {
  ExpectSameAtEverySize(Parse(R"(
    %0 = input "start" : f32[3]
    %1 = input "table" : f32[3,3]
    %2 = input "xs" : f32[s,3]
    %3 = input "at" : i64[s,1]
    %4 = scan(%0, %1, %2, %3) {carries = 1, sequences = 2, length = [s]} graph "" {
      %0 = input "c" : f32[3]
      %1 = input "table" : f32[3,3]
      %2 = input "x" : f32[3]
      %3 = input "at" : i64[1]
      %4 = gather(%1, %3)
      %5 = reshape(%4) {shape = [3]}
      %6 = mul(%0, %5)
      %7 = add(%6, %2)
      output "c" = %7
      output "before" = %0
    }
    output "last" = %4
    output "all" = %4.1
  )"));
}

TEST(PadToCapacity, BodiesArePaddedAsTheGraphAroundThem) {
  ExpectSameAtEverySize(Parse(R"(
    %0 = input "c" : f32[b,3]
    %1 = input "w" : f32[b,s]
    %2 = input "xs" : f32[p,b,3]
    %3 = scan(%0, %1, %2) {carries = 1, sequences = 1, length = [p]} graph "" {
      %0 = input "c" : f32[b,3]
      %1 = input "w" : f32[b,s]
      %2 = input "x" : f32[b,3]
      %3 = reduce_mean(%1) {axes = [1], keep_dims = true}
      %4 = reduce_mean(%0) {axes = [0], keep_dims = true}
      %5 = mul(%2, %3)
      %6 = add(%5, %4)
      %7 = tanh(%6)
      output "c" = %7
      output "y" = %4
    }
    output "last" = %3
    output "all" = %3.1
  )"));
  ExpectSameAtEverySize(Parse(R"(
    %0 = input "x" : f32[b,s]
    %1 = input "i" : i64[]
    %2 = input "y" : f32[p,s]
    %3 = while(%0, %1, %2) {carries = 2, max_iterations = 3} graph "" {
      %0 = input "x" : f32[b,s]
      %1 = input "i" : i64[]
      %2 = input "y" : f32[p,s]
      %3 = constant {value = i64[] (2)}
      %4 = lt(%1, %3)
      output "on" = %4
    } graph "" {
      %0 = input "x" : f32[b,s]
      %1 = input "i" : i64[]
      %2 = input "y" : f32[p,s]
      %3 = softmax(%0) {axis = 1}
      %4 = reduce_mean(%2) {axes = [0], keep_dims = true}
      %5 = add(%3, %4)
      %6 = constant {value = i64[] (1)}
      %7 = add(%1, %6)
      output "x" = %5
      output "i" = %7
    }
    output "x" = %3
  )"));
  ExpectSameAtEverySize(Parse(R"(
    %0 = input "yes" : bool[]
    %1 = input "x" : f32[b,s]
    %2 = if(%0, %1) graph "" {
      %0 = input "x" : f32[b,s]
      %1 = reduce_mean(%0) {axes = [1], keep_dims = false}
      output "y" = %1
    } graph "" {
      %0 = input "x" : f32[b,s]
      %1 = reduce_mean(%0) {axes = [0, 1], keep_dims = true}
      %2 = reshape(%1) {shape = [1]}
      %3 = reduce_max(%0) {axes = [1], keep_dims = false}
      %4 = mul(%3, %2)
      output "y" = %4
    }
    output "y" = %2
  )"));
}

// Outputs whose axis mixes two symbols come out dense.
TEST(PadToCapacity, FlattenedOutputsAreDense) {
  ExpectSameAtEverySize(
      Parse("%0 = input \"x\" : f32[b,s,3]\n%1 = reshape(%0) {shape = [(b * s), 3]}\n"
            "%2 = neg(%1)\noutput \"y\" = %2\n"));
}

// Indices in padding may be anything, and must not be followed.
TEST(PadToCapacity, GathersFollowTrueIndicesAlone) {
  ExpectSameAtEverySize(
      Parse("%0 = input \"ids\" : i32[b,s]\n%1 = param \"table\" : f32[3,2]\n"
            "%2 = gather(%1, %0) {axis = 0}\noutput \"y\" = %2\n"));
}

// Index 3 is the last of the four that `index` may be, whatever the capacity.
void ExpectChecked(std::string_view body, std::string_view index, std::string_view message) {
  const Graph graph = Parse(body);
  const DimBinding capacity = {{"b", 4}, {"p", 6}, {"s", 5}},
                   sizes = {{"b", 2}, {"p", 4}, {"s", 3}};
  const auto padded = PadToCapacity(graph, capacity);
  ASSERT_TRUE(padded.ok()) << padded.status();
  const auto bound = BindSymbols(graph, sizes);
  ASSERT_TRUE(bound.ok()) << bound.status();
  TensorMap inputs = test::RandomInputs(*bound, 7);
  for (const int64_t bad : {4, 5, 6, -1}) {
    const HostTensor good = inputs.at(std::string(index));
    std::vector<int64_t> places(static_cast<size_t>(good.size()), 3);
    const auto run = [&] {
      inputs[std::string(index)] = HostTensor::FromInts(good.dtype(), good.dims(), places);
      return Evaluate(padded->graph, test::PaddedInputs(*padded, inputs, sizes)).status();
    };
    EXPECT_TRUE(run().ok()) << run();
    places.back() = bad;
    EXPECT_TRUE(absl::IsInvalidArgument(run())) << run();
    EXPECT_NE(run().ToString().find(Cat(message, bad, " is outside extent 4")), std::string::npos)
        << run();
  }
}

// There is room behind the true rows, and what lies there is nobody's.
TEST(PadToCapacity, IndicesBeyondTheTrueExtentFail) {
  ExpectChecked(
      "%0 = input \"x\" : f32[p,2]\n%1 = input \"at\" : i32[s]\n%2 = exp(%0)\n"
      "%3 = gather(%2, %1) {axis = 0}\noutput \"y\" = %3\n",
      "at", "gather: index ");
  ExpectChecked(
      "%0 = input \"x\" : f32[b,s,4]\n%1 = input \"cos\" : f32[p,2]\n"
      "%2 = input \"sin\" : f32[p,2]\n%3 = input \"at\" : i64[b,s]\n"
      "%4 = rope(%0, %1, %2, %3) {head_dim = 4}\noutput \"y\" = %4\n",
      "at", "rope index ");
  ExpectChecked(
      "%0 = input \"x\" : f32[s,4]\n%1 = input \"w\" : f32[p,4,3]\n%2 = input \"at\" : i32[s]\n"
      "%3 = grouped_matmul(%0, %1, %2)\noutput \"y\" = %3\n",
      "at", "grouped_matmul index ");
  ExpectChecked(
      "%0 = input \"x\" : f32[s,3]\n%1 = input \"at\" : i32[s]\n%2 = input \"like\" : f32[p,3]\n"
      "%3 = scatter_add(%0, %1) {rows = [p]}\n%4 = add(%3, %2)\noutput \"y\" = %4\n",
      "at", "scatter_add index ");
}

void ExpectRefused(std::string_view body, std::string_view names) {
  const auto padded = PadToCapacity(Parse(body), {{"b", 4}, {"p", 6}, {"s", 5}});
  EXPECT_TRUE(absl::IsFailedPrecondition(padded.status())) << padded.status();
  EXPECT_NE(padded.status().ToString().find(std::string(names)), std::string::npos)
      << padded.status();
}

TEST(PadToCapacity, RefusesWhatItCannotKeepApart) {
  ExpectRefused(
      "%0 = input \"x\" : f32[2,s,3]\n%1 = transpose(%0) {perm = [1, 0, 2]}\n"
      "%2 = reshape(%1) {shape = [2, (3 * s)]}\noutput \"y\" = %2\n",
      "%2 reshape");
  ExpectRefused(
      "%0 = input \"x\" : f32[b,2,s,s]\n%1 = param \"w\" : f32[3,2,1,1]\n%2 = conv(%0, %1) "
      "{strides = [1, 1], pads = [0, 0, 0, 0], dilations = [1, 1]}\n"
      "output \"y\" = %2\n",
      "%2 conv");
}

TEST(PadToCapacity, ACapacityBeyondTheRangeIsNamed) {
  const auto padded = PadToCapacity(Parse("%0 = input \"x\" : f32[s]\n%1 = neg(%0)\n"
                                          "output \"y\" = %1\n"),
                                    {{"b", 4}, {"p", 6}, {"s", 6}});
  EXPECT_TRUE(absl::IsInvalidArgument(padded.status())) << padded.status();
}

}  // namespace
}  // namespace rlx::passes
