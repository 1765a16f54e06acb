// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "tests/server/fixture.h"

namespace rlx::server {
namespace {

class CompileTest : public DaemonTest {};

TEST_F(CompileTest, ReportsFusionOptionsPlanAndProgress) {
  const Compiled compiled = Compile(LinearModule(8, 16, 32));
  ASSERT_TRUE(compiled.status.ok()) << compiled.status.error_message();
  const v1::CompileResult& result = compiled.result;
  EXPECT_EQ(result.cache(), v1::CACHE_RESULT_COMPILED);
  EXPECT_EQ(result.key().size(), 32u);
  EXPECT_TRUE(result.runnable());
  EXPECT_TRUE(result.fusion().clean());
  ASSERT_EQ(result.fusion().rules_size(), 1);
  EXPECT_EQ(result.fusion().rules(0).rule(), "matmul_bias_act");
  EXPECT_GT(result.fusion().launches_saved(), 0u);
  EXPECT_TRUE(result.dispatch().compile_ready());
  EXPECT_EQ(result.options().arena_alignment(), 64u);
  EXPECT_EQ(result.manifest().params_size(), 2);
  EXPECT_EQ(result.manifest().outputs(0).byte_size(), 8u * 32 * 4);
  EXPECT_GT(result.plan().schedule_size(), 0);
  ASSERT_FALSE(compiled.progress.empty());
  EXPECT_FALSE(compiled.progress.front().operation().empty());
}

TEST_F(CompileTest, HitsMemoryThenDiskAfterARestart) {
  const v1::GraphModule module = LinearModule(8, 16, 32);
  const Compiled first = Compile(module);
  const Compiled second = Compile(module);
  ASSERT_TRUE(first.status.ok() && second.status.ok());
  EXPECT_EQ(second.result.cache(), v1::CACHE_RESULT_MEMORY);
  EXPECT_EQ(second.result.key(), first.result.key());
  EXPECT_EQ(second.result.fusion().summary(), first.result.fusion().summary());
  EXPECT_EQ(Metric("rlxd_compile_requests_total{result=\"compiled\",target=\"cpu\"}"), 1);
  Start();
  const Compiled third = Compile(module);
  ASSERT_TRUE(third.status.ok()) << third.status.error_message();
  EXPECT_EQ(third.result.cache(), v1::CACHE_RESULT_DISK);
  EXPECT_EQ(third.result.key(), first.result.key());
  // A hit brings both reports whole.
  for (const Compiled* hit : {&second, &third}) {
    EXPECT_EQ(hit->result.fusion().DebugString(), first.result.fusion().DebugString());
    EXPECT_EQ(hit->result.dispatch().DebugString(), first.result.dispatch().DebugString());
  }
}

TEST_F(CompileTest, HitsShowTheCallersOwnNames) {
  v1::GraphModule mine = LinearModule(8, 16, 32), yours = mine;
  mine.mutable_graphs(0)->mutable_nodes(3)->set_name("my_projection");
  yours.mutable_graphs(0)->mutable_nodes(3)->set_name("your_projection");
  ASSERT_TRUE(Compile(mine).status.ok());
  const Compiled hit = Compile(yours);
  EXPECT_EQ(hit.result.cache(), v1::CACHE_RESULT_MEMORY);
  const std::string text = hit.result.fusion().DebugString();
  EXPECT_NE(text.find("your_projection"), std::string::npos) << text;
  EXPECT_EQ(text.find("my_projection"), std::string::npos) << text;
}

TEST_F(CompileTest, AHundredEqualCompilesAtOnceAreOne) {
  const v1::GraphModule module = LinearModule(64, 256, 256);
  std::atomic<int> good{0}, compiled{0};
  std::vector<std::thread> callers;
  for (int t = 0; t < 100; ++t) {
    callers.emplace_back([&] {
      const Compiled one = Compile(module);
      good += one.status.ok();
      compiled += one.result.cache() == v1::CACHE_RESULT_COMPILED;
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(good, 100);
  EXPECT_EQ(compiled, 1);
  EXPECT_EQ(Metric("rlxd_compile_requests_total{result=\"compiled\",target=\"cpu\"}"), 1);
}

TEST_F(CompileTest, CorruptEntriesAreMissesAndDeleted) {
  const v1::GraphModule module = LinearModule(8, 16, 32);
  ASSERT_TRUE(Compile(module).status.ok());
  Stop();
  int spoiled = 0;
  for (const auto& file : std::filesystem::recursive_directory_iterator(cache_dir())) {
    if (!file.is_regular_file() || file.file_size() < 512) continue;
    std::fstream bytes(file.path(), std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekp(static_cast<std::streamoff>(file.file_size() / 2));
    bytes.write("spoiled!", 8);
    ++spoiled;
  }
  ASSERT_GT(spoiled, 0);
  Start();
  const Compiled again = Compile(module);
  ASSERT_TRUE(again.status.ok()) << again.status.error_message();
  EXPECT_EQ(again.result.cache(), v1::CACHE_RESULT_COMPILED);
  EXPECT_GE(Metric("rlxd_cache_corrupt_total{tier=\"disk\"}"), 1);
}

TEST_F(CompileTest, ACacheFolderOfGarbageIsNoTrouble) {
  Stop();
  for (const char* name : {"artifacts/zz", "README", "blobs/x"}) {
    const std::string path = cache_dir() + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path) << "garbage";
  }
  Start();
  EXPECT_TRUE(Compile(LinearModule(8, 16, 32)).status.ok());
}

TEST_F(CompileTest, TwoDaemonsShareAFolder) {
  const v1::GraphModule module = LinearModule(8, 16, 32);
  ASSERT_TRUE(Compile(module).status.ok());
  const auto settings =
      ReadSettings({"--listen=127.0.0.1:0", "--metrics_listen=", "--cache_dir=" + cache_dir()});
  device::Registry registry;
  auto other = Daemon::Start(*settings, std::move(registry), log_);
  ASSERT_TRUE(other.ok());
  EXPECT_TRUE(Compile(LinearModule(8, 16, 48)).status.ok());
  const std::atomic<bool> now{false};
  (*other)->Shutdown(now);
  EXPECT_TRUE(Compile(LinearModule(8, 16, 64)).status.ok());
}

TEST_F(CompileTest, ADeadlineThatIsPastIsSaidSo) {
  EXPECT_EQ(Compile(RequestFor(LinearModule(8, 16, 32)), 0).status.error_code(),
            grpc::DEADLINE_EXCEEDED);
  EXPECT_TRUE(Serves());
}

TEST_F(CompileTest, ACallerThatLeavesInTheMiddleLeavesNothingBehind) {
  for (int round = 0; round < 5; ++round) {
    // One that no cache has, and that takes its time.
    v1::GraphModule big = LinearModule(8, 16, 32 + round);
    v1::Graph& graph = *big.mutable_graphs(0);
    for (uint32_t n = 5; n < 20000; ++n) AddNode(graph, n % 2 == 0 ? "tanh" : "sin", {n});
    grpc::ClientContext context;
    const auto stream = compiler_->Compile(&context, RequestFor(big));
    v1::CompileEvent event;
    stream->Read(&event);
    context.TryCancel();
    const grpc::StatusCode code = stream->Finish().error_code();
    EXPECT_TRUE(code == grpc::CANCELLED || code == grpc::OK) << code;  // OK: it was done by then
  }
  EXPECT_TRUE(BecomesEventually("rlxd_compile_queue_length", 0));
  EXPECT_TRUE(BecomesEventually("rlxd_compile_inflight", 0));
  EXPECT_TRUE(Compile(LinearModule(8, 16, 32)).status.ok());
}

// Minutes of folding, asked for by a small request: they end with the deadline.
TEST_F(CompileTest, ADeadlineEndsAPassInItsMiddle) {
  v1::GraphModule module = IdentityModule();
  v1::Graph& graph = *module.mutable_graphs(0);
  graph.clear_nodes();
  AddInput(graph, "input", "x", {1, 1});
  v1::Node& one = AddNode(graph, "constant", {});
  one.add_results()->set_dtype(v1::DTYPE_F32);
  one.add_attributes()->set_name("value");
  *one.mutable_attributes(0)->mutable_tensor() = Floats({}, 1);
  const auto expand = [&](int64_t rows, int64_t columns) {
    v1::Attribute& shape = *AddNode(graph, "expand", {1}).add_attributes();
    shape.set_name("shape");
    for (int64_t extent : {rows, columns}) {
      shape.mutable_shape()->add_dims()->set_value(extent);
    }
  };
  expand(1, 1 << 18);
  expand(1 << 18, 1);
  uint32_t sum = 0;
  for (uint32_t n = 4; n < 40'000; n += 2) {
    AddNode(graph, "matmul", {2, 3});
    AddNode(graph, "add", {sum, n});
    sum = n + 1;
  }
  graph.mutable_outputs(0)->mutable_value()->set_node(sum);
  const auto began = std::chrono::steady_clock::now();
  const Compiled compiled = Compile(RequestFor(module), 0.7);
  EXPECT_EQ(compiled.status.error_code(), grpc::DEADLINE_EXCEEDED)
      << compiled.status.error_message();
  EXPECT_TRUE(BecomesEventually("rlxd_compile_inflight", 0));
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(20));
}

TEST_F(CompileTest, AllTwelveDevicesCompile) {
  for (int device = v1::DEVICE_CPU; device <= v1::DEVICE_WEBGPU; ++device) {
    v1::CompileRequest request = RequestFor(LinearModule(8, 16, 32));
    request.mutable_spec()->mutable_target()->set_device(static_cast<v1::Device>(device));
    const Compiled compiled = Compile(request);
    ASSERT_TRUE(compiled.status.ok()) << device << ": " << compiled.status.error_message();
    EXPECT_EQ(compiled.result.runnable(), device == v1::DEVICE_CPU);
    EXPECT_EQ(compiled.result.reason().empty(), device == v1::DEVICE_CPU);
  }
}

TEST_F(CompileTest, LowerExplainAndExplainKeyAnswer) {
  v1::LowerRequest lower;
  *lower.mutable_spec() = RequestFor(LinearModule(8, 16, 32)).spec();
  lower.set_stage(v1::STAGE_LIR);
  v1::LowerResponse lowered;
  grpc::ClientContext one;
  ASSERT_TRUE(compiler_->Lower(&one, lower, &lowered).ok());
  EXPECT_NE(lowered.text().find("fused_matmul_bias_act"), std::string::npos) << lowered.text();
  v1::ExplainKeyRequest keys;
  *keys.mutable_spec() = lower.spec();
  *keys.mutable_other() = lower.spec();
  keys.mutable_other()->mutable_options()->set_arena_alignment(128);
  v1::ExplainKeyResponse explained;
  grpc::ClientContext two;
  ASSERT_TRUE(compiler_->ExplainKey(&two, keys, &explained).ok());
  ASSERT_EQ(explained.differing_size(), 1);
  EXPECT_EQ(explained.differing(0), "options");
}

TEST_F(CompileTest, WhatWasLoweredCompilesByItsPlan) {
  v1::LowerRequest lower;
  *lower.mutable_spec() = RequestFor(LinearModule(8, 16, 32)).spec();
  AddNode(*lower.mutable_spec()->mutable_module()->mutable_graphs(0), "softmax", {5}).set_name("s");
  SetInt(*lower.mutable_spec()->mutable_module()->mutable_graphs(0)->mutable_nodes(6), "axis", 1);
  AddOutput(*lower.mutable_spec()->mutable_module()->mutable_graphs(0), "z", 6);
  lower.set_stage(v1::STAGE_LIR);
  v1::LowerResponse lowered;
  grpc::ClientContext context;
  ASSERT_TRUE(compiler_->Lower(&context, lower, &lowered).ok());
  ASSERT_TRUE(lowered.module().has_plan());
  EXPECT_NE(lowered.text().find("plan {"), std::string::npos) << lowered.text();
  const Compiled compiled = Compile(lowered.module());
  ASSERT_TRUE(compiled.status.ok()) << compiled.status.error_message();
  EXPECT_TRUE(compiled.result.runnable());
  EXPECT_EQ(compiled.result.plan().SerializeAsString(),
            lowered.module().plan().SerializeAsString());
  v1::GraphModule spoiled = lowered.module();
  spoiled.mutable_plan()->mutable_schedule(0)->set_node(0);
  const Compiled refused = Compile(spoiled);
  EXPECT_EQ(refused.status.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_NE(refused.status.error_message().find("a leaf"), std::string::npos)
      << refused.status.error_message();
}

TEST_F(CompileTest, AKeyCanBeInspected) {
  const Compiled compiled = Compile(LinearModule(8, 16, 32));
  v1::InspectRequest request;
  request.set_key(compiled.result.key());
  v1::CompileResult result;
  grpc::ClientContext known;
  ASSERT_TRUE(compiler_->Inspect(&known, request, &result).ok());
  EXPECT_EQ(result.manifest().SerializeAsString(), compiled.result.manifest().SerializeAsString());
  EXPECT_EQ(result.fusion().summary(), compiled.result.fusion().summary());
  EXPECT_EQ(result.key(), request.key());
  request.set_key(std::string(32, 'k'));
  grpc::ClientContext unknown;
  EXPECT_EQ(compiler_->Inspect(&unknown, request, &result).error_code(), grpc::NOT_FOUND);
  request.set_key("k");
  grpc::ClientContext malformed;
  EXPECT_EQ(compiler_->Inspect(&malformed, request, &result).error_code(), grpc::INVALID_ARGUMENT);
}

TEST_F(CompileTest, MissedFusionsAreCountedAsReportsShowThem) {
  v1::GraphModule module = LinearModule(8, 16, 32);
  AddNode(*module.mutable_graphs(0), "neg", {3});  // the product is read twice
  AddOutput(*module.mutable_graphs(0), "z", 6);
  const Compiled compiled = Compile(module);
  ASSERT_TRUE(compiled.status.ok());
  double shown = 0, counted = 0;
  for (const v1::Remark& remark : compiled.result.fusion().remarks()) {
    shown += remark.kind() == v1::Remark::KIND_MISSED && remark.actionable();
  }
  std::istringstream lines(Metrics());
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("rlxd_fusion_rejected_total{")) continue;
    counted += std::atof(line.c_str() + line.rfind(' '));
  }
  EXPECT_GT(shown, 0);
  EXPECT_EQ(counted, shown);
}

// Four lanes in which every fourth op is not elementwise.
TEST_F(CompileTest, FiftyThousandNodesCompileAndAreFoundOnDisk) {
  v1::GraphModule module;
  module.set_stage(v1::STAGE_MIR);
  v1::Graph& graph = *module.add_graphs();
  AddInput(graph, "input", "x", {4, 8});
  uint32_t lanes[] = {0, 0, 0, 0};
  for (int step = 0; graph.nodes_size() < 49'990; ++step) {
    for (uint32_t& lane : lanes) {
      const bool heavy = step % 4 == 3;
      v1::Node& node = AddNode(graph, heavy ? "cumsum" : "tanh", {lane});
      if (heavy) SetInt(node, "axis", 1);
      lane = static_cast<uint32_t>(graph.nodes_size()) - 1;
    }
  }
  for (int lane = 0; lane < 4; ++lane) AddOutput(graph, "y" + std::to_string(lane), lanes[lane]);
  const Compiled first = Compile(module);
  ASSERT_TRUE(first.status.ok()) << first.status.error_message();
  EXPECT_TRUE(first.result.runnable());
  Start();
  const Compiled second = Compile(module);
  ASSERT_TRUE(second.status.ok()) << second.status.error_message();
  EXPECT_EQ(second.result.cache(), v1::CACHE_RESULT_DISK);
}

TEST_F(CompileTest, WaitCompileKnowsOnlyItsOwnOperations) {
  const Compiled done = Compile(LinearModule(8, 16, 32));
  v1::WaitCompileRequest request;
  request.set_operation(done.progress.front().operation());
  grpc::ClientContext known;
  v1::CompileEvent event;
  const auto again = compiler_->WaitCompile(&known, request);
  bool result = false;
  while (again->Read(&event)) result = result || event.has_result();
  EXPECT_TRUE(again->Finish().ok());
  EXPECT_TRUE(result);
  request.set_operation(std::string(32, '0'));
  grpc::ClientContext unknown;
  EXPECT_EQ(compiler_->WaitCompile(&unknown, request)->Finish().error_code(), grpc::NOT_FOUND);
}

}  // namespace
}  // namespace rlx::server
