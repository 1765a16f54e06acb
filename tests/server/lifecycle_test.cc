// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/impl/codegen/sync_stream.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "runtime/base/text.h"
#include "tests/server/fixture.h"
#include "tests/support/http_get.h"

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

// README and config.proto say so.
TEST_F(LifecycleTest, EveryLimitOfTheConfigurationIsAdvertised) {
  const google::protobuf::Descriptor* configured = config::Limits::descriptor();
  std::vector<std::string> flags;
  for (int i = 0; i < configured->field_count(); ++i) {
    flags.push_back(Cat("--", configured->field(i)->name(), "=", 65537 + i));
    // Those that have a ceiling, or a floor: this very answer.
    if (configured->field(i)->name() == "max_message_bytes") flags.back() += "000";
    if (configured->field(i)->name() == "max_nesting") flags.back() = "--max_nesting=77";
    if (configured->field(i)->name() == "max_variants") flags.back() = "--max_variants=78";
  }
  Start(flags);
  grpc::ClientContext context;
  v1::GetCapabilitiesResponse response;
  ASSERT_TRUE(server_->GetCapabilities(&context, {}, &response).ok());
  const auto settings = ReadSettings(flags);
  ASSERT_TRUE(settings.ok());
  const config::Limits& wanted = settings->config.limits();
  for (int i = 0; i < configured->field_count(); ++i) {
    const auto* here = configured->field(i);
    const auto* there = v1::Limits::descriptor()->FindFieldByName(here->name());
    ASSERT_NE(there, nullptr) << here->name();
    const auto value = [](const google::protobuf::Message& message, const auto* field) {
      const google::protobuf::Reflection* read = message.GetReflection();
      return field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_UINT32
                 ? read->GetUInt32(message, field)
                 : read->GetUInt64(message, field);
    };
    EXPECT_EQ(value(response.limits(), there), value(wanted, here)) << here->name();
  }
  // Every library that compiles, by the version that is loaded.
  ASSERT_EQ(response.libraries_size(), 1);
  EXPECT_EQ(response.libraries(0).name(), "llvm");
  EXPECT_THAT(response.libraries(0).version(), testing::MatchesRegex("19\\.[0-9]+\\.[0-9]+"));
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

// Callers on connections of their own, some with a stream, while the daemon ends under them.
TEST_F(LifecycleTest, EveryCallThatMeetsTheEndIsAnsweredOrUnavailable) {
  v1::OpenRequest open;
  open.set_key(Compile(IdentityModule()).result.key());
  v1::OpenResponse opened;
  ASSERT_TRUE(Open(open, opened).ok());
  v1::RunRequest request;
  request.set_handle(opened.handle());
  request.add_inputs()->set_name("x");
  *request.mutable_inputs(0)->mutable_tensor() = Floats({16}, 1);

  std::atomic<bool> stop{false};
  std::atomic<int> good{0}, unavailable{0};
  std::mutex mutex;
  std::set<std::string> others;
  const auto count = [&](const grpc::Status& status) {
    if (status.ok()) return ++good, void();
    if (status.error_code() == grpc::UNAVAILABLE) return ++unavailable, void();
    const std::lock_guard lock(mutex);
    others.insert(Cat(static_cast<int>(status.error_code()), ": ", status.error_message()));
  };
  std::vector<std::thread> callers;
  for (int i = 0; i < 6; ++i) {
    const std::shared_ptr<grpc::Channel> channel = NewChannel();
    callers.emplace_back([&, channel, i] {
      const auto sessions = v1::Sessions::NewStub(channel);
      const auto server = v1::Server::NewStub(channel);
      while (!stop) {
        grpc::ClientContext context;
        v1::RunResponse response;
        v1::GetCapabilitiesResponse capabilities;
        count(i % 2 == 0 ? sessions->Run(&context, request, &response)
                         : server->GetCapabilities(&context, {}, &capabilities));
      }
    });
  }
  callers.emplace_back([&, channel = NewChannel()] {
    const auto sessions = v1::Sessions::NewStub(channel);
    grpc::ClientContext context;
    const auto stream = sessions->RunStream(&context);
    v1::RunStreamRequest one;
    *one.mutable_run() = request;
    v1::RunStreamResponse answer;
    while (!stop && stream->Write(one) && stream->Read(&answer)) {
      count(grpc::Status(static_cast<grpc::StatusCode>(answer.status().code()), ""));
    }
    count(stream->Finish());
  });
  while (good < 200) std::this_thread::yield();
  const std::atomic<bool> now{false};
  EXPECT_TRUE(daemon_->Shutdown(now));
  while (unavailable < 20) std::this_thread::yield();
  stop = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_THAT(others, testing::IsEmpty());
  daemon_.reset();
}

// Readiness goes first; nothing new begins; what runs has its answer, a second or more later.
TEST_F(LifecycleTest, ALongRunThatMeetsTheEndIsAnswered) {
  v1::OpenRequest open;
  open.set_key(Compile(LongModule(30)).result.key());  // an instrumented build takes seconds
  v1::OpenResponse opened;
  ASSERT_TRUE(Open(open, opened).ok());
  v1::RunRequest request;
  request.set_handle(opened.handle());
  request.add_inputs()->set_name("x");
  *request.mutable_inputs(0)->mutable_tensor() = Floats({1024, 1024}, 0.001f);
  std::atomic<bool> answered{false};
  v1::RunResponse response;
  auto run = std::async(std::launch::async, [&] {
    grpc::Status status = Run(request, response);
    answered = true;
    return status;
  });
  ASSERT_TRUE(BecomesEventually("rlxd_infer_inflight", 1));
  const int http = daemon_->metrics_port();
  const std::atomic<bool> now{false};
  auto ended = std::async(std::launch::async, [&] { return daemon_->Shutdown(now); });
  while (test::HttpGet(http, "/readyz") != "") std::this_thread::yield();
  EXPECT_EQ(test::HttpGet(http, "/livez"), "ok\n");
  EXPECT_EQ(Compile(IdentityModule()).status.error_code(), grpc::UNAVAILABLE);
  EXPECT_FALSE(answered) << "the run was not long enough to meet the end";
  const grpc::Status status = run.get();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response.outputs_size(), 1);
  EXPECT_TRUE(ended.get());
  daemon_.reset();
}

