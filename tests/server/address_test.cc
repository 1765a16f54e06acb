// SPDX-License-Identifier: Apache-2.0
#include "server/address.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>

#include "runtime/base/file.h"
#include "tests/server/fixture.h"

namespace rlx::server {
namespace {

TEST(Address, ReadsEveryForm) {
  const auto tcp = ParseAddress("localhost:8001");
  ASSERT_TRUE(tcp.ok());
  EXPECT_EQ(tcp->host, "localhost");
  EXPECT_EQ(tcp->port, 8001);
  EXPECT_EQ(ParseAddress("0.0.0.0:65535")->port, 65535);
  EXPECT_EQ(ParseAddress("[::1]:0")->host, "::1");
  EXPECT_EQ(ParseAddress("[fe80::1%eth0]:1")->host, "fe80::1%eth0");
  EXPECT_EQ(ParseAddress("unix:/run/rlxd")->path, "/run/rlxd");
  EXPECT_EQ(ParseAddress("unix:///run/rlxd")->path, "/run/rlxd");
  EXPECT_EQ(ParseAddress("unix-abstract:rlxd")->path, std::string("\0rlxd", 5));
}

TEST(Address, RefusesTheRestByName) {
  const std::pair<std::string, const char*> bad[] = {
      {"127.0.0.1:65536", "the port 65536 is above 65535"},
      {"127.0.0.1:99999999999999999999", "is above 65535"},
      {"127.0.0.1:-1", "\"-1\" is no number"},
      {"127.0.0.1:", "\"\" is no number"},
      {"127.0.0.1:80s", "\"80s\" is no number"},
      {"127.0.0.1:80,127.0.0.1:81", "stands in brackets"},
      {"a,b:80", "is no host"},
      {"127.0.0.1", "neither HOST:PORT nor unix:PATH"},
      {":8001", "no host"},
      {"::1:8001", "stands in brackets"},
      {"[::g]:8001", "no IPv6 address"},
      {"two words:1", "is no host"},
      {"unix:", "the path is empty"},
      {"unix:/" + std::string(200, 'x'), "bytes, more than"},
  };
  for (const auto& [text, why] : bad) {
    const auto parsed = ParseAddress(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_NE(Message(parsed.status()).find(why), std::string::npos) << parsed.status();
  }
}

TEST(Address, SettingsNameTheFlag) {
  const std::pair<const char*, const char*> bad[] = {
      {"--listen=127.0.0.1:70000", "--listen: \"127.0.0.1:70000\": the port 70000 is above 65535"},
      {"--metrics_listen=127.0.0.1:70000",
       "--metrics_listen: \"127.0.0.1:70000\": the port 70000 is above 65535"},
      {"--metrics_listen=unix:/tmp/x", "HTTP is served on HOST:PORT only"}};
  for (const auto& [flag, why] : bad) {
    const auto settings = ReadSettings({flag});
    ASSERT_FALSE(settings.ok()) << flag;
    EXPECT_NE(Message(settings.status()).find(why), std::string::npos) << settings.status();
  }
}

class ListenTest : public DaemonTest {
 protected:
  static bool Answers(const std::string& target) {
    const auto channel = grpc::CreateChannel(target, grpc::InsecureChannelCredentials());
    grpc::ClientContext context;
    v1::GetCapabilitiesResponse response;
    return v1::Server::NewStub(channel)->GetCapabilities(&context, {}, &response).ok();
  }
};

TEST_F(ListenTest, ServesEveryFormAtOnce) {
  const std::string socket = dir_ / "rlxd.sock";
  Start({"--listen=[::1]:0", "--listen=unix:" + socket, "--listen=unix-abstract:" + socket});
  ASSERT_EQ(daemon_->ports().size(), 4u);
  EXPECT_TRUE(Answers(Cat("127.0.0.1:", daemon_->ports()[0])));
  EXPECT_TRUE(Answers(Cat("[::1]:", daemon_->ports()[1])));
  EXPECT_TRUE(Answers("unix:" + socket));
  EXPECT_TRUE(Answers("unix-abstract:" + socket));
}

TEST_F(ListenTest, AUnixSocketInUseIsNotTakenOver) {
  const std::string socket = dir_ / "rlxd.sock";
  Start({"--listen=unix:" + socket});
  const auto settings = ReadSettings({"--listen=unix:" + socket, "--metrics_listen="});
  ASSERT_TRUE(settings.ok());
  const auto second = Daemon::Start(*settings, device::Registry(), log_);
  EXPECT_EQ(second.status(), Unavailable("cannot listen on unix:", socket, ": it is in use"));
  EXPECT_TRUE(Answers("unix:" + socket));
}

TEST_F(ListenTest, ASocketThatADaemonLeftBehindIsTaken) {
  const std::string path = dir_ / "rlxd.sock";
  const Fd left(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un name{.sun_family = AF_UNIX, .sun_path = {}};
  path.copy(name.sun_path, sizeof name.sun_path - 1);
  ASSERT_EQ(bind(left.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
  Start({"--listen=unix:" + path});
  EXPECT_TRUE(Answers("unix:" + path));
}

TEST_F(ListenTest, MetricsOnIpv6WorkOrAreRefusedByName) {
  Stop();
  const auto settings = ReadSettings({"--listen=127.0.0.1:0", "--metrics_listen=[::1]:0"});
  ASSERT_TRUE(settings.ok());
  auto daemon = Daemon::Start(*settings, device::Registry(), log_);
  if (!daemon.ok()) {
    EXPECT_TRUE(Message(daemon.status()).starts_with("--metrics_listen: \"[::1]:0\": "))
        << daemon.status();
    return;
  }
  EXPECT_GT((*daemon)->metrics_port(), 0);
}

// Each keeps a thread of the HTTP server busy until it is hung up on.
TEST_F(ListenTest, SilentConnectionsDoNotDelayProbes) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(daemon_->metrics_port()));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::vector<Fd> silent;
  for (int i = 0; i < 12; ++i) {
    silent.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(
        connect(silent.back().get(), reinterpret_cast<const sockaddr*>(&address), sizeof address),
        0);
  }
  const auto began = std::chrono::steady_clock::now();
  EXPECT_EQ(HttpGet("/livez"), "ok\n");
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(1500));
}

// civetweb notices its end by itself every two seconds only.
TEST_F(ListenTest, StopsAtOnceWhileNobodyAsksForMetrics) {
  const auto began = std::chrono::steady_clock::now();
  Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(1500));
}

}  // namespace
}  // namespace rlx::server
