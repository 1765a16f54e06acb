// SPDX-License-Identifier: Apache-2.0
// KServe v2: what models answer, and what is said of requests that do not fit them.
#include <gmock/gmock.h>

#include "tests/server/repository.h"

namespace rlx::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// Any number of rows, 3 to 5 with this config's batches.
constexpr const char* kRows = R"(mir "rows" {
  symbol batch in [1, 64]
  %0 = input "x" : f32[batch,3]
  %1 = input "offset" : f32[batch,1]
  %2 = add(%0, %1)
  %3 = neg(%0)
  output "sum" = %2
  output "negative" = %3
})";

class InferenceTest : public RepositoryTest {
 protected:
  void ServeTimes() {
    Write("times/1/module.txt", Times("2"));
    Serve();
  }
};

TEST_F(InferenceTest, AModelSaysWhatItTakesAndAnswers) {
  Write("times/1/module.txt", Times("2"));
  Write("times/3/module.txt", Times("3"));
  Write("times/config.pbtxt",
        "version_policy { all {} } parameters { key: \"a\" value { "
        "string_value: \"b\" } }");
  Serve();
  grpc::ClientContext live, ready, server, metadata, config;
  inference::ServerLiveResponse is_live;
  ASSERT_TRUE(stub_->ServerLive(&live, {}, &is_live).ok());
  EXPECT_TRUE(is_live.live());
  inference::ServerReadyResponse is_ready;
  ASSERT_TRUE(stub_->ServerReady(&ready, {}, &is_ready).ok());
  EXPECT_TRUE(is_ready.ready());
  inference::ServerMetadataResponse daemon;
  ASSERT_TRUE(stub_->ServerMetadata(&server, {}, &daemon).ok());
  EXPECT_EQ(daemon.name(), "rlxd");
  EXPECT_THAT(daemon.extensions(), testing::Contains("model_repository"));

  inference::ModelMetadataRequest which;
  which.set_name("times");
  inference::ModelMetadataResponse model;
  ASSERT_TRUE(stub_->ModelMetadata(&metadata, which, &model).ok());
  EXPECT_THAT(model.versions(), ElementsAre("1", "3"));
  EXPECT_EQ(model.platform(), "rlx");
  ASSERT_EQ(model.inputs_size(), 1);
  EXPECT_EQ(model.inputs(0).name(), "x");
  EXPECT_EQ(model.inputs(0).datatype(), "FP32");
  EXPECT_THAT(model.inputs(0).shape(), ElementsAre(4));
  ASSERT_EQ(model.outputs_size(), 1);
  EXPECT_EQ(model.outputs(0).name(), "y");

  inference::ModelConfigRequest of;
  of.set_name("times");
  inference::ModelConfigResponse said;
  ASSERT_TRUE(stub_->ModelConfig(&config, of, &said).ok());
  EXPECT_EQ(said.config().name(), "times");
  EXPECT_EQ(said.config().parameters().at("a").string_value(), "b");
  EXPECT_EQ(said.config().input(0).data_type(), inference::TYPE_FP32);
  EXPECT_THAT(said.config().input(0).dims(), ElementsAre(4));

  Infer request = Request("times", {1, 2, 3, 4}, {4});
  request.set_id("seven");
  Answer answer;
  ASSERT_TRUE(Call(request, answer).ok());
  EXPECT_EQ(answer.id(), "seven");
  EXPECT_EQ(answer.model_name(), "times");
  EXPECT_EQ(answer.model_version(), "3") << "the highest that is ready";
  EXPECT_THAT(answer.outputs(0).shape(), ElementsAre(4));
  EXPECT_EQ(answer.outputs(0).datatype(), "FP32");
  EXPECT_THAT(FloatsOf(answer.raw_output_contents(0)), ElementsAre(3, 6, 9, 12));
  EXPECT_THAT(Run(Request("times", {1, 2, 3, 4}, {4}, "1")), ElementsAre(2, 4, 6, 8));
  EXPECT_EQ(Metric("rlxd_rpc_requests_total{code=\"OK\",method=\"ModelInfer\",service="
                   "\"GRPCInferenceService\"}"),
            2);
}

TEST_F(InferenceTest, ModelReadyIsFalseForWhatIsNotThere) {
  ServeTimes();
  const auto ready = [&](const std::string& name, const std::string& version) {
    grpc::ClientContext context;
    inference::ModelReadyRequest request;
    request.set_name(name);
    request.set_version(version);
    inference::ModelReadyResponse response;
    const grpc::Status status = stub_->ModelReady(&context, request, &response);
    return std::pair(status.error_code(), response.ready());
  };
  EXPECT_EQ(ready("times", ""), std::pair(grpc::OK, true));
  EXPECT_EQ(ready("times", "1"), std::pair(grpc::OK, true));
  EXPECT_EQ(ready("times", "2"), std::pair(grpc::OK, false));
  EXPECT_EQ(ready("nothing", ""), std::pair(grpc::OK, false));
  EXPECT_EQ(ready("times", "one").first, grpc::INVALID_ARGUMENT);
}

