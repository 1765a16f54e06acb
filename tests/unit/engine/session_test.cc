// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <thread>

#include "runtime/base/fault.h"
#include "runtime/base/status.h"
#include "runtime/base/text.h"
#include "tests/unit/engine/engine_fixture.h"

namespace rlx::engine::test {
namespace {

using testing::FloatNear;
using testing::HasSubstr;
using testing::Pointwise;

class SessionTest : public EngineTest {
 protected:
  void SetUp() override { Start(); }

  // Opening Mlp with these weights.
  absl::Status OpenWith(std::vector<WeightSource> weights) {
    OpenSpec spec;
    spec.executable = OpenSpec::Compile{Spec(Mlp()), {}};
    spec.weights = std::move(weights);
    return engine->OpenSession({}, std::move(spec), {}).status();
  }
  // Opening AddOne, which has no weights.
  absl::StatusOr<Opened> OpenAddOne(const Principal& who = {}, uint32_t lease_seconds = 0) {
    OpenSpec spec;
    spec.executable = OpenSpec::Compile{Spec(AddOne()), {}};
    spec.lease_seconds = lease_seconds;
    return engine->OpenSession(who, std::move(spec), {});
  }
  absl::Status RunWith(const RandomId& handle, std::vector<NamedInput> inputs,
                       std::vector<std::string_view> outputs = {}) {
    std::string memory;
    const auto give = [&](const OutputSpec& output) {
      memory.resize(output.bytes);
      return reinterpret_cast<uint8_t*>(memory.data());
    };
    return engine->Run({}, {handle, inputs, outputs}, give, {}).status();
  }
};

TEST_F(SessionTest, RunsWhatItCompiled) {
  const auto opened = OpenMlp();
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_GT(opened->weight_bytes, 0);
  const auto ran = Run(opened->handle, MlpInput(), {4, 8});
  ASSERT_TRUE(ran.ok()) << ran.status();
  EXPECT_THAT(ran->outputs.at(0), Pointwise(FloatNear(1e-5f), MlpExpected(MlpInput())));
  EXPECT_EQ(observer.runs, 1);
  EXPECT_TRUE(engine->CloseSession({}, opened->handle, {}).ok());
  EXPECT_TRUE(absl::IsNotFound(Run(opened->handle, MlpInput(), {4, 8}).status()));
  EXPECT_TRUE(absl::IsNotFound(engine->CloseSession({}, opened->handle, {})));
  EXPECT_EQ(observer.closed, 1);
}

TEST_F(SessionTest, OpensByKey) {
  const auto compiled = Compile(Mlp("mine"));
  ASSERT_TRUE(compiled.ok());
  OpenSpec spec;
  spec.executable = compiled->key();
  spec.weights = MlpWeights();
  const auto opened = engine->OpenSession({}, spec, {});
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->compiled.names->module_name, "mine");
  ASSERT_EQ(engine->ListSessions({}).size(), 1u);
  EXPECT_EQ(engine->ListSessions({})[0].module_name, "mine");
  spec.device = DeviceKind::kCuda;
  EXPECT_TRUE(absl::IsInvalidArgument(engine->OpenSession({}, spec, {}).status()));
  spec.device = DeviceKind::kCpu;
  spec.profile = "cpu:other";
  EXPECT_TRUE(absl::IsInvalidArgument(engine->OpenSession({}, spec, {}).status()));
  spec.executable = Sha256Of("nothing");
  EXPECT_TRUE(absl::IsNotFound(engine->OpenSession({}, spec, {}).status()));
}

TEST_F(SessionTest, WeightsAreCheckedExactly) {
  const std::vector<WeightSource> good = MlpWeights();
  ASSERT_TRUE(OpenWith(good).ok()) << OpenWith(good);
  const auto expect = [&](absl::StatusCode code, std::string_view says,
                          const std::function<void(std::vector<WeightSource>&)>& spoil) {
    std::vector<WeightSource> weights = good;
    spoil(weights);
    const absl::Status status = OpenWith(weights);
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(std::string(Message(status)), HasSubstr(std::string(says)));
  };
  const auto invalid = absl::StatusCode::kInvalidArgument;
  using Weights = std::vector<WeightSource>;
  expect(invalid, "weight \"b\" is missing", [](Weights& w) { w.pop_back(); });
  expect(invalid, "unknown weight \"c\"", [](Weights& w) { w[1].param = "c"; });
  expect(invalid, "weight \"w\" is given twice", [](Weights& w) { w[1] = w[0]; });
  expect(invalid, "f32[8] is wanted, f16[8] given", [](Weights& w) { w[1].dtype = DType::kF16; });
  expect(invalid, "f32[8,8] is wanted, f32[64] given", [](Weights& w) { w[0].dims = {64}; });
  expect(invalid, "has 256 bytes, 252 given",
         [](Weights& w) { std::get<WeightSource::Slice>(w[0].source).length = 252; });
  expect(absl::StatusCode::kNotFound, "weight \"b\"", [](Weights& w) {
    std::get<WeightSource::Slice>(w[1].source).blob = Sha256Of("elsewhere");
  });
  expect(absl::StatusCode::kOutOfRange, "weight \"b\"",
         [](Weights& w) { std::get<WeightSource::Slice>(w[1].source).offset = 260; });
  expect(absl::StatusCode::kOutOfRange, "weight \"b\"",
         [](Weights& w) { std::get<WeightSource::Slice>(w[1].source).offset = UINT64_MAX; });
  EXPECT_EQ(engine->Stats().sessions, 1) << "none of these is left behind";
}

TEST_F(SessionTest, SmallWeightsMayComeInline) {
  std::vector<WeightSource> weights = MlpWeights();
  weights[1].source = SharedBytes(FloatBytes({0, .125, .25, .375, .5, .625, .75, .875}));
  OpenSpec spec;
  spec.executable = OpenSpec::Compile{Spec(Mlp()), {}};
  spec.weights = weights;
  const auto opened = engine->OpenSession({}, std::move(spec), {});
  ASSERT_TRUE(opened.ok()) << opened.status();
  const auto ran = Run(opened->handle, MlpInput(), {4, 8});
  ASSERT_TRUE(ran.ok());
  EXPECT_THAT(ran->outputs.at(0), Pointwise(FloatNear(1e-5f), MlpExpected(MlpInput())));
  options.max_inline_weight_bytes = 31;
  Start();
  MlpWeights();
  const absl::Status status = OpenWith(weights);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_EQ(FaultOf(status).limit, "max_inline_weight_bytes");
}

TEST_F(SessionTest, BlobsOfOthersAreNotThere) {
  const std::vector<WeightSource> weights = MlpWeights({"a"});
  OpenSpec spec;
  spec.executable = OpenSpec::Compile{Spec(Mlp()), {}};
  spec.weights = weights;
  EXPECT_TRUE(absl::IsNotFound(engine->OpenSession({"b"}, spec, {}).status()));
  EXPECT_TRUE(engine->OpenSession({"a"}, spec, {}).ok());
}

TEST_F(SessionTest, InputsAreCheckedExactly) {
  const auto opened = OpenMlp();
  ASSERT_TRUE(opened.ok());
  const std::vector<float> x = MlpInput();
  const std::vector<int64_t> dims = {4, 8}, wrong = {8, 4};
  const std::span<const uint8_t> bytes{reinterpret_cast<const uint8_t*>(x.data()), 128};
  const NamedInput good{"x", DType::kF32, dims, bytes};
  EXPECT_TRUE(RunWith(opened->handle, {good}).ok());
  const auto expect = [&](std::string_view says, std::vector<NamedInput> inputs,
                          std::vector<std::string_view> outputs = {}) {
    const absl::Status status = RunWith(opened->handle, std::move(inputs), std::move(outputs));
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(Message(status)), HasSubstr(std::string(says)));
  };
  expect("input \"x\" is missing", {});
  expect("unknown input \"z\"", {{"z", DType::kF32, dims, bytes}});
  expect("input \"x\" is given twice", {good, good});
  expect("f32[4,8] is wanted, i32[4,8] given", {{"x", DType::kI32, dims, bytes}});
  expect("f32[4,8] is wanted, f32[8,4] given", {{"x", DType::kF32, wrong, bytes}});
  expect("has 128 bytes, 127 given", {{"x", DType::kF32, dims, bytes.first(127)}});
  expect("unknown output \"z\"", {good}, {"z"});
  expect("output \"y\" is asked for twice", {good}, {"y", "y"});
  EXPECT_TRUE(RunWith(opened->handle, {good}, {"y"}).ok());
}

