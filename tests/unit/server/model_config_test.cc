// SPDX-License-Identifier: Apache-2.0
#include "server/models/config.h"

#include <gmock/gmock.h>

#include "runtime/base/status.h"
#include "runtime/ir/text.h"
#include "server/models/files.h"

namespace rlx::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

std::string ErrorOf(const absl::Status& status) { return std::string(Message(status)); }

BufferPlan PlanOf(std::string_view text) {
  const auto module = ParseModule(text);
  EXPECT_TRUE(module.ok()) << Cat(module.status());
  BufferPlan plan;
  if (module.ok()) DescribeIo(module->graph, plan);
  return plan;
}

const char* const kModule = R"(mir "m" {
  symbol rows in [1, 8]
  %0 = input "a" : f32[rows,3]
  %1 = input "b" : i64[rows]
  output "x" = %0
  output "y" = %1
})";

// Fills the config in; the error, if any.
std::string Complete(const std::string& text, inference::ModelConfig& config) {
  std::set<std::string> ignored;
  auto parsed = ParseModelConfig(text, ignored);
  if (!parsed.ok()) return ErrorOf(parsed.status());
  config = *std::move(parsed);
  return ErrorOf(CompleteModelConfig("m", PlanOf(kModule), config));
}

TEST(ModelConfig, SaysWhatTheModelSays) {
  inference::ModelConfig config;
  ASSERT_EQ(Complete("", config), "");
  EXPECT_EQ(config.name(), "m");
  ASSERT_EQ(config.input_size(), 2);
  EXPECT_EQ(config.input(0).data_type(), inference::TYPE_FP32);
  EXPECT_THAT(config.input(0).dims(), ElementsAre(-1, 3));
  EXPECT_EQ(config.input(1).data_type(), inference::TYPE_INT64);
  EXPECT_THAT(config.output(1).dims(), ElementsAre(-1));
}

TEST(ModelConfig, LeavesTheBatchOutAndKeepsTheModelsOrder) {
  inference::ModelConfig config;
  ASSERT_EQ(Complete("max_batch_size: 4 input { name: 'b' } input { name: 'a' dims: 3 }", config),
            "");
  EXPECT_EQ(config.input(0).name(), "a");
  EXPECT_THAT(config.input(0).dims(), ElementsAre(3));
  EXPECT_THAT(config.input(1).dims(), IsEmpty());
}

TEST(ModelConfig, GivesExtentsThatTheModelLeavesOpen) {
  inference::ModelConfig config;
  ASSERT_EQ(Complete("input { name: 'a' dims: [2, 3] } input { name: 'b' dims: -1 }", config), "");
  EXPECT_THAT(config.input(0).dims(), ElementsAre(2, 3));
}

TEST(ModelConfig, NamesWhatContradictsTheModel) {
  inference::ModelConfig config;
  EXPECT_THAT(Complete("name: 'n'", config), HasSubstr("calls the model \"n\""));
  EXPECT_THAT(Complete("input { name: 'a' }", config), HasSubstr("has no input \"b\""));
  EXPECT_THAT(Complete("output { name: 'x' } output { name: 'y' } output { name: 'z' }", config),
              HasSubstr("has 3 outputs, and the model 2"));
  EXPECT_THAT(Complete("input { name: 'a' data_type: TYPE_FP16 } input { name: 'b' }", config),
              HasSubstr("input \"a\": is TYPE_FP16 in config.pbtxt and FP32 in the model"));
  EXPECT_THAT(Complete("input { name: 'a' dims: [-1, -1] } input { name: 'b' }", config),
              HasSubstr("is [-1,-1] in config.pbtxt and [-1,3] in the model"));
  EXPECT_THAT(Complete("input { name: 'a' dims: [0, 3] } input { name: 'b' }", config),
              HasSubstr("is [0,3]"));
  EXPECT_THAT(Complete("max_batch_size: -1", config), HasSubstr("below 0"));
  EXPECT_THAT(Complete("model_transaction_policy { decoupled: true }", config),
              HasSubstr("decoupled"));
  EXPECT_THAT(Complete("backend: 'python'", config), HasSubstr("\"python\" is not served"));
}