TEST_F(InferenceTest, WhatDoesNotFitIsSaidInTritonsWords) {
  ServeTimes();
  struct Case {
    std::function<void(Infer&)> change;
    grpc::StatusCode code;
    std::string begins;
  };
  const auto typed = [](Infer& r) { r.clear_raw_input_contents(); };
  const Case cases[] = {
      {[](Infer& r) { r.set_model_name("other"); }, grpc::NOT_FOUND,
       "Request for unknown model: 'other' is not found"},
      {[](Infer& r) { r.set_model_version("2"); }, grpc::NOT_FOUND,
       "Request for unknown model: 'times' version 2 is not found"},
      {[](Infer& r) { r.set_model_version("two"); }, grpc::INVALID_ARGUMENT,
       "failed to get model version"},
      {[](Infer& r) { r.set_model_version("-1"); }, grpc::INVALID_ARGUMENT,
       "failed to get model version"},
      {[](Infer& r) { r.mutable_inputs(0)->mutable_contents()->add_fp32_contents(1); },
       grpc::INVALID_ARGUMENT,
       "contents field must not be specified when using raw_input_contents"},
      {[&](Infer& r) { typed(r); }, grpc::INVALID_ARGUMENT,
       "unable to find data for input tensor 'x' for model 'times'"},
      {[&](Infer& r) {
         typed(r);
         r.mutable_inputs(0)->mutable_contents()->add_int_contents(1);
       },
       grpc::INVALID_ARGUMENT, "unexpected explicit tensor data"},
      {[&](Infer& r) {
         typed(r);
         for (int i = 0; i < 4; ++i) r.mutable_inputs(0)->mutable_contents()->add_fp32_contents(1);
         r.mutable_inputs(0)->mutable_contents()->add_fp64_contents(1);
       },
       grpc::INVALID_ARGUMENT, "unexpected explicit tensor data"},
      {[&](Infer& r) {
         typed(r);
         r.mutable_inputs(0)->mutable_contents()->add_fp32_contents(1);
       },
       grpc::INVALID_ARGUMENT,
       "input byte size mismatch for input 'x' for model 'times'. Expected "
       "16, got 4"},
      {[](Infer& r) { r.mutable_inputs(0)->set_datatype("INT32"); }, grpc::INVALID_ARGUMENT,
       "inference input 'x' data-type is 'INT32', but model 'times' expects 'FP32'"},
      {[](Infer& r) { r.mutable_inputs(0)->set_datatype("BYTES"); }, grpc::INVALID_ARGUMENT,
       "inference input 'x' data-type is 'BYTES'"},
      {[](Infer& r) { r.mutable_inputs(0)->set_shape(0, 5); }, grpc::INVALID_ARGUMENT,
       "unexpected shape for input 'x' for model 'times'. Expected [4], got [5]"},
      {[](Infer& r) { r.mutable_inputs(0)->add_shape(1); }, grpc::INVALID_ARGUMENT,
       "unexpected shape for input 'x' for model 'times'. Expected [4], got [4,1]"},
      {[](Infer& r) { r.mutable_inputs(0)->set_shape(0, -1); }, grpc::INVALID_ARGUMENT,
       "All input dimensions should be specified for input 'x'"},
      {[](Infer& r) { r.mutable_raw_input_contents(0)->pop_back(); }, grpc::INVALID_ARGUMENT,
       "input byte size mismatch for input 'x' for model 'times'. Expected 16, got 15"},
      {[](Infer& r) { r.add_raw_input_contents("more"); }, grpc::INVALID_ARGUMENT,
       "expected 1 raw_input_contents"},
      {[](Infer& r) { r.clear_inputs(); }, grpc::INVALID_ARGUMENT,
       "expected 1 inputs but got 0 inputs for model 'times'"},
      {[](Infer& r) { r.mutable_inputs(0)->set_name("z"); }, grpc::INVALID_ARGUMENT,
       "unexpected inference input 'z' for model 'times'"},
      {[](Infer& r) {
         *r.add_inputs() = r.inputs(0);
         r.add_raw_input_contents(r.raw_input_contents(0));
       },
       grpc::INVALID_ARGUMENT, "input 'x' already exists in request"},
      {[](Infer& r) { r.add_outputs()->set_name("z"); }, grpc::INVALID_ARGUMENT,
       "unexpected inference output 'z' for model 'times'"},
      {[](Infer& r) {
         r.add_outputs()->set_name("y");
         r.add_outputs()->set_name("y");
       },
       grpc::INVALID_ARGUMENT, "output 'y' already exists in request"},
      {[](Infer& r) { (*r.mutable_parameters())["triton_x"].set_bool_param(true); },
       grpc::INVALID_ARGUMENT, "parameter keys starting with 'triton_' are reserved"},
      {[](Infer& r) { (*r.mutable_parameters())["sequence_start"].set_int64_param(1); },
       grpc::INVALID_ARGUMENT, "invalid value type for 'sequence_start' parameter"},
      {[](Infer& r) { (*r.mutable_parameters())["priority"].set_int64_param(-1); },
       grpc::INVALID_ARGUMENT, "invalid value for 'priority'"},
      {[](Infer& r) {
         r.add_outputs()->set_name("y");
         (*r.mutable_outputs(0)->mutable_parameters())["classification"].set_int64_param(1);
       },
       grpc::UNIMPLEMENTED, "classification is not served"},
  };
  for (const Case& wrong : cases) {
    SCOPED_TRACE(wrong.begins);
    Infer request = Request("times", {1, 2, 3, 4}, {4});
    wrong.change(request);
    Answer answer;
    const grpc::Status status = Call(request, answer);
    EXPECT_EQ(status.error_code(), wrong.code) << status.error_message();
    EXPECT_THAT(status.error_message(), StartsWith(wrong.begins));
  }
  // What has no meaning here harms nobody.
  Infer request = Request("times", {1, 2, 3, 4}, {4});
  (*request.mutable_parameters())["sequence_id"].set_int64_param(7);
  (*request.mutable_parameters())["timeout"].set_int64_param(1'000'000);
  (*request.mutable_parameters())["priority"].set_uint64_param(1);
  (*request.mutable_parameters())["triton_enable_empty_final_response"].set_bool_param(true);
  (*request.mutable_parameters())["anything"].set_double_param(1);
  EXPECT_THAT(Run(request), ElementsAre(2, 4, 6, 8));
}