TEST_F(SessionTest, HandlesBelongToTheirPrincipal) {
  const auto opened = OpenAddOne({"a"});
  ASSERT_TRUE(opened.ok()) << opened.status();
  const std::vector<float> x(16, 1);
  EXPECT_TRUE(Run(opened->handle, x, {16}, {"a"}).ok());
  EXPECT_TRUE(absl::IsNotFound(Run(opened->handle, x, {16}, {"b"}).status()));
  EXPECT_TRUE(absl::IsNotFound(engine->KeepAlive({"b"}, opened->handle, 0).status()));
  EXPECT_TRUE(absl::IsNotFound(engine->CloseSession({"b"}, opened->handle, {})));
  EXPECT_TRUE(engine->ListSessions({"b"}).empty());
  EXPECT_EQ(engine->ListSessions({"a"}).at(0).runs, 1u);
}

TEST_F(SessionTest, ASecondSessionCostsNoSecondCopyOfItsWeights) {
  const auto first = OpenMlp({"a"});
  ASSERT_TRUE(first.ok());
  EXPECT_FALSE(first->weights_shared);
  const EngineStats one = engine->Stats();
  EXPECT_EQ(one.weight_sets, 1);
  const auto second = OpenMlp({"a"});
  ASSERT_TRUE(second.ok());
  EXPECT_TRUE(second->weights_shared);
  const EngineStats two = engine->Stats();
  EXPECT_EQ(two.sessions, 2);
  EXPECT_EQ(two.weight_sets, 1);
  EXPECT_EQ(two.weight_bytes, one.weight_bytes);
  ASSERT_TRUE(engine->CloseSession({"a"}, first->handle, {}).ok());
  EXPECT_EQ(engine->Stats().idle_weight_sets, 0);
  ASSERT_TRUE(engine->CloseSession({"a"}, second->handle, {}).ok());
  EXPECT_EQ(engine->Stats().idle_weight_sets, 1) << "kept for the next one";
  EXPECT_TRUE(OpenMlp({"a"})->weights_shared);
  EXPECT_EQ(observer.shared, 2);
}

