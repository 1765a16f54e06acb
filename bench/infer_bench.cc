// SPDX-License-Identifier: Apache-2.0
// What rlxd adds to gRPC by KServe v2: ModelInfer of an identity model on 16 floats against a bare
// service that copies the same message, both in this process, called in turn: by one caller, on one
// stream, and by sixteen callers at once. Prints p50 and p99 of each, and requests a second.
//
//   bench_infer_bench [rounds]
#include <grpcpp/server_builder.h>

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
using inference::ModelStreamInferResponse;
using Clock = std::chrono::steady_clock;

constexpr int kBatch = 200;
constexpr int kCallers = 16;

void Copy(const ModelInferRequest& request, ModelInferResponse& response) {
  response.set_model_name(request.model_name());
  response.set_model_version("1");
  auto& output = *response.add_outputs();
  output.set_name("y");
  output.set_datatype("FP32");
  output.add_shape(16);
  response.add_raw_output_contents(request.raw_input_contents(0));
}

// The peer: what any server built on this gRPC costs.
class Echo final : public GRPCInferenceService::CallbackService {
 public:
  grpc::ServerUnaryReactor* ModelInfer(grpc::CallbackServerContext* context,
                                       const ModelInferRequest* request,
                                       ModelInferResponse* response) override {
    Copy(*request, *response);
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerBidiReactor<ModelInferRequest, ModelStreamInferResponse>* ModelStreamInfer(
      grpc::CallbackServerContext*) override {
    class Stream final
        : public grpc::ServerBidiReactor<ModelInferRequest, ModelStreamInferResponse> {
     public:
      Stream() { StartRead(&request_); }
      void OnReadDone(bool ok) override {
        if (!ok) return Finish(grpc::Status::OK);
        response_.Clear();
        Copy(request_, *response_.mutable_infer_response());
        StartWrite(&response_);
      }
      void OnWriteDone(bool) override { StartRead(&request_); }
      void OnDone() override { delete this; }

     private:
      ModelInferRequest request_;
      ModelStreamInferResponse response_;
    };
    return new Stream;
  }
};

class Caller {
 public:
  explicit Caller(int port)
      : stub_(GRPCInferenceService::NewStub(OwnConnection(port))),
        request_(Zeros("identity", {16})) {}

  void Unary(std::vector<double>& micros) {
    for (int i = 0; i < kBatch; ++i) {
      grpc::ClientContext context;
      ModelInferResponse response;
      const auto start = Clock::now();
      const grpc::Status status = stub_->ModelInfer(&context, request_, &response);
      micros.push_back(SecondsSince(start) * 1e6);
      CHECK(status.ok() && response.outputs_size() == 1, status.error_message());
    }
  }

  void Stream(std::vector<double>& micros) {
    grpc::ClientContext context;
    const auto stream = stub_->ModelStreamInfer(&context);
    ModelStreamInferResponse response;
    for (int i = 0; i < kBatch; ++i) {
      const auto start = Clock::now();
      CHECK(stream->Write(request_) && stream->Read(&response), "the stream broke");
      micros.push_back(SecondsSince(start) * 1e6);
      CHECK(response.infer_response().outputs_size() == 1, response.error_message());
    }
    stream->WritesDone();
    CHECK(stream->Finish().ok(), "the stream failed");
  }

 private:
  std::unique_ptr<GRPCInferenceService::Stub> stub_;
  ModelInferRequest request_;
};

double Quantile(std::vector<double>& values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1))];
}

void Print(const char* what, std::vector<double>& bare, std::vector<double>& ours) {
  const double p50 = Quantile(ours, 0.5), echo50 = Quantile(bare, 0.5);
  std::printf("%s: bare p50 %.1f us, p99 %.1f us; rlxd p50 %.1f us, p99 %.1f us; ratio %.3f\n",
              what, echo50, Quantile(bare, 0.99), p50, Quantile(ours, 0.99), p50 / echo50);
}

void Alone(const char* what, int rounds, int bare_port, int port,
           void (Caller::*call)(std::vector<double>&)) {
  Caller bare(bare_port), ours(port);
  std::vector<double> warm, plain, run;
  (bare.*call)(warm);
  (ours.*call)(warm);
  for (int r = 0; r < rounds; ++r) {
    (bare.*call)(plain);
    (ours.*call)(run);
  }
  Print(what, plain, run);
}

// Requests a second of all callers together.
double Together(int port) {
  std::vector<Caller> callers;
  std::vector<std::vector<double>> micros(kCallers);
  callers.reserve(kCallers);
  for (int i = 0; i < kCallers; ++i) callers.emplace_back(port);
  for (Caller& caller : callers) caller.Unary(micros[0]);
  const auto start = Clock::now();
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kCallers; ++i) {
    threads.emplace_back([&, i] {
      for (int r = 0; r < 5; ++r) callers[i].Unary(micros[i]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return kCallers * 5 * kBatch / SecondsSince(start);
}

int Main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 30;
  const TempDir root;
  CHECK(EnsureDir(root / "identity/1").ok(), "a folder");
  CHECK(WriteFileAtomic(root / "identity/1/module.txt",
                        {"mir \"identity\" {\n %0 = input \"x\" : f32[16]\n output \"y\" = %0\n}"})
            .ok(),
        "a module");
  const Served served(root.path(), {"identity"});
  const int port = served.port();
  Echo echo;
  grpc::ServerBuilder builder;
  int bare_port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &bare_port);
  builder.RegisterService(&echo);
  const auto echo_server = builder.BuildAndStart();

  Alone("unary", rounds, bare_port, port, &Caller::Unary);
  Alone("stream", rounds, bare_port, port, &Caller::Stream);
  const double plain = Together(bare_port), run = Together(port);
  std::printf("%d callers: bare %.0f/s, rlxd %.0f/s; ratio %.3f\n", kCallers, plain, run,
              run / plain);
  echo_server->Shutdown();
  return 0;
}

}  // namespace
}  // namespace rlx::bench

int main(int argc, char** argv) { return rlx::bench::Main(argc, argv); }
