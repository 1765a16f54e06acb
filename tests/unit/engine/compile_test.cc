// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <thread>

#include "runtime/base/fault.h"
#include "runtime/base/file.h"
#include "runtime/base/status.h"
#include "runtime/cache/disk_store.h"
#include "runtime/engine/explain.h"
#include "runtime/ir/text.h"
#include "tests/unit/engine/engine_fixture.h"
#include "tests/unit/stages/models.h"

namespace rlx::engine::test {
namespace {

class CompileTest : public EngineTest {
 protected:
  void SetUp() override { Start(); }

  // Compiles stop among their passes until Release.
  void Hold() {
    std::lock_guard lock(hooks->mutex);
    hooks->on_claim = [this] {
      ++held_;
      while (holding_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    };
  }
  void Release() { holding_ = false; }
  bool IsHeld() {
    return Eventually([this] { return held_ > 0; });
  }
  ~CompileTest() override {
    Release();
    engine.reset();  // its threads may be held here
  }

  std::atomic<int> held_{0};
  std::atomic<bool> holding_{true};
};

TEST_F(CompileTest, ASecondCompileComesFromMemory) {
  const auto first = Compile(Mlp());
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->cache, CacheResult::kCompiled);
  ASSERT_NE(first->module->artifact.program, nullptr) << first->module->artifact.why_no_program;
  const auto second = Compile(Mlp());
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->cache, CacheResult::kMemory);
  EXPECT_EQ(second->key(), first->key());
  EXPECT_EQ(hooks->kernel_compiles, 1);
  EXPECT_EQ(observer.results(CacheResult::kCompiled), 1);
  EXPECT_EQ(observer.results(CacheResult::kMemory), 1);
  EXPECT_EQ(observer.fusions_reported, 1);
}

TEST_F(CompileTest, AHundredAtOnceAreOneCompile) {
  constexpr int kCallers = 100;
  Hold();
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < kCallers; ++i) {
    callers.emplace_back([&, i] {
      const auto compiled = Compile(Mlp(Cat("caller", i)));
      if (!compiled.ok() || compiled->names->module_name != Cat("caller", i)) ++wrong;
    });
  }
  ASSERT_TRUE(IsHeld());
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  Release();
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(hooks->kernel_compiles, 1);
  EXPECT_EQ(observer.results(CacheResult::kCompiled), 1);
  EXPECT_EQ(observer.results(CacheResult::kFollower) + observer.results(CacheResult::kMemory),
            kCallers - 1);
  EXPECT_EQ(observer.fusions_reported, 1);
}

TEST_F(CompileTest, AHitSpeaksInItsCallersNames) {
  ASSERT_TRUE(Compile(Mlp("alice")).ok());
  const auto hit = Compile(Mlp("bob"));
  ASSERT_TRUE(hit.ok());
  ASSERT_EQ(hit->cache, CacheResult::kMemory);
  const FusionReport report = hit->Fusion();
  ASSERT_FALSE(report.remarks.empty());
  std::string names;
  for (const Remark& remark : report.remarks) {
    for (const SourceRef& source : remark.sources) names += source.name + " ";
  }
  EXPECT_THAT(names, testing::HasSubstr("bob.up"));
  EXPECT_THAT(names, testing::Not(testing::HasSubstr("alice")));
}