// Bound weights keep the params that runs read and no more: what one program dropped is no set for
// another that reads it.
TEST_F(SessionTest, WeightsAreSharedOnlyWithWhatTheyHold) {
  const auto open = [&](std::string_view result) {
    OpenSpec spec;
    spec.executable = OpenSpec::Compile{Spec(Parse(Cat(R"(mir "m" {
      %0 = input "x" : f32[4]
      %1 = param "p" : f32[4]
      %2 = param "q" : f32[4]
      %3 = mul(%0, %1)
      %4 = add(%3, %2)
      %5 = sub(%3, %2)
      output "y" = )",
                                                       result, "\n}"))),
                                        {}};
    spec.weights = {{"p", DType::kF32, {4}, SharedBytes(FloatBytes({1, 2, 3, 4}))},
                    {"q", DType::kF32, {4}, SharedBytes(FloatBytes({10, 20, 30, 40}))}};
    return engine->OpenSession({}, std::move(spec), {});
  };
  const auto product = open("%3"), sum = open("%4"), difference = open("%5");
  ASSERT_TRUE(product.ok() && sum.ok() && difference.ok()) << sum.status();
  EXPECT_FALSE(sum->weights_shared);
  EXPECT_TRUE(difference->weights_shared) << "which reads the same";
  const auto run = [&](const Opened& opened) {
    const auto ran = Run(opened.handle, {1, 1, 1, 1}, {4});
    EXPECT_TRUE(ran.ok()) << ran.status();
    return ran.ok() ? ran->outputs.at(0) : std::vector<float>{};
  };
  EXPECT_EQ(run(*product), (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(run(*sum), (std::vector<float>{11, 22, 33, 44}));
  EXPECT_EQ(run(*difference), (std::vector<float>{-9, -18, -27, -36}));
}

// Options alone change which params runs read: here dead nodes stay, and read one.
TEST_F(SessionTest, OptionsDecideWhichWeightsAreHeld) {
  for (const bool dead : {false, true}) {
    CompileSpec spec = Spec(Parse(R"(mir "m" {
      %0 = input "x" : f32[4]
      %1 = param "p" : f32[4]
      %2 = max(%0, %1)
      %3 = tanh(%2)
      %4 = neg(%0)
      output "y" = %4
    })"));
    spec.options.dce = !dead;
    spec.options.fusion.unfuse_elementwise_regions = dead;
    OpenSpec open;
    open.executable = OpenSpec::Compile{std::move(spec), {}};
    open.weights = {{"p", DType::kF32, {4}, SharedBytes(FloatBytes({1, 2, 3, 4}))}};
    const auto opened = engine->OpenSession({}, std::move(open), {});
    ASSERT_TRUE(opened.ok()) << opened.status();
    const auto ran = Run(opened->handle, {1, 2, 3, 4}, {4});
    ASSERT_TRUE(ran.ok()) << ran.status();
    EXPECT_EQ(ran->outputs.at(0), (std::vector<float>{-1, -2, -3, -4}));
  }
}

TEST_F(SessionTest, IdleWeightsGoWhenMemoryIsWanted) {
  const auto first = OpenMlp();
  ASSERT_TRUE(first.ok());
  const EngineStats stats = engine->Stats();
  ASSERT_TRUE(engine->CloseSession({}, first->handle, {}).ok());
  const int64_t set = stats.weight_bytes;
  ASSERT_GT(set, 0);
  // Room for one session's set and context, not for another set beside it.
  options.host_memory_bytes = set + stats.context_bytes + set / 2;
  Start();
  ASSERT_TRUE(engine->CloseSession({}, OpenMlp()->handle, {}).ok());
  OpenSpec other;
  other.executable = OpenSpec::Compile{Spec(Mlp()), {}};
  other.weights = MlpWeights();
  std::string zeros(256, '\0');
  other.weights[0].source = SharedBytes(zeros);
  const auto opened = engine->OpenSession({}, other, {});
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(engine->Stats().weight_sets, 1);
  EXPECT_GE(observer.evicted_bytes, set);
  const auto refused = OpenMlp();
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status())) << refused.status();
  EXPECT_EQ(FaultOf(refused.status()).limit, "host_memory_bytes");
  const std::vector<float> x = MlpInput();
  EXPECT_TRUE(Run(opened->handle, x, {4, 8}).ok()) << "what is used stays";
}

