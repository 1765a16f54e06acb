// SPDX-License-Identifier: Apache-2.0
// What a daemon says of a module's nodes, kernels and steps.
#include <gmock/gmock.h>

#include "tests/server/fixture.h"

namespace rlx::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ExplainTest : public DaemonTest {
 protected:
  grpc::Status Explain(const v1::ExplainRequest& request, v1::ExplainResponse& out) {
    grpc::ClientContext context;
    return compiler_->Explain(&context, request, &out);
  }
  grpc::Status Export(const v1::ExportSourceRequest& request, v1::ExportSourceResponse& out) {
    grpc::ClientContext context;
    return compiler_->ExportSource(&context, request, &out);
  }
};

TEST_F(ExplainTest, TellsOfEachNodeWhatItBecame) {
  v1::ExplainRequest request;
  *request.mutable_spec() = RequestFor(LinearModule(8, 16, 32)).spec();
  v1::ExplainResponse brief, whole;
  ASSERT_TRUE(Explain(request, brief).ok());
  EXPECT_TRUE(brief.fusion().clean());
  EXPECT_THAT(brief.mir(), IsEmpty());
  request.set_nodes(true);
  ASSERT_TRUE(Explain(request, whole).ok());
  ASSERT_THAT(whole.mir(), SizeIs(6));
  ASSERT_THAT(whole.lir(), SizeIs(4));
  EXPECT_EQ(whole.lir(3).op(), "fused_matmul_bias_act");
  EXPECT_THAT(whole.lir(3).made_from(), ElementsAre(3, 4, 5));
  for (int id : {3, 4, 5}) {
    EXPECT_EQ(whole.mir(id).fate(), v1::NODE_FATE_FUSED);
    EXPECT_EQ(whole.mir(id).rule(), "matmul_bias_act");
    EXPECT_THAT(whole.mir(id).became(), ElementsAre(3));
    EXPECT_THAT(whole.mir(id).remarks(), ElementsAre(0));
  }
  EXPECT_EQ(whole.plan().assignments_size(), 4);
  ASSERT_GT(whole.steps_size(), 0);
  EXPECT_EQ(whole.steps(whole.steps_size() - 1).node(), 3);
}

TEST_F(ExplainTest, AnswersForDevicesWithoutABackEnd) {
  v1::ExplainRequest request;
  *request.mutable_spec() = RequestFor(LinearModule(8, 16, 32)).spec();
  request.set_nodes(true);
  request.mutable_spec()->mutable_target()->set_device(v1::DEVICE_CUDA);
  v1::ExplainResponse answer;
  ASSERT_TRUE(Explain(request, answer).ok());
  EXPECT_THAT(answer.why_no_steps(), HasSubstr("no back end"));
  EXPECT_THAT(answer.steps(), IsEmpty());
  EXPECT_THAT(answer.lir(), SizeIs(4));
}

TEST_F(ExplainTest, WritesKernelsInEveryLanguage) {
  v1::ExportSourceRequest request;
  *request.mutable_spec() = RequestFor(SoftmaxModule()).spec();
  v1::ExportSourceResponse answer;
  ASSERT_TRUE(Export(request, answer).ok());
  ASSERT_THAT(answer.kernels(), SizeIs(3));
  EXPECT_EQ(answer.kernels(0).language(), "kernel-ir");
  EXPECT_THAT(answer.kernels(0).text(), HasSubstr("kernel k0 local "));
  EXPECT_THAT(answer.kernels(1).text(), HasSubstr("define "));
  EXPECT_THAT(answer.kernels(2).text(), HasSubstr("k0:"));
  EXPECT_THAT(answer.kernels(0).label(), HasSubstr("softmax"));
  request.add_languages("llvm-ir");
  ASSERT_TRUE(Export(request, answer).ok());
  ASSERT_THAT(answer.kernels(), SizeIs(1));
  request.add_languages("latin");
  const grpc::Status refused = Export(request, answer);
  EXPECT_EQ(refused.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(refused.error_message(), HasSubstr("kernel-ir, llvm-ir, x86-64-assembly"));
}

TEST_F(ExplainTest, HasNoKernelsToWriteWithoutABackEnd) {
  v1::ExportSourceRequest request;
  *request.mutable_spec() = RequestFor(SoftmaxModule()).spec();
  request.mutable_spec()->mutable_target()->set_device(v1::DEVICE_METAL);
  v1::ExportSourceResponse answer;
  EXPECT_EQ(Export(request, answer).error_code(), grpc::FAILED_PRECONDITION);
}

TEST_F(ExplainTest, CompilesSayWhatTheyCompiled) {
  const Compiled compiled = Compile(SoftmaxModule());
  ASSERT_TRUE(compiled.status.ok()) << compiled.status.error_message();
  ASSERT_THAT(compiled.result.kernels(), SizeIs(1));
  EXPECT_EQ(compiled.result.kernels(0).steps(), 1u);
  EXPECT_TRUE(compiled.result.stage_seconds().contains("kernels"));
  EXPECT_TRUE(compiled.result.stage_seconds().contains("mir"));
  EXPECT_EQ(Metric("rlxd_dispatch_nodes_total{path=\"native\",target=\"cpu\"}"), 1);
}

TEST_F(ExplainTest, RunsAreTracedOnlyWhenAsked) {
  v1::OpenRequest open;
  *open.mutable_compile() = RequestFor(SoftmaxModule());
  v1::OpenResponse opened;
  ASSERT_TRUE(Open(open, opened).ok());
  v1::RunRequest request;
  request.set_handle(opened.handle());
  request.add_inputs()->set_name("x");
  *request.mutable_inputs(0)->mutable_tensor() = Floats({4, 8}, 1);
  v1::RunResponse plain, traced;
  ASSERT_TRUE(Run(request, plain).ok());
  EXPECT_THAT(plain.timing().steps(), IsEmpty());
  request.set_trace(true);
  ASSERT_TRUE(Run(request, traced).ok());
  ASSERT_THAT(traced.timing().steps(), SizeIs(1));
  const v1::StepTime& step = traced.timing().steps(0);
  EXPECT_EQ(step.kind(), "launch");
  EXPECT_EQ(step.what(), "k0");
  EXPECT_THAT(step.label(), HasSubstr("softmax"));
  EXPECT_EQ(step.start_seconds(), 0);
  EXPECT_GE(step.seconds(), 0);
  EXPECT_LE(step.seconds(), traced.timing().compute_seconds());
  EXPECT_EQ(plain.outputs(0).tensor().data(), traced.outputs(0).tensor().data());
}

}  // namespace
}  // namespace rlx::server
