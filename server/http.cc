// SPDX-License-Identifier: Apache-2.0
#include "server/http.h"

#include <CivetServer.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <future>
#include <thread>

#include "runtime/base/status.h"
#include "server/address.h"
#include "server/metrics.h"

namespace rlx::server {
namespace {

// Of connections that say nothing each keeps one of the threads busy until it is hung up on: a few
// of them must not keep a probe from its answer.
constexpr const char* kThreads = "24";
constexpr const char* kPatienceMilliseconds = "2000";
constexpr std::chrono::milliseconds kKnock{2};  // between knocks while the end is awaited

void Answer(mg_connection* connection, int code, const char* reason, const char* type,
            const std::string& body) {
  mg_printf(connection,
            "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
            "Cache-Control: no-store\r\n\r\n",
            code, reason, type, body.size());
  const bool head = std::string_view(mg_get_request_info(connection)->request_method) == "HEAD";
  if (!head) mg_write(connection, body.data(), body.size());
}

// Answers GET, and HEAD without the body.
class Handler : public CivetHandler {
 public:
  bool handleHead(CivetServer* server, mg_connection* connection) override {
    return handleGet(server, connection);
  }
};

class MetricsHandler final : public Handler {
 public:
  explicit MetricsHandler(Metrics& metrics) : metrics_(metrics) {}
  bool handleGet(CivetServer*, mg_connection* connection) override {
    Answer(connection, 200, "OK", "text/plain; version=0.0.4; charset=utf-8", metrics_.Render());
    return true;
  }

 private:
  Metrics& metrics_;
};

class ProbeHandler final : public Handler {
 public:
  explicit ProbeHandler(const std::atomic<bool>* good) : good_(good) {}
  bool handleGet(CivetServer*, mg_connection* connection) override {
    const bool good = good_ == nullptr || good_->load(std::memory_order_acquire);
    Answer(connection, good ? 200 : 503, good ? "OK" : "Service Unavailable", "text/plain",
           good ? "ok\n" : "not ready\n");
    return true;
  }

 private:
  const std::atomic<bool>* good_;
};

// Connects and hangs up.
void Knock(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), Cat(port).c_str(), &hints, &found) != 0) return;
  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen) == 0) shutdown(fd, SHUT_RDWR);
  if (fd >= 0) close(fd);
  freeaddrinfo(found);
}

class HttpEndpointImpl final : public HttpEndpoint {
 public:
  HttpEndpointImpl(const std::string& address, std::string host, Metrics& metrics,
                   const Readiness& readiness)
      : host_(std::move(host)),
        server_({"listening_ports", address, "num_threads", kThreads, "request_timeout_ms",
                 kPatienceMilliseconds}),
        metrics_(metrics),
        alive_(nullptr),
        ready_(&readiness.ready) {
    server_.addHandler("/metrics$", metrics_);
    server_.addHandler("/livez$", alive_);
    server_.addHandler("/readyz$", ready_);
  }

  // civetweb looks for its end only between connections, or every two seconds: connections end the
  // wait. The first may still come before close() has said that this is the end.
  ~HttpEndpointImpl() override {
    std::promise<void> closed;
    std::thread waker([host = host_, port = port(), end = closed.get_future()] {
      while (end.wait_for(kKnock) == std::future_status::timeout) Knock(host, port);
    });
    server_.close();
    closed.set_value();
    waker.join();
  }

  int port() const override {
    const std::vector<int> ports = const_cast<CivetServer&>(server_).getListeningPorts();
    return ports.empty() ? 0 : ports.front();
  }

 private:
  const std::string host_;
  CivetServer server_;
  MetricsHandler metrics_;
  ProbeHandler alive_, ready_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpEndpoint>> HttpEndpoint::Start(const std::string& address,
                                                                  Metrics& metrics,
                                                                  const Readiness& readiness) {
  RLX_ASSIGN(Address parsed, ParseAddress(address));
  const bool ip6 = parsed.host.find(':') != parsed.host.npos;
  if (ip6 && mg_check_feature(MG_FEATURES_IPV6) == 0) {
    return InvalidArgument("--metrics_listen: \"", address,
                           "\": the HTTP library here was built without IPv6");
  }
  try {  // civetweb's wrapper throws
    return std::make_unique<HttpEndpointImpl>(address, std::move(parsed.host), metrics, readiness);
  } catch (const CivetException& e) {
    return Unavailable("cannot listen on ", address, ": ", e.what());
  }
}

}  // namespace rlx::server
