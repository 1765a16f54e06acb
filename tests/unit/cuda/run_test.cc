// SPDX-License-Identifier: Apache-2.0
// The device half behind a driver that is not one: what is put on streams, what comes back, what
// is given back, and what is said when the device does not do its part.
#include <gmock/gmock.h>

#include <array>
#include <cstring>

#include "backends/cuda/call.h"
#include "backends/cuda/cuda_device.h"
#include "backends/cuda/executable.h"
#include "backends/cuda/object.h"
#include "runtime/base/status.h"
#include "tests/unit/cuda/fake_driver.h"

namespace rlx::cuda {
namespace {

using device::Program;
using device::Step;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Floats = std::array<float, 4>;

template <class T>
std::span<const uint8_t> BytesOf(const T& list) {
  return {reinterpret_cast<const uint8_t*>(list.data()), sizeof list};
}

// y = x + 2w + c, where 2w is made once; x[0] < 0 is a fault of the data.
std::shared_ptr<Program> Sum() {
  auto program = std::make_shared<Program>();
  const TensorType four{DType::kF32, {4}};
  program->target_fingerprint = "cuda;sm_90";
  program->inputs = {{"x", four}};
  program->outputs = {{"y", four}};
  program->params = {{"w", four}};
  const Floats c = {100, 200, 300, 400};
  program->constants = {*HostTensor::Create(
      DType::kF32, {4}, SharedBytes(std::string(reinterpret_cast<const char*>(&c), sizeof c)))};
  program->buffers = {{Storage::kInput, 0, 0, 16}, {Storage::kOutput, 0, 0, 16},
                      {Storage::kParam, 0, 0, 16}, {Storage::kWeight, 0, 0, 16},
                      {Storage::kArena, 0, 0, 4},  {Storage::kConstant, 0, 0, 16}};
  program->weight_slots = {16};
  program->arena_bytes = 64;
  program->kernels = {{"double", "rw", 0}, {"sum", "rrrww", 0}};
  program->object = WriteObject({{{{"double", 4}, {"sum", 4}}, "code"}});
  program->weight_steps = {
      {.kind = Step::Kind::kLaunch, .kernel = 0, .groups = 1, .buffers = {2, 3}, .label = "2w"}};
  program->steps = {{.kind = Step::Kind::kCall,
                     .routine = std::string(kFaultRoutine),
                     .buffers = {4},
                     .label = "x begins below 0"},
                    {.kind = Step::Kind::kLaunch,
                     .kernel = 1,
                     .groups = 1,
                     .buffers = {0, 3, 5, 4, 1},
                     .label = "sum"}};
  return program;
}

// The same twice over by kernels that may begin early, of which the second goes by a map.
std::shared_ptr<Program> SumAhead() {
  std::shared_ptr<Program> program = Sum();
  const TensorMap map{.buffer = 0, .dims = {4, 1}, .strides = {16}, .box = {4, 1}};
  const LaunchNotes mapped{.shared_bytes = 100 << 10, .waits = true, .maps = {map}};
  program->kernels.push_back({"sum_mapped", "rrrww", 0});
  program->object = WriteObject(
      {{{{"double", 4, {.waits = true}}, {"sum", 4, {.waits = true}}, {"sum_mapped", 4, mapped}},
        "code"}});
  Step again = program->steps[1];
  again.kernel = 2;
  program->steps.push_back(again);
  program->weight_steps.push_back(program->weight_steps[0]);
  return program;
}

class RunTest : public ::testing::Test {
 protected:
  RunTest() {
    fake_.kernels["double"] = {2, [](const std::vector<void*>& b) {
                                 const auto* w = static_cast<float*>(b[0]);
                                 for (int i = 0; i < 4; ++i)
                                   static_cast<float*>(b[1])[i] = 2 * w[i];
                               }};
    fake_.kernels["sum"] = {5, [](const std::vector<void*>& b) {
                              const auto at = [&](int k) { return static_cast<float*>(b[k]); };
                              for (int i = 0; i < 4; ++i) at(4)[i] = at(0)[i] + at(1)[i] + at(2)[i];
                              if (at(0)[0] < 0) *static_cast<int32_t*>(b[3]) = 1;
                            }};
    fake_.kernels["sum_mapped"] = fake_.kernels["sum"];
    fake_.kernels["sum_mapped"].maps = 1;
  }

  absl::StatusOr<std::shared_ptr<Gpu>> Open() {
    return Gpu::Open(fake_.driver(), test::FakeDriver::Blas(), 0);
  }