// A run is held while the engine asks for its output's memory: it has its context then.
class HeldRun {
 public:
  // Of a module whose output is as large as its input "x".
  HeldRun(Engine& engine, const RandomId& handle, std::vector<float> x = std::vector<float>(16, 1),
          std::vector<int64_t> dims = {16})
      : output_(x.size()) {
    thread_ = std::thread([this, &engine, handle, x, dims] {
      const NamedInput input{
          "x",
          DType::kF32,
          dims,
          {reinterpret_cast<const uint8_t*>(x.data()), x.size() * sizeof(float)}};
      const auto memory = [&](const OutputSpec&) {
        held_ = true;
        while (!released_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        return reinterpret_cast<uint8_t*>(output_.data());
      };
      status_ = engine.Run({}, {handle, {&input, 1}, {}}, memory, {}).status();
    });
    EXPECT_TRUE(Eventually([this] { return held_.load(); }));
  }
  ~HeldRun() {
    if (thread_.joinable()) Finish().IgnoreError();
  }
  absl::Status Finish() {
    released_ = true;
    thread_.join();
    return status_;
  }
  const std::vector<float>& output() const { return output_; }

 private:
  std::vector<float> output_;
  std::atomic<bool> held_{false}, released_{false};
  absl::Status status_;
  std::thread thread_;
};

TEST_F(SessionTest, IdleContextsGoWhenMemoryIsWanted) {
  ASSERT_TRUE(OpenMlp().ok());
  const EngineStats one = engine->Stats();
  ASSERT_GT(one.context_bytes, 0);
  options.host_memory_bytes = one.weight_bytes + 2 * one.context_bytes;
  Start();
  std::vector<RandomId> handles;
  for (int i = 0; i < 5; ++i) {  // they share their weights
    const auto opened = OpenMlp();
    ASSERT_TRUE(opened.ok()) << opened.status();
    handles.push_back(opened->handle);
  }
  const auto evicted = [&] { return engine->Stats().contexts_evicted; };
  EXPECT_EQ(engine->Stats().contexts, 2);
  EXPECT_EQ(evicted(), 3);
  const std::vector<float> x = MlpInput();
  for (const RandomId& handle : handles) EXPECT_TRUE(Run(handle, x, {4, 8}).ok());
  EXPECT_LE(engine->Stats().context_bytes, 2 * one.context_bytes);
  const int64_t before = evicted();
  EXPECT_TRUE(Run(handles[4], x, {4, 8}).ok());
  EXPECT_TRUE(Run(handles[3], x, {4, 8}).ok());
  EXPECT_EQ(evicted(), before) << "the least recently used go: the last two are there still";
  HeldRun first(*engine, handles[3], x, {4, 8}), second(*engine, handles[4], x, {4, 8});
  const auto refused = Run(handles[0], x, {4, 8});
  EXPECT_EQ(FaultOf(refused.status()).limit, "host_memory_bytes") << "what is in use stays";
  EXPECT_TRUE(first.Finish().ok() && second.Finish().ok());
  EXPECT_TRUE(Run(handles[0], x, {4, 8}).ok());
}

TEST_F(SessionTest, RunsThatWaitOutliveTheirContexts) {
  ASSERT_TRUE(OpenMlp().ok());
  const EngineStats one = engine->Stats();
  options.host_memory_bytes = one.weight_bytes + one.context_bytes;
  options.max_contexts = 2;
  Start();
  const auto a = OpenMlp(), b = OpenMlp();
  ASSERT_TRUE(a.ok() && b.ok());
  std::atomic<int> good{0}, refused{0}, wrong{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 6; ++i) {
    callers.emplace_back([&, handle = i % 2 == 0 ? a->handle : b->handle] {
      const std::vector<float> x = MlpInput();
      for (int n = 0; n < 100; ++n) {
        const auto ran = Run(handle, x, {4, 8});
        ++(ran.ok() ? good : absl::IsResourceExhausted(ran.status()) ? refused : wrong);
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(good, 0);
  EXPECT_EQ(good + refused, 600);
  EXPECT_LE(engine->Stats().context_bytes, one.context_bytes);
}

TEST_F(SessionTest, LeasesRunOut) {
  options.default_lease_seconds = 60;
  options.max_lease_seconds = 120;
  Start();
  EXPECT_EQ(OpenAddOne()->lease_seconds, 60u);
  EXPECT_EQ(OpenAddOne({}, 1000)->lease_seconds, 120u);
  const auto brief = OpenAddOne({}, 1);
  const auto kept = OpenAddOne({}, 3);
  ASSERT_TRUE(brief.ok() && kept.ok());
  EXPECT_EQ(*engine->KeepAlive({}, kept->handle, 120), 120u);
  ASSERT_TRUE(Eventually([&] { return observer.expired == 1; }));
  const std::vector<float> x(16, 1);
  EXPECT_TRUE(absl::IsNotFound(Run(brief->handle, x, {16}).status()));
  EXPECT_TRUE(Run(kept->handle, x, {16}).ok());
  EXPECT_EQ(engine->Stats().sessions, 3);
}

TEST_F(SessionTest, SessionsAreBounded) {
  options.max_sessions = 2;
  Start();
  const auto first = OpenAddOne();
  ASSERT_TRUE(first.ok() && OpenAddOne().ok());
  const auto third = OpenAddOne();
  EXPECT_TRUE(absl::IsResourceExhausted(third.status())) << third.status();
  EXPECT_EQ(FaultOf(third.status()).limit, "max_sessions");
  ASSERT_TRUE(engine->CloseSession({}, first->handle, {}).ok());
  EXPECT_TRUE(OpenAddOne().ok());
}

TEST_F(SessionTest, ManyRunAtOnceOnFewContexts) {
  options.max_contexts = 2;
  Start();
  const auto opened = OpenMlp();
  ASSERT_TRUE(opened.ok());
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 8; ++i) {
    callers.emplace_back([&, i] {
      std::vector<float> x = MlpInput();
      x[0] = static_cast<float>(i);
      const std::vector<float> expected = MlpExpected(x);
      for (int n = 0; n < 50; ++n) {
        const auto ran = Run(opened->handle, x, {4, 8});
        if (!ran.ok()) {
          ++wrong;
          continue;
        }
        for (size_t j = 0; j < expected.size(); ++j) {
          if (std::abs(ran->outputs[0][j] - expected[j]) > 1e-4f) ++wrong;
        }
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(observer.runs, 400);
  EXPECT_LE(engine->Stats().contexts, 2);
}

TEST_F(SessionTest, AWaitingRunHonoursItsDeadline) {
  options.max_contexts = 1;
  Start();
  const auto opened = OpenAddOne();
  ASSERT_TRUE(opened.ok());
  HeldRun held(*engine, opened->handle);
  const std::vector<float> x(16, 1);
  EXPECT_TRUE(absl::IsDeadlineExceeded(Run(opened->handle, x, {16}, {}, Within(30)).status()));
  EXPECT_EQ(observer.ended_in(RunStage::kQueue), 1);
  EXPECT_TRUE(held.Finish().ok());
  EXPECT_TRUE(Run(opened->handle, x, {16}).ok());
}

TEST_F(SessionTest, ACancelledRunSaysHowFarItCame) {
  const auto opened = OpenAddOne();
  ASSERT_TRUE(opened.ok());
  const std::vector<float> x(16, 1);
  std::stop_source gone;
  gone.request_stop();
  EXPECT_TRUE(
      absl::IsCancelled(Run(opened->handle, x, {16}, {}, CancelToken(gone.get_token())).status()));
  EXPECT_EQ(observer.ended_in(RunStage::kAdmission), 1);
  // Its caller goes while it asks for memory: it has its context then.
  std::stop_source going;
  const std::vector<int64_t> dims = {16};
  const NamedInput input{"x", DType::kF32, dims, {reinterpret_cast<const uint8_t*>(x.data()), 64}};
  std::vector<float> y(16);
  const auto memory = [&](const OutputSpec&) {
    going.request_stop();
    return reinterpret_cast<uint8_t*>(y.data());
  };
  const auto ran =
      engine->Run({}, {opened->handle, {&input, 1}, {}}, memory, CancelToken(going.get_token()));
  EXPECT_TRUE(absl::IsCancelled(ran.status())) << ran.status();
  EXPECT_EQ(observer.ended_in(RunStage::kCompute), 1);
  // Both at once: the deadline is what the caller asked for.
  EXPECT_TRUE(
      absl::IsDeadlineExceeded(CancelToken(gone.get_token(), CancelToken::Clock::now()).Check()));
}

TEST_F(SessionTest, ClosingWaitsForRunsInFlight) {
  const auto opened = OpenAddOne();
  ASSERT_TRUE(opened.ok());
  HeldRun held(*engine, opened->handle);
  EXPECT_TRUE(absl::IsDeadlineExceeded(engine->CloseSession({}, opened->handle, Within(30))));
  const std::vector<float> x(16, 1);
  EXPECT_TRUE(absl::IsNotFound(Run(opened->handle, x, {16}).status()));
  EXPECT_TRUE(held.Finish().ok()) << "a run in flight finishes";
  EXPECT_EQ(held.output(), std::vector<float>(16, 2));
}

TEST_F(SessionTest, DrainingRefusesAndWaits) {
  const auto opened = OpenAddOne();
  ASSERT_TRUE(opened.ok());
  HeldRun held(*engine, opened->handle);
  EXPECT_EQ(engine->Drain(Within(30)), 1);
  EXPECT_TRUE(engine->draining());
  const std::vector<float> x(16, 1);
  EXPECT_TRUE(absl::IsUnavailable(Run(opened->handle, x, {16}).status()));
  EXPECT_TRUE(absl::IsUnavailable(Compile(Mlp()).status()));
  EXPECT_TRUE(absl::IsUnavailable(OpenAddOne().status()));
  EXPECT_TRUE(held.Finish().ok());
  EXPECT_EQ(engine->Drain({}), 0);
}

TEST_F(SessionTest, SymbolicModulesRunAtAnyShapeInRange) {
  OpenSpec spec;
  spec.executable = OpenSpec::Compile{Spec(SymbolicMlp()), {}};
  spec.weights = MlpWeights();
  const auto opened = engine->OpenSession({}, std::move(spec), {});
  ASSERT_TRUE(opened.ok()) << opened.status();
  for (int64_t rows : {4, 1, 4, 7}) {
    std::vector<float> x;
    for (int64_t i = 0; i < rows * 8; ++i) x.push_back(static_cast<float>(i % 7) - 3);
    const auto ran = Run(opened->handle, x, {rows, 8});
    ASSERT_TRUE(ran.ok()) << ran.status();
    EXPECT_THAT(ran->outputs.at(0), Pointwise(FloatNear(1e-4f), MlpExpected(x)));
  }
  EXPECT_EQ(engine->Stats().weight_sets, 1) << "packing does not depend on the batch";
  const std::vector<float> x(65 * 8);
  const auto large = Run(opened->handle, x, {65, 8});
  EXPECT_TRUE(absl::IsInvalidArgument(large.status())) << large.status();
  EXPECT_THAT(std::string(Message(large.status())), HasSubstr("rows = 65"));
  EXPECT_TRUE(absl::IsInvalidArgument(Run(opened->handle, x, {8, 65}).status()));
}

TEST_F(SessionTest, VariantsOfASymbolicSessionAreBounded) {
  options.max_variants = 2;
  Start();
  OpenSpec spec;
  spec.executable = OpenSpec::Compile{Spec(SymbolicMlp()), {}};
  spec.weights = MlpWeights();
  const auto opened = engine->OpenSession({}, std::move(spec), {});
  ASSERT_TRUE(opened.ok());
  for (int64_t rows = 1; rows <= 6; ++rows) {
    ASSERT_TRUE(Run(opened->handle, std::vector<float>(rows * 8), {rows, 8}).ok());
  }
  EXPECT_EQ(engine->Stats().contexts, 2);
}

TEST_F(SessionTest, ALoweredModuleRunsByThePlanItBrings) {
  const Module module = Parse(R"(mir "chain" {
    %0 = input "x" : f32[4,8]
    %1 = softmax "first" (%0) {axis = 1}
    %2 = cumsum "second" (%1) {axis = 1}
    %3 = softmax "third" (%2) {axis = 0}
    output "y" = %3
  })");
  const auto lowered = engine->Lower(Spec(module), Stage::kLir, {}, nullptr);
  ASSERT_TRUE(lowered.ok()) << lowered.status();
  ASSERT_NE(lowered->module.plan, nullptr);
  EXPECT_THAT(lowered->text, HasSubstr("plan {"));
  // As it came, and with the two slots in each other's place.
  BufferPlan plan = *lowered->module.plan;
  std::vector<Assignment*> slots;
  for (Assignment& a : plan.assignments) {
    if (a.storage == Storage::kArena) slots.push_back(&a);
  }
  ASSERT_EQ(slots.size(), 2u) << lowered->text;
  std::swap(slots[0]->offset, slots[1]->offset);
  Module swapped = lowered->module;
  swapped.plan = std::make_shared<const BufferPlan>(plan);
  std::vector<std::vector<float>> results;
  std::set<std::string> keys;
  for (const Module& one : {module, lowered->module, swapped}) {
    OpenSpec spec;
    spec.executable = OpenSpec::Compile{Spec(one), {}};
    const auto opened = engine->OpenSession({}, std::move(spec), {});
    ASSERT_TRUE(opened.ok()) << opened.status();
    if (one.plan) {
      EXPECT_EQ(opened->compiled.module->artifact.lir.plan, *one.plan);
    }
    keys.insert(Cat(opened->compiled.key()));
    const auto ran = Run(opened->handle, MlpInput(), {4, 8});
    ASSERT_TRUE(ran.ok()) << ran.status();
    results.push_back(ran->outputs.at(0));
  }
  EXPECT_EQ(keys.size(), 3u);
  EXPECT_EQ(results[1], results[0]);
  EXPECT_EQ(results[2], results[0]);
  slots[1]->offset = slots[0]->offset;
  swapped.plan = std::make_shared<const BufferPlan>(plan);
  const absl::Status refused = engine->Compile({}, Spec(swapped), {}, {}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
  EXPECT_THAT(std::string(Message(refused)), HasSubstr("softmax \"first\" at"));
}

TEST_F(SessionTest, WhatHasNoDeviceHereCannotBeOpened) {
  OpenSpec spec;
  CompileSpec module = Spec(AddOne());
  module.device = DeviceKind::kMetal;
  spec.executable = OpenSpec::Compile{std::move(module), {}};
  const auto opened = engine->OpenSession({}, std::move(spec), {});
  EXPECT_TRUE(absl::IsFailedPrecondition(opened.status())) << opened.status();
  EXPECT_THAT(std::string(Message(opened.status())), HasSubstr("metal"));
}

}  // namespace
}  // namespace rlx::engine::test
