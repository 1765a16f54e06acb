// SPDX-License-Identifier: Apache-2.0
// The shared tier's way to its server: what is no Redis, and TLS.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/cache/redis_store.h"
#include "tests/support/redis_process.h"

namespace rlx::cache {
namespace {

using test::RedisProcess;
using testing::HasSubstr;

// A listening socket on a free loopback port.
struct Port {
  Port() : fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* name = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(bind(fd, name, size), 0);
    EXPECT_EQ(getsockname(fd, name, &size), 0);
    number = ntohs(address.sin_port);
  }
  ~Port() { close(fd); }
  int fd;
  int number = 0;
};

// Says the same to whatever it is told.
class Parrot {
 public:
  explicit Parrot(std::string words) : words_(std::move(words)) {
    EXPECT_EQ(listen(port_.fd, 16), 0);
    server_ = std::thread([this] { Serve(); });
  }
  ~Parrot() {
    ending_ = true;
    server_.join();
  }
  std::string url() const { return Cat("redis://127.0.0.1:", port_.number); }

 private:
  void Serve() {
    std::vector<int> clients;
    while (!ending_) {
      std::vector<pollfd> watched = {{port_.fd, POLLIN, 0}};
      for (int client : clients) watched.push_back({client, POLLIN, 0});
      poll(watched.data(), watched.size(), 5);
      for (size_t i = 1; i < watched.size(); ++i) {
        char bytes[4096];
        if (watched[i].revents == 0) continue;
        if (read(watched[i].fd, bytes, sizeof bytes) <= 0) {
          clients[i - 1] = -1;
          close(watched[i].fd);
        } else {
          send(watched[i].fd, words_.data(), words_.size(), MSG_NOSIGNAL);
        }
      }
      std::erase(clients, -1);
      if (watched[0].revents != 0)
        clients.push_back(accept4(port_.fd, nullptr, nullptr, SOCK_CLOEXEC));
    }
    for (int client : clients) close(client);
  }

  const std::string words_;
  Port port_;
  std::atomic<bool> ending_ = false;
  std::thread server_;
};

RedisOptions Options(const std::string& url) {
  RedisOptions options;
  options.server = *ParseRedisUrl(url);
  options.secret = std::string(32, 's');
  options.space = "test";
  return options;
}

TEST(RedisStoreHostile, WhatIsNoRedisIsNotUp) {
  for (const char* words :
       {"HTTP/1.1 400 Bad Request\r\n\r\n", "*1000000000\r\n", "*-7\r\n", "$99999999999999\r\n",
        "$-9\r\n", ":1\r\n", "+OK\r\n", "-ERR no\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", "\r\n\r\n", "+PONG"}) {
    Parrot parrot(words);
    RedisStore store(Options(parrot.url()));
    EXPECT_FALSE(store.turn_stats().up) << words;
    EXPECT_FALSE(store.Get(Sha256Of("key")).has_value());
    EXPECT_EQ(store.Take(Sha256Of("key")), Turns::Word::kAlone);
  }
}

// A reply that never ends is not kept until the memory does.
TEST(RedisStoreHostile, EndlessRepliesAreGivenUp) {
  Parrot parrot("$1000000000\r\n" + std::string(6 << 20, 'x'));
  RedisOptions options = Options(parrot.url());
  options.timeout_seconds = 60;
  const RedisStore store(options);
  EXPECT_FALSE(store.turn_stats().up);
  const double until = MonotonicSeconds() + 60;
  while (store.Stats().trouble == "not reached yet" && MonotonicSeconds() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_THAT(store.Stats().trouble, HasSubstr("no reply of Redis"));
}

// One that pings well, and then answers with the same.
TEST(RedisStoreHostile, APongIsNoEntry) {
  Parrot parrot("+PONG\r\n");
  RedisOptions options = Options(parrot.url());
  options.timeout_seconds = 5;
  RedisStore store(options);
  EXPECT_TRUE(store.turn_stats().up) << store.Stats().trouble;
  EXPECT_FALSE(store.Get(Sha256Of("key")).has_value());
  EXPECT_EQ(store.Stats().corrupt, 1u);
  EXPECT_EQ(store.Take(Sha256Of("key")), Turns::Word::kAlone);
}

class RedisTlsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!RedisProcess::Installed())
      GTEST_SKIP() << "redis-server is not installed: scripts/setup.sh";
    signal(SIGPIPE, SIG_IGN);  // as the daemon does
    Certify("server", "IP:127.0.0.1");
    Certify("client", "DNS:client");
    Certify("stranger", "IP:127.0.0.1");
    {
      const Port free;
      port_ = free.number;
    }
    redis_ = std::make_unique<RedisProcess>(std::vector<std::string>{
        "--tls-port", Cat(port_), "--bind", "127.0.0.1", "--tls-cert-file", folder_ / "server.pem",
        "--tls-key-file", folder_ / "server.key", "--tls-ca-cert-file", folder_ / "client.pem"});
  }
  // A certificate that vouches for itself.
  void Certify(const std::string& name, const std::string& whose) const {
    const std::string file = folder_ / name;
    const std::string command =
        Cat("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
            "-subj /CN=",
            name, " -addext subjectAltName=", whose, " -keyout ", file, ".key -out ", file,
            ".pem 2>/dev/null");
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
  }
  RedisOptions Trusting(const std::string& server, const std::string& ours) const {
    RedisOptions options = Options(Cat("rediss://127.0.0.1:", port_));
    options.timeout_seconds = 5;
    options.server.ca_file = folder_ / (server + ".pem");
    if (ours.empty()) return options;
    options.server.cert_file = folder_ / (ours + ".pem");
    options.server.key_file = folder_ / (ours + ".key");
    return options;
  }
  // Whether it comes up; otherwise what it says. The first answer may be late on a busy machine.
  static std::string Trouble(const RedisOptions& options) {
    const RedisStore store(options);
    const double until = MonotonicSeconds() + 60;
    while (store.Stats().trouble == "not reached yet" && MonotonicSeconds() < until) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return store.Stats().trouble;
  }

  TempDir folder_;
  int port_ = 0;
  std::unique_ptr<RedisProcess> redis_;
};

TEST_F(RedisTlsTest, BothSidesShowWhoTheyAre) {
  EXPECT_EQ(Trouble(Trusting("server", "client")), "");
  RedisStore store(Trusting("server", "client"));
  std::string large(3 << 20, 'x');
  store.Put(Sha256Of("key"), SharedBytes(large));
  store.Flush();
  ASSERT_TRUE(store.Get(Sha256Of("key")).has_value()) << store.Stats().trouble;
  EXPECT_TRUE(store.Get(Sha256Of("key"))->value.view() == large);
}

TEST_F(RedisTlsTest, StrangersAreRefusedOnEitherSide) {
  EXPECT_THAT(Trouble(Trusting("stranger", "client")), HasSubstr("certificate"));
  RedisOptions other_name = Trusting("server", "client");
  other_name.server.host = "localhost";
  EXPECT_THAT(Trouble(other_name), HasSubstr("mismatch"));
  EXPECT_NE(Trouble(Trusting("server", "stranger")), "");
  EXPECT_NE(Trouble(Trusting("server", "")), "");
  RedisOptions plain = Options(Cat("redis://127.0.0.1:", port_));
  EXPECT_NE(Trouble(plain), "");
  EXPECT_THAT(Trouble(Trusting("nothing", "client")), HasSubstr("certificates of authorities"));
}

}  // namespace
}  // namespace rlx::cache