  // Everything from the device to a bound program; kept until the next.
  absl::Status Load(std::shared_ptr<const Program> program) {
    Drop();
    RLX_ASSIGN(gpu_, Open());
    RLX_ASSIGN(executable_, LoadExecutable(gpu_, std::move(program)));
    const Floats w = {1, 2, 3, 4};
    const SharedBytes param(std::string(reinterpret_cast<const char*>(&w), sizeof w));
    RLX_ASSIGN(weights_, executable_->BindWeights({&param, 1}, {}));
    RLX_ASSIGN(context_, executable_->NewContext());
    return absl::OkStatus();
  }
  absl::StatusOr<Floats> Run(const Floats& x, const CancelToken& cancel = {}) {
    Floats y = {};
    const std::span<const uint8_t> in = BytesOf(x);
    const std::span<uint8_t> out(reinterpret_cast<uint8_t*>(y.data()), sizeof y);
    RLX_TRY(context_->Run(*weights_, {&in, 1}, {&out, 1}, cancel));
    return y;
  }
  void Drop() {
    context_ = nullptr;
    weights_ = nullptr;
    executable_ = nullptr;
    gpu_ = nullptr;
  }

  test::FakeDriver fake_;
  std::shared_ptr<Gpu> gpu_;
  std::shared_ptr<const device::Executable> executable_;
  std::shared_ptr<const device::Weights> weights_;
  std::unique_ptr<device::ExecContext> context_;
};

TEST_F(RunTest, RecordsOnceAndReplays) {
  ASSERT_TRUE(Load(Sum()).ok());
  EXPECT_THAT(*Run({1, 1, 1, 1}), ElementsAre(103, 205, 307, 409));
  EXPECT_THAT(*Run({5, 6, 7, 8}), ElementsAre(107, 210, 313, 416));
  EXPECT_EQ(fake_.captures, 1);
  EXPECT_EQ(fake_.replays, 2);
  const Floats other = {0, 0, 0, 10};
  const SharedBytes param(std::string(reinterpret_cast<const char*>(&other), sizeof other));
  weights_ = *executable_->BindWeights({&param, 1}, {});
  EXPECT_THAT(*Run({0, 0, 0, 0}), ElementsAre(100, 200, 300, 420));  // not from the old graph
  EXPECT_EQ(fake_.captures, 2);
  Drop();
  EXPECT_EQ(fake_.alive(), 0u);
}

// Only behind a kernel of ours, in a run, and where nothing is measured: not the first behind the
// copy of the inputs, and none of those that write weights.
TEST_F(RunTest, LaunchesAheadOfTheOneBefore) {
  ASSERT_TRUE(Load(SumAhead()).ok());
  EXPECT_EQ(fake_.ahead, 0);
  EXPECT_THAT(*Run({1, 1, 1, 1}), ElementsAre(103, 205, 307, 409));
  EXPECT_EQ(fake_.ahead, 1);
  Floats x = {1, 1, 1, 1}, y = {};
  const std::span<const uint8_t> in = BytesOf(x);
  const std::span<uint8_t> out(reinterpret_cast<uint8_t*>(y.data()), sizeof y);
  std::vector<device::StepTime> trace;
  ASSERT_TRUE(context_->RunTraced(*weights_, {&in, 1}, {&out, 1}, {}, trace).ok());
  EXPECT_EQ(fake_.ahead, 1);
}

TEST_F(RunTest, LaunchesInTurnOnAnOldDriver) {
  fake_.BecomeOld();
  const std::shared_ptr<Program> program = SumAhead();
  const absl::Status status = Load(program);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Message(status), "sum_mapped takes a driver of CUDA 12.0 or later");
  program->kernels.pop_back();
  program->steps.back().kernel = 1;
  program->object = WriteObject({{{{"double", 4}, {"sum", 4, {.waits = true}}}, "code"}});
  ASSERT_TRUE(Load(program).ok());
  EXPECT_THAT(*Run({1, 1, 1, 1}), ElementsAre(103, 205, 307, 409));
  EXPECT_EQ(fake_.ahead, 0);
}

TEST_F(RunTest, RefusesMapsThatReachTooFar) {
  const auto verdict = [&](TensorMap map) {
    const std::shared_ptr<Program> program = SumAhead();
    const LaunchNotes notes{.waits = true, .maps = {std::move(map)}};
    program->object =
        WriteObject({{{{"double", 4}, {"sum", 4}, {"sum_mapped", 4, notes}}, "code"}});
    const absl::Status status = Load(program);
    Drop();
    EXPECT_EQ(fake_.alive(), 0u);
    return status.code();
  };
  using absl::StatusCode;
  const TensorMap map{.buffer = 0, .dims = {8, 1}, .strides = {16}, .box = {8, 1}};
  EXPECT_EQ(verdict(map), StatusCode::kOk);
  TensorMap bad = map;
  bad.dims = {9, 1};
  EXPECT_EQ(verdict(bad), StatusCode::kDataLoss);
  bad.dims = {8, 2};
  EXPECT_EQ(verdict(bad), StatusCode::kDataLoss);
  bad = map;
  bad.strides = {24};
  EXPECT_EQ(verdict(bad), StatusCode::kDataLoss);
  bad = map;
  bad.buffer = 5;
  EXPECT_EQ(verdict(bad), StatusCode::kDataLoss);
}

TEST_F(RunTest, TracesEveryStep) {
  ASSERT_TRUE(Load(Sum()).ok());
  Floats x = {1, 1, 1, 1}, y = {};
  const std::span<const uint8_t> in = BytesOf(x);
  const std::span<uint8_t> out(reinterpret_cast<uint8_t*>(y.data()), sizeof y);
  std::vector<device::StepTime> trace;
  ASSERT_TRUE(context_->RunTraced(*weights_, {&in, 1}, {&out, 1}, {}, trace).ok());
  EXPECT_THAT(y, ElementsAre(103, 205, 307, 409));
  ASSERT_EQ(trace.size(), 2u);
  EXPECT_EQ(trace[1].step->label, "sum");
}

TEST_F(RunTest, FaultsOfTheDataFailOneRun) {
  ASSERT_TRUE(Load(Sum()).ok());
  for (int turn = 0; turn < 2; ++turn) {
    const auto bad = Run({-1, 0, 0, 0});
    EXPECT_EQ(bad.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(Message(bad.status()), "x begins below 0");
    EXPECT_TRUE(Run({1, 1, 1, 1}).ok());
  }
  EXPECT_TRUE(gpu_->Health().ok());
}

TEST_F(RunTest, EndsWhenNobodyWaits) {
  ASSERT_TRUE(Load(Sum()).ok());
  EXPECT_EQ(Run({}, CancelToken({}, CancelToken::Clock::now())).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(fake_.replays, 0);
}

// Whatever fails, the device is what it was when all is dropped, and the next who asks is served.
TEST_F(RunTest, GivesBackWhateverFails) {
  const auto all = [&] {
    RLX_TRY(Load(SumAhead()));
    return Run({1, 1, 1, 1}).status();
  };
  ASSERT_TRUE(all().ok());
  Drop();
  const int calls = fake_.calls;
  ASSERT_GT(calls, 20);
  int failed = 0;
  for (CUresult failure : {CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_OUT_OF_MEMORY}) {
    for (int at = 0; at < calls; ++at) {
      SCOPED_TRACE(at);
      fake_.calls = 0;
      fake_.fail_at = at;
      fake_.failure = failure;
      const absl::Status status = all();
      fake_.fail_at = -1;
      failed += status.ok() ? 0 : 1;
      const bool memory = failure == CUDA_ERROR_OUT_OF_MEMORY;
      EXPECT_TRUE(status.ok() || status.code() == (memory ? absl::StatusCode::kResourceExhausted
                                                          : absl::StatusCode::kInternal))
          << status;
      Drop();
      EXPECT_EQ(fake_.alive(), 0u);
      EXPECT_TRUE(all().ok());
    }
  }
  EXPECT_GT(failed, calls);  // all but those that only wait while something goes
}

TEST_F(RunTest, SaysWhatDoesNotFit) {
  fake_.most_bytes = 256;
  const absl::Status status = Load(Sum());
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(Message(status)), HasSubstr("bytes on the device"));
  fake_.most_bytes = SIZE_MAX;
  EXPECT_TRUE(Load(Sum()).ok());
}

TEST_F(RunTest, ADeviceThatFailsStaysFailed) {
  ASSERT_TRUE(Load(Sum()).ok());
  ASSERT_TRUE(Run({1, 1, 1, 1}).ok());
  fake_.sticky = CUDA_ERROR_ILLEGAL_ADDRESS;
  EXPECT_EQ(Run({1, 1, 1, 1}).status().code(), absl::StatusCode::kUnavailable);
  fake_.sticky = CUDA_SUCCESS;
  const int calls = fake_.calls;
  EXPECT_EQ(Run({1, 1, 1, 1}).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(executable_->NewContext().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(gpu_->Health().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(fake_.calls, calls);  // nobody asks it any more
}

TEST_F(RunTest, RefusesWhatItsCompilerDoesNotMake) {
  const auto verdict = [&](auto change) {
    const std::shared_ptr<Program> program = Sum();
    change(*program);
    const absl::Status status = Load(program);
    Drop();
    EXPECT_EQ(fake_.alive(), 0u);
    return status;
  };
  using absl::StatusCode;
  EXPECT_EQ(verdict([](Program& p) { p.object = "ELF"; }).code(), StatusCode::kDataLoss);
  EXPECT_EQ(verdict([](Program& p) { p.kernels[1].name = "product"; }).code(),
            StatusCode::kDataLoss);
  EXPECT_EQ(verdict([](Program& p) { p.steps[0].routine = "abacus"; }).code(),
            StatusCode::kDataLoss);
  EXPECT_EQ(verdict([](Program& p) { p.steps[0].buffers = {0}; }).code(), StatusCode::kDataLoss);
  EXPECT_EQ(verdict([](Program& p) { p.steps[1].kind = Step::Kind::kLoop; }).code(),
            StatusCode::kDataLoss);
  EXPECT_EQ(verdict([](Program& p) { p.steps[1].groups = int64_t{1} << 31; }).code(),
            StatusCode::kFailedPrecondition);
}

// A product whose operands do not lie within their buffers never reaches cuBLASLt.
TEST_F(RunTest, RefusesProductsThatReachTooFar) {
  const auto verdict = [&](auto change) {
    const std::shared_ptr<Program> program = Sum();
    Step& step = program->steps[1];
    step = {.kind = Step::Kind::kCall,
            .routine = std::string(kMatMulRoutine),
            .buffers = {0, 3, -1, -1, 1},
            .ints = std::vector<int64_t>(kMatMulInts, 0),
            .label = "product"};
    for (MatMulInt i : {kM, kN, kK, kLda, kLdb}) step.ints[i] = 2;
    step.ints[kBatch] = 1;
    step.ints[kDType] = static_cast<int64_t>(DType::kF32);
    change(step);
    const absl::Status status = Load(program);
    Drop();
    return status.code();
  };
  using absl::StatusCode;
  for (MatMulInt i : {kM, kN, kK}) {
    EXPECT_EQ(verdict([&](Step& s) { s.ints[i] = 3; }), StatusCode::kDataLoss) << i;
  }
  constexpr int64_t kHuge = int64_t{1} << 62;
  EXPECT_EQ(verdict([&](Step& s) { s.ints[kLda] = kHuge; }), StatusCode::kDataLoss);
  EXPECT_EQ(verdict([&](Step& s) { s.ints[kBatch] = kHuge; }), StatusCode::kDataLoss);
  EXPECT_EQ(verdict([&](Step& s) { s.ints[kLdb] = 1; }), StatusCode::kDataLoss);
  EXPECT_EQ(verdict([&](Step& s) { s.ints[kStrideA] = -1; }), StatusCode::kDataLoss);
  EXPECT_EQ(verdict([&](Step& s) { s.ints[kDType] = 99; }), StatusCode::kDataLoss);
  EXPECT_EQ(verdict([&](Step& s) { s.ints[kEpilogue] = 7; }), StatusCode::kDataLoss);
  EXPECT_EQ(verdict([&](Step& s) { s.buffers[4] = 2; }), StatusCode::kDataLoss);  // a param
  EXPECT_EQ(verdict([&](Step& s) { s.buffers.pop_back(); }), StatusCode::kDataLoss);
}

TEST_F(RunTest, ListsDevices) {
  fake_.devices = 2;
  const auto devices = ListDevices(*fake_.driver());
  ASSERT_TRUE(devices.ok()) << devices.status();
  ASSERT_EQ(devices->size(), 2u);
  EXPECT_EQ((*devices)[1].id, "cuda:1");
  EXPECT_EQ((*devices)[1].driver, "CUDA 13.0");
  EXPECT_EQ((*devices)[1].target.fingerprint, "cuda;sm_90");
}

TEST_F(RunTest, SaysWhyThereIsNoDevice) {
  fake_.arch = 75;
  EXPECT_EQ(Message(ListDevices(*fake_.driver()).status()), "Fake is of sm_75, older than sm_80");
  fake_.devices = 0;
  EXPECT_EQ(Message(ListDevices(*fake_.driver()).status()), "the driver knows of no device");
  fake_.init = CUDA_ERROR_NO_DEVICE;
  EXPECT_EQ(Message(ListDevices(*fake_.driver()).status()), "the driver does not start: NO_DEVICE");
}

}  // namespace
}  // namespace rlx::cuda
