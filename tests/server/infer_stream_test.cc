// SPDX-License-Identifier: Apache-2.0
// ModelStreamInfer, ModelStatistics, shared memory.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "runtime/base/random.h"
#include "runtime/base/text.h"
#include "tests/server/repository.h"

namespace rlx::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class StreamTest : public RepositoryTest {
 protected:
  void ServeTimes(std::vector<std::string> flags = {}) {
    Write("times/1/module.txt", Times("2"));
    Serve(std::move(flags));
  }
  static Infer Numbered(int number) {
    const auto x = static_cast<float>(number);
    Infer request = Request("times", {x, x, x, x}, {4});
    request.set_id(Cat(number));
    return request;
  }
};

TEST_F(StreamTest, EveryRequestHasItsAnswer) {
  ServeTimes();
  grpc::ClientContext context;
  const auto stream = stub_->ModelStreamInfer(&context);
  constexpr int kRequests = 200;
  std::thread writer([&] {
    for (int i = 0; i < kRequests; ++i) {
      Infer request = Numbered(i);
      if (i % 10 == 3) request.set_model_name("other");
      stream->Write(request);
    }
    stream->WritesDone();
  });
  std::set<int> answered, failed;
  inference::ModelStreamInferResponse response;
  while (stream->Read(&response)) {
    const int id = std::atoi(response.infer_response().id().c_str());
    if (!response.error_message().empty()) {
      EXPECT_EQ(response.error_message(), "Request for unknown model: 'other' is not found");
      failed.insert(id);
      continue;
    }
    answered.insert(id);
    EXPECT_EQ(FloatsOf(response.infer_response().raw_output_contents(0))[0],
              2 * static_cast<float>(id));
    EXPECT_TRUE(response.infer_response().parameters().at("triton_final_response").bool_param());
  }
  writer.join();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(answered.size(), kRequests * 9 / 10);
  EXPECT_EQ(failed.size(), kRequests / 10);
  EXPECT_EQ(Metric("rlxd_rpc_requests_total{code=\"NOT_FOUND\",method=\"ModelInfer\",service="
                   "\"GRPCInferenceService\"}"),
            kRequests / 10);
}

TEST_F(StreamTest, AStatusEndsTheStreamWhereThatIsAskedFor) {
  ServeTimes();
  grpc::ClientContext context;
  context.AddMetadata("triton_grpc_error", "true");
  const auto stream = stub_->ModelStreamInfer(&context);
  stream->Write(Numbered(1));
  inference::ModelStreamInferResponse response;
  ASSERT_TRUE(stream->Read(&response));
  Infer bad = Numbered(2);
  bad.set_model_name("other");
  stream->Write(bad);
  EXPECT_FALSE(stream->Read(&response)) << "without WritesDone";
  EXPECT_EQ(stream->Finish().error_code(), grpc::NOT_FOUND);
  EXPECT_TRUE(Serves());
}

TEST_F(StreamTest, AStreamThatIsOpenAtTheEndHearsOfIt) {
  ServeTimes();
  grpc::ClientContext context;
  const auto stream = stub_->ModelStreamInfer(&context);
  stream->Write(Numbered(1));
  inference::ModelStreamInferResponse response;
  ASSERT_TRUE(stream->Read(&response));
  std::thread end([&] { Stop(); });
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_EQ(stream->Finish().error_code(), grpc::UNAVAILABLE);
  end.join();
}

TEST_F(StreamTest, StatisticsCountWhatWasDone) {
  Write("times/1/module.txt", Times("2"));
  Write("times/2/module.txt", Times("3"));
  Write("times/config.pbtxt", "version_policy { all {} }");
  Serve();
  Answer answer;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Call(Numbered(i), answer).ok());
  EXPECT_FALSE(Call(Request("times", {1}, {1}), answer).ok());
  const auto statistics = [&](const std::string& name, const std::string& version) {
    grpc::ClientContext context;
    inference::ModelStatisticsRequest request;
    request.set_name(name);
    request.set_version(version);
    inference::ModelStatisticsResponse response;
    EXPECT_TRUE(stub_->ModelStatistics(&context, request, &response).ok());
    return response;
  };
  EXPECT_EQ(statistics("", "").model_stats_size(), 2);
  EXPECT_EQ(statistics("times", "").model_stats_size(), 2);
  const auto response = statistics("times", "2");
  ASSERT_EQ(response.model_stats_size(), 1);
  const inference::ModelStatistics& stats = response.model_stats(0);
  EXPECT_EQ(stats.version(), "2");
  EXPECT_EQ(stats.inference_count(), 3u) << "the warm-up is not a request";
  EXPECT_EQ(stats.execution_count(), 3u);
  EXPECT_GT(stats.last_inference(), 1'700'000'000'000u);
  EXPECT_EQ(stats.inference_stats().success().count(), 3u);
  EXPECT_GT(stats.inference_stats().success().ns(), 0u);
  EXPECT_EQ(stats.inference_stats().fail().count(), 1u);
  EXPECT_EQ(stats.inference_stats().compute_infer().count(), 3u);
  EXPECT_EQ(Metric("rlxd_model_infer_total{model=\"times\",result=\"ok\",version=\"2\"}"), 3);
  EXPECT_EQ(Metric("rlxd_model_infer_total{model=\"times\",result=\"error\",version=\"2\"}"), 1);
  EXPECT_EQ(Metric("rlxd_model_infer_total{model=\"times\",result=\"ok\",version=\"1\"}"), 0);
}

