// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "rlx/v1/admin.grpc.pb.h"
#include "rlx/v1/blobs.grpc.pb.h"
#include "rlx/v1/capabilities.grpc.pb.h"
#include "rlx/v1/compiler.grpc.pb.h"
#include "rlx/v1/devices.grpc.pb.h"
#include "rlx/v1/sessions.grpc.pb.h"
#include "runtime/base/log.h"
#include "server/daemon.h"
#include "tests/support/temp_dir.h"

namespace rlx::server {

// A whole daemon in this process, on a free loopback port, with the CPU back end linked in; and
// stubs to it. Log lines of warnings and errors go to stderr.
class DaemonTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override { Stop(); }

  // Restarts with further flags ("--max_nodes=10"); the cache folder stays. `log` (instead of log_)
  // outlives the daemon.
  void Start(std::vector<std::string> flags = {}, Logger* log = nullptr);
  void Stop();
  bool Serves();  // answers GetCapabilities

  std::string cache_dir() const { return dir_.path() + "/cache"; }
  std::shared_ptr<grpc::Channel> NewChannel() const;
  std::string Metrics() const { return HttpGet("/metrics"); }
  std::string HttpGet(const std::string& path) const;  // the body; empty when it fails
  // Value of the sample "name{labels}" as printed; 0 when it is not there.
  double Metric(const std::string& sample) const;
  // Waits (up to a minute) until the sample has that value.
  bool BecomesEventually(const std::string& sample, double value) const;

  // One compile to its end.
  struct Compiled {
    grpc::Status status;
    v1::CompileResult result;
    std::vector<v1::CompileEvent> progress;
  };
  Compiled Compile(const v1::CompileRequest& request, double deadline_seconds = 60);
  Compiled Compile(const v1::GraphModule& module);
  // Opens a session, runs it once; the status of the first thing that fails.
  grpc::Status Open(const v1::OpenRequest& request, v1::OpenResponse& response);
  grpc::Status Run(const v1::RunRequest& request, v1::RunResponse& response);

  TempDir dir_;
  Logger log_{LogLevel::kError};
  std::unique_ptr<Daemon> daemon_;
  std::unique_ptr<v1::Compiler::Stub> compiler_;
  std::unique_ptr<v1::Sessions::Stub> sessions_;
  std::unique_ptr<v1::Blobs::Stub> blobs_;
  std::unique_ptr<v1::Server::Stub> server_;
  std::unique_ptr<v1::Devices::Stub> devices_;
  std::unique_ptr<v1::Admin::Stub> admin_;
};

// Modules for tests, written as they travel.
v1::Node& AddNode(v1::Graph& graph, const std::string& op,
                  std::initializer_list<uint32_t> operands);
v1::Node& AddInput(v1::Graph& graph, const std::string& op, const std::string& name,
                   std::initializer_list<int64_t> dims, v1::DType dtype = v1::DTYPE_F32);
void AddOutput(v1::Graph& graph, const std::string& name, uint32_t node);
// y = x, 16 floats.
v1::GraphModule IdentityModule();
// y[m,n] = gelu(x[m,k] · w[k,n] + b[n]); w and b are params.
v1::GraphModule LinearModule(int64_t m, int64_t k, int64_t n);
// y = x · x · … · x, so many products of [1024,1024]: a millisecond or a few each.
v1::GraphModule LongModule(uint32_t products);
// y[4,8] = softmax(x): one generated kernel.
v1::GraphModule SoftmaxModule();
v1::CompileRequest RequestFor(v1::GraphModule module);
v1::Tensor Floats(std::initializer_list<int64_t> dims, float value);
void SetInt(v1::Node& node, const std::string& name, int64_t value);

}  // namespace rlx::server
