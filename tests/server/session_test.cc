// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <cmath>
#include <random>
#include <thread>

#include "runtime/base/sha256.h"
#include "runtime/base/text.h"
#include "tests/server/fixture.h"

namespace rlx::server {
namespace {

class SessionTest : public DaemonTest {
 protected:
  // An open request for LinearModule(2, 3, 4) with all weights given by value.
  v1::OpenRequest LinearOpen() {
    v1::OpenRequest request;
    request.set_key(Compile(LinearModule(2, 3, 4)).result.key());
    AddWeight(request, "w", {3, 4}, 0.5f);
    AddWeight(request, "b", {4}, 0.25f);
    return request;
  }
  static void AddWeight(v1::OpenRequest& request, const std::string& name,
                        std::initializer_list<int64_t> dims, float value) {
    v1::WeightBinding& weight = *request.add_weights();
    weight.set_param(name);
    *weight.mutable_inline_() = Floats(dims, value);
  }
  static v1::RunRequest RunWith(const std::string& handle, v1::Tensor x) {
    v1::RunRequest request;
    request.set_handle(handle);
    v1::NamedTensor& input = *request.add_inputs();
    input.set_name("x");
    *input.mutable_tensor() = std::move(x);
    return request;
  }
  std::string OpenLinear() {
    v1::OpenResponse opened;
    EXPECT_TRUE(Open(LinearOpen(), opened).ok());
    return opened.handle();
  }
  // Uploads a blob in `pieces`.
  grpc::Status Upload(const std::string& bytes, const std::string& digest, uint64_t offset,
                      v1::WriteResponse& response, uint64_t size) {
    grpc::ClientContext context;
    const auto writer = blobs_->Write(&context, &response);
    v1::WriteRequest first;
    first.mutable_blob()->set_sha256(digest);
    first.mutable_blob()->set_size(size);
    first.set_offset(offset);
    first.set_data(bytes);
    writer->Write(first);
    writer->WritesDone();
    return writer->Finish();
  }
};

float FirstValue(const v1::RunResponse& response) {
  float value = 0;
  std::memcpy(&value, response.outputs(0).tensor().data().data(), sizeof value);
  return value;
}

double Gelu(double x) { return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))); }

TEST_F(SessionTest, OpensRunsAndCloses) {
  v1::OpenResponse opened;
  ASSERT_TRUE(Open(LinearOpen(), opened).ok());
  EXPECT_EQ(opened.handle().size(), 16u);
  v1::RunResponse response;
  ASSERT_TRUE(Run(RunWith(opened.handle(), Floats({2, 3}, 2)), response).ok());
  ASSERT_EQ(response.outputs_size(), 1);
  EXPECT_EQ(response.outputs(0).name(), "y");
  EXPECT_NEAR(FirstValue(response), Gelu(3 * 2 * 0.5 + 0.25), 1e-5);
  v1::CloseRequest close;
  close.set_handle(opened.handle());
  v1::CloseResponse closed;
  grpc::ClientContext one, two;
  EXPECT_TRUE(sessions_->Close(&one, close, &closed).ok());
  EXPECT_EQ(sessions_->Close(&two, close, &closed).error_code(), grpc::NOT_FOUND);
  EXPECT_EQ(Run(RunWith(opened.handle(), Floats({2, 3}, 2)), response).error_code(),
            grpc::NOT_FOUND);
  EXPECT_EQ(Metric("rlxd_sessions{state=\"open\"}"), 0);
}

// Two modules that declare the same weights, of which the first reads fewer.
TEST_F(SessionTest, ModulesOfTheSameWeightsReadTheirOwn) {
  for (const bool reads_both : {false, true}) {
    v1::GraphModule module;
    module.set_name("scale");
    module.set_stage(v1::STAGE_MIR);
    v1::Graph& graph = *module.add_graphs();
    AddInput(graph, "input", "x", {4});
    AddInput(graph, "param", "p", {4});
    AddInput(graph, "param", "q", {4});
    AddNode(graph, "mul", {0, 1});
    if (reads_both) AddNode(graph, "add", {3, 2});
    AddOutput(graph, "y", reads_both ? 4 : 3);
    v1::OpenRequest request;
    request.set_key(Compile(module).result.key());
    AddWeight(request, "p", {4}, 3);
    AddWeight(request, "q", {4}, 5);
    v1::OpenResponse opened;
    ASSERT_TRUE(Open(request, opened).ok());
    v1::RunResponse response;
    const grpc::Status ran = Run(RunWith(opened.handle(), Floats({4}, 2)), response);
    ASSERT_TRUE(ran.ok()) << ran.error_message();
    EXPECT_EQ(FirstValue(response), reads_both ? 11 : 6);
  }
}

