// SPDX-License-Identifier: Apache-2.0
#include "tests/server/fixture.h"

#include <grpc/support/log.h>

#include <chrono>
#include <thread>

#include "backends/cpu/cpu_backend.h"
#include "runtime/base/clock.h"
#include "runtime/base/text.h"
#include "tests/support/http_get.h"

namespace rlx::server {

void DaemonTest::SetUp() {
  gpr_set_log_function([](gpr_log_func_args*) {});  // what closing ports does to gRPC
  Start();
}

void DaemonTest::Start(std::vector<std::string> flags, Logger* log) {
  Stop();
  flags.insert(flags.begin(), {"--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0",
                               "--cache_dir=" + cache_dir(), "--threads=2"});
  const auto settings = ReadSettings(flags);
  ASSERT_TRUE(settings.ok()) << Cat(settings.status());
  device::Registry registry;
  ASSERT_TRUE(registry.Add(cpu::MakeCpuBackend()).ok());
  auto daemon = Daemon::Start(*settings, std::move(registry), log == nullptr ? log_ : *log);
  ASSERT_TRUE(daemon.ok()) << Cat(daemon.status());
  daemon_ = *std::move(daemon);
  const auto channel = NewChannel();
  compiler_ = v1::Compiler::NewStub(channel);
  sessions_ = v1::Sessions::NewStub(channel);
  blobs_ = v1::Blobs::NewStub(channel);
  server_ = v1::Server::NewStub(channel);
  devices_ = v1::Devices::NewStub(channel);
  admin_ = v1::Admin::NewStub(channel);
}

void DaemonTest::Stop() {
  if (daemon_ == nullptr) return;
  const std::atomic<bool> now{false};
  daemon_->Shutdown(now);
  daemon_.reset();
}

bool DaemonTest::Serves() {
  grpc::ClientContext context;
  v1::GetCapabilitiesResponse response;
  return server_->GetCapabilities(&context, {}, &response).ok();
}

std::shared_ptr<grpc::Channel> DaemonTest::NewChannel() const {
  grpc::ChannelArguments arguments;
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
  return grpc::CreateCustomChannel(Cat("127.0.0.1:", daemon_->ports()[0]),
                                   grpc::InsecureChannelCredentials(), arguments);
}

std::string DaemonTest::HttpGet(const std::string& path) const {
  return test::HttpGet(daemon_->metrics_port(), path);
}

double DaemonTest::Metric(const std::string& sample) const {
  const std::string text = "\n" + Metrics();
  EXPECT_GT(text.size(), 1u) << "no metrics";
  const size_t at = text.find("\n" + sample + " ");
  return at == text.npos ? 0 : std::atof(text.c_str() + at + sample.size() + 2);
}

bool DaemonTest::BecomesEventually(const std::string& sample, double value) const {
  const double until = MonotonicSeconds() + 60;
  while (Metric(sample) != value) {
    if (MonotonicSeconds() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

DaemonTest::Compiled DaemonTest::Compile(const v1::CompileRequest& request,
                                         double deadline_seconds) {
  Compiled out;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::milliseconds(static_cast<int64_t>(deadline_seconds * 1e3)));
  const auto stream = compiler_->Compile(&context, request);
  v1::CompileEvent event;
  while (stream->Read(&event)) {
    if (event.has_result()) {
      out.result = event.result();
    } else {
      out.progress.push_back(event);
    }
  }
  out.status = stream->Finish();
  return out;
}

DaemonTest::Compiled DaemonTest::Compile(const v1::GraphModule& module) {
  return Compile(RequestFor(module));
}

grpc::Status DaemonTest::Open(const v1::OpenRequest& request, v1::OpenResponse& response) {
  grpc::ClientContext context;
  return sessions_->Open(&context, request, &response);
}

grpc::Status DaemonTest::Run(const v1::RunRequest& request, v1::RunResponse& response) {
  grpc::ClientContext context;
  return sessions_->Run(&context, request, &response);
}

v1::Node& AddNode(v1::Graph& graph, const std::string& op,
                  std::initializer_list<uint32_t> operands) {
  v1::Node& node = *graph.add_nodes();
  node.set_op(op);
  for (uint32_t operand : operands) node.add_operands()->set_node(operand);
  return node;
}

v1::Node& AddInput(v1::Graph& graph, const std::string& op, const std::string& name,
                   std::initializer_list<int64_t> dims, v1::DType dtype) {
  v1::Node& node = AddNode(graph, op, {});
  node.set_name(name);
  v1::TensorType& type = *node.add_results();
  type.set_dtype(dtype);
  for (int64_t dim : dims) type.add_dims()->set_value(dim);
  return node;
}

void AddOutput(v1::Graph& graph, const std::string& name, uint32_t node) {
  v1::Output& output = *graph.add_outputs();
  output.set_name(name);
  output.mutable_value()->set_node(node);
}

v1::GraphModule IdentityModule() {
  v1::GraphModule module;
  module.set_name("identity");
  module.set_stage(v1::STAGE_MIR);
  v1::Graph& graph = *module.add_graphs();
  AddInput(graph, "input", "x", {16});
  AddOutput(graph, "y", 0);
  return module;
}

v1::GraphModule LinearModule(int64_t m, int64_t k, int64_t n) {
  v1::GraphModule module;
  module.set_name("linear");
  module.set_stage(v1::STAGE_MIR);
  v1::Graph& graph = *module.add_graphs();
  AddInput(graph, "input", "x", {m, k});
  AddInput(graph, "param", "w", {k, n});
  AddInput(graph, "param", "b", {n});
  AddNode(graph, "matmul", {0, 1});
  AddNode(graph, "add", {3, 2});
  AddNode(graph, "gelu", {4});
  AddOutput(graph, "y", 5);
  return module;
}

v1::GraphModule LongModule(uint32_t products) {
  v1::GraphModule module;
  module.set_name("long");
  module.set_stage(v1::STAGE_MIR);
  v1::Graph& graph = *module.add_graphs();
  AddInput(graph, "input", "x", {1024, 1024});
  for (uint32_t n = 0; n < products; ++n) AddNode(graph, "matmul", {n, 0});
  AddOutput(graph, "y", products);
  return module;
}

v1::GraphModule SoftmaxModule() {
  v1::GraphModule module = LinearModule(4, 8, 8);
  module.set_name("soft");
  v1::Graph& graph = *module.mutable_graphs(0);
  graph.clear_nodes();
  graph.clear_outputs();
  AddInput(graph, "input", "x", {4, 8});
  SetInt(AddNode(graph, "softmax", {0}), "axis", 1);
  AddOutput(graph, "y", 1);
  return module;
}

v1::CompileRequest RequestFor(v1::GraphModule module) {
  v1::CompileRequest request;
  *request.mutable_spec()->mutable_module() = std::move(module);
  request.mutable_spec()->mutable_target()->set_device(v1::DEVICE_CPU);
  return request;
}

v1::Tensor Floats(std::initializer_list<int64_t> dims, float value) {
  v1::Tensor tensor;
  tensor.set_dtype(v1::DTYPE_F32);
  int64_t count = 1;
  for (int64_t dim : dims) {
    tensor.add_shape(dim);
    count *= dim;
  }
  const std::vector<float> values(static_cast<size_t>(count), value);
  tensor.set_data(values.data(), values.size() * sizeof(float));
  return tensor;
}

void SetInt(v1::Node& node, const std::string& name, int64_t value) {
  v1::Attribute& attribute = *node.add_attributes();
  attribute.set_name(name);
  attribute.set_i(value);
}

}  // namespace rlx::server
