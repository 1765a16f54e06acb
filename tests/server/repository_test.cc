// SPDX-License-Identifier: Apache-2.0
// Models as they come, change, fail and go.
#include "tests/server/repository.h"

#include <gmock/gmock.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "runtime/base/text.h"
#include "tests/support/onnx_model.h"

namespace rlx::server {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// One safetensors file of f32 tensors.
std::string Safetensors(const std::map<std::string, std::vector<float>>& tensors) {
  std::string header = "{\"__metadata__\":{\"format\":\"pt\"}", data;
  for (const auto& [name, values] : tensors) {
    header +=
        Cat(",\"", name, "\":{\"dtype\":\"F32\",\"shape\":[", values.size(), "],\"data_offsets\":[",
            data.size(), ",", data.size() + values.size() * sizeof(float), "]}");
    data += BytesOf(values);
  }
  header += "}";
  const uint64_t length = header.size();
  return Cat(std::string(reinterpret_cast<const char*>(&length), sizeof length), header, data);
}

// y = x + b, with b beside the module.
constexpr const char* kBiased = R"(mir "biased" {
  %0 = input "x" : f32[4]
  %1 = param "b" : f32[4]
  %2 = add(%0, %1)
  output "y" = %2
})";

class ModelsTest : public RepositoryTest {};

TEST_F(ModelsTest, WeightsLieBesideTheModule) {
  Write("text/1/module.txt", kBiased);
  Write("text/1/weights.safetensors", Safetensors({{"b", {1, 2, 3, 4}}, {"unused", {9}}}));
  v1::GraphModule module;
  module.set_name("binary");
  module.set_stage(v1::STAGE_MIR);
  v1::Graph& graph = *module.add_graphs();
  AddInput(graph, "input", "x", {4});
  AddInput(graph, "param", "b", {4});
  AddNode(graph, "add", {0, 1});
  AddOutput(graph, "y", 2);
  Write("binary/7/module.rlx.pb", module.SerializeAsString());
  Write("binary/7/a.safetensors", Safetensors({{"b", {10, 20, 30, 40}}}));
  Serve();
  EXPECT_THAT(Run(Request("text", {1, 1, 1, 1}, {4})), ElementsAre(2, 3, 4, 5));
  EXPECT_THAT(Run(Request("binary", {1, 1, 1, 1}, {4})), ElementsAre(11, 21, 31, 41));
  EXPECT_EQ(Metric("rlxd_sessions{state=\"model\"}"), 2);
  EXPECT_EQ(Metric("rlxd_sessions{state=\"open\"}"), 0);
}

// y = x + b, as exporters write it.
test::GraphText Biased(const test::Message& b) {
  return {{test::NodeOf("Add", "x b", "y")},
          {b},
          {test::ValueOf("x", test::kFloat, {"batch", 4})},
          {test::ValueOf("y", test::kFloat, {"batch", 4})}};
}

// TensorProto whose data lie in a file: key and value pairs at 13, their place (1: external) at 14.
test::Message External(const std::string& location) {
  test::Message out, place;
  place.Bytes(1, "location").Bytes(2, location);
  return out.Int(1, 4).Int(2, test::kFloat).Bytes(8, "b").Add(13, place).Int(14, 1);
}

TEST_F(ModelsTest, OnnxModelsKeepTheirWeightsWhereTheyAre) {
  Write("inside/1/model.onnx", test::ModelOf(Biased(test::Floats("b", {4}, {1, 2, 3, 4}))));
  Write("beside/1/model.onnx", test::ModelOf(Biased(External("weights.bin"))));
  Write("beside/1/weights.bin", BytesOf({10, 20, 30, 40}));
  Write("absent/1/model.onnx", test::ModelOf(Biased(External("gone.bin"))));
  Write("outside/1/model.onnx", test::ModelOf(Biased(External("../../beside/1/weights.bin"))));
  Serve({"--nostrict_readiness"});
  EXPECT_THAT(Run(Request("inside", {1, 1, 1, 1}, {1, 4})), ElementsAre(2, 3, 4, 5));
  EXPECT_THAT(Run(Request("beside", {1, 1, 1, 1, 2, 2, 2, 2}, {2, 4})),
              ElementsAre(11, 21, 31, 41, 12, 22, 32, 42));
  for (const auto& [model, file] : {std::pair("absent", "gone.bin"), {"outside", "weights.bin"}}) {
    EXPECT_TRUE(StateBecomes(model, "1", "UNAVAILABLE"));
    EXPECT_THAT(StateOf(model, "1").second, AllOf(HasSubstr(file), HasSubstr("beside the model")));
  }
}