TEST_F(SessionTest, BadOpensAreNamed) {
  struct Bad {
    const char* name;
    std::function<void(v1::OpenRequest&)> spoil;
    grpc::StatusCode code;
    const char* names;
  };
  const Bad bad[] = {
      {"Missing", [](auto& r) { r.mutable_weights()->RemoveLast(); }, grpc::INVALID_ARGUMENT,
       "\"b\""},
      {"Unknown", [](auto& r) { AddWeight(r, "c", {4}, 1); }, grpc::INVALID_ARGUMENT, "\"c\""},
      {"Twice", [](auto& r) { AddWeight(r, "b", {4}, 1); }, grpc::INVALID_ARGUMENT, "\"b\""},
      {"Shape", [](auto& r) { *r.mutable_weights(1)->mutable_inline_() = Floats({5}, 1); },
       grpc::INVALID_ARGUMENT, "\"b\""},
      {"NoSuchBlob",
       [](auto& r) {
         v1::WeightBinding& w = *r.mutable_weights(1);
         w.mutable_blob()->set_sha256(std::string(32, 'q'));
         w.mutable_blob()->set_length(16);
         w.set_dtype(v1::DTYPE_F32);
         w.add_shape(4);
       },
       grpc::NOT_FOUND, "\"b\""},
      {"NoSuchKey", [](auto& r) { r.set_key(std::string(32, 'k')); }, grpc::NOT_FOUND,
       "executable"},
      {"ShortKey", [](auto& r) { r.set_key("k"); }, grpc::INVALID_ARGUMENT, "key"},
      {"OtherDevice", [](auto& r) { r.mutable_device()->set_device(v1::DEVICE_CUDA); },
       grpc::INVALID_ARGUMENT, "cuda"},
  };
  for (const Bad& one : bad) {
    SCOPED_TRACE(one.name);
    v1::OpenRequest request = LinearOpen();
    one.spoil(request);
    v1::OpenResponse opened;
    const grpc::Status status = Open(request, opened);
    EXPECT_EQ(status.error_code(), one.code) << status.error_message();
    EXPECT_NE(status.error_message().find(one.names), std::string::npos) << status.error_message();
  }
  EXPECT_EQ(Metric("rlxd_sessions{state=\"open\"}"), 0);
  EXPECT_TRUE(Serves());
}

