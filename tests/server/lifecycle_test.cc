// SPDX-License-Identifier: Apache-2.0
#include <grpcpp/impl/codegen/sync_stream.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/server/fixture.h"

namespace rlx::server {
namespace {

class LifecycleTest : public DaemonTest {};

TEST_F(LifecycleTest, ProbesAndMetricsAnswer) {
  EXPECT_EQ(HttpGet("/livez"), "ok\n");
  EXPECT_EQ(HttpGet("/readyz"), "ok\n");
  EXPECT_EQ(HttpGet("/elsewhere"), "");
  EXPECT_EQ(Metric("rlxd_ready"), 1);
  EXPECT_GT(Metric("process_resident_memory_bytes"), 0);
  EXPECT_TRUE(Serves());
  EXPECT_EQ(Metric("rlxd_rpc_requests_total{code=\"OK\",method=\"GetCapabilities\","
                   "service=\"Server\"}"),
            1);
}

TEST_F(LifecycleTest, DrainTurnsReadinessOffAndRefusesWork) {
  grpc::ClientContext context;
  v1::DrainResponse drained;
  ASSERT_TRUE(admin_->Drain(&context, {}, &drained).ok());
  EXPECT_EQ(drained.in_flight(), 0u);
  EXPECT_EQ(HttpGet("/readyz"), "");
  EXPECT_EQ(HttpGet("/livez"), "ok\n");
  EXPECT_EQ(Compile(IdentityModule()).status.error_code(), grpc::UNAVAILABLE);
}

TEST_F(LifecycleTest, ShutdownFinishesWhatRuns) {
  v1::OpenRequest open;
  open.set_key(Compile(IdentityModule()).result.key());
  v1::OpenResponse opened;
  ASSERT_TRUE(Open(open, opened).ok());
  std::atomic<bool> stop{false};
  std::atomic<int> good{0}, refused{0}, broken{0};
  std::thread load([&] {
    while (!stop) {
      v1::RunRequest request;
      request.set_handle(opened.handle());
      request.add_inputs()->set_name("x");
      *request.mutable_inputs(0)->mutable_tensor() = Floats({16}, 1);
      v1::RunResponse response;
      const grpc::Status status = Run(request, response);
      // gRPC answers CANCELLED to a call that meets the closing of the port.
      const bool never_begun =
          status.error_code() == grpc::UNAVAILABLE || status.error_code() == grpc::CANCELLED;
      ++(status.ok() ? good : never_begun ? refused : broken);
    }
  });
  while (good < 50) std::this_thread::yield();
  const std::atomic<bool> now{false};
  EXPECT_TRUE(daemon_->Shutdown(now));
  stop = true;
  load.join();
  EXPECT_EQ(broken, 0);
  daemon_.reset();
}

TEST_F(LifecycleTest, AnUnwritableCacheFolderCostsOnlyTheCache) {
  Stop();
  if (geteuid() == 0) {  // root writes anywhere: a file in the folder's place does it
    std::filesystem::remove_all(cache_dir());
    std::filesystem::create_directories(cache_dir());
    std::ofstream(cache_dir() + "/artifacts") << "in the way";
  } else {
    std::filesystem::permissions(
        cache_dir(), std::filesystem::perms::owner_read | std::filesystem::perms::owner_exec);
  }
  const auto settings = ReadSettings(
      {"--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0", "--cache_dir=" + cache_dir()});
  device::Registry registry;
  const auto started = Daemon::Start(*settings, std::move(registry), log_);
  if (started.ok()) return;  // it serves without the disk
  EXPECT_FALSE(started.status().message().empty());
}

TEST_F(LifecycleTest, AnAddressInUseIsSaidSo) {
  const std::string listen = "--listen=127.0.0.1:" + std::to_string(daemon_->ports()[0]);
  const auto settings = ReadSettings({listen, "--metrics_listen="});
  device::Registry registry;
  const auto started = Daemon::Start(*settings, std::move(registry), log_);
  ASSERT_FALSE(started.ok());
  EXPECT_NE(std::string(started.status().message()).find("cannot listen"), std::string::npos);
}

TEST(Settings, FlagsAreChecked) {
  for (const char* bad : {"--colour=red", "--threads=many", "--threads=-1", "--log_level=loud",
                          "--compile_threads=0", "--max_message_bytes=99999999999", "stray"}) {
    EXPECT_FALSE(ReadSettings({bad}).ok()) << bad;
  }
  const auto good = ReadSettings(
      {"--threads", "3", "--listen=unix:/tmp/a", "--listen=[::1]:0", "--noreflection"});
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(good->config.threads(), 3u);
  EXPECT_EQ(good->config.listen_size(), 2);
  EXPECT_FALSE(good->config.reflection());
}

TEST(Settings, FlagsWinOverTheFile) {
  TempDir dir;
  const std::string path = dir.path() + "/rlxd.pbtxt";
  std::ofstream(path) << "threads: 5\nlisten: \"127.0.0.1:9\"\nlimits { max_nodes: 7 }\n";
  const auto read = ReadSettings({"--config=" + path, "--threads=2"});
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->config.threads(), 2u);
  EXPECT_EQ(read->config.listen(0), "127.0.0.1:9");
  EXPECT_EQ(read->config.limits().max_nodes(), 7u);
  std::ofstream(path) << "threads: 5\ncolour: 3\n";
  const auto wrong = ReadSettings({"--config=" + path});
  ASSERT_FALSE(wrong.ok());
  EXPECT_NE(std::string(wrong.status().message()).find("2:"), std::string::npos);
}

}  // namespace
}  // namespace rlx::server
