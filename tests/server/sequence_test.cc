// SPDX-License-Identifier: Apache-2.0
// Models with sequences: what is handed from one request to the next.
#include <gmock/gmock.h>

#include <future>
#include <set>
#include <thread>

#include "runtime/base/text.h"
#include "tests/server/repository.h"

namespace rlx::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// The sum of what a sequence has said so far, from 100 on at its start.
constexpr const char* kSum = R"(mir "sum" {
  symbol batch in [1, 64]
  %0 = input "x" : f32[batch,1]
  %1 = input "start" : f32[batch,1]
  %2 = input "before" : f32[batch,1]
  %3 = add(%0, %2)
  %4 = add(%3, %1)
  output "y" = %4
  output "after" = %4
})";
constexpr const char* kConfig = R"(max_batch_size: 8
  sequence_batching {
    %s
    control_input [{ name: "start" control [{ kind: CONTROL_SEQUENCE_START fp32_false_true: [0, 100] }] }]
    state [{ input_name: "before" output_name: "after" data_type: TYPE_FP32 dims: [1]
             initial_state: { zero_data: true dims: [1] data_type: TYPE_FP32 name: "nothing" } }]
  })";

class SequenceTest : public RepositoryTest {
 protected:
  void ServeSum(const std::string& how, std::vector<std::string> flags = {}) {
    std::string config = kConfig;
    config.replace(config.find("%s"), 2, how);
    Write("sum/1/module.txt", kSum);
    Write("sum/config.pbtxt", config);
    Serve(std::move(flags));
  }
  static Infer Say(int64_t id, float x, bool start = false, bool end = false) {
    Infer request = Request("sum", {x}, {1, 1});
    (*request.mutable_parameters())["sequence_id"].set_int64_param(id);
    (*request.mutable_parameters())["sequence_start"].set_bool_param(start);
    (*request.mutable_parameters())["sequence_end"].set_bool_param(end);
    return request;
  }
  grpc::Status Refused(const Infer& request) const {
    Answer answer;
    return Call(request, answer);
  }
};

TEST_F(SequenceTest, AStateIsHandedOn) {
  ServeSum("direct {}");
  grpc::ClientContext context;
  inference::ModelMetadataRequest which;
  which.set_name("sum");
  inference::ModelMetadataResponse model;
  ASSERT_TRUE(stub_->ModelMetadata(&context, which, &model).ok());
  ASSERT_EQ(model.inputs_size(), 1) << "controls and states are no business of callers";
  ASSERT_EQ(model.outputs_size(), 1);
  EXPECT_THAT(Run(Say(7, 1, true)), ElementsAre(101));
  EXPECT_THAT(Run(Say(8, 5, true)), ElementsAre(105));
  EXPECT_THAT(Run(Say(7, 2)), ElementsAre(103));
  EXPECT_THAT(Run(Say(8, 6)), ElementsAre(111));
  EXPECT_THAT(Run(Say(7, 3, false, true)), ElementsAre(106));
  EXPECT_THAT(Refused(Say(7, 4)).error_message(), HasSubstr("must specify the START flag"));
  EXPECT_THAT(Run(Say(7, 4, true)), ElementsAre(104)) << "from the beginning";
  EXPECT_THAT(Run(Say(8, 1, true)), ElementsAre(101)) << "also in the middle";
  Infer word = Say(0, 1, true);
  (*word.mutable_parameters())["sequence_id"].set_string_param("seven");
  EXPECT_THAT(Run(word), ElementsAre(101));
}