// Each of these must say what is wrong with it, and harm nothing else.
TEST_F(ModelsTest, WhatCannotBeLoadedSaysWhy) {
  Write("good/1/module.txt", Times("2"));
  Write("syntax/1/module.txt", "mir \"x\" {\n nonsense\n}");
  Write("op/1/module.txt",
        "mir \"x\" {\n %0 = input \"x\" : f32[4]\n %1 = levitate(%0)\n output \"y\" = %1\n}");
  Write("bytes/1/module.rlx.pb", "\xff\xff no module");
  Write("weights/1/module.txt", kBiased);
  Write("size/1/module.txt", kBiased);
  Write("size/1/weights.safetensors", Safetensors({{"b", {1, 2, 3}}}));
  Write("damaged/1/module.txt", kBiased);
  Write("damaged/1/weights.safetensors", "not at all");
  Write("empty/1/readme", "nothing to see");
  Write("two/1/module.txt", Times("2"));
  Write("two/1/module.rlx.pb", "");
  Write("complex/1/module.txt", "mir \"x\" {\n %0 = input \"x\" : c64[4]\n output \"y\" = %0\n}");
  Write("versionless/readme", "no version");
  Write("field/1/module.txt", Times("2"));
  Write("field/config.pbtxt", "nmae: \"field\"");
  Write("sequence/1/module.txt", Times("2"));
  Write("sequence/config.pbtxt", "ensemble_scheduling { step: [] }");
  Write("name/1/module.txt", Times("2"));
  Write("name/config.pbtxt", "name: \"another\"");
  Write("platform/1/module.txt", Times("2"));
  Write("platform/config.pbtxt", "platform: \"tensorrt_plan\"");
  Write("type/1/module.txt", Times("2"));
  Write("type/config.pbtxt", "input { name: \"x\" data_type: TYPE_INT32 dims: 4 }");
  Write("dims/1/module.txt", Times("2"));
  Write("dims/config.pbtxt", "input { name: \"x\" data_type: TYPE_FP32 dims: 5 }");
  Write("batch/1/module.txt", Times("2"));
  Write("batch/config.pbtxt", "max_batch_size: 8");
  Write("absent/1/module.txt", Times("2"));
  Write("absent/config.pbtxt", "version_policy { specific { versions: 4 } }");
  Write("warm/1/module.txt", Times("2"));
  Write("warm/config.pbtxt",
        "model_warmup { name: \"w\" inputs { key: \"x\" value { data_type: "
        "TYPE_FP32 dims: 3 zero_data: true } } }");
  Serve({"--nostrict_readiness"});
  const std::map<std::string, std::string> reasons = {
      {"syntax", "module.txt: "},
      {"op", "levitate"},
      {"bytes", "module.rlx.pb: is no serialized rlx.v1.GraphModule"},
      {"weights", "weight \"b\" is missing"},
      {"size", "weight \"b\""},
      {"damaged", "weights.safetensors: is no safetensors file"},
      {"empty", "holds no model"},
      {"two", "one is the model"},
      {"complex", "input \"x\": c64 has no name in KServe v2"},
      {"warm", "warm-up: \"w\": "},
      {"type", "input \"x\": is TYPE_INT32 in config.pbtxt and FP32 in the model"},
      {"dims", "input \"x\": is [5] in config.pbtxt and [4] in the model"},
      {"batch", "has no batch"},
      {"name", "calls the model \"another\""},
  };
  for (const auto& [model, reason] : reasons) {
    const auto [state, why] = StateOf(model, "1");
    EXPECT_EQ(state, "UNAVAILABLE") << model;
    EXPECT_THAT(why, HasSubstr(reason)) << model;
    EXPECT_EQ(Metric(Cat("rlxd_model_ready{model=\"", model, "\",version=\"1\"}")), 0) << model;
    Answer answer;
    EXPECT_EQ(Call(Request(model, {1, 2, 3, 4}, {4}), answer).error_code(), grpc::NOT_FOUND);
    EXPECT_EQ(Call(Request(model, {1, 2, 3, 4}, {4}, "1"), answer).error_code(), grpc::UNAVAILABLE);
  }
  // Those whose config says nothing of any version.
  for (const auto& [model, reason] : std::map<std::string, std::string>{
           {"field", "has no field named \"nmae\""},
           {"sequence", "has no field named \"ensemble_scheduling\""},
           {"platform", "platform \"tensorrt_plan\" is not served here"},
           {"absent", "there is no version 4"},
           {"versionless", "there is no version"}}) {
    const auto [state, why] = StateOf(model, "");
    EXPECT_EQ(state, "UNAVAILABLE") << model;
    EXPECT_THAT(why, HasSubstr(reason)) << model;
  }
  EXPECT_THAT(Run(Request("good", {1, 2, 3, 4}, {4})), ElementsAre(2, 4, 6, 8));
  EXPECT_EQ(Metric("rlxd_model_ready{model=\"good\",version=\"1\"}"), 1);
  EXPECT_EQ(Metric("rlxd_models{state=\"READY\"}"), 1);
  EXPECT_EQ(Metric("rlxd_models{state=\"UNAVAILABLE\"}"), reasons.size() + 5);
  EXPECT_EQ(Metric("rlxd_model_loads_total{result=\"error\"}"), reasons.size());
  EXPECT_EQ(Metric("rlxd_model_loads_total{result=\"ok\"}"), 1);
  EXPECT_EQ(Metric("rlxd_sessions{state=\"model\"}"), 1) << "what failed leaves no session";
}