// Its canonical numbers are not the author's: params stand first, and the dead node goes. The
// product is read twice, so that it cannot take the bias.
Module Unclean(std::string_view label) {
  return Parse(Cat("mir \"", label, R"(" {
    %0 = param "b" : f32[8]
    %1 = param "w" : f32[8,8]
    %2 = input "x" : f32[4,8]
    %3 = neg "dead" (%2)
    %4 = matmul ")",
                   label, R"(.up" (%2, %1)
    %5 = add ")",
                   label, R"(.bias" (%4, %0)
    %6 = relu ")",
                   label, R"(.act" (%4)
    output "y" = %5
    output "z" = %6
  })"));
}

TEST_F(CompileTest, MessagesNumberTheNodesAsTheirAuthorDid) {
  for (std::string_view label : {"alice", "bob"}) {
    const auto compiled = Compile(Unclean(label));
    ASSERT_TRUE(compiled.ok()) << compiled.status();
    std::string messages;
    for (const Remark& remark : compiled->Fusion().remarks) {
      if (remark.kind == Remark::Kind::kMissed) messages += remark.message + "\n";
    }
    EXPECT_THAT(messages, testing::HasSubstr(Cat("%4 \"", label, ".up\" (matmul)")));
    EXPECT_THAT(messages, testing::Not(testing::HasSubstr(label == "bob" ? "alice" : "bob")));
  }
  CompileSpec spec = Spec(Unclean("carol"));
  spec.options.assert_fusion_clean = true;
  const auto refused = engine->Compile({}, std::move(spec), {}, {});
  EXPECT_THAT(refused.status().ToString(), testing::HasSubstr("%4 \"carol.up\" (matmul)"));
}

// Of two matmuls with one number, the one in the loop is meant.
TEST_F(CompileTest, MessagesFindNodesInBodies) {
  const Module module = Parse(R"(mir "loop" {
    %0 = param "w" : f32[8,8]
    %1 = input "x" : f32[8,8]
    %2 = neg "dead" (%1)
    %3 = matmul "outside" (%1, %0)
    %4 = scan (%3, %0) {carries = 1, sequences = 0, length = [500]} graph "" {
      %0 = input "" : f32[8,8]
      %1 = input "" : f32[8,8]
      %2 = constant {value = f32[8] (1,2,3,4,5,6,7,8)}
      %3 = matmul "inside" (%0, %1)
      %4 = exp (%3)
      %5 = add (%3, %2)
      %6 = mul (%5, %4)
      output "o" = %6
    }
    output "y" = %4
  })");
  const auto compiled = Compile(module);
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  const FusionReport report = compiled->Fusion();
  EXPECT_EQ(report.ops_before.at("matmul"), 2);
  bool found = false;
  for (const Remark& remark : report.remarks) {
    if (remark.reason != "multi_consumer") continue;
    found = true;
    EXPECT_THAT(remark.message, testing::StartsWith("%4 scan: %3 \"inside\" (matmul) has 2 users"));
    EXPECT_THAT(remark.sources, testing::ElementsAre(
                                    SourceRef{SourceRef::Kind::kMir, 8, "%4 scan: %3 \"inside\""}));
  }
  EXPECT_TRUE(found) << report.ToString();
}

TEST_F(CompileTest, WhatIsUnsupportedIsNamedAsItsAuthorDid) {
  for (std::string_view label : {"alice", "bob"}) {
    CompileSpec spec = Spec(Unclean(label));
    spec.options.supported_ops = std::set<std::string>{"Activation", "Binary"};
    const auto compiled = engine->Compile({}, std::move(spec), {}, {});
    ASSERT_TRUE(compiled.ok()) << compiled.status();
    const DispatchReport dispatch = compiled->Dispatch();
    ASSERT_EQ(dispatch.unsupported.size(), 1u);
    EXPECT_EQ(dispatch.unsupported[0].node, Cat("%4 \"", label, ".up\" (matmul)"));
    EXPECT_FALSE(compiled->runnable());
    EXPECT_THAT(compiled->WhyNot(), testing::HasSubstr(dispatch.unsupported[0].node));
  }
}

TEST_F(CompileTest, AKeyShowsWhatItNamesInTheAskersNames) {
  CompileSpec spec = Spec(Unclean("alice"));
  const auto compiled = engine->Compile({"a"}, std::move(spec), {}, {});
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  const auto own = engine->Inspect({"a"}, compiled->key(), {});
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_EQ(own->Fusion(), compiled->Fusion());
  EXPECT_EQ(own->names->module_name, "alice");
  const auto other = engine->Inspect({"b"}, compiled->key(), {});
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(other->names->module_name, "");
  EXPECT_THAT(other->Fusion().ToString(), testing::Not(testing::HasSubstr("alice")));
  EXPECT_TRUE(absl::IsNotFound(engine->Inspect({"a"}, Sha256Of("nothing"), {}).status()));
}

