// SPDX-License-Identifier: Apache-2.0
#include "runtime/wire/message_cost.h"

#include <gtest/gtest.h>

#include "rlx/v1/module.pb.h"

namespace rlx::wire {
namespace {

constexpr size_t kNoEnd = SIZE_MAX;

size_t Cost(const std::string& bytes, size_t enough = kNoEnd) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  return ParsedBytes({data, bytes.size()}, *v1::GraphModule::descriptor(), enough);
}

TEST(MessageCost, IsNearWhatTheParsedMessageTakes) {
  v1::GraphModule module;
  v1::Graph& graph = *module.add_graphs();
  for (int i = 0; i < 1000; ++i) {
    v1::Node& node = *graph.add_nodes();
    node.set_op("add");
    node.set_name("a name that is longer than what fits into a short string");
    node.add_operands()->set_node(i);
    node.add_results()->add_dims()->set_value(i);
    node.add_subgraphs(i);
  }
  v1::GraphModule parsed;
  ASSERT_TRUE(parsed.ParseFromString(module.SerializeAsString()));
  const auto real = static_cast<double>(parsed.SpaceUsedLong());
  const auto cost = static_cast<double>(Cost(module.SerializeAsString()));
  EXPECT_GT(cost, 0.7 * real);
  EXPECT_LT(cost, 1.5 * real);
}

TEST(MessageCost, SeesThroughEmptyMessages) {
  v1::GraphModule module;
  v1::Graph& graph = *module.add_graphs();
  for (int i = 0; i < 100'000; ++i) graph.add_nodes();
  const std::string bytes = module.SerializeAsString();
  EXPECT_GT(Cost(bytes), 30 * bytes.size());
  EXPECT_LT(Cost(bytes, 1'000'000), 1'001'000u) << "stops at enough";
}

TEST(MessageCost, GarbageEndsIt) {
  v1::GraphModule module;
  module.add_graphs()->add_nodes()->set_op("add");
  const std::string bytes = module.SerializeAsString();
  for (size_t n = 0; n < bytes.size(); ++n) EXPECT_LE(Cost(bytes.substr(0, n)), Cost(bytes));
  std::string deep;
  for (int i = 0; i < 1000; ++i) deep = "\x0a" + std::string(1, static_cast<char>(i % 100)) + deep;
  EXPECT_LT(Cost(deep), size_t{1} << 20);
}

}  // namespace
}  // namespace rlx::wire