// perf_analyzer ends with an error when they are not.
TEST_F(StreamTest, StatisticsOfABusyModelAgreeWithEachOther) {
  ServeTimes();
  std::atomic<bool> done{false};
  std::vector<std::thread> callers;
  for (int c = 0; c < 3; ++c) {
    callers.emplace_back([&] {
      Answer answer;
      while (!done) EXPECT_TRUE(Call(Numbered(1), answer).ok());
    });
  }
  uint64_t last = 0;
  for (int i = 0; i < 2000; ++i) {
    grpc::ClientContext context;
    inference::ModelStatisticsResponse response;
    ASSERT_TRUE(stub_->ModelStatistics(&context, {}, &response).ok());
    const inference::InferStatistics& stats = response.model_stats(0).inference_stats();
    EXPECT_EQ(stats.compute_input().count(), stats.compute_infer().count());
    EXPECT_EQ(stats.compute_output().count(), stats.compute_infer().count());
    EXPECT_EQ(stats.queue().count(), stats.compute_infer().count());
    last = stats.compute_infer().count();
  }
  done = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_GT(last, 0u);
}

// A region of this process, gone with it.
class Region {
 public:
  explicit Region(size_t bytes) : key_(Cat("/rlxd-test-", RandomId::New())), bytes_(bytes) {
    fd_ = shm_open(key_.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    EXPECT_GE(fd_, 0);
    Resize(bytes);
    memory_ = static_cast<float*>(mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0));
  }
  ~Region() {
    munmap(memory_, bytes_);
    close(fd_);
    shm_unlink(key_.c_str());
  }
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  void Resize(size_t bytes) { EXPECT_EQ(ftruncate(fd_, static_cast<off_t>(bytes)), 0); }
  const std::string& key() const { return key_; }
  float* floats() { return memory_; }

 private:
  const std::string key_;
  const size_t bytes_;
  int fd_ = -1;
  float* memory_ = nullptr;
};

class SharedMemoryTest : public StreamTest {
 protected:
  grpc::Status Register(const std::string& name, const std::string& key, uint64_t offset,
                        uint64_t bytes) {
    grpc::ClientContext context;
    inference::SystemSharedMemoryRegisterRequest request;
    request.set_name(name);
    request.set_key(key);
    request.set_offset(offset);
    request.set_byte_size(bytes);
    inference::SystemSharedMemoryRegisterResponse response;
    return stub_->SystemSharedMemoryRegister(&context, request, &response);
  }
  grpc::Status Unregister(const std::string& name) {
    grpc::ClientContext context;
    inference::SystemSharedMemoryUnregisterRequest request;
    request.set_name(name);
    inference::SystemSharedMemoryUnregisterResponse response;
    return stub_->SystemSharedMemoryUnregister(&context, request, &response);
  }
  std::map<std::string, uint64_t> Regions() {
    grpc::ClientContext context;
    inference::SystemSharedMemoryStatusResponse response;
    EXPECT_TRUE(stub_->SystemSharedMemoryStatus(&context, {}, &response).ok());
    std::map<std::string, uint64_t> out;
    for (const auto& [name, region] : response.regions()) out[name] = region.byte_size();
    return out;
  }
  static void Place(google::protobuf::Map<std::string, inference::InferParameter>& parameters,
                    const std::string& region, int64_t offset, int64_t bytes) {
    parameters["shared_memory_region"].set_string_param(region);
    parameters["shared_memory_byte_size"].set_int64_param(bytes);
    if (offset != 0) parameters["shared_memory_offset"].set_int64_param(offset);
  }
  // x at the region's 16th byte, y at its 32nd.
  static Infer Shared(const std::string& region) {
    Infer request = Request("times", {}, {4});
    request.clear_raw_input_contents();
    Place(*request.mutable_inputs(0)->mutable_parameters(), region, 16, 16);
    auto& output = *request.add_outputs();
    output.set_name("y");
    Place(*output.mutable_parameters(), region, 32, 16);
    return request;
  }
};