TEST_F(ModelsTest, FieldsWithoutAMeaningHereStopNothing) {
  Write("times/1/module.txt", Times("2"));
  Write("times/config.pbtxt",
        "name: \"times\" instance_group [ { count: 2 kind: KIND_CPU } ] "
        "response_cache { enable: true } optimization { graph { level: 1 } } "
        "input [ { name: \"x\" data_type: TYPE_FP32 dims: [ 4 ] optional: true } ]");
  Serve();
  EXPECT_THAT(Run(Request("times", {1, 2, 3, 4}, {4})), ElementsAre(2, 4, 6, 8));
}

TEST_F(ModelsTest, ReadyOnceWhatIsLoadedAtStartServes) {
  Write("good/1/module.txt", Times("2"));
  Write("bad/1/module.txt", "nothing");
  StartServing({"--model_control_mode=poll", "--repository_poll_seconds=0.05"});
  ASSERT_TRUE(StateBecomes("good", "1", "READY"));
  ASSERT_TRUE(StateBecomes("bad", "1", "UNAVAILABLE"));
  EXPECT_EQ(HttpGet("/readyz"), "");
  EXPECT_EQ(HttpGet("/livez"), "ok\n");
  grpc::ClientContext first, second;
  inference::ServerReadyResponse ready;
  ASSERT_TRUE(stub_->ServerReady(&first, {}, &ready).ok());
  EXPECT_FALSE(ready.ready());
  Write("bad/1/module.txt", Times("4"));  // mended
  ASSERT_TRUE(BecomesEventually("rlxd_ready", 1));
  ASSERT_TRUE(stub_->ServerReady(&second, {}, &ready).ok());
  EXPECT_TRUE(ready.ready());
  // What fails later is one model's matter.
  Write("worse/1/module.txt", "nothing");
  ASSERT_TRUE(StateBecomes("worse", "1", "UNAVAILABLE"));
  EXPECT_EQ(Metric("rlxd_ready"), 1);
}

