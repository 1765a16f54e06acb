// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/key_diff.h"

#include <gmock/gmock.h>

#include "runtime/base/text.h"
#include "runtime/ir/text.h"
#include "runtime/ir/verify.h"
#include "tests/support/random_graph.h"
#include "tests/unit/engine/engine_fixture.h"

namespace rlx::engine {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Canonical Of(std::string_view text) {
  const absl::StatusOr<Module> module = ParseModule(text);
  EXPECT_TRUE(module.ok()) << module.status();
  EXPECT_TRUE(Verify(*module).ok()) << Verify(*module) << text;
  return Canonicalize(*module, /*drop_dead=*/true);
}

// "what field: one -> other", a difference each.
std::vector<std::string> Changes(const Canonical& one, const Canonical& other) {
  Differences out;
  if (one.digest != other.digest) DiffModules(one, other, out);
  std::vector<std::string> lines;
  for (const KeyDifference& d : std::move(out).Finish({}, {}).differences) {
    EXPECT_EQ(d.component, "module");
    lines.push_back(Cat(d.what, " ", d.field, ": ", d.one, " -> ", d.other));
  }
  return lines;
}

constexpr std::string_view kPlain = R"(mir "m" {
  symbol n in [1, 8]
  %0 = input "x" : f32[n,4]
  %1 = param "w" : f32[4]
  %2 = rms_norm "norm" (%0, %1) {eps = 1e-05}
  %3 = constant {value = f32[] (2)} : f32[]
  %4 = mul(%2, %3)
  %5 = relu(%4)
  output "y" = %5
})";

std::string With(std::string_view from, std::string_view to) {
  std::string text(kPlain);
  const size_t at = text.find(from);
  EXPECT_NE(at, text.npos) << from;
  return text.replace(at, from.size(), to);
}

std::vector<std::string> ChangesWith(std::string_view from, std::string_view to) {
  return Changes(Of(kPlain), Of(With(from, to)));
}

TEST(ModuleDiff, NamesTheNodeAndTheField) {
  EXPECT_THAT(ChangesWith("1e-05", "1e-06"),
              ElementsAre("%2 \"norm\" (rms_norm) eps: 1e-05 -> 1e-06"));
  EXPECT_THAT(ChangesWith("f32[n,4]", "f32[3,4]"),
              ElementsAre("%0 \"x\" (input) type: f32[n,4] -> f32[3,4]"));
  EXPECT_THAT(ChangesWith("in [1, 8]", "in [2, 8]"), ElementsAre("symbol n : [1, 8] -> [2, 8]"));
  EXPECT_THAT(ChangesWith("output \"y\"", "output \"z\""), ElementsAre("output 0 name: y -> z"));
  EXPECT_THAT(ChangesWith("\"w\"", "\"v\""),
              ElementsAre("%1 \"w\" (param) / %1 \"v\" (param) name: w -> v"));
  const auto value = ChangesWith("(2)}", "(3)}");
  ASSERT_EQ(value.size(), 1u);
  EXPECT_THAT(value[0], HasSubstr("(constant) value: "));
}

TEST(ModuleDiff, AnotherOpIsOneGoneAndOneThatCame) {
  EXPECT_THAT(ChangesWith("relu", "tanh"),
              ElementsAre("%5 (relu) : f32[n,4] -> ", "%5 (tanh) :  -> f32[n,4]",
                          "output 0 value: %5 (relu) -> %5 (tanh)"));
}

// What stands before and after it is the same as before.
TEST(ModuleDiff, ANodeMoreDoesNotMoveTheRest) {
  const auto changes = ChangesWith("%4 = mul(%2, %3)\n  %5 = relu(%4)\n  output \"y\" = %5",
                                   "%4 = mul(%2, %3)\n  %5 = exp(%4)\n  %6 = relu(%5)\n"
                                   "  output \"y\" = %6");
  EXPECT_THAT(changes, ElementsAre("%5 (relu) / %6 (relu) operand 0: %4 (mul) -> %5 (exp)",
                                   "%5 (exp) :  -> f32[n,4]"));
}