TEST_F(CompileTest, UnboundSymbolsDoNotKeepAModuleFromRunning) {
  const auto symbolic = Compile(SymbolicMlp());
  ASSERT_TRUE(symbolic.ok());
  EXPECT_TRUE(symbolic->runnable());
  EXPECT_EQ(symbolic->WhyNot(), "");
  CompileSpec spec = Spec(SymbolicMlp());
  spec.device = DeviceKind::kMetal;
  const auto elsewhere = engine->Compile({}, std::move(spec), {}, {});
  ASSERT_TRUE(elsewhere.ok());
  EXPECT_FALSE(elsewhere->runnable());
  EXPECT_NE(elsewhere->WhyNot(), "");
}

TEST_F(CompileTest, TheLastWaiterToGoStopsIt) {
  Hold();
  std::stop_source stop;
  absl::Status status;
  std::thread caller([&] {
    status = engine->Compile({}, Spec(Mlp()), {}, CancelToken(stop.get_token())).status();
  });
  ASSERT_TRUE(IsHeld());
  stop.request_stop();
  caller.join();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  Release();
  ASSERT_TRUE(Eventually([&] { return engine->Stats().compiles_running == 0; }));
  const auto again = Compile(Mlp());
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->cache, CacheResult::kCompiled)
      << "what nobody waited for must not have finished";
}

TEST_F(CompileTest, ADeadlineEndsTheWait) {
  Hold();
  const auto late = engine->Compile({}, Spec(Mlp()), {}, Within(50));
  EXPECT_TRUE(absl::IsDeadlineExceeded(late.status())) << late.status();
  const auto past = engine->Compile({}, Spec(Mlp()), {}, Within(-1));
  EXPECT_TRUE(absl::IsDeadlineExceeded(past.status())) << past.status();
}

TEST_F(CompileTest, ABrokenOffCompileCanBeAttachedAgain) {
  options.reattach_seconds = 30;
  Start();
  Hold();
  std::stop_source stop;
  std::mutex mutex;
  std::optional<RandomId> operation;
  CompileCall call;
  call.progress = [&](const CompileProgress& progress) {
    std::lock_guard lock(mutex);
    operation = progress.operation;
  };
  std::thread caller([&] {
    EXPECT_FALSE(engine->Compile({"a"}, Spec(Mlp()), call, CancelToken(stop.get_token())).ok());
  });
  ASSERT_TRUE(IsHeld());
  stop.request_stop();
  caller.join();
  ASSERT_TRUE(operation);
  EXPECT_TRUE(absl::IsNotFound(engine->WaitCompile({"b"}, *operation, {}, {}).status()));
  EXPECT_TRUE(absl::IsNotFound(engine->WaitCompile({"a"}, RandomId::New(), {}, {}).status()));
  Release();
  const auto compiled = engine->WaitCompile({"a"}, *operation, {}, {});
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  EXPECT_EQ(compiled->cache, CacheResult::kCompiled);
  EXPECT_EQ(compiled->operation, *operation);
  EXPECT_TRUE(engine->WaitCompile({"a"}, *operation, {}, {}).ok())
      << "finished ones are remembered";
}

TEST_F(CompileTest, ProgressNamesThePhasesInOrder) {
  std::vector<CompilePhase> phases;
  CompileCall call;
  call.progress = [&](const CompileProgress& progress) {
    if (phases.empty() || phases.back() != progress.phase) phases.push_back(progress.phase);
  };
  const auto compiled = Compile(Mlp(), call);
  ASSERT_TRUE(compiled.ok());
  EXPECT_TRUE(std::is_sorted(phases.begin(), phases.end()));
  EXPECT_EQ(phases.front(), CompilePhase::kCacheCheck);
  EXPECT_EQ(phases.back(), CompilePhase::kDone);
  std::vector<CompilePhase> timed;
  for (const auto& [phase, seconds] : compiled->phases) {
    EXPECT_GE(seconds, 0);
    timed.push_back(phase);
  }
  EXPECT_THAT(timed, testing::IsSupersetOf({CompilePhase::kCacheCheck, CompilePhase::kMir,
                                            CompilePhase::kLir, CompilePhase::kCodegen}));
}

