// SPDX-License-Identifier: Apache-2.0
// RepositoryModelLoad with a config and files of its own.
#include <gmock/gmock.h>

#include "tests/server/repository.h"

namespace rlx::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class LoadOverrideTest : public RepositoryTest {
 protected:
  using Parameters = std::map<std::string, inference::ModelRepositoryParameter>;
  static inference::ModelRepositoryParameter Text(const std::string& text) {
    inference::ModelRepositoryParameter value;
    value.set_string_param(text);
    return value;
  }
  static inference::ModelRepositoryParameter File(const std::string& bytes) {
    inference::ModelRepositoryParameter value;
    value.set_bytes_param(bytes);
    return value;
  }
  grpc::Status LoadWith(const std::string& model, const Parameters& parameters) const {
    grpc::ClientContext context;
    inference::RepositoryModelLoadRequest request;
    request.set_model_name(model);
    request.mutable_parameters()->insert(parameters.begin(), parameters.end());
    inference::RepositoryModelLoadResponse response;
    return stub_->RepositoryModelLoad(&context, request, &response);
  }
  std::vector<float> Ask(const std::string& model) const {
    return Run(Request(model, {1, 1, 1, 1}, {4}));
  }
};

TEST_F(LoadOverrideTest, AConfigHoldsForThatLoadAlone) {
  Write("times/1/module.txt", Times("2"));
  Write("times/2/module.txt", Times("3"));
  Serve({"--model_control_mode=explicit"});
  EXPECT_TRUE(
      LoadWith("times", {{"config", Text(R"({"versionPolicy": {"specific": {"versions": [1]}},
                                             "parameters": {"a": {"stringValue": "b"}}})")}})
          .ok());
  EXPECT_THAT(Ask("times"), ElementsAre(2, 2, 2, 2));
  EXPECT_TRUE(LoadWith("times", {}).ok());
  EXPECT_THAT(Ask("times"), ElementsAre(3, 3, 3, 3));
}

TEST_F(LoadOverrideTest, FilesStandForTheFolder) {
  Write("times/1/module.txt", Times("2"));
  Serve({"--model_control_mode=explicit", "--load_model=times"});
  const Parameters brought = {{"config", Text("{}")}, {"file:7/module.txt", File(Times("5"))}};
  EXPECT_TRUE(LoadWith("brought", brought).ok());
  EXPECT_THAT(Ask("brought"), ElementsAre(5, 5, 5, 5));
  EXPECT_EQ(StateOf("brought", "7").first, "READY");
  EXPECT_TRUE(LoadWith("times", brought).ok());
  EXPECT_THAT(Ask("times"), ElementsAre(5, 5, 5, 5));
  EXPECT_EQ(LoadWith("brought", {}).error_code(), grpc::NOT_FOUND) << "there is no such folder";
  EXPECT_THAT(Ask("brought"), ElementsAre(5, 5, 5, 5)) << "what serves goes on";
  EXPECT_TRUE(Unload("brought").ok());
  EXPECT_TRUE(LoadWith("times", {}).ok());
  EXPECT_THAT(Ask("times"), ElementsAre(2, 2, 2, 2));
}

TEST_F(LoadOverrideTest, WhatIsNoParameterIsRefused) {
  Write("times/1/module.txt", Times("2"));
  Serve({"--model_control_mode=explicit", "--load_model=times"});
  for (const Parameters& parameters :
       std::vector<Parameters>{{{"nothing", Text("1")}},
                               {{"config", Text("{\"nothing\": 1}")}},
                               {{"config", File("{}")}},
                               {{"config", Text("{}")}, {"file:1/../../module.txt", File("x")}},
                               {{"config", Text("{}")}, {"file:../module.txt", File("x")}},
                               {{"config", Text("{}")}, {"file:1", File("x")}},
                               {{"config", Text("{}")}, {"file:-1/module.txt", File("x")}},
                               {{"file:1/module.txt", File("x")}}}) {
    EXPECT_EQ(LoadWith("times", parameters).error_code(), grpc::INVALID_ARGUMENT)
        << parameters.begin()->first;
  }
  EXPECT_EQ(
      LoadWith("../times", {{"config", Text("{}")}, {"file:1/module.txt", File("x")}}).error_code(),
      grpc::INVALID_ARGUMENT);
  EXPECT_THAT(Ask("times"), ElementsAre(2, 2, 2, 2));
}

}  // namespace
}  // namespace rlx::server