TEST_F(ModelsTest, AVersionIsSwappedWithoutAFailedRequest) {
  Write("times/1/module.txt", Times("2"));
  Serve({"--model_control_mode=poll", "--repository_poll_seconds=0.02"});
  std::atomic<bool> stop{false};
  std::atomic<int> served{0}, failed{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      const auto stub = inference::GRPCInferenceService::NewStub(NewChannel());
      while (!stop) {
        grpc::ClientContext context;
        Answer answer;
        const bool ok =
            stub->ModelInfer(&context, Request("times", {1, 2, 3, 4}, {4}), &answer).ok();
        ++(ok ? served : failed);
      }
    });
  }
  const auto answers = [&](float expected) {
    for (int i = 0; i < 3000; ++i) {
      if (Run(Request("times", {1, 2, 3, 4}, {4}))[0] == expected) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  };
  Write("times/2/module.txt", Times("3"));  // a new version
  EXPECT_TRUE(answers(3));
  EXPECT_TRUE(StateBecomes("times", "1", "UNAVAILABLE"));
  Write("times/2/module.txt", Times("4"));  // the same one, changed
  EXPECT_TRUE(answers(4));
  Write("times/5/module.txt", "nothing that loads");
  EXPECT_TRUE(StateBecomes("times", "5", "UNAVAILABLE"));
  EXPECT_TRUE(answers(4)) << "the newest that works goes on";
  Write("times/2/module.txt", "nothing either");
  Remove("times/5");
  for (int i = 0; i < 3000 && StateOf("times", "2").second.empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(StateOf("times", "2").first, "READY");
  EXPECT_THAT(StateOf("times", "2").second, HasSubstr("module.txt"));
  EXPECT_EQ(StateOf("times", "5").first, "") << "its folder is gone";
  EXPECT_TRUE(answers(4));
  stop = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(failed, 0);
  EXPECT_GT(served, 20);
  // Taken away: gone, with its session.
  Remove("times");
  EXPECT_TRUE(StateBecomes("times", "2", ""));
  EXPECT_TRUE(BecomesEventually("rlxd_sessions{state=\"model\"}", 0));
  Answer answer;
  EXPECT_EQ(Call(Request("times", {1, 2, 3, 4}, {4}), answer).error_code(), grpc::NOT_FOUND);
}

TEST_F(ModelsTest, VersionsAreThoseOfThePolicy) {
  for (const char* version : {"1", "2", "3", "10", "x1", "04"}) {
    for (const char* model : {"latest", "two", "all", "some"}) {
      Write(Cat(model, "/", version, "/module.txt"), Times("2"));
    }
  }
  Write("two/config.pbtxt", "version_policy { latest { num_versions: 2 } }");
  Write("all/config.pbtxt", "version_policy: { all { } }");
  Write("some/config.pbtxt", "version_policy { specific { versions: [1, 3] } }");
  Serve();
  std::map<std::string, std::vector<std::string>> ready;
  const inference::RepositoryIndexResponse index = Index();
  for (const auto& entry : index.models()) ready[entry.name()].push_back(entry.version());
  EXPECT_THAT(ready["latest"], ElementsAre("10"));
  EXPECT_THAT(ready["two"], ElementsAre("3", "10"));
  EXPECT_THAT(ready["all"], ElementsAre("1", "2", "3", "10"));
  EXPECT_THAT(ready["some"], ElementsAre("1", "3"));
}

TEST_F(ModelsTest, LoadedAndUnloadedOnRequest) {
  Write("times/1/module.txt", Times("2"));
  Write("bad/1/module.txt", "nothing");
  Write("start/1/module.txt", Times("5"));
  Serve({"--model_control_mode=explicit", "--load_model=start"});
  EXPECT_EQ(StateOf("start", "1").first, "READY");
  EXPECT_EQ(StateOf("times", "").first, "UNAVAILABLE") << "known, and not loaded";
  EXPECT_TRUE(Load("times").ok());
  EXPECT_THAT(Run(Request("times", {1, 2, 3, 4}, {4})), ElementsAre(2, 4, 6, 8));
  Write("times/1/module.txt", Times("3"));
  EXPECT_THAT(Run(Request("times", {1, 2, 3, 4}, {4})), ElementsAre(2, 4, 6, 8));
  EXPECT_TRUE(Load("times").ok());
  EXPECT_THAT(Run(Request("times", {1, 2, 3, 4}, {4})), ElementsAre(3, 6, 9, 12));
  EXPECT_TRUE(Unload("times").ok());
  // A run that has answered may hold its model for a moment still.
  EXPECT_TRUE(StateBecomes("times", "1", "UNAVAILABLE"));
  EXPECT_EQ(StateOf("times", "1"), std::pair(std::string("UNAVAILABLE"), std::string("unloaded")));
  Answer answer;
  EXPECT_EQ(Call(Request("times", {1, 2, 3, 4}, {4}), answer).error_code(), grpc::NOT_FOUND);
  EXPECT_TRUE(Load("times").ok()) << "and again";
  EXPECT_EQ(StateOf("times", "1").first, "READY");

  const grpc::Status bad = Load("bad");
  EXPECT_EQ(bad.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(bad.error_message(),
              AllOf(HasSubstr("failed to load 'bad'"), HasSubstr("module.txt")));
  Write("bad/1/module.txt", Times("7"));
  EXPECT_TRUE(Load("bad").ok());
  EXPECT_EQ(Load("nothing").error_code(), grpc::NOT_FOUND);
  EXPECT_EQ(Unload("nothing").error_code(), grpc::NOT_FOUND);
  for (const char* name : {"..", "../models/times", "times/1", "", "a b", "/etc"}) {
    EXPECT_EQ(Load(name).error_code(), grpc::INVALID_ARGUMENT) << name;
  }
  EXPECT_EQ(Metric("rlxd_sessions{state=\"model\"}"), 3);
}

TEST_F(ModelsTest, OnlyExplicitModeTakesOrders) {
  Write("times/1/module.txt", Times("2"));
  Serve();
  EXPECT_EQ(Load("times").error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(Unload("times").error_code(), grpc::UNAVAILABLE);
  grpc::ClientContext context;
  inference::RepositoryIndexRequest request;
  request.set_repository_name("other");
  inference::RepositoryIndexResponse response;
  EXPECT_EQ(stub_->RepositoryIndex(&context, request, &response).error_code(), grpc::UNIMPLEMENTED);
}

TEST_F(ModelsTest, WithoutARepositoryThereAreNoModels) {
  Start();
  stub_ = inference::GRPCInferenceService::NewStub(NewChannel());
  EXPECT_TRUE(BecomesEventually("rlxd_ready", 1));
  EXPECT_THAT(Index().models(), IsEmpty());
  Answer answer;
  EXPECT_EQ(Call(Request("times", {1}, {1}), answer).error_code(), grpc::NOT_FOUND);
  EXPECT_EQ(Load("times").error_code(), grpc::UNAVAILABLE);
}

TEST_F(ModelsTest, TheEndDoesNotWaitForALoad) {
  std::string slow = "mir \"slow\" {\n %0 = input \"x\" : f32[4,4]\n";
  for (int i = 1; i <= 3000; ++i) {
    slow += Cat(" %", i, " = ", i % 2 != 0 ? "softmax" : "tanh", "(%", i - 1, ")",
                i % 2 != 0 ? " {axis = 1}" : "", "\n");
  }
  Write("slow/1/module.txt", slow + " output \"y\" = %3000\n}");
  StartServing();
  ASSERT_TRUE(StateBecomes("slow", "1", "LOADING"));
  const auto began = std::chrono::steady_clock::now();
  Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(8));
}

TEST(RepositorySettings, ContradictionsAreNamed) {
  const auto error = [](const std::vector<std::string>& flags) {
    return Cat(ReadSettings(flags).status().message());
  };
  EXPECT_THAT(error({"--model_control_mode=often", "--model_repository=/m"}), HasSubstr("often"));
  EXPECT_THAT(error({"--model_control_mode=poll"}), HasSubstr("--model_repository"));
  EXPECT_THAT(error({"--model_repository=/m", "--load_model=a"}), HasSubstr("explicit"));
  EXPECT_THAT(
      error({"--model_repository=/m", "--model_control_mode=poll", "--repository_poll_seconds=0"}),
      HasSubstr("repository_poll_seconds"));
  EXPECT_EQ(error({"--model_repository=/m", "--model_control_mode=explicit", "--load_model=a",
                   "--load_model=b", "--nostrict_readiness"}),
            "");
}

}  // namespace
}  // namespace rlx::server