TEST_F(CompileTest, AFullQueueRefuses) {
  options.compile_threads = 1;
  options.max_queued_compiles = 1;
  Start();
  Hold();
  std::thread running([&] { EXPECT_TRUE(Compile(Mlp()).ok()); });
  ASSERT_TRUE(IsHeld());
  std::thread queued([&] { EXPECT_TRUE(Compile(AddOne()).ok()); });
  ASSERT_TRUE(Eventually([&] { return engine->Stats().compiles_queued == 1; }));
  const auto refused = Compile(SymbolicMlp());
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status())) << refused.status();
  EXPECT_EQ(FaultOf(refused.status()).limit, "max_queued_compiles");
  Release();
  running.join();
  queued.join();
  EXPECT_TRUE(Compile(SymbolicMlp()).ok()) << "a refusal is not kept";
}

TEST_F(CompileTest, AnAnsweredCompileLeavesItsPlaceFree) {
  options.compile_threads = 1;
  options.max_queued_compiles = 0;
  Start();
  for (int i = 0; i < 200; ++i) {
    const auto compiled = Compile(AddOne(), {.skip_cache_lookup = true, .do_not_cache = true});
    ASSERT_EQ(engine->Stats().compiles_running, 0) << i;
    ASSERT_TRUE(compiled.ok()) << i << ": " << compiled.status();
  }
}

TEST_F(CompileTest, WhatTheSameRequestMeantIsRecalled) {
  CompileSpec spec = Spec(Mlp("mine"));
  const Digest256 request = Sha256Of("request bytes");
  spec.request = request;
  EXPECT_FALSE(engine->Recall({"a"}, request));
  ASSERT_TRUE(engine->Compile({"a"}, std::move(spec), {}, {}).ok());
  const auto recalled = engine->Recall({"a"}, request);
  ASSERT_TRUE(recalled);
  EXPECT_EQ(recalled->cache, CacheResult::kMemory);
  EXPECT_EQ(recalled->names->module_name, "mine");
  EXPECT_FALSE(engine->Recall({"b"}, request)) << "someone else's";
  ASSERT_TRUE(engine->CacheClear({}).ok());
  EXPECT_FALSE(engine->Recall({"a"}, request));
}

TEST_F(CompileTest, TheCacheCanBeLeftOut) {
  ASSERT_TRUE(Compile(Mlp(), {.do_not_cache = true}).ok());
  EXPECT_EQ(Compile(Mlp(), {.skip_cache_lookup = true})->cache, CacheResult::kCompiled);
  EXPECT_EQ(Compile(Mlp())->cache, CacheResult::kMemory);
  EXPECT_EQ(hooks->kernel_compiles, 2);
}

TEST_F(CompileTest, UncleanFusionFailsAHitToo) {
  // The product is read twice, so it cannot take the bias in.
  const auto module = [] {
    return Parse(R"(mir "unclean" {
      %0 = input "x" : f32[4,8]
      %1 = param "w" : f32[8,8]
      %2 = param "b" : f32[8]
      %3 = matmul(%0, %1)
      %4 = add(%3, %2)
      %5 = relu(%3)
      output "y" = %4
      output "z" = %5
    })");
  };
  CompileSpec spec = Spec(module());
  ASSERT_TRUE(engine->Compile({}, std::move(spec), {}, {}).ok());
  spec = Spec(module());
  spec.options.assert_fusion_clean = true;
  FusionReport misses;
  const auto unclean = engine->Compile({}, std::move(spec), {.misses = &misses}, {});
  EXPECT_TRUE(absl::IsFailedPrecondition(unclean.status())) << unclean.status();
  EXPECT_FALSE(misses.clean());
  EXPECT_EQ(observer.results(CacheResult::kCompiled), 1) << "the assertion is not in the key";
  spec = Spec(Mlp());
  spec.options.assert_fusion_clean = true;
  EXPECT_TRUE(engine->Compile({}, std::move(spec), {}, {}).ok());
}

TEST_F(CompileTest, BadModulesAreRefused) {
  Module module = Mlp();
  module.graph.AddOutput("y", {3, 0});
  EXPECT_TRUE(absl::IsInvalidArgument(Compile(std::move(module)).status()));
  options.limits.max_nodes = 3;
  Start();
  EXPECT_TRUE(absl::IsResourceExhausted(Compile(Mlp()).status()));
  CompileSpec spec = Spec(AddOne());
  spec.profile = "cpu:z80";
  EXPECT_TRUE(absl::IsNotFound(engine->Compile({}, std::move(spec), {}, {}).status()));
  spec = Spec(AddOne());
  spec.profile = "x86-64";  // of the device that is named already
  EXPECT_TRUE(engine->Compile({}, std::move(spec), {}, {}).ok());
  spec = Spec(AddOne());
  spec.options.arena_alignment = 48;
  EXPECT_TRUE(absl::IsInvalidArgument(engine->Compile({}, std::move(spec), {}, {}).status()));
}

