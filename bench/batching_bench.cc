// SPDX-License-Identifier: Apache-2.0
// What dynamic batching brings: a network of two products (1024 to 4096 to 1024, f32), whose 32 MiB
// of weights every run reads, served twice by one daemon, as requests come and in batches of up to
// 16, to 1, 8 and 16 callers of one row each, in turn. Prints requests a second and p50 of both,
// and the rows of a run.
//
//   bench_batching_bench [seconds]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "bench/fma_peak.h"
#include "bench/kserve.h"
#include "runtime/base/check.h"
#include "runtime/base/file.h"
#include "tests/support/temp_dir.h"

namespace rlx::bench {
namespace {

using inference::GRPCInferenceService;
using inference::ModelInferRequest;
using inference::ModelInferResponse;
using Clock = std::chrono::steady_clock;

constexpr int kRounds = 5;
constexpr int64_t kNarrow = 1024, kWide = 4096;
constexpr const char* kNetwork = R"(mir "network" {
  symbol batch in [1, 16]
  %0 = input "x" : f32[batch,1024]
  %1 = param "up" : f32[1024,4096]
  %2 = param "down" : f32[4096,1024]
  %3 = matmul(%0, %1)
  %4 = relu(%3)
  %5 = matmul(%4, %2)
  output "y" = %5
})";

void WriteModel(const TempDir& root, const std::string& name, const std::string& config) {
  const std::vector<float> weights(static_cast<size_t>(kNarrow * kWide), 0.01f);
  const std::string bytes(reinterpret_cast<const char*>(weights.data()), weights.size() * 4);
  const std::string header =
      Cat(R"({"up":{"dtype":"F32","shape":[1024,4096],"data_offsets":[0,)", bytes.size(),
          R"(]},"down":{"dtype":"F32","shape":[4096,1024],"data_offsets":[)", bytes.size(), ",",
          2 * bytes.size(), "]}}");
  const uint64_t length = header.size();
  const std::string file =
      Cat(std::string(reinterpret_cast<const char*>(&length), sizeof length), header, bytes, bytes);
  CHECK(EnsureDir(root / (name + "/1")).ok(), "a folder");
  CHECK(WriteFileAtomic(root / (name + "/1/module.txt"), {kNetwork}).ok(), "a module");
  CHECK(WriteFileAtomic(root / (name + "/1/weights.safetensors"), {file}).ok(), "weights");
  CHECK(WriteFileAtomic(root / (name + "/config.pbtxt"), {config}).ok(), "a config");
}

class Caller {
 public:
  Caller(int port, const std::string& model)
      : stub_(GRPCInferenceService::NewStub(OwnConnection(port))),
        request_(Zeros(model, {1, kNarrow})) {}

  void Until(Clock::time_point end) {
    while (Clock::now() < end) {
      grpc::ClientContext context;
      ModelInferResponse response;
      const auto start = Clock::now();
      const grpc::Status status = stub_->ModelInfer(&context, request_, &response);
      micros.push_back(SecondsSince(start) * 1e6);
      CHECK(status.ok() && response.outputs_size() == 1, status.error_message());
    }
  }

  std::vector<double> micros;

 private:
  std::unique_ptr<GRPCInferenceService::Stub> stub_;
  ModelInferRequest request_;
};

class Load {
 public:
  Load(int port, const std::string& model, int callers) {
    for (int i = 0; i < callers; ++i) callers_.push_back(std::make_unique<Caller>(port, model));
    Round(0.2);
    for (const auto& caller : callers_) caller->micros.clear();
    rates_.clear();
  }

  void Round(double seconds) {
    const size_t before = Requests();
    const auto start = Clock::now();
    const auto end =
        start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    std::vector<std::thread> threads;
    for (const auto& caller : callers_)
      threads.emplace_back([&caller, end] { caller->Until(end); });
    for (std::thread& thread : threads) thread.join();
    rates_.push_back(static_cast<double>(Requests() - before) / SecondsSince(start));
  }

  double Rate() { return Median(rates_); }
  double Latency() const {
    std::vector<double> all;
    for (const auto& caller : callers_) {
      all.insert(all.end(), caller->micros.begin(), caller->micros.end());
    }
    return Median(all);
  }

 private:
  static double Median(std::vector<double> values) {
    std::ranges::sort(values);
    return values[values.size() / 2];
  }
  size_t Requests() const {
    size_t sum = 0;
    for (const auto& caller : callers_) sum += caller->micros.size();
    return sum;
  }

  std::vector<std::unique_ptr<Caller>> callers_;
  std::vector<double> rates_;
};

struct Counts {
  uint64_t inferences = 0, runs = 0;
};

Counts CountsOf(int port, const std::string& model) {
  const auto stub = GRPCInferenceService::NewStub(
      grpc::CreateChannel(Cat("127.0.0.1:", port), grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  inference::ModelStatisticsRequest request;
  request.set_name(model);
  inference::ModelStatisticsResponse response;
  CHECK(stub->ModelStatistics(&context, request, &response).ok(), "statistics");
  return {response.model_stats(0).inference_count(), response.model_stats(0).execution_count()};
}

void Compare(int port, int callers, double seconds) {
  Load alone(port, "alone", callers), together(port, "together", callers);
  const Counts before = CountsOf(port, "together");
  for (int r = 0; r < kRounds; ++r) {
    alone.Round(seconds);
    together.Round(seconds);
  }
  const Counts after = CountsOf(port, "together");
  std::printf(
      "%d callers: alone %.0f/s, p50 %.0f us; in batches %.0f/s, p50 %.0f us, %.1f rows a run; "
      "ratio %.2f\n",
      callers, alone.Rate(), alone.Latency(), together.Rate(), together.Latency(),
      static_cast<double>(after.inferences - before.inferences) /
          static_cast<double>(after.runs - before.runs),
      together.Rate() / alone.Rate());
}

int Main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 2;
  const TempDir root;
  WriteModel(root, "alone", "max_batch_size: 16");
  WriteModel(root, "together", "max_batch_size: 16 dynamic_batching {}");
  const Served served(root.path(), {"alone", "together"});
  const int port = served.port();
  for (int callers : {1, 8, 16}) Compare(port, callers, seconds);
  return 0;
}

}  // namespace
}  // namespace rlx::bench

int main(int argc, char** argv) { return rlx::bench::Main(argc, argv); }