// Products of extents that wrap, in a model that takes any.
TEST_F(InferenceTest, HugeShapesAreRefused) {
  Write("any/1/module.txt",
        "mir \"any\" {\n symbol a in [1, 4096]\n"
        " %0 = input \"x\" : f32[a,a]\n output \"y\" = %0\n}");
  Serve();
  for (const int64_t extent :
       {int64_t{4097}, int64_t{1} << 31, int64_t{1} << 32, int64_t{1} << 62}) {
    Answer answer;
    const grpc::Status status = Call(Request("any", {1}, {extent, extent}), answer);
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT) << status.error_message();
  }
  EXPECT_TRUE(Serves());
}

TEST_F(InferenceTest, BatchesAreHeldToTheirConfig) {
  Write("rows/1/module.txt", kRows);
  Write("rows/config.pbtxt",
        "max_batch_size: 4 input { name: \"x\" data_type: TYPE_FP32 dims: 3 } "
        "input { name: \"offset\" data_type: TYPE_FP32 dims: [ 1 ] }");
  Serve();
  const auto request = [](int64_t rows, int64_t offsets) {
    Infer r = Request("rows", std::vector<float>(static_cast<size_t>(rows) * 3, 1), {rows, 3});
    auto& offset = *r.add_inputs();
    offset.set_name("offset");
    offset.set_datatype("FP32");
    offset.add_shape(offsets);
    offset.add_shape(1);
    r.add_raw_input_contents(BytesOf(std::vector<float>(static_cast<size_t>(offsets), 10)));
    return r;
  };
  EXPECT_THAT(Run(request(1, 1)), ElementsAre(11, 11, 11));
  EXPECT_EQ(Run(request(4, 4)).size(), 12u);
  Answer answer;
  EXPECT_THAT(Call(request(5, 5), answer).error_message(),
              StartsWith("inference request batch-size must be <= 4 for 'rows'"));
  EXPECT_EQ(Call(request(0, 0), answer).error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(Call(request(2, 3), answer).error_message(),
              HasSubstr("batch size does not match other inputs for 'rows'"));
  // One of two outputs, with the batch in its shape.
  Infer one = request(2, 2);
  one.add_outputs()->set_name("negative");
  ASSERT_TRUE(Call(one, answer).ok());
  ASSERT_EQ(answer.outputs_size(), 1);
  EXPECT_THAT(answer.outputs(0).shape(), ElementsAre(2, 3));
  EXPECT_THAT(FloatsOf(answer.raw_output_contents(0)), ElementsAre(-1, -1, -1, -1, -1, -1));
}

// Every element type that KServe has and modules have, there and back; typed where there is a
// field.
TEST_F(InferenceTest, EveryElementTypeTravels) {
  struct Type {
    const char* kserve;
    const char* name;
    std::string bytes;  // of two elements
    std::function<void(inference::InferTensorContents&)> fill;
  };
  const auto raw = [](auto a, auto b) {
    const decltype(a) values[] = {a, b};
    return std::string(reinterpret_cast<const char*>(values), sizeof values);
  };
  using Contents = inference::InferTensorContents;
  const auto add = [](auto method, auto a, auto b) {
    return [=](Contents& c) { (c.*method)(a), (c.*method)(b); };
  };
  const Type types[] = {
      {"BOOL", "bool", std::string("\1\0", 2), add(&Contents::add_bool_contents, true, false)},
      {"UINT8", "u8", raw(uint8_t{7}, uint8_t{255}), add(&Contents::add_uint_contents, 7, 255)},
      {"INT8", "i8", raw(int8_t{-7}, int8_t{100}), add(&Contents::add_int_contents, -7, 100)},
      {"INT16", "i16", raw(int16_t{-300}, int16_t{9}), add(&Contents::add_int_contents, -300, 9)},
      {"UINT32", "u32", raw(uint32_t{1}, UINT32_MAX),
       add(&Contents::add_uint_contents, 1, UINT32_MAX)},
      {"INT32", "i32", raw(-1, 1 << 30), add(&Contents::add_int_contents, -1, 1 << 30)},
      {"INT64", "i64", raw(INT64_MIN, int64_t{5}),
       add(&Contents::add_int64_contents, INT64_MIN, int64_t{5})},
      {"FP16", "f16", std::string("\x00\x3c\x00\xc0", 4), nullptr},
      {"BF16", "bf16", std::string("\x80\x3f\x00\xc0", 4), nullptr},
      {"FP32", "f32", raw(1.5f, -2.5f), add(&Contents::add_fp32_contents, 1.5f, -2.5f)},
      {"FP64", "f64", raw(1.25, -1e300), add(&Contents::add_fp64_contents, 1.25, -1e300)},
  };
  for (const Type& type : types) {
    Write(Cat(type.name, "/1/module.txt"),
          Cat("mir \"same\" {\n %0 = input \"x\" : ", type.name, "[2]\n output \"y\" = %0\n}"));
  }
  Serve();
  for (const Type& type : types) {
    SCOPED_TRACE(type.kserve);
    Infer request = Request(type.name, {}, {2});
    request.mutable_inputs(0)->set_datatype(type.kserve);
    *request.mutable_raw_input_contents(0) = type.bytes;
    Answer answer;
    grpc::Status status = Call(request, answer);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(answer.outputs(0).datatype(), type.kserve);
    EXPECT_EQ(answer.raw_output_contents(0), type.bytes);
    request.clear_raw_input_contents();
    if (type.fill == nullptr) {
      request.mutable_inputs(0)->mutable_contents()->add_fp32_contents(1);
      request.mutable_inputs(0)->mutable_contents()->add_fp32_contents(1);
      EXPECT_EQ(Call(request, answer).error_code(), grpc::INVALID_ARGUMENT);
      continue;
    }
    type.fill(*request.mutable_inputs(0)->mutable_contents());
    status = Call(request, answer);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(answer.raw_output_contents(0), type.bytes);
  }
  // Elements that travel wider than they are must fit.
  Infer request = Request("i8", {}, {2});
  request.mutable_inputs(0)->set_datatype("INT8");
  request.clear_raw_input_contents();
  request.mutable_inputs(0)->mutable_contents()->add_int_contents(1);
  request.mutable_inputs(0)->mutable_contents()->add_int_contents(128);
  Answer answer;
  EXPECT_EQ(Call(request, answer).error_code(), grpc::INVALID_ARGUMENT);
}

TEST_F(InferenceTest, DeadlinesAndDrainsAreUnlikeAnyOtherFailure) {
  ServeTimes();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() - std::chrono::seconds(1));
  Answer answer;
  EXPECT_EQ(stub_->ModelInfer(&context, Request("times", {1, 2, 3, 4}, {4}), &answer).error_code(),
            grpc::DEADLINE_EXCEEDED);
  grpc::ClientContext drain;
  v1::DrainResponse drained;
  ASSERT_TRUE(admin_->Drain(&drain, {}, &drained).ok());
  EXPECT_EQ(Call(Request("times", {1, 2, 3, 4}, {4}), answer).error_code(), grpc::UNAVAILABLE);
  grpc::ClientContext ready;
  inference::ServerReadyResponse is_ready;
  ASSERT_TRUE(stub_->ServerReady(&ready, {}, &is_ready).ok());
  EXPECT_FALSE(is_ready.ready());
}

}  // namespace
}  // namespace rlx::server
