// SPDX-License-Identifier: Apache-2.0
// Replicas that share a cache in Redis: daemons in this process, each with a cache folder of its
// own.
#include <grpc/support/log.h>
#include <grpcpp/create_channel.h>

#include <fstream>
#include <thread>

#include "backends/cpu/cpu_backend.h"
#include "tests/server/fixture.h"
#include "tests/support/http_get.h"
#include "tests/support/redis_process.h"

namespace rlx::server {
namespace {

using test::RedisProcess;

class Replica {
 public:
  explicit Replica(std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0",
                                 "--threads=2", "--cache_dir=" + folder_ / "cache"});
    const auto settings = ReadSettings(flags);
    EXPECT_TRUE(settings.ok()) << Message(settings.status());
    device::Registry registry;
    EXPECT_TRUE(registry.Add(cpu::MakeCpuBackend()).ok());
    auto daemon = Daemon::Start(*settings, std::move(registry), log_);
    EXPECT_TRUE(daemon.ok()) << Message(daemon.status());
    daemon_ = *std::move(daemon);
    compiler_ = v1::Compiler::NewStub(grpc::CreateChannel(Cat("127.0.0.1:", daemon_->ports()[0]),
                                                          grpc::InsecureChannelCredentials()));
  }
  ~Replica() { daemon_->Shutdown(false_); }

  // What it came from; unspecified when it failed.
  v1::CacheResult Compile(const v1::CompileRequest& request) const {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(120));
    const auto stream = compiler_->Compile(&context, request);
    v1::CompileEvent event;
    v1::CacheResult from = v1::CACHE_RESULT_UNSPECIFIED;
    while (stream->Read(&event)) {
      if (event.has_result()) from = event.result().cache();
    }
    const grpc::Status status = stream->Finish();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return status.ok() ? from : v1::CACHE_RESULT_UNSPECIFIED;
  }

  double Metric(const std::string& sample) const {
    const std::string text = "\n" + test::HttpGet(daemon_->metrics_port(), "/metrics");
    const size_t at = text.find("\n" + sample + " ");
    return at == text.npos ? 0 : std::atof(text.c_str() + at + sample.size() + 2);
  }
  double Results(const char* result) const {
    return Metric(Cat("rlxd_compile_requests_total{result=\"", result, "\",target=\"cpu\"}"));
  }

 private:
  TempDir folder_;
  Logger log_{LogLevel::kError};
  const std::atomic<bool> false_{false};
  std::unique_ptr<Daemon> daemon_;
  std::unique_ptr<v1::Compiler::Stub> compiler_;
};

class SharedCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!RedisProcess::Installed())
      GTEST_SKIP() << "redis-server is not installed: scripts/setup.sh";
    gpr_set_log_function([](gpr_log_func_args*) {});
    redis_ = std::make_unique<RedisProcess>();
    std::ofstream(folder_ / "key") << std::string(40, 'k') << "\n";
  }
  // What a busy machine keeps: no test here is about time.
  std::unique_ptr<Replica> Start(const std::string& more = "--threads=2") const {
    return std::make_unique<Replica>(std::vector<std::string>{
        "--shared_cache=" + redis_->url(), "--shared_cache_key_file=" + folder_ / "key",
        "--shared_cache_timeout_seconds=10", more});
  }

  TempDir folder_;
  std::unique_ptr<RedisProcess> redis_;
};