TEST_F(SharedMemoryTest, IsOffUnlessTheOperatorWantsIt) {
  ServeTimes();
  Region region(64);
  EXPECT_EQ(Register("r", region.key(), 0, 64).error_code(), grpc::UNIMPLEMENTED);
  EXPECT_EQ(Unregister("r").error_code(), grpc::UNIMPLEMENTED);
  Answer answer;
  EXPECT_EQ(Call(Shared("r"), answer).error_code(), grpc::UNIMPLEMENTED);
}

TEST_F(SharedMemoryTest, OfCudaThereIsNone) {
  ServeTimes();
  grpc::ClientContext status, add, remove;
  inference::CudaSharedMemoryStatusResponse regions;
  EXPECT_TRUE(stub_->CudaSharedMemoryStatus(&status, {}, &regions).ok());
  EXPECT_TRUE(regions.regions().empty());
  inference::CudaSharedMemoryRegisterResponse added;
  EXPECT_EQ(stub_->CudaSharedMemoryRegister(&add, {}, &added).error_code(), grpc::UNIMPLEMENTED);
  inference::CudaSharedMemoryUnregisterResponse removed;
  EXPECT_TRUE(stub_->CudaSharedMemoryUnregister(&remove, {}, &removed).ok());
}

TEST_F(SharedMemoryTest, CarriesTensorsBothWays) {
  ServeTimes({"--system_shared_memory"});
  Region region(64);
  for (int i = 0; i < 16; ++i) region.floats()[i] = static_cast<float>(i);
  ASSERT_TRUE(Register("r", region.key(), 0, 64).ok());
  EXPECT_EQ(Regions(), (std::map<std::string, uint64_t>{{"r", 64}}));
  Answer answer;
  const grpc::Status status = Call(Shared("r"), answer);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_THAT(std::vector<float>(region.floats() + 8, region.floats() + 12),
              ElementsAre(8, 10, 12, 14));
  EXPECT_EQ(region.floats()[12], 12) << "beyond the output";
  EXPECT_EQ(answer.raw_output_contents(0), "");
  const auto& parameters = answer.outputs(0).parameters();
  EXPECT_EQ(parameters.at("shared_memory_region").string_param(), "r");
  EXPECT_EQ(parameters.at("shared_memory_byte_size").int64_param(), 16);
  EXPECT_EQ(parameters.at("shared_memory_offset").int64_param(), 32);
  ASSERT_TRUE(Unregister("").ok());
  EXPECT_TRUE(Regions().empty());
  EXPECT_EQ(Call(Shared("r"), answer).error_code(), grpc::NOT_FOUND);
}

TEST_F(SharedMemoryTest, BelongsToItsOwnerAgainOnceTheRequestWaits) {
  Write("times/1/module.txt", R"(mir "times" {
  symbol batch in [1, 8]
  %0 = input "x" : f32[batch,4]
  %1 = add(%0, %0)
  output "y" = %1
})");
  Write("times/config.pbtxt",
        "max_batch_size: 8 dynamic_batching { preferred_batch_size: 2 "
        "max_queue_delay_microseconds: 600000000 }");
  Serve({"--system_shared_memory"});
  Answer first;
  std::thread caller;
  {
    Region region(64);
    for (int i = 0; i < 16; ++i) region.floats()[i] = static_cast<float>(i);
    ASSERT_TRUE(Register("r", region.key(), 0, 64).ok());
    Infer request = Request("times", {}, {1, 4});
    request.clear_raw_input_contents();
    Place(*request.mutable_inputs(0)->mutable_parameters(), "r", 16, 16);
    caller = std::thread([this, request, &first] { EXPECT_TRUE(Call(request, first).ok()); });
    EXPECT_TRUE(BecomesEventually("rlxd_model_pending{model=\"times\",version=\"1\"}", 1));
    std::fill_n(region.floats(), 16, -1.0f);
    EXPECT_TRUE(Unregister("r").ok());
  }
  EXPECT_THAT(Run(Request("times", {1, 2, 3, 4}, {1, 4})), ElementsAre(2, 4, 6, 8));
  caller.join();
  EXPECT_THAT(FloatsOf(first.raw_output_contents(0)), ElementsAre(8, 10, 12, 14));
}