TEST_F(SessionTest, BadRunsAreNamed) {
  const std::string handle = OpenLinear();
  v1::RunResponse response;
  const auto expect = [&](const v1::RunRequest& request, grpc::StatusCode code, const char* names) {
    const grpc::Status status = Run(request, response);
    EXPECT_EQ(status.error_code(), code) << status.error_message();
    EXPECT_NE(status.error_message().find(names), std::string::npos) << status.error_message();
  };
  v1::RunRequest missing;
  missing.set_handle(handle);
  expect(missing, grpc::INVALID_ARGUMENT, "\"x\"");
  v1::RunRequest wrong_name = RunWith(handle, Floats({2, 3}, 1));
  wrong_name.mutable_inputs(0)->set_name("z");
  expect(wrong_name, grpc::INVALID_ARGUMENT, "\"z\"");
  v1::RunRequest twice = RunWith(handle, Floats({2, 3}, 1));
  *twice.add_inputs() = twice.inputs(0);
  expect(twice, grpc::INVALID_ARGUMENT, "\"x\"");
  expect(RunWith(handle, Floats({3, 2}, 1)), grpc::INVALID_ARGUMENT, "\"x\"");
  expect(RunWith(handle, Floats({6}, 1)), grpc::INVALID_ARGUMENT, "\"x\"");
  v1::Tensor wrong_type = Floats({2, 3}, 1);
  wrong_type.set_dtype(v1::DTYPE_I32);
  expect(RunWith(handle, wrong_type), grpc::INVALID_ARGUMENT, "\"x\"");
  v1::Tensor short_data = Floats({2, 3}, 1);
  short_data.mutable_data()->pop_back();
  expect(RunWith(handle, short_data), grpc::INVALID_ARGUMENT, "\"x\"");
  v1::RunRequest no_output = RunWith(handle, Floats({2, 3}, 1));
  no_output.add_outputs("q");
  expect(no_output, grpc::INVALID_ARGUMENT, "\"q\"");
  expect(RunWith(std::string(16, 'h'), Floats({2, 3}, 1)), grpc::NOT_FOUND, "session");
  expect(RunWith("short", Floats({2, 3}, 1)), grpc::NOT_FOUND, "session");
  EXPECT_TRUE(Run(RunWith(handle, Floats({2, 3}, 1)), response).ok());
  grpc::ClientContext late;
  late.set_deadline(std::chrono::system_clock::now() - std::chrono::seconds(1));
  EXPECT_EQ(sessions_->Run(&late, RunWith(handle, Floats({2, 3}, 1)), &response).error_code(),
            grpc::DEADLINE_EXCEEDED);
}

