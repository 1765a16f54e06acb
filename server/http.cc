// SPDX-License-Identifier: Apache-2.0
#include "server/http.h"

#include <CivetServer.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "runtime/base/status.h"
#include "server/metrics.h"

namespace rlx::server {
namespace {

void Answer(mg_connection* connection, int code, const char* reason, const char* type,
            const std::string& body) {
  mg_printf(connection,
            "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
            "Cache-Control: no-store\r\n\r\n",
            code, reason, type, body.size());
  mg_write(connection, body.data(), body.size());
}

class MetricsHandler final : public CivetHandler {
 public:
  explicit MetricsHandler(Metrics& metrics) : metrics_(metrics) {}
  bool handleGet(CivetServer*, mg_connection* connection) override {
    Answer(connection, 200, "OK", "text/plain; version=0.0.4; charset=utf-8", metrics_.Render());
    return true;
  }

 private:
  Metrics& metrics_;
};

class ProbeHandler final : public CivetHandler {
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

class HttpEndpointImpl final : public HttpEndpoint {
 public:
  HttpEndpointImpl(const std::string& address, Metrics& metrics, const Readiness& readiness)
      : server_({"listening_ports", address, "num_threads", "2", "request_timeout_ms", "10000"}),
        metrics_(metrics),
        alive_(nullptr),
        ready_(&readiness.ready) {
    server_.addHandler("/metrics$", metrics_);
    server_.addHandler("/livez$", alive_);
    server_.addHandler("/readyz$", ready_);
  }

  // civetweb looks for its end only between connections, or every two seconds: one connection ends
  // the wait.
  ~HttpEndpointImpl() override {
    std::thread waker([port = port()] {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_port = htons(static_cast<uint16_t>(port));
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
        shutdown(fd, SHUT_RDWR);
      }
      close(fd);
    });
    server_.close();
    waker.join();
  }

  int port() const override {
    const std::vector<int> ports = const_cast<CivetServer&>(server_).getListeningPorts();
    return ports.empty() ? 0 : ports.front();
  }

 private:
  CivetServer server_;
  MetricsHandler metrics_;
  ProbeHandler alive_, ready_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpEndpoint>> HttpEndpoint::Start(const std::string& address,
                                                                  Metrics& metrics,
                                                                  const Readiness& readiness) {
  try {  // civetweb's wrapper throws
    return std::make_unique<HttpEndpointImpl>(address, metrics, readiness);
  } catch (const CivetException& e) {
    return Unavailable("cannot listen on ", address, ": ", e.what());
  }
}

}  // namespace rlx::server