TEST_F(SharedMemoryTest, WhatDoesNotFitIsRefused) {
  ServeTimes({"--system_shared_memory"});
  Region region(64);
  ASSERT_TRUE(Register("r", region.key(), 16, 48).ok());
  EXPECT_EQ(Register("r", region.key(), 0, 8).error_code(), grpc::ALREADY_EXISTS);
  EXPECT_EQ(Register("s", region.key(), 0, 65).error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(Register("s", region.key(), 64, 1).error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(Register("s", region.key(), UINT64_MAX, 2).error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(Register("s", region.key(), 0, 0).error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(Register("", region.key(), 0, 64).error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(Register("s", "/nothing-of-that-name", 0, 64).error_code(), grpc::NOT_FOUND);
  for (const char* key : {"", "/", "/..", "/../etc/passwd", "/a/b", "//a", "/a b"}) {
    EXPECT_EQ(Register("s", key, 0, 64).error_code(), grpc::INVALID_ARGUMENT) << key;
  }
  struct Case {
    std::function<void(Infer&)> change;
    grpc::StatusCode code;
    std::string words;
  };
  const auto input = [](Infer& r) -> auto& { return *r.mutable_inputs(0)->mutable_parameters(); };
  const auto output = [](Infer& r) -> auto& { return *r.mutable_outputs(0)->mutable_parameters(); };
  const Case cases[] = {
      {[&](Infer& r) { Place(input(r), "other", 0, 16); }, grpc::NOT_FOUND, "'other'"},
      {[&](Infer& r) { Place(input(r), "r", 40, 16); }, grpc::INVALID_ARGUMENT,
       "Invalid offset or size"},
      {[&](Infer& r) { Place(input(r), "r", -1, 16); }, grpc::INVALID_ARGUMENT, "below 0"},
      {[&](Infer& r) { Place(input(r), "r", INT64_MAX, 16); }, grpc::INVALID_ARGUMENT,
       "Invalid offset or size"},
      {[&](Infer& r) { Place(input(r), "r", 0, 12); }, grpc::INVALID_ARGUMENT,
       "Expected 16, got 12"},
      {[&](Infer& r) { input(r).erase("shared_memory_byte_size"); }, grpc::INVALID_ARGUMENT,
       "must be specified along with"},
      {[&](Infer& r) { input(r)["shared_memory_region"].set_int64_param(1); },
       grpc::INVALID_ARGUMENT, "invalid value type for 'shared_memory_region'"},
      {[&](Infer& r) { r.mutable_inputs(0)->mutable_contents()->add_fp32_contents(1); },
       grpc::INVALID_ARGUMENT, "unexpected 'content' provided"},
      {[&](Infer& r) { r.add_raw_input_contents(std::string(16, 'x')); }, grpc::INVALID_ARGUMENT,
       "expected 0 raw_input_contents"},
      {[&](Infer& r) { Place(output(r), "r", 32, 12); }, grpc::INVALID_ARGUMENT,
       "should be at least 16 bytes"},
      {[&](Infer& r) { Place(output(r), "other", 0, 16); }, grpc::NOT_FOUND, "'other'"},
  };
  for (const Case& wrong : cases) {
    SCOPED_TRACE(wrong.words);
    Infer request = Shared("r");
    wrong.change(request);
    Answer answer;
    const grpc::Status status = Call(request, answer);
    EXPECT_EQ(status.error_code(), wrong.code) << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(wrong.words));
  }
  Answer answer;
  EXPECT_TRUE(Call(Shared("r"), answer).ok());
}

// Mapping it would end the process.
TEST_F(SharedMemoryTest, ARegionThatShrinksHarmsNobody) {
  ServeTimes({"--system_shared_memory"});
  Region region(64);
  ASSERT_TRUE(Register("r", region.key(), 0, 64).ok());
  region.Resize(20);
  Answer answer;
  grpc::Status status = Call(Shared("r"), answer);
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT) << status.error_message();
  EXPECT_THAT(status.error_message(), HasSubstr("has become shorter"));
  region.Resize(32);  // enough for the input alone
  status = Call(Shared("r"), answer);
  EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT) << status.error_message();
  EXPECT_THAT(status.error_message(), StartsWith("shared memory region 'r' has become shorter"));
  region.Resize(64);
  EXPECT_TRUE(Call(Shared("r"), answer).ok());
}

// Sparse memory of any size costs its maker nothing: it is not copied beyond the limit.
TEST_F(SharedMemoryTest, CopiesNoMoreThanAMessage) {
  Write("any/1/module.txt",
        "mir \"any\" {\n symbol n in [1, 268435456]\n %0 = input \"x\" : f32[n]\n"
        " %1 = reduce_sum(%0) {axes = [0]}\n output \"y\" = %1\n}");
  Serve({"--system_shared_memory", "--max_message_bytes=1048576", "--nostrict_readiness"});
  Region region(int64_t{1} << 30);
  ASSERT_TRUE(Register("r", region.key(), 0, int64_t{1} << 30).ok());
  Infer request = Request("any", {}, {int64_t{1} << 28});
  request.clear_raw_input_contents();
  Place(*request.mutable_inputs(0)->mutable_parameters(), "r", 0, int64_t{1} << 30);
  Answer answer;
  const grpc::Status status = Call(request, answer);
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED) << status.error_message();
  EXPECT_THAT(status.error_message(), HasSubstr("max_message_bytes"));
}

}  // namespace
}  // namespace rlx::server