TEST_F(CompileTest, EveryDeviceCompilesAndSaysWhyItCannotRun) {
  for (const DeviceStatus& device : engine->Devices()) {
    CompileSpec spec = Spec(Mlp());
    spec.device = device.kind;
    const auto compiled = engine->Compile({}, std::move(spec), {}, {});
    ASSERT_TRUE(compiled.ok()) << Name(device.kind) << ": " << compiled.status();
    const bool runs = compiled->module->artifact.program != nullptr;
    EXPECT_EQ(runs, device.kind == DeviceKind::kCpu);
    EXPECT_EQ(runs, compiled->module->artifact.why_no_program.empty());
    EXPECT_EQ(device.available, runs);
    EXPECT_EQ(device.reason.empty(), runs);
  }
}

TEST_F(CompileTest, LowersToEveryStageInTheAuthorsNames) {
  const auto mir = engine->Lower(Spec(Mlp("mine")), Stage::kMir, {}, nullptr);
  ASSERT_TRUE(mir.ok()) << mir.status();
  EXPECT_THAT(mir->text, testing::HasSubstr("mine.up"));
  const auto lir = engine->Lower(Spec(Mlp("mine")), Stage::kLir, {}, nullptr);
  ASSERT_TRUE(lir.ok()) << lir.status();
  EXPECT_EQ(lir->module.stage, Stage::kLir);
  EXPECT_THAT(lir->text, testing::HasSubstr("fused_matmul_bias_act"));
  EXPECT_FALSE(lir->fusion.remarks.empty());
  EXPECT_EQ(hooks->kernel_compiles, 0);
  const auto back = engine->Lower(Spec(Mlp()), Stage::kHir, {}, nullptr);
  EXPECT_TRUE(absl::IsInvalidArgument(back.status())) << back.status();
}

TEST_F(CompileTest, LowersToTheModulesOwnStageUnderTheOptions) {
  for (const auto& [module, stage] :
       {std::pair(SymbolicMlp(), Stage::kMir),
        std::pair(stages::BertBlock("fusable", "batch", "seq"), Stage::kHir)}) {
    CompileSpec as_is = Spec(module);
    const auto whole = engine->Lower(as_is, stage, {}, nullptr);
    ASSERT_TRUE(whole.ok()) << whole.status();
    EXPECT_EQ(whole->text, Print(module));
    ASSERT_FALSE(module.graph.symbols.empty());
    as_is.options.dim_binding = {{module.graph.symbols.begin()->first, 7}};
    const auto bound = engine->Lower(as_is, stage, {}, nullptr);
    ASSERT_TRUE(bound.ok()) << bound.status();
    EXPECT_THAT(bound->text, testing::HasSubstr("[7,"));
    EXPECT_EQ(bound->module.graph.symbols.size(), module.graph.symbols.size() - 1);
    as_is.options.dim_binding = {{"zz", 3}};
    EXPECT_TRUE(absl::IsInvalidArgument(engine->Lower(as_is, stage, {}, nullptr).status()));
    as_is.options.dim_binding = {};
    as_is.options.arena_alignment = 3;
    EXPECT_TRUE(absl::IsInvalidArgument(engine->Lower(as_is, stage, {}, nullptr).status()));
  }
}

TEST_F(CompileTest, OptionsOfAnAnswerSentAgainMakeTheSame) {
  for (const DeviceStatus& device : engine->Devices()) {
    for (Module module : {stages::BertBlock("fusable"), stages::LlamaBlock("fusable")}) {
      CompileSpec spec = Spec(std::move(module));
      spec.device = device.kind;
      const auto lowered = [&] {
        const auto lir = engine->Lower(spec, Stage::kLir, {}, nullptr);
        return lir.ok() ? lir->text : Cat(lir.status());
      };
      const std::string once = lowered();
      const auto compiled = engine->Compile({}, spec, {}, {});
      ASSERT_TRUE(compiled.ok()) << Name(device.kind) << ": " << compiled.status();
      spec.options = *compiled->options;
      EXPECT_EQ(lowered(), once) << Name(device.kind);
    }
  }
}