TEST(ModuleDiff, LooksIntoBodies) {
  const auto scan = [](std::string_view op) {
    return Of(Cat(R"(mir "m" {
      %0 = input "h" : f32[3]
      %1 = input "xs" : f32[5,3]
      %2 = scan(%0, %1) {carries = 1, sequences = 1, length = [5]} graph "" {
        %0 = input "h" : f32[3]
        %1 = input "x" : f32[3]
        %2 = )",
                  op, R"((%0, %1)
        output "h" = %2
        output "y" = %2
      }
      output "y" = %2.1
    })"));
  };
  EXPECT_THAT(Changes(scan("add"), scan("mul")),
              Contains("%2 (scan) body 0: %2 (add) : f32[3] -> "));
}

// Whatever makes two digests differ is told by what it is, not as an order that is left when
// nothing else is found.
TEST(ModuleDiff, MissesNothing) {
  const auto canonical = [](uint64_t seed, int steps) {
    return Canonicalize({.graph = rlx::test::RandomGraph(seed, {.steps = steps})}, true);
  };
  int differing = 0;
  const auto check = [&](const Canonical& one, const Canonical& other) {
    const std::vector<std::string> changes = Changes(one, other);
    EXPECT_EQ(changes.empty(), one.digest == other.digest);
    EXPECT_THAT(changes, testing::Not(Contains("nodes order: one -> another")));
    differing += one.digest != other.digest ? 1 : 0;
  };
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    const Canonical one = canonical(seed, 12);
    check(one, canonical(seed, 12));
    check(one, canonical(seed, 13));
    Module flipped = one.module;
    for (NodeId id = 0; id < flipped.graph.size(); ++id) {
      Node& node = flipped.graph.node(id);
      if (node.operands.size() != 2 || node.operands[0] == node.operands[1]) continue;
      std::swap(node.operands[0], node.operands[1]);
      break;
    }
    check(one, Canonicalize(flipped, true));
  }
  EXPECT_GT(differing, 20);
}

TEST(ModuleDiff, KeepsTheFirstAndCountsTheRest) {
  const auto chain = [](int nodes) {
    std::string text = "mir \"m\" {\n %0 = input \"x\" : f32[2]\n";
    for (int i = 0; i < nodes; ++i) text += Cat(" %", i + 1, " = exp(%", i, ")\n");
    return Of(Cat(text, " output \"y\" = %", nodes, "\n}"));
  };
  Differences out;
  DiffModules(chain(1), chain(500), out);
  const size_t all = out.size();
  EXPECT_GE(all, 499u);
  const KeyComparison comparison = out.Finish({}, {});
  EXPECT_EQ(comparison.differences.size(), kMaxDifferences);
  EXPECT_EQ(comparison.more, all - kMaxDifferences);
}

class CompareKeysTest : public test::EngineTest {
 protected:
  void SetUp() override { Start(); }

  std::vector<std::string> Compare(const std::function<void(CompileSpec&)>& change) {
    CompileSpec other = Spec(test::Mlp());
    change(other);
    const auto compared = engine->CompareKeys(Spec(test::Mlp()), other);
    EXPECT_TRUE(compared.ok()) << compared.status();
    std::vector<std::string> lines;
    for (const KeyDifference& d : compared->differences) {
      lines.push_back(Cat(d.component, " ", d.field, ": ", d.one, " -> ", d.other));
    }
    EXPECT_EQ(lines.empty(), compared->one.key == compared->other.key);
    return lines;
  }
};

TEST_F(CompareKeysTest, TellsEachComponentsFields) {
  EXPECT_THAT(Compare([](CompileSpec&) {}), IsEmpty());
  EXPECT_THAT(Compare([](CompileSpec& s) { s.module = test::Mlp("other"); }), IsEmpty());
  EXPECT_THAT(Compare([](CompileSpec& s) { s.options.arena_alignment = 128; }),
              ElementsAre("options arena_alignment: 64 -> 128"));
  EXPECT_THAT(Compare([](CompileSpec& s) { s.options.salt = "secret"; }),
              ElementsAre("salt :  -> "));
  EXPECT_THAT(Compare([](CompileSpec& s) { s.options.disabled_passes = {"fuse_swiglu"}; }),
              ElementsAre("options disabled_passes:  -> fuse_swiglu"));
}

}  // namespace
}  // namespace rlx::engine
