// SPDX-License-Identifier: Apache-2.0
#include "server/scheduling/options.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>

#include "runtime/base/status.h"

namespace rlx::server {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

absl::StatusOr<std::optional<QueueOptions>> Read(const std::string& text) {
  inference::ModelConfig config;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &config)) << text;
  return ReadQueueOptions(config, {.max_size = 7});
}

TEST(QueueOptions, AModelThatSaysNothingHasNoQueue) {
  const auto read = Read("max_batch_size: 8");
  ASSERT_TRUE(read.ok());
  EXPECT_FALSE(read->has_value());
}

TEST(QueueOptions, InstancesAloneBoundRuns) {
  const auto read = Read("max_batch_size: 8 instance_group { count: 2 } instance_group {}");
  ASSERT_TRUE(read.ok() && read->has_value());
  EXPECT_EQ((*read)->instances, 3);
  EXPECT_EQ((*read)->max_rows, 1);
  EXPECT_EQ((*read)->policy.max_size, 7u);
}

TEST(QueueOptions, SayWhatTheConfigSays) {
  const auto read = Read(R"(max_batch_size: 8
    dynamic_batching {
      preferred_batch_size: [8, 4] max_queue_delay_microseconds: 1500
      priority_levels: 3 default_priority_level: 2
      default_queue_policy { default_timeout_microseconds: 250000 allow_timeout_override: true }
      priority_queue_policy { key: 1 value { timeout_action: DELAY max_queue_size: 5 } }
    })");
  ASSERT_TRUE(read.ok() && read->has_value());
  const QueueOptions& options = **read;
  EXPECT_EQ(options.max_rows, 8);
  EXPECT_EQ(options.instances, 1);
  EXPECT_THAT(options.preferred, ElementsAre(4, 8));
  EXPECT_DOUBLE_EQ(options.max_delay, 0.0015);
  EXPECT_EQ(options.levels, 3u);
  EXPECT_EQ(options.default_level, 2u);
  EXPECT_DOUBLE_EQ(options.PolicyOf(2).timeout, 0.25);
  EXPECT_TRUE(options.PolicyOf(2).may_override);
  EXPECT_FALSE(options.PolicyOf(2).delay);
  EXPECT_EQ(options.PolicyOf(2).max_size, 7u) << "bounded by default";
  EXPECT_TRUE(options.PolicyOf(1).delay);
  EXPECT_EQ(options.PolicyOf(1).max_size, 5u);
}

TEST(QueueOptions, WhatContradictsItselfIsRefused) {
  for (const auto& [text, error] : std::map<std::string, std::string>{
           {"dynamic_batching {}", "takes a max_batch_size above 0"},
           {"max_batch_size: 4 dynamic_batching { preferred_batch_size: 5 }",
            "preferred_batch_size 5 is not in [1, 4]"},
           {"max_batch_size: 4 dynamic_batching { priority_levels: 2 }",
            "default_priority_level 0 is not in [1, 2]"},
           {"max_batch_size: 4 dynamic_batching { priority_queue_policy { key: 2 } }",
            "priority_queue_policy: 2 is not in [1, 1]"},
           {"max_batch_size: 4 dynamic_batching { preserve_ordering: true "
            "default_queue_policy { timeout_action: DELAY } }",
            "preserve_ordering takes one priority level"},
           {"instance_group { count: -1 }", "count -1"},
           {"instance_group { count: 200 } instance_group { count: 200 }", "above 256"},
           {"instance_group { kind: KIND_CPU } instance_group { kind: KIND_GPU }", "one kind"}}) {
    EXPECT_THAT(std::string(Message(Read(text).status())), HasSubstr(error)) << text;
  }
}

}  // namespace
}  // namespace rlx::server