TEST_F(CompileTest, DumpsComeWithTheAnswer) {
  CompileSpec spec = Spec(Mlp("mine"));
  spec.options.dump = {Stage::kMir, Stage::kLir};
  const auto compiled = engine->Compile({}, std::move(spec), {}, {});
  ASSERT_TRUE(compiled.ok()) << compiled.status();
  ASSERT_EQ(compiled->dumps.size(), 2u);
  EXPECT_EQ(compiled->dumps[0].first, Stage::kMir);
  EXPECT_THAT(compiled->dumps[1].second, testing::HasSubstr("mine"));
}

// A call that cannot answer with a dump says so, and so does Compile of a stage that is past.
TEST_F(CompileTest, DumpsThatCannotComeAreRefused) {
  const auto refused = [](const absl::Status& status, std::string_view why) {
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_EQ(FaultOf(status).field, "options.dump");
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr(std::string(why)));
  };
  CompileSpec spec = Spec(Mlp());
  spec.options.dump = {Stage::kHir, Stage::kLir};
  refused(engine->Compile({}, spec, {}, {}).status(), "a module at stage mir is past hir");
  spec.options.dump = {Stage::kLir};
  const std::string_view no_place = "the answer to this call has no place for lir";
  refused(engine->Lower(spec, Stage::kLir, {}, nullptr).status(), no_place);
  refused(engine->Explain(spec, {}, nullptr).status(), no_place);
  refused(engine->ExportSource(spec, {}, {}, nullptr).status(), no_place);
  OpenSpec open;
  open.executable = OpenSpec::Compile{.spec = spec};
  refused(engine->OpenSession({}, std::move(open), {}).status(), no_place);
}

TEST_F(CompileTest, KeysSayWhatDiffers) {
  const auto explain = [&](const std::function<void(CompileSpec&)>& change) {
    CompileSpec spec = Spec(Mlp());
    change(spec);
    const auto key = engine->ExplainKey(spec);
    EXPECT_TRUE(key.ok()) << key.status();
    return *key;
  };
  const KeyExplanation plain = explain([](CompileSpec&) {});
  const auto differing = [&](const std::function<void(CompileSpec&)>& change) {
    const KeyExplanation other = explain(change);
    const std::vector<std::string> names = Differing(plain, other);
    EXPECT_EQ(names.empty(), plain.key == other.key);
    return names;
  };
  using testing::ElementsAre;
  using testing::IsEmpty;
  EXPECT_THAT(differing([](CompileSpec& s) { s.module = Mlp("other"); }), IsEmpty());
  EXPECT_THAT(differing([](CompileSpec& s) { s.options.verbose = true; }), IsEmpty());
  EXPECT_THAT(differing([](CompileSpec& s) { s.options.assert_fusion_clean = true; }), IsEmpty());
  EXPECT_THAT(differing([](CompileSpec& s) { s.options.dump = {Stage::kLir}; }), IsEmpty());
  EXPECT_THAT(differing([](CompileSpec& s) { s.options.arena_alignment = 64; }), IsEmpty())
      << "the default, written out";
  EXPECT_THAT(differing([](CompileSpec& s) { s.module = AddOne(); }), ElementsAre("module"));
  EXPECT_THAT(differing([](CompileSpec& s) { s.options.fusion.skip_fusion = true; }),
              ElementsAre("options"));
  EXPECT_THAT(differing([](CompileSpec& s) { s.options.disabled_passes = {"fuse_swiglu"}; }),
              ElementsAre("options"));
  EXPECT_THAT(differing([](CompileSpec& s) { s.options.salt = "x"; }), ElementsAre("salt"));
  EXPECT_THAT(differing([](CompileSpec& s) { s.device = DeviceKind::kMetal; }),
              testing::IsSupersetOf({"target", "options"}));
  EXPECT_EQ(plain.components.front().name, "module");
  options.salt = "another deployment";
  Start();
  EXPECT_THAT(differing([](CompileSpec&) {}), ElementsAre("salt"));
}

