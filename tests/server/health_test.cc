// SPDX-License-Identifier: Apache-2.0
#include <future>

#include <thread>

#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/server/fixture.h"

namespace rlx::server {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

class HealthTest : public DaemonTest {
 protected:
  void SetUp() override {
    DaemonTest::SetUp();
    health_ = Health::NewStub(NewChannel());
  }
  grpc::Status Check(const std::string& service, HealthCheckResponse& response) {
    grpc::ClientContext context;
    HealthCheckRequest request;
    request.set_service(service);
    return health_->Check(&context, request, &response);
  }
  static HealthCheckRequest For(const std::string& service) {
    HealthCheckRequest request;
    request.set_service(service);
    return request;
  }
  std::unique_ptr<Health::Stub> health_;
};

TEST_F(HealthTest, KnowsEveryServiceByItsFullName) {
  for (const char* service :
       {"", "rlx.v1.Compiler", "rlx.v1.Blobs", "rlx.v1.Sessions", "rlx.v1.Devices", "rlx.v1.Server",
        "rlx.v1.Admin", "inference.GRPCInferenceService"}) {
    HealthCheckResponse response;
    ASSERT_TRUE(Check(service, response).ok()) << service;
    EXPECT_EQ(response.status(), HealthCheckResponse::SERVING) << service;
  }
  HealthCheckResponse response;
  EXPECT_EQ(Check("rlx.v1.Nothing", response).error_code(), grpc::NOT_FOUND);
}

TEST_F(HealthTest, DrainingIsNotServingForAll) {
  grpc::ClientContext context;
  v1::DrainResponse drained;
  ASSERT_TRUE(admin_->Drain(&context, {}, &drained).ok());
  for (const char* service : {"", "rlx.v1.Compiler"}) {
    HealthCheckResponse response;
    ASSERT_TRUE(Check(service, response).ok());
    EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING) << service;
  }
}

TEST_F(HealthTest, WatchersHearOfChangesAndOfTheEnd) {
  grpc::ClientContext one, two;
  const auto known = health_->Watch(&one, For("rlx.v1.Compiler"));
  const auto unknown = health_->Watch(&two, For("rlx.v1.Nothing"));
  HealthCheckResponse response;
  ASSERT_TRUE(known->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  ASSERT_TRUE(unknown->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVICE_UNKNOWN);

  // As watchers do: listening while the server ends.
  auto heard = std::async(std::launch::async, [&] {
    std::vector<HealthCheckResponse::ServingStatus> statuses;
    HealthCheckResponse last;
    while (known->Read(&last)) statuses.push_back(last.status());
    return statuses;
  });
  const auto began = std::chrono::steady_clock::now();
  const std::atomic<bool> now{false};
  EXPECT_TRUE(daemon_->Shutdown(now));
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(1500));

  EXPECT_EQ(heard.get(), std::vector{HealthCheckResponse::NOT_SERVING});
  EXPECT_EQ(known->Finish().error_code(), grpc::UNAVAILABLE);
  EXPECT_FALSE(unknown->Read(&response));
  EXPECT_EQ(unknown->Finish().error_code(), grpc::UNAVAILABLE);
  daemon_.reset();
}

TEST_F(HealthTest, AWatcherThatLeavesIsForgotten) {
  for (int i = 0; i < 50; ++i) {
    grpc::ClientContext context;
    const auto watch = health_->Watch(&context, For(""));
    HealthCheckResponse response;
    ASSERT_TRUE(watch->Read(&response));
    context.TryCancel();
    EXPECT_EQ(watch->Finish().error_code(), grpc::CANCELLED);
  }
  EXPECT_TRUE(Serves());
}

}  // namespace
}  // namespace rlx::server