TEST_F(SequenceTest, WhatIsNoSequenceIsRefused) {
  ServeSum("oldest { max_candidate_sequences: 4 }");
  const grpc::Status none = Refused(Request("sum", {1}, {1, 1}));
  EXPECT_EQ(none.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(none.error_message(), HasSubstr("non-zero or non-empty correlation ID"));
  Infer two = Say(3, 1, true);
  two.mutable_inputs(0)->set_shape(0, 2);
  two.set_raw_input_contents(0, BytesOf({1, 2}));
  EXPECT_THAT(Refused(two).error_message(), HasSubstr("must specify batch-size 1"));
  EXPECT_EQ(Refused(Say(9, 1)).error_code(), grpc::INVALID_ARGUMENT);
}

TEST_F(SequenceTest, TwoRequestsWithOneIdAreInOrder) {
  ServeSum("oldest { max_candidate_sequences: 8 }");
  grpc::ClientContext context;
  const auto stream = stub_->ModelStreamInfer(&context);
  constexpr int kSequences = 6, kSteps = 20;
  std::thread writer([&] {
    for (int step = 0; step < kSteps; ++step) {
      for (int id = 1; id <= kSequences; ++id) {
        Infer request = Say(id, static_cast<float>(id), step == 0, step == kSteps - 1);
        request.set_id(Cat(id));
        stream->Write(request);
      }
    }
    stream->WritesDone();
  });
  std::map<int, int> steps;
  inference::ModelStreamInferResponse response;
  while (stream->Read(&response)) {
    ASSERT_EQ(response.error_message(), "");
    const int id = std::atoi(response.infer_response().id().c_str());
    EXPECT_EQ(FloatsOf(response.infer_response().raw_output_contents(0))[0],
              static_cast<float>(100 + id * ++steps[id]));
  }
  writer.join();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(steps.size(), static_cast<size_t>(kSequences));
  for (const auto& [id, count] : steps) EXPECT_EQ(count, kSteps) << id;
}

TEST_F(SequenceTest, IdleSequencesAreForgotten) {
  ServeSum("max_sequence_idle_microseconds: 100000 oldest { max_candidate_sequences: 1 }");
  EXPECT_THAT(Run(Say(1, 1, true)), ElementsAre(101));
  EXPECT_THAT(Run(Say(2, 2, true)), ElementsAre(102)) << "once the other was idle for too long";
  EXPECT_EQ(Refused(Say(1, 1)).error_code(), grpc::INVALID_ARGUMENT);
}

// Nobody's word is lost, whoever says it, and nobody's is counted twice.
TEST_F(SequenceTest, ManyCallersOfOneSequenceTakeTurns) {
  ServeSum("oldest { max_candidate_sequences: 2 }");
  ASSERT_THAT(Run(Say(7, 0, true)), ElementsAre(100));
  constexpr int kCallers = 6, kEach = 30;
  std::vector<std::future<std::vector<float>>> callers;
  for (int caller = 0; caller < kCallers; ++caller) {
    callers.push_back(std::async(std::launch::async, [&] {
      std::vector<float> sums;
      for (int i = 0; i < kEach; ++i) sums.push_back(Run(Say(7, 1)).at(0));
      return sums;
    }));
  }
  std::set<float> all;
  for (auto& caller : callers) {
    const std::vector<float> sums = caller.get();
    EXPECT_TRUE(std::ranges::is_sorted(sums));
    all.insert(sums.begin(), sums.end());
  }
  EXPECT_EQ(all.size(), static_cast<size_t>(kCallers * kEach));
  EXPECT_EQ(*all.rbegin(), 100 + kCallers * kEach);
}

// Two callers of different sequences fail and leave in the middle: the others' sums are theirs.
TEST_F(SequenceTest, WhoGoesLeavesTheOthersAlone) {
  ServeSum("max_sequence_idle_microseconds: 60000000 oldest { max_candidate_sequences: 1 }");
  ASSERT_THAT(Run(Say(1, 1, true)), ElementsAre(101));
  grpc::ClientContext brief;
  brief.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(100));
  Answer answer;
  EXPECT_EQ(stub_->ModelInfer(&brief, Say(2, 1, true), &answer).error_code(),
            grpc::DEADLINE_EXCEEDED)
      << "it waits for 1 to end";
  grpc::ClientContext streaming;
  const auto stream = stub_->ModelStreamInfer(&streaming);
  for (int i = 0; i < 10; ++i) stream->Write(Say(3, 1, i == 0));
  streaming.TryCancel();
  EXPECT_EQ(stream->Finish().error_code(), grpc::CANCELLED);
  EXPECT_THAT(Run(Say(1, 1)), ElementsAre(102));
  EXPECT_EQ(Refused(Say(2, 1)).error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(Run(Say(1, 1, false, true)), ElementsAre(103));
  EXPECT_THAT(Run(Say(3, 1, true, true)), ElementsAre(101));
}

TEST_F(SequenceTest, AnotherVersionBeginsAnewAndNobodyWaitsForTheOld) {
  ServeSum("max_sequence_idle_microseconds: 60000000 oldest { max_candidate_sequences: 1 }",
           {"--model_control_mode=explicit", "--load_model=sum"});
  ASSERT_THAT(Run(Say(1, 1, true)), ElementsAre(101));
  auto waiting = std::async(std::launch::async, [&] { return Run(Say(2, 2, true)); });
  EXPECT_TRUE(BecomesEventually("rlxd_model_pending{model=\"sum\",version=\"1\"}", 1));
  Write("sum/2/module.txt", kSum);
  ASSERT_TRUE(Load("sum").ok());
  EXPECT_THAT(waiting.get(), ElementsAre(102)) << "the idle one made room";
  EXPECT_THAT(Refused(Say(1, 1)).error_message(), HasSubstr("must specify the START flag"));
  EXPECT_THAT(Run(Say(1, 1, true)), ElementsAre(101));
  EXPECT_TRUE(Unload("sum").ok());
  EXPECT_EQ(Refused(Say(1, 1)).error_code(), grpc::NOT_FOUND);
}

TEST_F(SequenceTest, WithoutABatchToo) {
  Write("count/1/module.txt", R"(mir "count" {
  %0 = input "x" : f32[2]
  %1 = input "id" : i64[1]
  %2 = input "before" : f32[2]
  %3 = add(%0, %2)
  %4 = cast(%1) {to = f32}
  output "y" = %3
  output "number" = %4
  output "after" = %3
})");
  Write("count/config.pbtxt", R"(sequence_batching {
    control_input [{ name: "id" control [{ kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_INT64 }] }]
    state [{ input_name: "before" output_name: "after" }]
  })");
  Serve();
  Infer request = Say(42, 0, true);
  request.set_model_name("count");
  request.mutable_inputs(0)->clear_shape();
  request.mutable_inputs(0)->add_shape(2);
  request.set_raw_input_contents(0, BytesOf({1, 2}));
  EXPECT_THAT(Run(request), ElementsAre(1, 2));
  (*request.mutable_parameters())["sequence_start"].set_bool_param(false);
  Answer answer;
  ASSERT_TRUE(Call(request, answer).ok());
  EXPECT_THAT(FloatsOf(answer.raw_output_contents(0)), ElementsAre(2, 4));
  EXPECT_THAT(FloatsOf(answer.raw_output_contents(1)), ElementsAre(42));
  (*request.mutable_parameters())["sequence_id"].set_string_param("word");
  EXPECT_THAT(Refused(request).error_message(), HasSubstr("takes correlation IDs of i64"));
}