class DiskTest : public CompileTest {
 protected:
  void SetUp() override {
    options.cache_dir = folder_.path();
    Start();
  }
  cache::TierStats Tier(std::string_view name) {
    for (const cache::TierStats& stats : engine->CacheStats()) {
      if (stats.tier == name) return stats;
    }
    return {};
  }
  TempDir folder_;
};

TEST_F(DiskTest, ARestartHitsDisk) {
  const auto first = Compile(Mlp());
  ASSERT_TRUE(first.ok());
  Start();
  const auto second = Compile(Mlp());
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->cache, CacheResult::kDisk);
  EXPECT_EQ(*second->module->artifact.program, *first->module->artifact.program);
  EXPECT_EQ(second->Fusion(), first->Fusion());
  EXPECT_EQ(hooks->kernel_compiles, 1);
  EXPECT_EQ(Compile(Mlp())->cache, CacheResult::kMemory);
  size_t total = 0;
  EXPECT_EQ(engine->CacheList(10, total).size(), 1u);
  EXPECT_EQ(total, 1u);
}

TEST_F(DiskTest, WhatDoesNotDecodeIsAMissAndDeleted) {
  const auto first = Compile(Mlp());
  ASSERT_TRUE(first.ok());
  engine.reset();
  {
    auto store = cache::DiskStore::Open(folder_ / "artifacts", 1 << 30);
    ASSERT_TRUE(store.ok());
    (*store)->Put(first->key(), SharedBytes(std::string("a sound entry, but no artifact")));
  }
  Start();
  const auto again = Compile(Mlp());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->cache, CacheResult::kCompiled);
  EXPECT_EQ(Tier("disk").corrupt, 1u);
  Start();
  EXPECT_EQ(Compile(Mlp())->cache, CacheResult::kDisk) << "the compile replaced it";
}

TEST_F(DiskTest, AFileFullOfGarbageIsAMiss) {
  const auto first = Compile(Mlp());
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(
      WriteFileAtomic(Cat(folder_ / "artifacts", "/", first->key(), ".entry"), {"garbage"}).ok());
  Start();
  EXPECT_EQ(Compile(Mlp())->cache, CacheResult::kCompiled);
  EXPECT_EQ(Tier("disk").corrupt, 1u);
}

TEST_F(DiskTest, AFlippedBitAnywhereIsAMiss) {
  const auto first = Compile(AddOne());
  ASSERT_TRUE(first.ok());
  const std::string path = Cat(folder_ / "artifacts", "/", first->key(), ".entry");
  const auto file = ReadFile(path, 1 << 30);
  ASSERT_TRUE(file.ok()) << file.status();
  const std::string& bytes = *file;
  std::vector<size_t> places;
  for (size_t i = 0; i < 100; ++i) places.push_back(i);  // the header, byte by byte
  for (size_t i = 100; i < bytes.size(); i += std::max<size_t>(1, bytes.size() / 100)) {
    places.push_back(i);
  }
  places.push_back(bytes.size() - 1);
  for (size_t place : places) {
    std::string flipped = bytes;
    flipped[place] = static_cast<char>(flipped[place] ^ (1 << place % 8));
    engine.reset();
    ASSERT_TRUE(WriteFileAtomic(path, {flipped}).ok());
    Start();
    const auto again = Compile(AddOne());
    ASSERT_TRUE(again.ok()) << place << ": " << again.status();
    EXPECT_EQ(again->cache, CacheResult::kCompiled) << place;
    EXPECT_EQ(Tier("disk").corrupt, 1u) << place;
    EXPECT_EQ(*again->module->artifact.program, *first->module->artifact.program) << place;
  }
}

// What a checksum would have caught: decoding says no, or makes something that passes every check.
TEST_F(DiskTest, AFlippedBitUnderTheChecksumIsDecodedSafely) {
  const auto compiled = Compile(Mlp());
  ASSERT_TRUE(compiled.ok());
  const std::string bytes = wire::EncodeArtifact(compiled->module->artifact);
  int refused = 0;
  for (size_t place = 0; place < bytes.size(); place += 1 + bytes.size() / 3000) {
    std::string flipped = bytes;
    flipped[place] = static_cast<char>(flipped[place] ^ (1 << place % 8));
    const auto decoded = wire::DecodeArtifact(flipped, {});
    if (!decoded.ok()) {
      EXPECT_EQ(decoded.status().code(), absl::StatusCode::kDataLoss) << decoded.status();
      ++refused;
    } else if (decoded->program != nullptr) {
      EXPECT_TRUE(wire::CheckProgram(*decoded->program).ok()) << place;
    }
  }
  EXPECT_GT(refused, 10);
}