TEST_F(SessionTest, RunsFromManyThreadsAgree) {
  const std::string handle = OpenLinear();
  std::atomic<int> good{0};
  std::vector<std::thread> callers;
  for (int t = 0; t < 8; ++t) {
    callers.emplace_back([&, t] {
      for (int r = 0; r < 50; ++r) {
        v1::RunResponse response;
        const auto x = static_cast<float>(t + r % 3);
        if (!Run(RunWith(handle, Floats({2, 3}, x)), response).ok()) continue;
        good += std::abs(FirstValue(response) - Gelu(3.0 * x * 0.5 + 0.25)) < 1e-4;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(good, 400);
}

// Large enough to be split among threads.
TEST_F(SessionTest, ResultsDoNotDependOnTheNumberOfThreads) {
  std::string results[2];
  for (int threads : {1, 2}) {
    Start({"--threads=" + std::to_string(threads)});
    v1::GraphModule module = LinearModule(128, 300, 256);
    v1::Graph& graph = *module.mutable_graphs(0);
    SetInt(AddNode(graph, "softmax", {5}), "axis", 0);
    SetInt(AddNode(graph, "cumsum", {6}), "axis", 1);
    graph.mutable_outputs(0)->mutable_value()->set_node(7);
    v1::CompileRequest compile = RequestFor(module);
    compile.set_skip_cache_lookup(true);
    v1::OpenRequest open;
    open.set_key(Compile(compile).result.key());
    AddWeight(open, "w", {300, 256}, 0.01f);
    AddWeight(open, "b", {256}, 0.25f);
    v1::OpenResponse opened;
    ASSERT_TRUE(Open(open, opened).ok());
    v1::Tensor x = Floats({128, 300}, 0);
    std::vector<float> values(128 * 300);
    for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i));
    x.set_data(values.data(), values.size() * sizeof(float));
    v1::RunResponse response;
    ASSERT_TRUE(Run(RunWith(opened.handle(), x), response).ok());
    results[threads - 1] = response.outputs(0).tensor().data();
  }
  ASSERT_EQ(results[0].size(), 128u * 256 * sizeof(float));
  EXPECT_TRUE(results[0] == results[1]);
}

TEST_F(SessionTest, ASecondSessionSharesTheWeights) {
  v1::OpenResponse first, second;
  const v1::OpenRequest request = LinearOpen();
  ASSERT_TRUE(Open(request, first).ok());
  const double bytes = Metric("rlxd_weight_bytes{state=\"used\"}");
  ASSERT_TRUE(Open(request, second).ok());
  EXPECT_FALSE(first.weights_shared());
  EXPECT_TRUE(second.weights_shared());
  EXPECT_NE(first.handle(), second.handle());
  EXPECT_EQ(Metric("rlxd_weight_bytes{state=\"used\"}"), bytes);
}

// A client names the module; what its main graph is called is its own affair.
TEST_F(SessionTest, SessionsAreListedByTheNameOfTheirModule) {
  v1::GraphModule named = LinearModule(2, 3, 4), unnamed = named;
  named.set_name("my_network");
  named.mutable_graphs(0)->set_name("main");
  unnamed.set_name("");
  unnamed.mutable_graphs(0)->set_name("main");
  const Compiled compiled = Compile(named);
  EXPECT_EQ(Compile(unnamed).result.key(), compiled.result.key()) << "names are not in the key";
  for (const v1::GraphModule& module : {named, unnamed}) {
    v1::OpenRequest request = LinearOpen();
    *request.mutable_compile() = RequestFor(module);
    v1::OpenResponse opened;
    ASSERT_TRUE(Open(request, opened).ok());
    grpc::ClientContext context;
    v1::ListSessionsResponse list;
    ASSERT_TRUE(sessions_->List(&context, {}, &list).ok());
    ASSERT_EQ(list.sessions_size(), 1);
    EXPECT_EQ(list.sessions(0).module_name(), module.name().empty() ? "main" : "my_network");
    v1::CloseRequest close;
    close.set_handle(opened.handle());
    v1::CloseResponse closed;
    grpc::ClientContext last;
    EXPECT_TRUE(sessions_->Close(&last, close, &closed).ok());
  }
}

TEST_F(SessionTest, LeasesExpire) {
  v1::OpenRequest request = LinearOpen();
  request.set_lease_seconds(1);
  v1::OpenResponse opened;
  ASSERT_TRUE(Open(request, opened).ok());
  EXPECT_EQ(opened.lease_seconds(), 1u);
  ASSERT_TRUE(BecomesEventually("rlxd_sessions{state=\"open\"}", 0));
  v1::RunResponse response;
  EXPECT_EQ(Run(RunWith(opened.handle(), Floats({2, 3}, 1)), response).error_code(),
            grpc::NOT_FOUND);
  EXPECT_EQ(Metric("rlxd_lease_expirations_total"), 1);
}

TEST_F(SessionTest, StreamsAnswerEachRequestWithItsOwnStatus) {
  const std::string handle = OpenLinear();
  grpc::ClientContext context;
  const auto stream = sessions_->RunStream(&context);
  for (uint64_t id = 0; id < 200; ++id) {
    v1::RunStreamRequest request;
    request.set_id(id);
    const bool bad = id % 10 == 3;
    *request.mutable_run() = RunWith(handle, bad ? Floats({9}, 1) : Floats({2, 3}, 1));
    ASSERT_TRUE(stream->Write(request));
  }
  stream->WritesDone();
  std::set<uint64_t> seen;
  v1::RunStreamResponse response;
  while (stream->Read(&response)) {
    seen.insert(response.id());
    const bool bad = response.id() % 10 == 3;
    EXPECT_EQ(response.status().code(), bad ? grpc::INVALID_ARGUMENT : grpc::OK);
    EXPECT_EQ(response.has_run(), !bad);
  }
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(seen.size(), 200u);
}

// Each would take a second or more; each ends in its middle.
TEST_F(SessionTest, ACallerThatLeavesDuringRunsLeavesNothingBehind) {
  v1::OpenRequest open;
  open.set_key(Compile(LongModule(500)).result.key());
  v1::OpenResponse opened;
  ASSERT_TRUE(Open(open, opened).ok());
  for (int round = 1; round <= 3; ++round) {
    grpc::ClientContext context;
    const auto stream = sessions_->RunStream(&context);
    v1::RunStreamRequest request;
    *request.mutable_run() = RunWith(opened.handle(), Floats({1024, 1024}, 0.001f));
    stream->Write(request);
    while (Metric("rlxd_infer_inflight") == 0) std::this_thread::yield();
    context.TryCancel();
    stream->Finish();
    EXPECT_TRUE(BecomesEventually("rlxd_infer_inflight", 0));
    EXPECT_TRUE(BecomesEventually("rlxd_infer_cancelled_total{stage=\"compute\"}", round));
  }
  v1::RunResponse response;
  EXPECT_TRUE(Run(RunWith(OpenLinear(), Floats({2, 3}, 1)), response).ok());
}

// One routine of half a minute and more, which nothing but its own look at the token ends.
TEST_F(SessionTest, ADeadlineEndsARoutineInItsMiddle) {
  constexpr int64_t kOrder = 3500;
  v1::GraphModule module = IdentityModule();
  v1::Graph& graph = *module.mutable_graphs(0);
  graph.clear_nodes();
  AddInput(graph, "input", "a", {kOrder, kOrder});
  AddInput(graph, "input", "b", {kOrder, 1});
  AddNode(graph, "dense_solve", {0, 1});
  graph.mutable_outputs(0)->mutable_value()->set_node(2);
  v1::OpenRequest open;
  *open.mutable_compile() = RequestFor(module);
  v1::OpenResponse opened;
  const grpc::Status open_status = Open(open, opened);
  ASSERT_TRUE(open_status.ok()) << open_status.error_message();
  std::vector<float> a(kOrder * kOrder);
  std::mt19937 rng(5);
  for (float& value : a) value = static_cast<float>(rng() % 1000) * 0.01f - 5;
  v1::RunRequest request = RunWith(opened.handle(), Floats({kOrder, kOrder}, 0));
  request.mutable_inputs(0)->set_name("a");
  request.mutable_inputs(0)->mutable_tensor()->set_data(a.data(), a.size() * sizeof(float));
  request.add_inputs()->set_name("b");
  *request.mutable_inputs(1)->mutable_tensor() = Floats({kOrder, 1}, 1);
  grpc::ClientContext context;
  const auto began = std::chrono::steady_clock::now();
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(2));
  v1::RunResponse response;
  EXPECT_EQ(sessions_->Run(&context, request, &response).error_code(), grpc::DEADLINE_EXCEEDED);
  EXPECT_TRUE(BecomesEventually("rlxd_infer_inflight", 0));
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(15));
  EXPECT_TRUE(BecomesEventually("rlxd_infer_cancelled_total{stage=\"compute\"}", 1));
}

