// SPDX-License-Identifier: Apache-2.0
// Models with a queue: who runs with whom, and what becomes of those who wait.
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <thread>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "runtime/base/clock.h"
#include "runtime/base/text.h"
#include "tests/server/repository.h"

namespace rlx::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kDouble = R"(mir "double" {
  symbol batch in [1, 64]
  symbol width in [1, 64]
  %0 = input "x" : f32[batch,width]
  %1 = add(%0, %0)
  %2 = neg(%0)
  output "y" = %1
  output "z" = %2
})";

// Takes long enough for others to come: a gigaflop for each row.
constexpr const char* kSlow = R"(mir "slow" {
  symbol batch in [1, 4]
  %0 = input "x" : f32[batch,512,1]
  %1 = transpose(%0) {perm = [0, 2, 1]}
  %2 = matmul(%0, %1)
  %3 = matmul(%2, %2)
  %4 = matmul(%3, %2)
  %5 = matmul(%4, %2)
  %6 = matmul(%5, %2)
  %7 = reduce_max(%6) {axes = [1, 2], keep_dims = false}
  output "y" = %7
})";

// Until so many are together nobody runs.
std::string Together(int count, const std::string& more = "") {
  return Cat("max_batch_size: 16 dynamic_batching { preferred_batch_size: ", count,
             " max_queue_delay_microseconds: 600000000 ", more, " }");
}

class BatchingTest : public RepositoryTest {
 protected:
  void ServeDouble(const std::string& config, std::vector<std::string> flags = {}) {
    Write("double/1/module.txt", kDouble);
    Write("double/config.pbtxt", config);
    Serve(std::move(flags));
  }
  // A call on a thread of its own.
  struct Called {
    grpc::Status status;
    Answer answer;
  };
  std::future<Called> Later(Infer request, grpc::ClientContext* context = nullptr) {
    return std::async(std::launch::async, [this, request = std::move(request), context] {
      Called out;
      if (context == nullptr) {
        out.status = Call(request, out.answer);
      } else {
        out.status = stub_->ModelInfer(context, request, &out.answer);
      }
      return out;
    });
  }
  std::vector<float> Answered(std::future<Called>& call) {
    Called called = call.get();
    EXPECT_TRUE(called.status.ok()) << called.status.error_message();
    return called.status.ok() ? FloatsOf(called.answer.raw_output_contents(0))
                              : std::vector<float>();
  }
  bool Waiting(int count, const std::string& model = "double") const {
    return BecomesEventually(Cat("rlxd_model_pending{model=\"", model, "\",version=\"1\"}"), count);
  }
  inference::ModelStatistics Statistics(const std::string& model) const {
    grpc::ClientContext context;
    inference::ModelStatisticsRequest request;
    request.set_name(model);
    inference::ModelStatisticsResponse response;
    EXPECT_TRUE(stub_->ModelStatistics(&context, request, &response).ok());
    return response.model_stats_size() == 1 ? response.model_stats(0)
                                            : inference::ModelStatistics();
  }
  // What a call takes.
  double SecondsOf(const Infer& request) const {
    const double start = MonotonicSeconds();
    EXPECT_FALSE(Run(request).empty());
    return MonotonicSeconds() - start;
  }
  grpc::StatusCode CallWithin(double seconds, const Infer& request) const {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::microseconds(static_cast<int64_t>(seconds * 1e6)));
    Answer answer;
    return stub_->ModelInfer(&context, request, &answer).error_code();
  }
  static Infer Slow(int64_t rows) {
    return Request("slow", std::vector<float>(static_cast<size_t>(rows) * 512, 0.01f),
                   {rows, 512, 1});
  }
};