// A chain that decomposition makes longer than a client's module may be.
TEST_F(DiskTest, WhatPassesMadeLargerThanAllowedIsFoundAgain) {
  options.limits.max_nodes = 12;
  Start();
  const auto grown = [&] {
    CompileSpec spec = Spec(Parse(R"(mir "grown" {
      %0 = input "x" : f32[4,8]
      %1 = softmax(%0) {axis = 1}
      %2 = softmax(%1) {axis = 0}
      %3 = softmax(%2) {axis = 1}
      output "y" = %3
    })"));
    spec.options.kernel_dispatch.policy = DispatchPolicy::kForceCommon;
    spec.options.fusion.skip_fusion = true;
    return engine->Compile({}, std::move(spec), {}, {});
  };
  const auto first = grown();
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_GT(first->module->artifact.lir.graph.size(), 12);
  Start();
  EXPECT_EQ(grown()->cache, CacheResult::kDisk);
  EXPECT_EQ(Tier("disk").corrupt, 0u);
}

TEST_F(DiskTest, EveryStageIsLeftWhereTheServerIsToldTo) {
  options.ir_dump_dir = folder_ / "ir";
  Start();
  const auto compiled = Compile(Mlp("mine"));
  ASSERT_TRUE(compiled.ok());
  const auto text = ReadFile(Cat(options.ir_dump_dir, "/", compiled->key(), ".ir.txt"), 1 << 20);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, testing::HasSubstr("mir \"mine\""));
  EXPECT_THAT(*text, testing::HasSubstr("lir \"mine\""));
  EXPECT_THAT(*text, testing::HasSubstr("plan {"));
}

TEST_F(CompileTest, DefaultsOfADeviceComeBeforeThoseOfAll) {
  options.device_defaults[DeviceKind::kMetal].fusion.skip_fusion = true;
  options.defaults.fusion.skip_fusion = false;
  options.defaults.arena_alignment = 128;
  Start();
  const auto resolved = [&](DeviceKind device, std::optional<bool> skip) {
    CompileSpec spec = Spec(Mlp());
    spec.device = device;
    spec.options.fusion.skip_fusion = skip;
    return *engine->Compile({}, std::move(spec), {}, {})->options;
  };
  EXPECT_EQ(resolved(DeviceKind::kMetal, std::nullopt).fusion.skip_fusion, true);
  EXPECT_EQ(resolved(DeviceKind::kMetal, false).fusion.skip_fusion, true);  // on stays on
  EXPECT_EQ(resolved(DeviceKind::kCpu, std::nullopt).fusion.skip_fusion, false);
  EXPECT_EQ(resolved(DeviceKind::kMetal, std::nullopt).arena_alignment, 128);
}

TEST_F(DiskTest, TiersClearByName) {
  ASSERT_TRUE(Compile(Mlp()).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(engine->CacheClear({"tape"}).status()));
  ASSERT_TRUE(engine->CacheClear({"memory"}).ok());
  EXPECT_EQ(Compile(Mlp())->cache, CacheResult::kDisk);
  const auto cleared = engine->CacheClear({});
  ASSERT_TRUE(cleared.ok());
  EXPECT_EQ(cleared->entries, 2u);
  EXPECT_EQ(Compile(Mlp())->cache, CacheResult::kCompiled);
}

TEST_F(DiskTest, FailuresAreNotKept) {
  CompileSpec spec = Spec(Mlp());
  spec.options.dim_binding = DimBinding{{"nobody", 3}};
  EXPECT_TRUE(absl::IsInvalidArgument(engine->Compile({}, std::move(spec), {}, {}).status()));
  size_t total = 0;
  EXPECT_TRUE(engine->CacheList(10, total).empty());
  EXPECT_EQ(observer.failed, 1);
}

}  // namespace
}  // namespace rlx::engine::test
