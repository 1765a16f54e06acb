// SPDX-License-Identifier: Apache-2.0
// Deadlines as the server keeps them. A client gives up by its own clock, so its status says
// nothing: what the server did with the call stands in its counters.
#include <grpcpp/server_builder.h>

#include <future>
#include <thread>

#include "backends/cpu/cpu_backend.h"
#include "server/compiler_service.h"
#include "server/session_service.h"
#include "tests/server/fixture.h"

namespace rlx::server {
namespace {

// The services over an executor of one thread, which a test can keep busy.
class DeadlineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    device::Registry registry;
    ASSERT_TRUE(registry.Add(cpu::MakeCpuBackend()).ok());
    auto engine = engine::Engine::Create({.threads = 2}, std::move(registry), metrics_.get());
    ASSERT_TRUE(engine.ok());
    engine_ = *std::move(engine);
    frontend_.reset(new Frontend{*engine_, *metrics_, *executor_, log_});
    compiler_service_ = std::make_unique<CompilerService>(*frontend_);
    session_service_ = std::make_unique<SessionService>(*frontend_);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(compiler_service_.get());
    builder.RegisterService(session_service_.get());
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    const auto channel =
        grpc::CreateChannel(Cat("127.0.0.1:", port), grpc::InsecureChannelCredentials());
    compiler_ = v1::Compiler::NewStub(channel);
    sessions_ = v1::Sessions::NewStub(channel);
  }
  void TearDown() override {
    if (server_ != nullptr) server_->Shutdown();
    executor_.reset();  // its threads may hold the last of a call, which uses the frontend
  }

  double Metric(const std::string& sample) const {
    const std::string text = metrics_->Render();
    const size_t at = text.find("\n" + sample + " ");
    return at == text.npos ? 0 : std::atof(text.c_str() + at + sample.size() + 2);
  }
  double Answered(const std::string& method, const std::string& service) const {
    double all = 0;
    for (const char* code : {"OK", "CANCELLED", "DEADLINE_EXCEEDED"}) {
      all += Metric(Requests(method, service, code));
    }
    return all;
  }
  static std::string Requests(const std::string& method, const std::string& service,
                              const std::string& code) {
    return Cat("rlxd_rpc_requests_total{code=\"", code, "\",method=\"", method, "\",service=\"",
               service, "\"}");
  }
  static void Give(grpc::ClientContext& context, int milliseconds) {
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::milliseconds(milliseconds));
  }
  grpc::Status Compile(const v1::CompileRequest& request, int milliseconds) {
    grpc::ClientContext context;
    Give(context, milliseconds);
    const auto stream = compiler_->Compile(&context, request);
    v1::CompileEvent event;
    while (stream->Read(&event)) {
    }
    return stream->Finish();
  }

  static constexpr size_t kWaiting = 100;
  Logger log_{LogLevel::kError};
  std::unique_ptr<Metrics> metrics_ = Metrics::Create();
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<Executor> executor_ = std::make_unique<Executor>(1, kWaiting);
  std::unique_ptr<Frontend> frontend_;
  std::unique_ptr<CompilerService> compiler_service_;
  std::unique_ptr<SessionService> session_service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::Compiler::Stub> compiler_;
  std::unique_ptr<v1::Sessions::Stub> sessions_;
};

TEST_F(DeadlineTest, WhatWaitedPastItsDeadlineIsNotBegun) {
  std::promise<void> free;
  ASSERT_TRUE(executor_->Submit([busy = free.get_future().share()] { busy.wait(); }));
  const v1::CompileRequest compile = RequestFor(LinearModule(2, 3, 4));
  std::thread compiling(
      [&] { EXPECT_EQ(Compile(compile, 300).error_code(), grpc::DEADLINE_EXCEEDED); });
  std::thread opening([&] {
    v1::OpenRequest open;
    *open.mutable_compile() = compile;
    grpc::ClientContext context;
    Give(context, 300);
    v1::OpenResponse opened;
    EXPECT_EQ(sessions_->Open(&context, open, &opened).error_code(), grpc::DEADLINE_EXCEEDED);
  });
  compiling.join();
  opening.join();
  EXPECT_EQ(Answered("Compile", "Compiler"), 0) << "it waits for a thread";
  EXPECT_EQ(Answered("Open", "Sessions"), 0);
  // The server counts from when it heard of the call, a little later than the client.
  std::this_thread::sleep_for(std::chrono::seconds(1));
  free.set_value();
  while (Answered("Compile", "Compiler") < 1 || Answered("Open", "Sessions") < 1) {
    std::this_thread::yield();
  }
  EXPECT_EQ(Metric(Requests("Compile", "Compiler", "DEADLINE_EXCEEDED")), 1);
  EXPECT_EQ(Metric(Requests("Open", "Sessions", "DEADLINE_EXCEEDED")), 1);
  EXPECT_EQ(Metric("rlxd_admission_rejections_total{reason=\"deadline\"}"), 2);
  EXPECT_EQ(metrics_->Render().find("rlxd_compile_requests_total{"), std::string::npos)
      << "nothing was asked of the engine";
  EXPECT_EQ(Compile(compile, 60'000).error_code(), grpc::OK);
}

// One call is begun, `kWaiting` wait, the next is told to come later: at once, and counted.
TEST_F(DeadlineTest, WhatFindsTheQueueFullIsRefusedAtOnce) {
  std::promise<void> begun, free;
  ASSERT_TRUE(executor_->Submit([&begun, busy = free.get_future().share()] {
    begun.set_value();
    busy.wait();
  }));
  begun.get_future().wait();
  for (size_t n = 0; n < kWaiting; ++n) ASSERT_TRUE(executor_->Submit([] {}));
  const v1::CompileRequest compile = RequestFor(LinearModule(2, 3, 4));
  EXPECT_EQ(Compile(compile, 60'000).error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(Metric("rlxd_admission_rejections_total{reason=\"queue_full\"}"), 1);
  free.set_value();
  while (Compile(compile, 60'000).error_code() == grpc::RESOURCE_EXHAUSTED) {
    std::this_thread::yield();
  }
  EXPECT_EQ(Compile(compile, 60'000).error_code(), grpc::OK);
}

}  // namespace
}  // namespace rlx::server
