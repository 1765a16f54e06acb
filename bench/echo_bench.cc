// SPDX-License-Identifier: Apache-2.0
// What rlxd adds to gRPC: Run of an identity graph on 16 floats against a bare service that copies
// the same messages, both in this process, called in turn by one caller. Prints p50 and p99 of each
// and the ratio.
//
//   bench_echo_bench [rounds]
#include <grpcpp/create_channel.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "backends/cpu/cpu_backend.h"
#include "bench/fma_peak.h"
#include "rlx/v1/compiler.grpc.pb.h"
#include "rlx/v1/sessions.grpc.pb.h"
#include "runtime/base/check.h"
#include "server/daemon.h"

namespace rlx::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kBatch = 200;

// The peer: what any server built on this gRPC costs.
class Echo final : public v1::Sessions::CallbackService {
 public:
  grpc::ServerUnaryReactor* Run(grpc::CallbackServerContext* context, const v1::RunRequest* request,
                                v1::RunResponse* response) override {
    for (const v1::NamedTensor& input : request->inputs()) *response->add_outputs() = input;
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

std::unique_ptr<v1::Sessions::Stub> Connect(int port) {
  return v1::Sessions::NewStub(
      grpc::CreateChannel(Cat("127.0.0.1:", port), grpc::InsecureChannelCredentials()));
}

v1::RunRequest Request(const std::string& handle) {
  v1::RunRequest request;
  request.set_handle(handle);
  v1::NamedTensor& input = *request.add_inputs();
  input.set_name("x");
  input.mutable_tensor()->set_dtype(v1::DTYPE_F32);
  input.mutable_tensor()->add_shape(16);
  input.mutable_tensor()->set_data(std::string(64, '\0'));
  return request;
}

void Call(v1::Sessions::Stub& stub, const v1::RunRequest& request, std::vector<double>& micros) {
  for (int i = 0; i < kBatch; ++i) {
    grpc::ClientContext context;
    v1::RunResponse response;
    const auto start = Clock::now();
    const grpc::Status status = stub.Run(&context, request, &response);
    micros.push_back(SecondsSince(start) * 1e6);
    CHECK(status.ok() && response.outputs_size() == 1, status.error_message());
  }
}

double Quantile(std::vector<double>& values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1))];
}

std::string OpenIdentity(int port) {
  const auto channel =
      grpc::CreateChannel(Cat("127.0.0.1:", port), grpc::InsecureChannelCredentials());
  v1::OpenRequest open;
  v1::CompileSpec& spec = *open.mutable_compile()->mutable_spec();
  spec.mutable_target()->set_device(v1::DEVICE_CPU);
  v1::GraphModule& module = *spec.mutable_module();
  module.set_stage(v1::STAGE_MIR);
  v1::Graph& graph = *module.add_graphs();
  v1::Node& x = *graph.add_nodes();
  x.set_op("input");
  x.set_name("x");
  x.add_results()->set_dtype(v1::DTYPE_F32);
  x.mutable_results(0)->add_dims()->set_value(16);
  graph.add_outputs()->set_name("y");
  v1::OpenResponse opened;
  grpc::ClientContext context;
  const grpc::Status status = v1::Sessions::NewStub(channel)->Open(&context, open, &opened);
  CHECK(status.ok(), status.error_message());
  return opened.handle();
}

int Main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 30;
  Logger log(LogLevel::kError);
  const auto settings = server::ReadSettings({"--listen=127.0.0.1:0", "--metrics_listen="});
  CHECK(settings.ok(), Cat(settings.status()));
  device::Registry registry;
  CHECK(registry.Add(cpu::MakeCpuBackend()).ok(), "registry");
  auto daemon = server::Daemon::Start(*settings, std::move(registry), log);
  CHECK(daemon.ok(), Cat(daemon.status()));
  Echo echo;
  grpc::ServerBuilder builder;
  int echo_port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &echo_port);
  builder.RegisterService(&echo);
  const auto echo_server = builder.BuildAndStart();

  const int port = (*daemon)->ports()[0];
  const v1::RunRequest request = Request(OpenIdentity(port));
  const auto ours = Connect(port), bare = Connect(echo_port);
  std::vector<double> warm, run, plain;
  Call(*ours, request, warm);
  Call(*bare, request, warm);
  for (int r = 0; r < rounds; ++r) {
    Call(*bare, request, plain);
    Call(*ours, request, run);
  }
  const double p50 = Quantile(run, 0.5), echo50 = Quantile(plain, 0.5);
  std::printf("bare echo p50 %.1f us, p99 %.1f us\n", echo50, Quantile(plain, 0.99));
  std::printf("rlxd Run  p50 %.1f us, p99 %.1f us\n", p50, Quantile(run, 0.99));
  std::printf("ratio of p50: %.3f\n", p50 / echo50);
  echo_server->Shutdown();
  const std::atomic<bool> now{true};
  (*daemon)->Shutdown(now);
  return 0;
}

}  // namespace
}  // namespace rlx::bench

int main(int argc, char** argv) { return rlx::bench::Main(argc, argv); }
