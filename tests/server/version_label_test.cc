// SPDX-License-Identifier: Apache-2.0
// Names for versions, and what grpc.health.v1 says of models.
#include <gmock/gmock.h>

#include "grpc/health/v1/health.grpc.pb.h"
#include "tests/server/repository.h"

namespace rlx::server {
namespace {

using grpc::health::v1::Health;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kLabels =
    "version_policy { all {} } version_labels { key: 'stable' value: 1 } "
    "version_labels { key: 'canary' value: 2 }";

class VersionLabelTest : public RepositoryTest {
 protected:
  // SERVICE_UNKNOWN also where the call says NOT_FOUND.
  HealthCheckResponse::ServingStatus Check(const std::string& service) const {
    grpc::ClientContext context;
    HealthCheckRequest request;
    request.set_service(service);
    HealthCheckResponse response;
    const grpc::Status status = Health::NewStub(NewChannel())->Check(&context, request, &response);
    return status.ok() ? response.status() : HealthCheckResponse::SERVICE_UNKNOWN;
  }
  std::vector<float> Ask(const std::string& version) const {
    return Run(Request("times", {1, 1, 1, 1}, {4}, version));
  }
};

TEST_F(VersionLabelTest, ALabelIsAVersionAndMovesWithoutAReload) {
  Write("times/1/module.txt", Times("2"));
  Write("times/2/module.txt", Times("3"));
  Write("times/config.pbtxt", kLabels);
  Serve({"--model_control_mode=explicit", "--load_model=times"});
  EXPECT_THAT(Ask("stable"), ElementsAre(2, 2, 2, 2));
  EXPECT_THAT(Ask("canary"), ElementsAre(3, 3, 3, 3));
  EXPECT_THAT(Ask("1"), ElementsAre(2, 2, 2, 2));
  Answer answer;
  const grpc::Status other = Call(Request("times", {1, 1, 1, 1}, {4}, "other"), answer);
  EXPECT_EQ(other.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(other.error_message(), HasSubstr("failed to get model version"));

  const double loads = Metric("rlxd_model_loads_total{result=\"ok\"}");
  Write("times/config.pbtxt",
        "version_policy { all {} } version_labels { key: 'stable' value: 2 }  # promoted");
  EXPECT_TRUE(Load("times").ok());
  EXPECT_THAT(Ask("stable"), ElementsAre(3, 3, 3, 3));
  EXPECT_EQ(Metric("rlxd_model_loads_total{result=\"ok\"}"), loads);
  EXPECT_EQ(Call(Request("times", {1, 1, 1, 1}, {4}, "canary"), answer).error_code(),
            grpc::INVALID_ARGUMENT);
  grpc::ClientContext context;
  inference::ModelConfigRequest of;
  of.set_name("times");
  of.set_version("stable");
  inference::ModelConfigResponse said;
  ASSERT_TRUE(stub_->ModelConfig(&context, of, &said).ok());
  ASSERT_EQ(said.config().version_labels_size(), 1);
  EXPECT_EQ(said.config().version_labels().at("stable"), 2);
}

TEST_F(VersionLabelTest, ALabelOfAVersionThatDoesNotServeLeavesAllAsItIs) {
  Write("times/1/module.txt", Times("2"));
  Write("times/2/module.txt", Times("3"));
  Write("times/config.pbtxt", kLabels);
  Serve({"--model_control_mode=explicit", "--load_model=times"});
  Write("times/config.pbtxt",
        "version_policy { all {} } version_labels { key: 'stable' value: 7 }");
  const grpc::Status missing = Load("times");
  EXPECT_EQ(missing.error_code(), grpc::FAILED_PRECONDITION);
  EXPECT_THAT(missing.error_message(), HasSubstr("stable is version 7"));
  EXPECT_THAT(Ask("stable"), ElementsAre(2, 2, 2, 2));
  Write("times/3/module.txt", "nonsense");
  Write("times/config.pbtxt",
        "version_policy { all {} } version_labels { key: 'stable' value: 3 }");
  EXPECT_FALSE(Load("times").ok());
  EXPECT_THAT(Ask("stable"), ElementsAre(2, 2, 2, 2)) << "the version did not load";
  Write("times/config.pbtxt", "version_labels { key: '12' value: 3 }");
  EXPECT_THAT(Load("times").error_message(), HasSubstr("\"12\" is no name"));
}

TEST_F(VersionLabelTest, EveryModelHasItsHealth) {
  Write("times/1/module.txt", Times("2"));
  Write("times/config.pbtxt", "version_labels { key: 'stable' value: 1 }");
  Write("broken/1/module.txt", "nonsense");
  Serve({"--model_control_mode=explicit", "--load_model=*", "--nostrict_readiness"});
  for (const char* service : {"times", "times/1", "times/stable", ""}) {
    EXPECT_EQ(Check(service), HealthCheckResponse::SERVING) << service;
  }
  EXPECT_EQ(Check("broken"), HealthCheckResponse::NOT_SERVING);
  for (const char* service : {"nothing", "times/2", "times/x", "times/"}) {
    const auto expected = std::string(service) == "times/" ? HealthCheckResponse::SERVING
                                                           : HealthCheckResponse::SERVICE_UNKNOWN;
    EXPECT_EQ(Check(service), expected) << service;
  }

  const auto health = Health::NewStub(NewChannel());
  grpc::ClientContext context;
  HealthCheckRequest request;
  request.set_service("times");
  const auto watch = health->Watch(&context, request);
  HealthCheckResponse response;
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  ASSERT_TRUE(Unload("times").ok());
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Check("times"), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Check(""), HealthCheckResponse::SERVING) << "the server does not go with it";
  ASSERT_TRUE(Load("times").ok());
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  context.TryCancel();
  watch->Finish();
}

}  // namespace
}  // namespace rlx::server