TEST(ModelConfig, TellsWhatHasNoMeaningFromWhatIsWrong) {
  std::set<std::string> ignored;
  const auto config = ParseModelConfig(
      "instance_group [{ kind: KIND_CPU count: 2 gpus: [0, 1] host_policy: 'p' }]\n"
      "optimization { cuda { graphs: true } } response_cache { enable: true }\n"
      "input [{ name: 'a' optional: true }] output { name: 'b' label_filename: 'c' }\n"
      "metric_tags { key: 'a' value: 'b' } runtime: 'r'",
      ignored);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(ignored,
              UnorderedElementsAre("gpus", "host_policy", "optimization", "response_cache",
                                   "optional", "label_filename", "metric_tags", "runtime"));
  EXPECT_EQ(config->ShortDebugString(),
            "input { name: \"a\" } output { name: \"b\" } "
            "instance_group { count: 2 kind: KIND_CPU }")
      << "nothing is said to have a meaning that has none";
  // With and without colons and blanks, and what only looks like a list.
  for (const char* text :
       {"instance_group[{ count: 1 }]", "instance_group:[{}]",
        "instance_group\n [\n{ count: 1 }\n]", "# a list [\ninstance_group { gpus: [0, 1] }",
        "name: 'a [ \\' b' input [{ name: \"[\" }]", "model_warmup [{ inputs: [] }] name: \"\"",
        "optimization { execution_accelerators { gpu_execution_accelerator : [ { name : 'tensorrt' "
        "parameters { key: 'precision_mode' value: 'FP16' } }] }}"}) {
    EXPECT_EQ(ErrorOf(ParseModelConfig(text, ignored).status()).find("Expected"), std::string::npos)
        << text << ErrorOf(ParseModelConfig(text, ignored).status());
  }
  for (const auto& [text, error] : std::map<std::string, std::string>{
           {"name: 'm'\nfoo: 1", "config.pbtxt:2:"},
           {"ensemble_scheduling { step: [] }", "no field named \"ensemble_scheduling\""},
           {"input { name: 'a' reshape { shape: [] } }", "no field named \"reshape\""},
           {"optimization { nothing: 1 }", "no field named \"nothing\""},
           {"name: ", "config.pbtxt:1:"},
           {"max_batch_size: 99999999999", "config.pbtxt:1:"},
           {"version_policy { latest {} all {} }", "config.pbtxt:1:"}}) {
    EXPECT_THAT(ErrorOf(ParseModelConfig(text, ignored).status()), HasSubstr(error)) << text;
  }
}

TEST(ModelConfig, PoliciesChooseVersions) {
  const std::set<int64_t> there = {1, 3, 20};
  const auto chosen = [&](const std::string& policy) {
    std::set<std::string> ignored;
    const auto config = ParseModelConfig(policy, ignored);
    EXPECT_TRUE(config.ok()) << policy;
    return ServedVersions(config->version_policy(), there).value_or(std::set<int64_t>{-1});
  };
  EXPECT_THAT(chosen(""), ElementsAre(20));
  EXPECT_THAT(chosen("version_policy { latest { num_versions: 2 } }"), ElementsAre(3, 20));
  EXPECT_THAT(chosen("version_policy { latest { num_versions: 9 } }"), ElementsAre(1, 3, 20));
  EXPECT_THAT(chosen("version_policy { all {} }"), ElementsAre(1, 3, 20));
  EXPECT_THAT(chosen("version_policy { specific { versions: 3 } }"), ElementsAre(3));
  EXPECT_THAT(chosen("version_policy { specific { versions: 2 } }"), ElementsAre(-1)) << "an error";
}

TEST(ModelFiles, NamesAreHarmless) {
  for (const char* name : {"a", "A1", "resnet-50.v2_b", "7"})
    EXPECT_TRUE(IsModelName(name)) << name;
  for (const char* name : {"", ".", "..", "../a", "a/b", "-a", "_a", "a b", "a\n", "é"}) {
    EXPECT_FALSE(IsModelName(name)) << name;
  }
  EXPECT_FALSE(IsModelName(std::string(129, 'a')));
}

}  // namespace
}  // namespace rlx::server