// So long a load balancer has to look elsewhere.
TEST_F(LifecycleTest, WorkIsTakenWhileTheDrainIsDelayed) {
  Start({"--drain_delay_seconds=600"});
  const int http = daemon_->metrics_port();
  std::atomic<bool> now{false};
  auto ended = std::async(std::launch::async, [&] { return daemon_->Shutdown(now); });
  while (test::HttpGet(http, "/readyz") != "") std::this_thread::yield();
  EXPECT_TRUE(Compile(IdentityModule()).status.ok());
  EXPECT_EQ(ended.wait_for(std::chrono::milliseconds(300)), std::future_status::timeout);
  now = true;  // a second signal
  EXPECT_TRUE(ended.get());
  daemon_.reset();
}

// Of the version that clients of today ask for first or second, by hand: its classes are not
// installed with gRPC.
TEST_F(LifecycleTest, ReflectionListsEveryService) {
  grpc::GenericStub stub(NewChannel());
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  const auto call = stub.PrepareCall(
      &context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  const auto next = [&] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  call->StartCall(nullptr);
  ASSERT_TRUE(next());
  const grpc::Slice list_services(std::string("\x3a\x01*"));  // field 7, a string
  call->WriteLast(grpc::ByteBuffer(&list_services, 1), grpc::WriteOptions(), nullptr);
  ASSERT_TRUE(next());
  grpc::ByteBuffer answer;
  call->Read(&answer, nullptr);
  ASSERT_TRUE(next());
  grpc::Slice whole;
  ASSERT_TRUE(answer.DumpToSingleSlice(&whole).ok());
  const std::string text(reinterpret_cast<const char*>(whole.begin()), whole.size());
  for (const std::string service :
       {v1::Compiler::service_full_name(), v1::Blobs::service_full_name(),
        v1::Sessions::service_full_name(), v1::Devices::service_full_name(),
        v1::Server::service_full_name(), v1::Admin::service_full_name(),
        "inference.GRPCInferenceService", "grpc.health.v1.Health"}) {
    // A ServiceResponse: its name, length first.
    const std::string entry = Cat('\x0a', static_cast<char>(service.size()), service);
    EXPECT_THAT(text, testing::HasSubstr(entry));
  }
  grpc::Status status;
  call->Finish(&status, nullptr);
  ASSERT_TRUE(next());
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(LifecycleTest, StreamsThatWaitDoNotHoldUpTheEnd) {
  v1::OpenRequest open;
  open.set_key(Compile(IdentityModule()).result.key());
  v1::OpenResponse opened;
  ASSERT_TRUE(Open(open, opened).ok());
  grpc::ClientContext running, uploading;
  const auto runs = sessions_->RunStream(&running);
  v1::WriteResponse written;
  const auto upload = blobs_->Write(&uploading, &written);
  v1::WriteRequest first;
  first.mutable_blob()->set_sha256(std::string(32, 'd'));
  first.mutable_blob()->set_size(100);
  first.set_data("half");
  ASSERT_TRUE(upload->Write(first));
  const auto began = std::chrono::steady_clock::now();
  const std::atomic<bool> now{false};
  EXPECT_TRUE(daemon_->Shutdown(now));
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(1500));
  EXPECT_EQ(runs->Finish().error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(upload->Finish().error_code(), grpc::UNAVAILABLE);
  daemon_.reset();
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
  for (const char* bad :
       {"--colour=red", "--threads=many", "--threads=-1", "--log_level=loud", "--compile_threads=0",
        "--max_message_bytes=99999999999", "stray", "--max_variants=4097",
        "--drain_delay_seconds=-1", "--drain_delay_seconds=nan"}) {
    EXPECT_FALSE(ReadSettings({bad}).ok()) << bad;
  }
  for (const char* large : {"--max_constant_bytes", "--host_memory_bytes", "--variant_bytes",
                            "--blob_bytes", "--max_inline_weight_bytes"}) {
    const auto refused = ReadSettings({large, "18446744073709551615"});
    ASSERT_FALSE(refused.ok()) << large;
    EXPECT_EQ(Message(refused.status()),
              Cat(large, ": 18446744073709551615 is above 9223372036854775807"));
    EXPECT_TRUE(ReadSettings({large, "9223372036854775807"}).ok()) << large;
  }
  const auto endless = ReadSettings({"--drain_timeout_seconds=inf"});
  ASSERT_FALSE(endless.ok());
  EXPECT_EQ(Message(endless.status()), "--drain_timeout_seconds: inf is no time in seconds");
  const auto good = ReadSettings(
      {"--threads", "3", "--listen=unix:/tmp/a", "--listen=[::1]:0", "--noreflection"});
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(good->config.threads(), 3u);
  EXPECT_EQ(good->config.listen_size(), 2);
  EXPECT_FALSE(good->config.reflection());
}

TEST(Settings, AConfigurationThatIsNotThereIsNamedWhole) {
  TempDir dir;
  const std::string path = dir / "none.pbtxt";
  const auto read = ReadSettings({"--config=" + path});
  ASSERT_FALSE(read.ok());
  EXPECT_NE(Message(read.status()).find("--config " + path), std::string::npos);
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