TEST_F(SessionTest, BlobsAreVerifiedResumedAndShared) {
  const std::string bytes(100'000, 'w');
  const std::string digest(Sha256Of(bytes).view());
  v1::WriteResponse response;
  // Half of it, then from where it stands; a wrong place is refused.
  ASSERT_TRUE(Upload(bytes.substr(0, 50'000), digest, 0, response, bytes.size()).ok());
  EXPECT_FALSE(response.complete());
  EXPECT_EQ(response.committed_size(), 50'000u);
  const auto names = [](const grpc::Status& status, const Digest256& blob) {
    return status.error_message().find(Cat("blob ", blob, ": ")) != std::string::npos;
  };
  const grpc::Status elsewhere =
      Upload(bytes.substr(60'000), digest, 60'000, response, bytes.size());
  EXPECT_EQ(elsewhere.error_code(), grpc::OUT_OF_RANGE);
  EXPECT_TRUE(names(elsewhere, Sha256Of(bytes))) << elsewhere.error_message();
  ASSERT_TRUE(Upload(bytes.substr(50'000), digest, 50'000, response, bytes.size()).ok());
  EXPECT_TRUE(response.complete());
  // A digest that lies.
  const std::string lie(32, 'L');
  const grpc::Status lying = Upload("abc", lie, 0, response, 3);
  EXPECT_EQ(lying.error_code(), grpc::INVALID_ARGUMENT);
  std::string hex;
  for (int i = 0; i < 32; ++i) hex += "4c";
  EXPECT_TRUE(names(lying, *Digest256::FromHex(hex))) << lying.error_message();
  // Read back.
  grpc::ClientContext context;
  v1::ReadRequest read;
  read.mutable_blob()->set_sha256(digest);
  read.set_offset(99'990);
  const auto reader = blobs_->Read(&context, read);
  v1::ReadResponse piece;
  std::string got;
  while (reader->Read(&piece)) got += piece.data();
  EXPECT_TRUE(reader->Finish().ok());
  EXPECT_EQ(got, std::string(10, 'w'));
  v1::FindMissingRequest find;
  find.add_blobs()->set_sha256(digest);
  find.add_blobs()->set_sha256(lie);
  v1::FindMissingResponse missing;
  grpc::ClientContext other;
  ASSERT_TRUE(blobs_->FindMissing(&other, find, &missing).ok());
  ASSERT_EQ(missing.missing_size(), 1);
  EXPECT_EQ(missing.missing(0).sha256(), lie);
}

TEST_F(SessionTest, WeightsComeFromSlicesOfABlobAndSurviveARestart) {
  std::string bytes(8 + 16 * sizeof(float), '\0');
  for (size_t i = 0; i < 16; ++i) {
    const float value = i < 12 ? 0.5f : 0.25f;
    std::memcpy(bytes.data() + 8 + i * sizeof value, &value, sizeof value);
  }
  const std::string digest(Sha256Of(bytes).view());
  v1::WriteResponse written;
  ASSERT_TRUE(Upload(bytes, digest, 0, written, bytes.size()).ok());
  Start();
  v1::OpenRequest request;
  request.set_key(Compile(LinearModule(2, 3, 4)).result.key());
  const auto slice = [&](const char* name, std::initializer_list<int64_t> dims, uint64_t offset,
                         uint64_t length) {
    v1::WeightBinding& weight = *request.add_weights();
    weight.set_param(name);
    weight.set_dtype(v1::DTYPE_F32);
    for (int64_t dim : dims) weight.add_shape(dim);
    weight.mutable_blob()->set_sha256(digest);
    weight.mutable_blob()->set_offset(offset);
    weight.mutable_blob()->set_length(length);
  };
  slice("w", {3, 4}, 8, 48);
  slice("b", {4}, 56, 16);
  v1::OpenResponse opened;
  const grpc::Status status = Open(request, opened);
  ASSERT_TRUE(status.ok()) << status.error_message();
  v1::RunResponse response;
  ASSERT_TRUE(Run(RunWith(opened.handle(), Floats({2, 3}, 2)), response).ok());
  EXPECT_NEAR(FirstValue(response), Gelu(3 * 2 * 0.5 + 0.25), 1e-5);
  request.mutable_weights(1)->mutable_blob()->set_length(1000);
  EXPECT_EQ(Open(request, opened).error_code(), grpc::OUT_OF_RANGE);
}

TEST_F(SessionTest, OutputsBeyondAMessageAreRefusedBeforeTheyRun) {
  v1::GraphModule module = IdentityModule();
  v1::Graph& graph = *module.mutable_graphs(0);
  v1::Attribute& shape = *AddNode(graph, "expand", {0}).add_attributes();
  shape.set_name("shape");
  shape.mutable_shape()->add_dims()->set_value(int64_t{1} << 30);
  shape.mutable_shape()->add_dims()->set_value(16);
  graph.mutable_outputs(0)->mutable_value()->set_node(1);
  v1::OpenRequest open;
  const Compiled compiled = Compile(module);
  ASSERT_TRUE(compiled.status.ok()) << compiled.status.error_message();
  open.set_key(compiled.result.key());
  v1::OpenResponse opened;
  ASSERT_TRUE(Open(open, opened).ok());
  v1::RunResponse response;
  const grpc::Status status = Run(RunWith(opened.handle(), Floats({16}, 1)), response);
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_NE(status.error_message().find("max_message_bytes"), std::string::npos);
  EXPECT_TRUE(Serves());
}

TEST_F(SessionTest, ADeviceThatIsNotHereIsSaidSo) {
  v1::CompileRequest request = RequestFor(LinearModule(2, 3, 4));
  request.mutable_spec()->mutable_target()->set_device(v1::DEVICE_TPU);
  v1::OpenRequest open;
  open.set_key(Compile(request).result.key());
  AddWeight(open, "w", {3, 4}, 1);
  AddWeight(open, "b", {4}, 1);
  v1::OpenResponse opened;
  const grpc::Status status = Open(open, opened);
  EXPECT_EQ(status.error_code(), grpc::FAILED_PRECONDITION) << status.error_message();
}

}  // namespace
}  // namespace rlx::server
