// SPDX-License-Identifier: Apache-2.0
// LogSettings and TraceSetting.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "runtime/base/text.h"
#include "tests/server/repository.h"

namespace rlx::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class SettingsTest : public RepositoryTest {
 protected:
  using LogValue = inference::LogSettingsRequest::SettingValue;
  static LogValue Switch(bool on) {
    LogValue value;
    value.set_bool_param(on);
    return value;
  }
  static LogValue Number(uint32_t number) {
    LogValue value;
    value.set_uint32_param(number);
    return value;
  }
  static LogValue Text(const std::string& text) {
    LogValue value;
    value.set_string_param(text);
    return value;
  }
  grpc::Status Log(const std::map<std::string, LogValue>& settings,
                   inference::LogSettingsResponse& response) const {
    grpc::ClientContext context;
    inference::LogSettingsRequest request;
    request.mutable_settings()->insert(settings.begin(), settings.end());
    response.Clear();
    return stub_->LogSettings(&context, request, &response);
  }
  grpc::Status Trace(const std::map<std::string, std::vector<std::string>>& settings,
                     inference::TraceSettingResponse& response,
                     const std::string& model = "") const {
    grpc::ClientContext context;
    inference::TraceSettingRequest request;
    request.set_model_name(model);
    for (const auto& [name, values] : settings) {
      auto& to = *(*request.mutable_settings())[name].mutable_value();
      to.Add(values.begin(), values.end());
    }
    response.Clear();
    return stub_->TraceSetting(&context, request, &response);
  }
};

TEST_F(SettingsTest, TheLogLevelHoldsFromThen) {
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_NONBLOCK), 0);
  Logger log(LogLevel::kWarning, pipe[1]);
  const auto lines = [&] {
    std::string text(1 << 16, '\0');
    const ssize_t got = read(pipe[0], text.data(), text.size());
    text.resize(static_cast<size_t>(std::max<ssize_t>(0, got)));
    return text;
  };
  std::filesystem::create_directories(root());
  Start({"--model_repository=" + root()}, &log);
  stub_ = inference::GRPCInferenceService::NewStub(NewChannel());
  inference::LogSettingsResponse now;
  ASSERT_TRUE(Log({}, now).ok());
  EXPECT_FALSE(now.settings().at("log_info").bool_param());
  EXPECT_TRUE(now.settings().at("log_warning").bool_param());
  EXPECT_TRUE(now.settings().at("log_error").bool_param());
  EXPECT_EQ(now.settings().at("log_verbose_level").uint32_param(), 0u);
  EXPECT_EQ(now.settings().at("log_format").string_param(), "ISO8601");
  Answer answer;
  EXPECT_FALSE(Call(Request("nothing", {1}, {1}), answer).ok());
  EXPECT_THAT(lines(), testing::Not(HasSubstr("rpc failed")));

  ASSERT_TRUE(Log({{"log_info", Switch(true)}}, now).ok());
  EXPECT_TRUE(now.settings().at("log_info").bool_param());
  EXPECT_FALSE(Call(Request("nothing", {1}, {1}), answer).ok());
  EXPECT_THAT(lines(), HasSubstr("rpc failed"));
  ASSERT_TRUE(Log({{"log_verbose_level", Number(2)}}, now).ok());
  EXPECT_THAT(lines(), HasSubstr("\"debug\"")) << "of that very call";
  ASSERT_TRUE(Log({{"log_verbose_level", Number(0)}, {"log_info", Switch(false)}}, now).ok());
  EXPECT_EQ(log.minimum(), LogLevel::kWarning);
  Stop();
  close(pipe[0]);
  close(pipe[1]);
}