TEST_F(SequenceTest, WhatDoesNotFitTheModelIsSaidWhenItIsLoaded) {
  const auto with = [&](const std::string& name, const std::string& config) {
    Write(name + "/1/module.txt", kSum);
    Write(name + "/config.pbtxt", Cat("max_batch_size: 8 sequence_batching { ", config, " }"));
  };
  with("control", "control_input { name: 'nothing' control { int32_false_true: [0, 1] } }");
  with("type", "control_input { name: 'start' control { int32_false_true: [0, 1] } }");
  with("state", "state { input_name: 'before' output_name: 'nothing' }");
  with("dims", "state { input_name: 'before' output_name: 'after' dims: [3] }");
  with("strange", "iterative_sequence: true");
  Serve({"--nostrict_readiness"});
  EXPECT_THAT(StateOf("control", "1").second,
              HasSubstr("\"nothing\": the model has no such input"));
  EXPECT_THAT(StateOf("type", "1").second, HasSubstr("is f32 in the model"));
  EXPECT_THAT(StateOf("state", "1").second, HasSubstr("no such output"));
  EXPECT_THAT(StateOf("dims", "1").second,
              HasSubstr("is [3] in config.pbtxt and [1] in the model"));
  EXPECT_THAT(StateOf("strange", "").second, HasSubstr("no field named \"iterative_sequence\""));
}

}  // namespace
}  // namespace rlx::server
