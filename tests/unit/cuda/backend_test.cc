// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/cuda_backend.h"

#include <gmock/gmock.h>

#include <set>

#include "backends/cuda/call.h"
#include "bench/models/models.h"
#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/stages/stages.h"

namespace rlx::cuda {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class CudaBackendTest : public ::testing::Test {
 protected:
  // Compiles for a part that is not here.
  stages::CompileResult Compile(const Module& module, std::string_view profile) {
    stages::CompileRequest request{.device = DeviceKind::kCuda, .backend = backend_.get()};
    for (const device::Target& target : backend_->Targets()) {
      if (target.profile == profile) request.target = target;
    }
    auto result = stages::CompileModuleStages(module, request);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *std::move(result) : stages::CompileResult{};
  }

  const std::unique_ptr<device::Backend> backend_ = MakeCudaBackend();
};

#define SKIP_WITHOUT_NVRTC() \
  if (backend_->Targets().empty()) GTEST_SKIP() << "NOTHING IS COMPILED: no NVRTC here"

TEST_F(CudaBackendTest, StartsWithoutADriver) {
  std::string why_none;
  const auto devices = backend_->Enumerate(why_none);
  if (!devices.empty()) GTEST_SKIP() << "there is " << devices[0].name;
  EXPECT_FALSE(why_none.empty());
  const auto device = backend_->Open("cuda:0", {});
  EXPECT_EQ(device.status().code(), absl::StatusCode::kNotFound);
}

TEST_F(CudaBackendTest, ClaimsWhatItLowers) {
  const auto kinds = backend_->ClaimedKinds({});
  for (const char* kind : {"Attention", "MatMul", "Gather", "Softmax", "LayerNorm", "Binary"}) {
    EXPECT_THAT(kinds, Contains(kind));
  }
  for (const char* kind : {"TopK", "If", "ScatterAdd"}) {
    EXPECT_THAT(kinds, Not(Contains(kind)));
  }
}

TEST_F(CudaBackendTest, NamesItsProfiles) {
  SKIP_WITHOUT_NVRTC();
  std::set<std::string> profiles;
  for (const device::Target& target : backend_->Targets()) {
    profiles.insert(target.profile);
    EXPECT_EQ(target.fingerprint, Cat("cuda;", target.arch));
  }
  EXPECT_THAT(profiles, Contains("cuda:h200"));
  EXPECT_THAT(backend_->CompilerVersion(), HasSubstr("nvrtc "));
}

// An encoder has gathers, norms, attention (decomposed), products with epilogues.
TEST_F(CudaBackendTest, CompilesAnEncoderWithoutADevice) {
  SKIP_WITHOUT_NVRTC();
  const models::EncoderShape shape{
      .layers = 2, .hidden = 64, .heads = 4, .inner = 128, .vocab = 100, .positions = 32};
  const Module bert = models::Bert(shape, {.batch = 2, .seq = 16}, FusionPolicy::kFusable);
  const auto result = Compile(bert, "cuda:h200");
  ASSERT_NE(result.program, nullptr) << result.why_no_program;
  EXPECT_EQ(result.program->target_fingerprint, "cuda;sm_90");
  EXPECT_FALSE(result.program->object.empty());
  int products = 0;
  for (const device::Step& step : result.program->steps) {
    EXPECT_TRUE(step.bodies.empty()) << step.label;
    products += step.routine == kMatMulRoutine ? 1 : 0;
  }
  EXPECT_GE(products, 2 * 6);
  EXPECT_TRUE(*Compile(bert, "cuda:h200").program == *result.program);
}

// What follows the product is cuBLASLt's where it can be, a kernel of ours where not.
TEST_F(CudaBackendTest, LeavesToCublasWhatItCanDo) {
  SKIP_WITHOUT_NVRTC();
  const auto steps = [&](const char* activation, bool residual, DType dtype) {
    Module module{.stage = Stage::kMir};
    GraphBuilder b(module.graph);
    std::vector<Value> operands = {b.Input("x", {dtype, {8, 16}}), b.Param("w", {dtype, {16, 32}}),
                                   b.Param("b", {dtype, {32}})};
    if (residual) operands.push_back(b.Input("r", {dtype, {8, 32}}));
    b.Output("y", b.Emit(OpKind::kFusedMatMulBiasAct, operands,
                         {{"has_bias", true},
                          {"has_residual", residual},
                          {"activation", std::string(activation)}}));
    EXPECT_TRUE(b.status().ok()) << b.status();
    const auto result = Compile(module, "cuda:a100");
    return result.program == nullptr ? 0 : result.program->steps.size();
  };
  EXPECT_EQ(steps("none", false, DType::kF32), 1u);
  EXPECT_EQ(steps("none", true, DType::kF16), 1u);
  EXPECT_EQ(steps("relu", false, DType::kF32), 1u);
  EXPECT_EQ(steps("gelu_tanh", false, DType::kF16), 1u);
  EXPECT_EQ(steps("gelu_tanh", false, DType::kF32), 2u);  // not exact enough
  EXPECT_EQ(steps("gelu", false, DType::kF16), 2u);       // of erf
  EXPECT_EQ(steps("relu", true, DType::kF16), 2u);        // the residual comes after
}

}  // namespace
}  // namespace rlx::cuda