TEST_F(BatchingTest, RequestsRunTogetherAndEachHasItsOwnAnswer) {
  ServeDouble(Together(4));
  auto one = Later(Request("double", {1, 2}, {1, 2}));
  auto two = Later(Request("double", {3, 4, 5, 6}, {2, 2}));
  EXPECT_TRUE(Waiting(2));
  Infer partly = Request("double", {7, 8}, {1, 2});
  partly.add_outputs()->set_name("z");
  partly.set_id("third");
  auto three = Later(partly);
  EXPECT_THAT(Answered(one), ElementsAre(2, 4));
  EXPECT_THAT(Answered(two), ElementsAre(6, 8, 10, 12));
  const Called third = three.get();
  ASSERT_TRUE(third.status.ok());
  EXPECT_EQ(third.answer.id(), "third");
  ASSERT_EQ(third.answer.outputs_size(), 1);
  EXPECT_EQ(third.answer.outputs(0).name(), "z");
  EXPECT_THAT(third.answer.outputs(0).shape(), ElementsAre(1, 2));
  EXPECT_THAT(FloatsOf(third.answer.raw_output_contents(0)), ElementsAre(-7, -8));

  const inference::ModelStatistics stats = Statistics("double");
  EXPECT_EQ(stats.inference_count(), 4u);
  EXPECT_EQ(stats.execution_count(), 1u);
  EXPECT_EQ(stats.inference_stats().success().count(), 3u);
  EXPECT_EQ(stats.inference_stats().queue().count(), 3u);
  EXPECT_GT(stats.inference_stats().queue().ns(), 0u);
  ASSERT_EQ(stats.batch_stats_size(), 1);
  EXPECT_EQ(stats.batch_stats(0).batch_size(), 4u);
  EXPECT_EQ(stats.batch_stats(0).compute_infer().count(), 1u);
  EXPECT_EQ(Metric("rlxd_infer_batch_size_sum{model=\"double\"}"), 4);
  EXPECT_EQ(Metric("rlxd_infer_batch_size_count{model=\"double\"}"), 1);
  EXPECT_EQ(Metric("rlxd_infer_queue_seconds_count{model=\"double\"}"), 3);
}

TEST_F(BatchingTest, OtherShapesAreOtherBatches) {
  ServeDouble(Together(2));
  auto narrow = Later(Request("double", {1}, {1, 1}));
  auto wide = Later(Request("double", {1, 2, 3}, {1, 3}));
  EXPECT_TRUE(Waiting(2));
  auto other = Later(Request("double", {4, 5, 6}, {1, 3}));
  EXPECT_THAT(Answered(wide), ElementsAre(2, 4, 6));
  EXPECT_THAT(Answered(other), ElementsAre(8, 10, 12));
  EXPECT_TRUE(Waiting(1));
  auto last = Later(Request("double", {2}, {1, 1}));
  EXPECT_THAT(Answered(narrow), ElementsAre(2));
  EXPECT_THAT(Answered(last), ElementsAre(4));
}