TEST_F(SharedCacheTest, TwoReplicasCompileOnceHoweverManyAsk) {
  const auto one = Start(), other = Start();
  const v1::CompileRequest request = RequestFor(LinearModule(33, 64, 48));
  std::vector<std::thread> callers;
  for (int i = 0; i < 200; ++i) {
    callers.emplace_back([&, i] {
      EXPECT_NE((i % 2 == 0 ? one : other)->Compile(request), v1::CACHE_RESULT_UNSPECIFIED);
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(one->Results("compiled") + other->Results("compiled"), 1);
  EXPECT_GE(one->Results("remote") + other->Results("remote"), 1);
  double all = 0;
  for (const char* result : {"compiled", "remote", "follower", "memory", "disk"}) {
    all += one->Results(result) + other->Results(result);
  }
  EXPECT_EQ(all, 200);
  EXPECT_EQ(one->Metric("rlxd_shared_cache_turns_total{result=\"taken\"}") +
                other->Metric("rlxd_shared_cache_turns_total{result=\"taken\"}"),
            1);
}

TEST_F(SharedCacheTest, AReplicaThatComesLaterCompilesNothing) {
  const v1::GraphModule models[] = {LinearModule(2, 3, 4), IdentityModule(), SoftmaxModule()};
  {
    const auto first = Start();
    for (const auto& model : models) {
      EXPECT_EQ(first->Compile(RequestFor(model)), v1::CACHE_RESULT_COMPILED);
    }
    EXPECT_EQ(first->Metric("rlxd_shared_cache_up"), 1);
  }  // what it had made is written before it ends
  const auto later = Start();
  for (const auto& model : models) {
    EXPECT_EQ(later->Compile(RequestFor(model)), v1::CACHE_RESULT_REMOTE);
    EXPECT_EQ(later->Compile(RequestFor(model)), v1::CACHE_RESULT_MEMORY);
  }
  EXPECT_EQ(later->Metric("rlxd_cache_hits_total{tier=\"remote\"}"), 3);
  EXPECT_EQ(later->Metric("rlxd_cache_misses_total{tier=\"remote\"}"), 0);
  const auto salted = Start("--cache_salt=another");
  EXPECT_EQ(salted->Compile(RequestFor(models[0])), v1::CACHE_RESULT_COMPILED);
}

TEST_F(SharedCacheTest, WithoutRedisAllIsAsWithoutASharedCache) {
  redis_->Kill();
  const auto replica = Start();
  EXPECT_EQ(replica->Compile(RequestFor(IdentityModule())), v1::CACHE_RESULT_COMPILED);
  EXPECT_EQ(replica->Compile(RequestFor(IdentityModule())), v1::CACHE_RESULT_MEMORY);
  EXPECT_EQ(replica->Metric("rlxd_shared_cache_up"), 0);
  EXPECT_EQ(replica->Metric("rlxd_shared_cache_turns_total{result=\"alone\"}"), 1);
}

// Redis' folder of what it was told, in the order in which operators get it wrong.
TEST_F(SharedCacheTest, WhatIsConfiguredIsChecked) {
  const std::string key = "--shared_cache_key_file=" + folder_ / "key";
  std::ofstream(folder_ / "short") << "short";
  const std::vector<std::vector<std::string>> bad = {
      {"--shared_cache=redis://a"},
      {"--shared_cache=http://a", key},
      {"--shared_cache=redis://a", "--shared_cache_key_file=" + folder_ / "short"},
      {"--shared_cache=redis://a", "--shared_cache_key_file=/nonexistent"},
      {"--shared_cache=redis://u:p@a", key},
      {"--shared_cache=redis://a", key, "--shared_cache_ca_file=x"},
      {"--shared_cache=rediss://a", key, "--shared_cache_cert_file=x"},
      {"--shared_cache=redis://a", key, "--shared_cache_timeout_seconds=0"},
      {"--shared_cache=redis://a", key, "--shared_cache_lease_seconds=nan"},
      {"--shared_cache=redis://a", key, "--shared_cache_password_file=/nonexistent"},
  };
  for (const auto& flags : bad) EXPECT_FALSE(ReadSettings(flags).ok()) << flags[0];
  const auto good = ReadSettings({"--shared_cache=redis://a:7000", key});
  ASSERT_TRUE(good.ok()) << Message(good.status());
  EXPECT_EQ(good->shared_cache->secret, std::string(40, 'k')) << "without the line's end";
}

}  // namespace
}  // namespace rlx::server
