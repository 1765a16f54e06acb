// SPDX-License-Identifier: Apache-2.0
// What a program reads of a refusal: details beside code and message.
#include "google/rpc/status.pb.h"
#include "rlx/v1/error.pb.h"
#include "tests/server/fixture.h"

namespace rlx::server {
namespace {

class ErrorDetailTest : public DaemonTest {
 protected:
  template <class Detail>
  static Detail Find(const grpc::Status& status) {
    google::rpc::Status details;
    Detail out;
    EXPECT_TRUE(details.ParseFromString(status.error_details())) << status.error_message();
    for (const auto& any : details.details())
      if (any.UnpackTo(&out)) return out;
    ADD_FAILURE() << "no " << Detail::descriptor()->name() << ": " << status.error_message();
    return out;
  }
  grpc::Status OpenWith(const v1::OpenRequest& request) {
    v1::OpenResponse opened;
    return Open(request, opened);
  }

  // A product that two read, so that bias and activation cannot join it.
  static v1::CompileRequest UncleanRequest() {
    v1::GraphModule module = LinearModule(8, 16, 32);
    v1::Graph& graph = *module.mutable_graphs(0);
    AddNode(graph, "neg", {3});
    AddOutput(graph, "z", 6);
    v1::CompileRequest request = RequestFor(module);
    request.mutable_spec()->mutable_options()->set_assert_fusion_clean(true);
    return request;
  }
  static void ExpectMisses(const grpc::Status& status) {
    ASSERT_EQ(status.error_code(), grpc::FAILED_PRECONDITION) << status.error_message();
    const auto misses = Find<v1::FusionMisses>(status);
    ASSERT_GE(misses.missed_size(), 1);
    EXPECT_EQ(misses.missed(0).rule(), "matmul_bias_act");
  }
};

TEST_F(ErrorDetailTest, UncleanFusionFailsWhenAsked) {
  v1::CompileRequest request = UncleanRequest();
  ExpectMisses(Compile(request).status);
  request.mutable_spec()->mutable_options()->set_assert_fusion_clean(false);
  EXPECT_TRUE(Compile(request).status.ok());
}

TEST_F(ErrorDetailTest, AnOpenThatCompilesTellsOfMissesToo) {
  v1::OpenRequest open;
  *open.mutable_compile() = UncleanRequest();
  ExpectMisses(OpenWith(open));
}

// Compile and Open are above.
TEST_F(ErrorDetailTest, EveryCallThatRunsThePassesTellsOfMisses) {
  const auto ends = [](const auto& method) {
    for (const bool assert_clean : {true, false}) {
      v1::CompileSpec spec = UncleanRequest().spec();
      spec.mutable_options()->set_assert_fusion_clean(assert_clean);
      const grpc::Status status = method(spec);
      if (assert_clean) {
        ExpectMisses(status);
      } else {
        EXPECT_TRUE(status.ok()) << status.error_message();
      }
    }
  };
  for (const v1::Stage stage : {v1::STAGE_MIR, v1::STAGE_LIR}) {
    ends([&](const v1::CompileSpec& spec) {
      grpc::ClientContext context;
      v1::LowerRequest request;
      *request.mutable_spec() = spec;
      request.set_stage(stage);
      v1::LowerResponse out;
      return compiler_->Lower(&context, request, &out);
    });
  }
  ends([&](const v1::CompileSpec& spec) {
    grpc::ClientContext context;
    v1::ExplainRequest request;
    *request.mutable_spec() = spec;
    v1::ExplainResponse out;
    return compiler_->Explain(&context, request, &out);
  });
  ends([&](const v1::CompileSpec& spec) {
    grpc::ClientContext context;
    v1::ExportSourceRequest request;
    *request.mutable_spec() = spec;
    v1::ExportSourceResponse out;
    return compiler_->ExportSource(&context, request, &out);
  });
}

TEST_F(ErrorDetailTest, ABadNodeIsPointedAt) {
  v1::GraphModule module = LinearModule(8, 16, 32);
  v1::Node& node = *module.mutable_graphs(0)->mutable_nodes(4);
  node.set_name("écart");
  node.set_op("no_such_op");
  const grpc::Status status = Compile(module).status;
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
  const auto detail = Find<v1::ErrorDetail>(status);
  EXPECT_EQ(detail.reason(), "unknown_op");
  ASSERT_TRUE(detail.has_node());
  EXPECT_EQ(detail.node(), 4u);
  EXPECT_EQ(detail.node_name(), "écart");
}

TEST_F(ErrorDetailTest, WhatOnlyTheVerifierSeesIsPointedAtToo) {
  v1::GraphModule module = LinearModule(8, 16, 32);
  module.mutable_graphs(0)->mutable_nodes(1)->set_name("x");  // the name of node 0
  const grpc::Status status = Compile(module).status;
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT) << status.error_message();
  const auto detail = Find<v1::ErrorDetail>(status);
  ASSERT_TRUE(detail.has_node()) << status.error_message();
  EXPECT_EQ(detail.node(), 1u);
}

TEST_F(ErrorDetailTest, ABadOptionIsAField) {
  v1::CompileRequest request = RequestFor(IdentityModule());
  request.mutable_spec()->mutable_options()->set_arena_alignment(48);
  EXPECT_EQ(Find<v1::ErrorDetail>(Compile(request).status).field(), "options.arena_alignment");
  request.mutable_spec()->mutable_options()->set_arena_alignment(64);
  request.mutable_spec()->mutable_options()->set_precision(static_cast<v1::Precision>(99));
  EXPECT_EQ(Find<v1::ErrorDetail>(Compile(request).status).field(), "options.precision");
}

TEST_F(ErrorDetailTest, WeightsAreNamedByReasonAndField) {
  v1::OpenRequest open;
  open.set_key(Compile(LinearModule(2, 3, 4)).result.key());
  v1::WeightBinding& weight = *open.add_weights();
  weight.set_param("w");
  *weight.mutable_inline_() = Floats({3, 4}, 1);
  EXPECT_EQ(Find<v1::ErrorDetail>(OpenWith(open)).reason(), "missing_weight");
  open.add_weights()->set_param("b");  // neither blob nor bytes
  EXPECT_EQ(Find<v1::ErrorDetail>(OpenWith(open)).field(), "weights[1]");
}

TEST_F(ErrorDetailTest, WhatWasCompiledIsCountedThoughItIsRefused) {
  ExpectMisses(Compile(UncleanRequest()).status);
  EXPECT_NE(Metrics().find("rlxd_fusion_rejected_total{"), std::string::npos);
  EXPECT_EQ(Metric("rlxd_compile_duration_seconds_count{phase=\"codegen\",target=\"cpu\"}"), 1);
}

TEST_F(ErrorDetailTest, OnlyWhatPassesIsWorthTryingAgain) {
  const auto retries = [](const grpc::Status& status) {
    return status.error_details().find("google.rpc.RetryInfo") != std::string::npos;
  };
  Start({"--max_nodes=4", "--max_sessions=1"});
  EXPECT_FALSE(retries(Compile(LinearModule(8, 16, 32)).status));
  v1::OpenRequest open;
  *open.mutable_compile() = RequestFor(IdentityModule());
  EXPECT_TRUE(OpenWith(open).ok());
  const grpc::Status full = OpenWith(open);
  EXPECT_EQ(Find<v1::ErrorDetail>(full).limit(), "max_sessions");
  EXPECT_TRUE(retries(full));
}

TEST_F(ErrorDetailTest, LimitsSayWhatTheyAre) {
  Start({"--max_nodes=3"});
  const grpc::Status status = Compile(LinearModule(8, 16, 32)).status;
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  const auto detail = Find<v1::ErrorDetail>(status);
  EXPECT_EQ(detail.reason(), "limit_exceeded");
  EXPECT_EQ(detail.limit(), "max_nodes");
  EXPECT_EQ(detail.limit_value(), 3u);
}

}  // namespace
}  // namespace rlx::server