TEST_F(BatchingTest, ManyCallersOfManySizesAllGetTheirOwn) {
  ServeDouble("max_batch_size: 16 dynamic_batching {} instance_group { count: 2 }");
  std::vector<std::thread> callers;
  for (int c = 0; c < 8; ++c) {
    callers.emplace_back([this, c] {
      for (int i = 0; i < 40; ++i) {
        const int64_t rows = 1 + (c + i) % 5, width = 1 + i % 2;
        const auto value = static_cast<float>(c * 100 + i);
        const std::vector<float> x(static_cast<size_t>(rows * width), value);
        EXPECT_THAT(Run(Request("double", x, {rows, width})),
                    testing::Each(testing::FloatEq(2 * value)));
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  const inference::ModelStatistics stats = Statistics("double");
  EXPECT_EQ(stats.inference_stats().success().count(), 320u);
  EXPECT_LE(stats.execution_count(), 320u);
}

TEST_F(BatchingTest, AFullQueueRefusesAndSaysWhenToTryAgain) {
  ServeDouble(Together(8, "default_queue_policy { max_queue_size: 2 }"));
  grpc::ClientContext first_context;
  auto first = Later(Request("double", {1}, {1, 1}), &first_context);
  auto second = Later(Request("double", {2}, {1, 1}));
  EXPECT_TRUE(Waiting(2));
  Answer answer;
  const grpc::Status refused = Call(Request("double", {3}, {1, 1}), answer);
  EXPECT_EQ(refused.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.error_message(), HasSubstr("Exceeds maximum queue size"));
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(refused.error_details()));
  EXPECT_TRUE(std::ranges::any_of(details.details(), [](const auto& any) {
    return any.template Is<google::rpc::RetryInfo>();
  }));
  EXPECT_EQ(Metric("rlxd_admission_rejections_total{reason=\"queue_full\"}"), 1);
  EXPECT_EQ(Metric("rlxd_limit_rejections_total{limit=\"max_queued_requests\"}"), 1);

  first_context.TryCancel();
  EXPECT_EQ(first.get().status.error_code(), grpc::CANCELLED);
  EXPECT_TRUE(Waiting(1)) << "who goes makes room";
  EXPECT_TRUE(BecomesEventually("rlxd_infer_cancelled_total{stage=\"queue\"}", 1));
  auto fourth = Later(Request("double", std::vector<float>(7, 4), {7, 1}));
  EXPECT_THAT(Answered(second), ElementsAre(4));
  EXPECT_EQ(Answered(fourth).size(), 7u);
}

TEST_F(BatchingTest, TimeInTheQueueIsBounded) {
  ServeDouble(Together(
      8,
      "default_queue_policy { default_timeout_microseconds: 600000000 allow_timeout_override: "
      "true }"));
  Infer hurried = Request("double", {1}, {1, 1});
  (*hurried.mutable_parameters())["timeout"].set_int64_param(20'000);
  Answer answer;
  const grpc::Status late = Call(hurried, answer);
  EXPECT_EQ(late.error_code(), grpc::DEADLINE_EXCEEDED);
  EXPECT_THAT(late.error_message(), HasSubstr("Request timeout expired"));
  EXPECT_TRUE(BecomesEventually("rlxd_infer_cancelled_total{stage=\"queue\"}", 1));
  EXPECT_EQ(Metric("rlxd_admission_rejections_total{reason=\"deadline\"}"), 1);
}

TEST_F(BatchingTest, WhatQueuesHoldIsBounded) {
  ServeDouble(Together(8), {"--max_queued_bytes=1000"});
  auto first = Later(Request("double", std::vector<float>(4 * 60, 1), {4, 60}));
  EXPECT_TRUE(Waiting(1));
  Answer answer;
  const grpc::Status refused = Call(Request("double", std::vector<float>(60, 1), {1, 60}), answer);
  EXPECT_EQ(refused.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.error_message(), HasSubstr("max_queued_bytes 1000"));
  EXPECT_EQ(Metric("rlxd_limit_rejections_total{limit=\"max_queued_bytes\"}"), 1);
  EXPECT_EQ(Metric("rlxd_admission_rejections_total{reason=\"queue_full\"}"), 1);
  auto small = Later(Request("double", {1, 2, 3, 4}, {4, 1}));
  EXPECT_TRUE(Waiting(2)) << "that fits";
  Stop();
  EXPECT_EQ(Answered(first).size(), 240u);
  EXPECT_EQ(Answered(small).size(), 4u);
}

// What is larger than that by itself runs when nothing else is held.
TEST_F(BatchingTest, OneRequestIsAlwaysTaken) {
  ServeDouble("max_batch_size: 16 dynamic_batching {}", {"--max_queued_bytes=1"});
  for (int i = 0; i < 5; ++i) {
    // The one before may be held a moment longer than its caller waits.
    const auto taken = [&] {
      Answer answer;
      return Call(Request("double", std::vector<float>(60, 1), {1, 60}), answer).ok();
    };
    bool ok = taken();
    for (int again = 0; again < 500 && !ok; ++again) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      ok = taken();
    }
    EXPECT_TRUE(ok);
  }
}

TEST_F(BatchingTest, NoBatchWaitsForACompile) {
  Write("narrow/1/module.txt", R"(mir "narrow" {
  symbol batch in [1, 64]
  %0 = input "x" : f32[batch,3]
  %1 = add(%0, %0)
  output "y" = %1
})");
  Write("narrow/config.pbtxt", "max_batch_size: 16 dynamic_batching {}");
  Serve();
  const double before = Metric("rlxd_variant_runs_total{fit=\"waited\"}");
  for (const int64_t rows : {1, 2, 5, 9, 16}) {
    const auto count = static_cast<size_t>(rows * 3);
    EXPECT_EQ(Run(Request("narrow", std::vector<float>(count, 1), {rows, 3})).size(), count);
  }
  EXPECT_EQ(Metric("rlxd_variant_runs_total{fit=\"waited\"}"), before);
}

// Whatever this machine takes for a run: some request's quarter of that ends before it can begin.
TEST_F(BatchingTest, ADeadlineEndsTheWaitForAnInstance) {
  Write("slow/1/module.txt", kSlow);
  Write("slow/config.pbtxt", "max_batch_size: 4 dynamic_batching {}");
  Serve({"--noadmit_by_latency"});
  const double run = SecondsOf(Slow(4));
  std::atomic<bool> enough{false};
  std::vector<std::thread> busy;
  for (int i = 0; i < 2; ++i) {
    busy.emplace_back([&] {
      while (!enough) EXPECT_EQ(Run(Slow(4)).size(), 4u);
    });
  }
  bool left = false;
  for (int i = 0; i < 500 && !left; ++i) {
    CallWithin(run / 4, Slow(1));
    left = Metric("rlxd_infer_cancelled_total{stage=\"queue\"}") > 0;
  }
  enough = true;
  for (std::thread& thread : busy) thread.join();
  EXPECT_TRUE(left);
  EXPECT_TRUE(Waiting(0, "slow"));
  EXPECT_THAT(Run(Slow(1)), testing::SizeIs(1));
}

TEST_F(BatchingTest, WhatCannotEndInTimeIsRefusedOnceThatIsKnown) {
  Write("slow/1/module.txt", kSlow);
  Write("slow/config.pbtxt", "max_batch_size: 4 dynamic_batching {}");
  Write("plain/1/module.txt", kSlow);
  Serve();
  const std::string refused = "rlxd_infer_cancelled_total{stage=\"admission\"}";
  for (const std::string model : {"slow", "plain"}) {
    Infer request = Slow(2);
    request.set_model_name(model);
    double fast = SecondsOf(request);
    for (int i = 0; i < 16; ++i) fast = std::min(fast, SecondsOf(request));
    const double before = Metric(refused);
    // Long enough to arrive (now and then not, on a busy machine), too short to run.
    for (int i = 0; i < 100 && Metric(refused) == before; ++i) {
      EXPECT_EQ(CallWithin(fast / 3, request), grpc::DEADLINE_EXCEEDED);
    }
    EXPECT_GT(Metric(refused), before) << model;
  }
  EXPECT_GE(Metric("rlxd_admission_rejections_total{reason=\"deadline\"}"), 2);
}

TEST_F(BatchingTest, WhoWaitsWhenItsModelGoesIsAnswered) {
  ServeDouble(Together(8), {"--model_control_mode=explicit", "--load_model=double"});
  auto one = Later(Request("double", {1}, {1, 1}));
  auto two = Later(Request("double", {2}, {1, 1}));
  EXPECT_TRUE(Waiting(2));
  EXPECT_TRUE(Unload("double").ok());
  EXPECT_THAT(Answered(one), ElementsAre(2));
  EXPECT_THAT(Answered(two), ElementsAre(4));
  EXPECT_TRUE(StateBecomes("double", "1", "UNAVAILABLE"));
}

TEST_F(BatchingTest, ADrainAnswersAllThatWait) {
  ServeDouble(Together(16));
  std::vector<std::future<Called>> calls;
  for (int i = 0; i < 12; ++i) {
    calls.push_back(Later(Request("double", {static_cast<float>(i)}, {1, 1})));
  }
  EXPECT_TRUE(Waiting(12));
  Stop();
  for (int i = 0; i < 12; ++i)
    EXPECT_THAT(Answered(calls[static_cast<size_t>(i)]), ElementsAre(2 * i));
}

TEST_F(BatchingTest, ADrainThatIsCutShortLeavesNobodyHanging) {
  ServeDouble(Together(16), {"--drain_timeout_seconds=0"});
  std::vector<std::future<Called>> calls;
  for (int i = 0; i < 4; ++i) calls.push_back(Later(Request("double", {1}, {1, 1})));
  EXPECT_TRUE(Waiting(4));
  const std::atomic<bool> now{true};
  daemon_->Shutdown(now);
  for (auto& call : calls) call.get();
  daemon_.reset();
}

TEST_F(BatchingTest, AStreamsRequestsRunTogetherAndInOrderWhereThatIsAsked) {
  ServeDouble(Together(3, "preserve_ordering: true") + " instance_group { count: 2 }");
  grpc::ClientContext context;
  const auto stream = stub_->ModelStreamInfer(&context);
  constexpr int kRequests = 30;
  std::thread writer([&] {
    for (int i = 0; i < kRequests; ++i) {
      Infer request = Request("double", {static_cast<float>(i)}, {1, 1});
      request.set_id(Cat(i));
      stream->Write(request);
    }
    stream->WritesDone();
  });
  inference::ModelStreamInferResponse response;
  int next = 0;
  while (stream->Read(&response)) {
    EXPECT_EQ(response.error_message(), "");
    EXPECT_EQ(response.infer_response().id(), Cat(next));
    EXPECT_EQ(FloatsOf(response.infer_response().raw_output_contents(0))[0],
              2 * static_cast<float>(next));
    EXPECT_TRUE(response.infer_response().parameters().at("triton_final_response").bool_param());
    ++next;
  }
  writer.join();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(next, kRequests);
  EXPECT_EQ(Statistics("double").execution_count(), 10u);
}

TEST_F(BatchingTest, OneWhoseAnswerIsTooLargeFailsAlone) {
  ServeDouble(Together(12), {"--max_message_bytes=4096"});
  auto large = Later(Request("double", std::vector<float>(640, 1), {10, 64}));  // 5120 bytes back
  auto one = Later(Request("double", std::vector<float>(64, 2), {1, 64}));
  EXPECT_TRUE(Waiting(2));
  auto other = Later(Request("double", std::vector<float>(64, 3), {1, 64}));
  EXPECT_EQ(large.get().status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_THAT(Answered(one), testing::SizeIs(64));
  EXPECT_THAT(Answered(other), testing::SizeIs(64));
  EXPECT_EQ(Statistics("double").execution_count(), 1u);
}

TEST_F(BatchingTest, OneThatMakesARunFailFailsAlone) {
  Write("double/1/module.txt", R"(mir "table" {
  symbol batch in [1, 64]
  %0 = input "x" : f32[batch,1]
  %1 = constant {value = f32[4] (10,20,30,40)} : f32[4]
  %2 = cast(%0) {to = i32}
  %3 = gather(%1, %2) {axis = 0}
  output "y" = %3
})");
  Write("double/config.pbtxt", Together(3));
  Serve();
  auto one = Later(Request("double", {1}, {1, 1}));
  auto bad = Later(Request("double", {9}, {1, 1}));
  EXPECT_TRUE(Waiting(2));
  auto other = Later(Request("double", {3}, {1, 1}));
  EXPECT_FALSE(bad.get().status.ok());
  EXPECT_THAT(Answered(one), ElementsAre(20));
  EXPECT_THAT(Answered(other), ElementsAre(40));
}

TEST_F(BatchingTest, WhatCannotBeBatchedIsSaidWhenItIsLoaded) {
  Write("plain/1/module.txt", kDouble);
  Write("plain/config.pbtxt", "dynamic_batching {}");
  Write("large/1/module.txt", kDouble);
  Write("large/config.pbtxt", "max_batch_size: 65 dynamic_batching {}");
  Write("gpu/1/module.txt", kDouble);
  Write("gpu/config.pbtxt", "instance_group { kind: KIND_GPU }");
  Write("sum/1/module.txt", R"(mir "sum" {
  symbol batch in [1, 64]
  %0 = input "x" : f32[batch,4]
  %1 = transpose(%0) {perm = [1, 0]}
  output "y" = %1
})");
  Write("sum/config.pbtxt", "max_batch_size: 4 dynamic_batching {}");
  Serve({"--nostrict_readiness"});
  EXPECT_THAT(StateOf("plain", "").second, HasSubstr("takes a max_batch_size above 0"));
  EXPECT_THAT(StateOf("large", "1").second, HasSubstr("max_batch_size 65 is above what input"));
  EXPECT_THAT(StateOf("gpu", "1").second, HasSubstr("KIND_GPU"));
  EXPECT_THAT(StateOf("sum", "1").second, HasSubstr("output \"y\""));
}

}  // namespace
}  // namespace rlx::server