TEST_F(SettingsTest, WhatTheLogCannotDoIsRefusedAndNothingIsSet) {
  Serve();
  inference::LogSettingsResponse now;
  const LogLevel before = log_.minimum();
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, LogValue>>{{"log_file", Text("/tmp/x")},
                                                     {"log_format", Text("default")},
                                                     {"log_error", Switch(false)},
                                                     {"log_info", Number(1)},
                                                     {"log_verbose_level", Switch(true)},
                                                     {"nothing", Switch(true)}}) {
    const grpc::Status refused = Log({{name, value}, {"log_warning", Switch(true)}}, now);
    EXPECT_EQ(refused.error_code(), grpc::INVALID_ARGUMENT) << name;
    EXPECT_THAT(refused.error_message(), testing::Not(HasSubstr("/tmp"))) << name;
  }
  EXPECT_EQ(Log({{"log_info", Switch(true)}, {"log_warning", Switch(false)}}, now).error_code(),
            grpc::INVALID_ARGUMENT);
  EXPECT_EQ(log_.minimum(), before);
}

TEST_F(SettingsTest, TracesNeedAFolderAndCanBeTurnedOff) {
  Write("times/1/module.txt", Times("2"));
  Serve();
  inference::TraceSettingResponse now;
  ASSERT_TRUE(Trace({}, now).ok());
  EXPECT_THAT(now.settings().at("trace_level").value(), ElementsAre("OFF"));
  ASSERT_TRUE(Trace({}, now, "times").ok());
  const grpc::Status none = Trace({{"trace_level", {"TIMESTAMPS"}}}, now);
  EXPECT_EQ(none.error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(none.error_message(), HasSubstr("RLX_TRACE_PERFETTO"));

  const std::string folder = dir_.path() + "/traces";
  setenv("RLX_TRACE_PERFETTO", folder.c_str(), 1);
  Serve();
  unsetenv("RLX_TRACE_PERFETTO");
  ASSERT_TRUE(Trace({}, now).ok());
  EXPECT_THAT(now.settings().at("trace_level").value(), ElementsAre("TIMESTAMPS"));
  EXPECT_THAT(now.settings().at("trace_rate").value(), ElementsAre("1"));
  const auto traces = [&] {
    int count = 0;
    for (const auto& file : std::filesystem::directory_iterator(folder)) {
      count += file.path().string().ends_with(".run.json");
    }
    return count;
  };
  const auto forget = [&] {
    for (const auto& file : std::filesystem::directory_iterator(folder)) {
      std::filesystem::remove(file.path());
    }
  };
  Run(Request("times", {1, 2, 3, 4}, {4}));
  EXPECT_EQ(traces(), 1);
  forget();
  ASSERT_TRUE(Trace({{"trace_level", {"OFF"}}}, now).ok());
  EXPECT_THAT(now.settings().at("trace_level").value(), ElementsAre("OFF"));
  Run(Request("times", {1, 2, 3, 4}, {4}));
  EXPECT_EQ(traces(), 0);
  ASSERT_TRUE(Trace({{"trace_level", {"TIMESTAMPS"}}, {"trace_rate", {"3"}}}, now).ok());
  for (int i = 0; i < 3; ++i) Run(Request("times", {1, 2, 3, 4}, {4}));
  EXPECT_EQ(traces(), 1);
  ASSERT_TRUE(Trace({{"trace_level", {}}, {"trace_rate", {}}}, now).ok()) << "as at the start";
  EXPECT_THAT(now.settings().at("trace_rate").value(), ElementsAre("1"));

  EXPECT_EQ(Trace({{"trace_level", {"OFF"}}}, now, "times").error_code(), grpc::INVALID_ARGUMENT);
  for (const auto& [name, value] : std::map<std::string, std::string>{{"trace_file", "/tmp/x"},
                                                                      {"trace_rate", "0"},
                                                                      {"trace_level", "TENSORS"},
                                                                      {"trace_count", "5"},
                                                                      {"nothing", "1"}}) {
    EXPECT_EQ(Trace({{name, {value}}}, now).error_code(), grpc::INVALID_ARGUMENT) << name;
  }
}

}  // namespace
}  // namespace rlx::server
