// SPDX-License-Identifier: Apache-2.0
// What rlxctl makes of an answer of Compiler.Explain.
#include <gmock/gmock.h>

#include "clients/rlxctl/explain_diff.h"
#include "clients/rlxctl/explain_model.h"
#include "clients/rlxctl/explain_page.h"
#include "clients/rlxctl/explain_text.h"
#include "clients/rlxctl/trace.h"
#include "runtime/base/text.h"

namespace rlx::ctl {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// Writes an answer as a server would.
class Answer {
 public:
  v1::ExplainResponse message;

  int Mir(std::string op, std::string name, std::vector<int> became = {},
          v1::NodeFate fate = v1::NODE_FATE_KEPT) {
    v1::ExplainedNode& node = *message.add_mir();
    node.set_op(std::move(op));
    node.set_name(std::move(name));
    node.add_types("f32[2]");
    node.set_fate(fate);
    const int id = message.mir_size() - 1;
    for (int to : became) {
      node.add_became(static_cast<uint32_t>(to));
      while (message.lir_size() <= to) message.add_lir();
      message.mutable_lir(to)->add_made_from(static_cast<uint32_t>(id));
    }
    return id;
  }
  void Lir(int id, std::string op) {
    while (message.lir_size() <= id) message.add_lir();
    message.mutable_lir(id)->set_op(std::move(op));
    message.mutable_lir(id)->add_types("f32[2]");
  }
  void Remark(std::vector<int> nodes, v1::Remark::Kind kind, std::string rule,
              bool actionable = true) {
    v1::Remark& remark = *message.mutable_fusion()->add_remarks();
    remark.set_kind(kind);
    remark.set_rule(std::move(rule));
    remark.set_message("a sentence");
    if (kind == v1::Remark::KIND_MISSED) {
      remark.set_reason("multi_consumer");
      remark.set_hint("do this");
      remark.set_actionable(actionable);
    }
    for (int id : nodes) {
      message.mutable_mir(id)->add_remarks(
          static_cast<uint32_t>(message.fusion().remarks_size() - 1));
    }
  }
};

// `layers` layers of a product with its bias, fused unless `fused` is false.
Answer Layers(int layers, bool fused = true) {
  Answer answer;
  answer.Mir("input", "x", {0});
  answer.Lir(0, "input");
  int lir = 1;
  for (int i = 0; i < layers; ++i) {
    const std::string name = Cat("layer.", i, ".ffn.");
    const v1::NodeFate fate = fused ? v1::NODE_FATE_FUSED : v1::NODE_FATE_KEPT;
    const int product = answer.Mir("matmul", name + "up", {lir}, fate);
    const int sum = answer.Mir("add", name + "bias", {fused ? lir : lir + 1}, fate);
    answer.Lir(lir, fused ? "fused_matmul_bias_act" : "matmul");
    if (!fused) answer.Lir(lir + 1, "add");
    answer.Remark({product, sum}, fused ? v1::Remark::KIND_APPLIED : v1::Remark::KIND_MISSED,
                  "matmul_bias_act");
    lir += fused ? 1 : 2;
  }
  return answer;
}

TEST(ExplainModel, PutsTogetherWhatBecameOneNode) {
  const Answer answer = Layers(2);
  const ExplainModel model = MakeExplainModel(answer.message);
  ASSERT_EQ(model.units.size(), 2u);
  EXPECT_THAT(model.units[0].before, ElementsAre(1, 2));
  EXPECT_THAT(model.units[0].after, ElementsAre(1));
  EXPECT_EQ(model.units[0].kind, UnitKind::kFused);
  EXPECT_EQ(UnitShape(model, model.units[0]), "matmul + add => fused_matmul_bias_act");
  EXPECT_EQ(model.Path(model.units[1].block), "layer.1.ffn");
  EXPECT_EQ(model.unit_of_mir[0], -1);  // a leaf
}

TEST(ExplainModel, SumsUpBlocksAndKnowsEqualOnes) {
  const Answer answer = Layers(3);
  const ExplainModel model = MakeExplainModel(answer.message);
  EXPECT_EQ(model.blocks[0].before, 6);
  EXPECT_EQ(model.blocks[0].after, 3);
  EXPECT_EQ(model.blocks[0].steps, 3);  // estimated: there are no steps
  EXPECT_TRUE(CountRun(model).estimated);
  const int first = model.units[0].block, second = model.units[1].block;
  EXPECT_NE(first, second);
  EXPECT_EQ(model.blocks[first].shape, model.blocks[second].shape);
}

TEST(ExplainModel, CutsLongListsIntoPieces) {
  Answer answer;
  for (int i = 0; i < 1000; ++i) {
    answer.Mir("neg", "", {i});
    answer.Lir(i, "neg");
  }
  const ExplainModel model = MakeExplainModel(answer.message);
  size_t most = 0;
  for (const Block& block : model.blocks) most = std::max(most, block.items.size());
  EXPECT_LE(most, 160u);
  EXPECT_EQ(model.blocks[0].before, 1000);
}

TEST(ExplainText, ShowsEqualBlocksOnce) {
  const Answer answer = Layers(5);
  const ExplainModel model = MakeExplainModel(answer.message);
  const std::string text = ExplainText(model, false);
  EXPECT_THAT(text, HasSubstr("%1 matmul \"layer.0.ffn.up\" + %2 add"));
  EXPECT_THAT(text, HasSubstr("1.ffn to 4.ffn  4 more that are like 0.ffn"));
  EXPECT_THAT(text, Not(HasSubstr("layer.3")));
  EXPECT_THAT(ExplainText(model, true), HasSubstr("layer.3"));
}

TEST(ExplainText, MarksWhatCanBeActedOn) {
  const Answer answer = Layers(1, false);
  const std::string text = ExplainText(MakeExplainModel(answer.message), false);
  EXPECT_THAT(text, HasSubstr("! missed matmul_bias_act (multi_consumer): a sentence\n"));
  EXPECT_THAT(text, HasSubstr("hint: do this\n"));
}

TEST(ExplainDiff, SaysWhatFusedDifferently) {
  const Answer one = Layers(2), other = Layers(2, false);
  const ExplainDiff diff = Diff(MakeExplainModel(one.message), MakeExplainModel(other.message), {});
  ASSERT_EQ(diff.blocks.size(), 2u);
  EXPECT_EQ(diff.blocks[0].block, "layer.0.ffn");
  EXPECT_THAT(diff.blocks[0].one, ElementsAre("matmul + add => fused_matmul_bias_act"));
  EXPECT_THAT(diff.blocks[0].other,
              ElementsAre("add", "matmul", "missed matmul_bias_act (multi_consumer)"));
  const std::string text = DiffText(diff);
  EXPECT_THAT(text, HasSubstr("layer.0.ffn and 1 more like it\n"));
  const ExplainModel same = MakeExplainModel(one.message);
  EXPECT_TRUE(Diff(same, same, {}).same());
}

TEST(ExplainDiff, SaysWhatIsNotTheSameInTheModules) {
  const Answer answer = Layers(1);
  const ExplainModel same = MakeExplainModel(answer.message);
  v1::ExplainKeyResponse keys;
  const auto add = [&](const char* component, const char* what, const char* one) {
    v1::KeyDifference& difference = *keys.add_differences();
    difference.set_component(component);
    difference.set_what(what);
    difference.set_field("eps");
    difference.set_one(one);
    difference.set_other("1e-06");
  };
  add("options", "", "1");
  EXPECT_TRUE(Diff(same, same, keys).same()) << "options have their own section";
  add("module", "%3 (rms_norm)", "1e-05");
  add("module", "%4 (rms_norm)", "");
  const ExplainDiff diff = Diff(same, same, keys);
  EXPECT_FALSE(diff.same());
  EXPECT_THAT(DiffText(diff), HasSubstr("module\n  %3 (rms_norm) eps: 1e-05 -> 1e-06\n"
                                        "  %4 (rms_norm) eps: absent -> 1e-06\n"));
}

// Without a program nothing is known of how nodes run, and a symbol without max has no bytes.
TEST(ExplainDiff, DoesNotCallUnknownZero) {
  Answer answer = Layers(1);
  answer.message.mutable_fusion()->set_bytes_unknown(true);
  const ExplainModel model = MakeExplainModel(answer.message);
  for (const ExplainDiff::Row& row : Diff(model, model, {}).counts) {
    if (row.what == "launches" || row.what == "calls" || row.what == "copies") {
      EXPECT_EQ(row.one, "unknown") << row.what;
    }
    if (row.what == "steps of a run") {
      EXPECT_EQ(row.one, "about 1");
    }
    if (row.what == "bytes saved") {
      EXPECT_EQ(row.one, "an unknown number of bytes");
    }
  }
  EXPECT_THAT(ExplainText(model, false), HasSubstr("and an unknown number of bytes"));
  answer.message.mutable_fusion()->set_bytes_saved(2048);
  EXPECT_THAT(ExplainText(model, false), HasSubstr("and at least 2.0 KiB"));
}

TEST(ExplainText, CountsFusionsApartFromOtherRewrites) {
  Answer answer = Layers(2);
  answer.Remark({1}, v1::Remark::KIND_REWRITTEN, "movement");
  const ExplainModel model = MakeExplainModel(answer.message);
  EXPECT_EQ(model.blocks[0].fusions, 2);
  EXPECT_THAT(ExplainText(model, false),
              HasSubstr("2 applied, 0 misses to act on; 1 other rewrite"));
}

TEST(ExplainPage, CannotBeBrokenOutOf) {
  Answer answer = Layers(1);
  answer.message.set_module_name("</script><script>alert(1)</script>");
  const std::string page = ExplainPage(MakeExplainModel(answer.message), {});
  EXPECT_THAT(page, Not(HasSubstr("<script>alert")));
  EXPECT_THAT(page, HasSubstr("&lt;/script>"));
}

TEST(Trace, PutsPassesIntoTheirPhase) {
  v1::CompileResult result;
  result.set_cache(v1::CACHE_RESULT_COMPILED);
  const auto phase = [&](v1::CompilePhase which, double seconds) {
    result.add_phases()->set_phase(which);
    result.mutable_phases()->rbegin()->set_seconds(seconds);
  };
  phase(v1::COMPILE_PHASE_PARSE, 1);
  phase(v1::COMPILE_PHASE_MIR, 2);
  result.add_passes()->set_name("fuse_swiglu");
  result.mutable_passes(0)->set_seconds(0.5);
  EXPECT_THAT(CompileTrace(result),
              HasSubstr(R"("name":"fuse_swiglu","ph":"X","pid":1,"tid":2,"ts":1e+06,"dur":5e+05)"));
  // A hit shows what made it, after its own time and in a row of its own.
  result.set_cache(v1::CACHE_RESULT_MEMORY);
  (*result.mutable_stage_seconds())["hir"] = 2;
  (*result.mutable_stage_seconds())["mir"] = 1;
  EXPECT_THAT(CompileTrace(result),
              AllOf(HasSubstr("the compile that made it, earlier"),
                    HasSubstr(R"("name":"mir","ph":"X","pid":1,"tid":2,"ts":5e+06,"dur":1e+06)"),
                    HasSubstr(R"("name":"fuse_swiglu","ph":"X","pid":1,"tid":3,"ts":5e+06)")));
}

}  // namespace
}  // namespace rlx::ctl
