// SPDX-License-Identifier: Apache-2.0
// What a compile that is in memory already costs through gRPC: the same request for a MiniLM-sized
// encoder again and again, by one caller, and in turn a bare service that streams the same answer.
// Prints what the caller sees of both, and what the daemon's own histogram says of the time between
// receipt and answer.
//
//   bench_compile_hit_bench [rounds]
#include <grpcpp/create_channel.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "backends/cpu/cpu_backend.h"
#include "bench/fma_peak.h"
#include "bench/minilm_module.h"
#include "rlx/v1/compiler.grpc.pb.h"
#include "runtime/wire/module.h"
#include "server/daemon.h"
#include "tests/support/http_get.h"

namespace rlx::bench {
namespace {

constexpr int kBatch = 50;

// The peer: sends one message that is there already.
class Echo final : public v1::Compiler::CallbackService {
 public:
  explicit Echo(v1::CompileEvent answer) : answer_(std::move(answer)) {}
  grpc::ServerWriteReactor<v1::CompileEvent>* Compile(grpc::CallbackServerContext*,
                                                      const v1::CompileRequest*) override {
    class Once final : public grpc::ServerWriteReactor<v1::CompileEvent> {
     public:
      explicit Once(const v1::CompileEvent& answer) {
        StartWriteAndFinish(&answer, {}, grpc::Status::OK);
      }
      void OnDone() override { delete this; }
    };
    return new Once(answer_);
  }

 private:
  const v1::CompileEvent answer_;
};

std::unique_ptr<v1::Compiler::Stub> Connect(int port) {
  return v1::Compiler::NewStub(
      grpc::CreateChannel(Cat("127.0.0.1:", port), grpc::InsecureChannelCredentials()));
}

v1::CompileEvent Compile(v1::Compiler::Stub& stub, const v1::CompileRequest& request) {
  grpc::ClientContext context;
  const auto stream = stub.Compile(&context, request);
  v1::CompileEvent event, last;
  while (stream->Read(&event)) last.Swap(&event);
  const grpc::Status status = stream->Finish();
  CHECK(status.ok() && last.has_result(), status.error_message());
  return last;
}

void Call(v1::Compiler::Stub& stub, const v1::CompileRequest& request,
          std::vector<double>& micros) {
  for (int i = 0; i < kBatch; ++i) {
    const auto start = std::chrono::steady_clock::now();
    Compile(stub, request);
    micros.push_back(SecondsSince(start) * 1e6);
  }
}

double Quantile(std::vector<double>& values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1))];
}

// Sum and count of the daemon's histogram of Compile calls.
std::pair<double, double> Served(int metrics_port) {
  const std::string text = test::HttpGet(metrics_port, "/metrics");
  const auto value = [&](std::string_view name) {
    const std::string sample = Cat("\n", name, "{method=\"Compile\",service=\"Compiler\"} ");
    const size_t at = text.find(sample);
    CHECK(at != text.npos, name);
    return std::atof(text.c_str() + at + sample.size());
  };
  return {value("rlxd_rpc_duration_seconds_sum"), value("rlxd_rpc_duration_seconds_count")};
}

int Main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 40;
  Logger log(LogLevel::kError);
  const auto settings =
      server::ReadSettings({"--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0"});
  CHECK(settings.ok(), Cat(settings.status()));
  device::Registry registry;
  CHECK(registry.Add(cpu::MakeCpuBackend()).ok(), "registry");
  auto daemon = server::Daemon::Start(*settings, std::move(registry), log);
  CHECK(daemon.ok(), Cat(daemon.status()));
  const auto ours = Connect((*daemon)->ports()[0]);

  v1::CompileRequest request;
  request.mutable_spec()->mutable_target()->set_device(v1::DEVICE_CPU);
  wire::ModuleToWire(EncoderModule({}, 1, 128), *request.mutable_spec()->mutable_module());
  Compile(*ours, request);
  Echo echo(Compile(*ours, request));
  grpc::ServerBuilder builder;
  int echo_port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &echo_port);
  builder.RegisterService(&echo);
  const auto echo_server = builder.BuildAndStart();
  const auto bare = Connect(echo_port);

  std::vector<double> warm, hits, plain;
  Call(*ours, request, warm);
  Call(*bare, request, warm);
  const auto before = Served((*daemon)->metrics_port());
  for (int r = 0; r < rounds; ++r) {
    Call(*bare, request, plain);
    Call(*ours, request, hits);
  }
  const auto after = Served((*daemon)->metrics_port());
  const double p50 = Quantile(hits, 0.5), echo50 = Quantile(plain, 0.5);
  std::printf("request %zu bytes, answer %zu bytes\n", request.ByteSizeLong(),
              Compile(*ours, request).ByteSizeLong());
  std::printf("bare stream of the same answer: p50 %.1f us, p99 %.1f us\n", echo50,
              Quantile(plain, 0.99));
  std::printf("memory hit: p50 %.1f us, p99 %.1f us, that is %.1f us more\n", p50,
              Quantile(hits, 0.99), p50 - echo50);
  std::printf("inside the server, mean: %.1f us\n",
              (after.first - before.first) / (after.second - before.second) * 1e6);
  echo_server->Shutdown();
  const std::atomic<bool> now{true};
  (*daemon)->Shutdown(now);
  return 0;
}

}  // namespace
}  // namespace rlx::bench

int main(int argc, char** argv) { return rlx::bench::Main(argc, argv); }
