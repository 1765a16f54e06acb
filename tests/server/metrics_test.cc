// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>

#include <fstream>
#include <sstream>

#include "tests/server/fixture.h"

namespace rlx::server {
namespace {

struct Row {
  std::string type;
  std::set<std::string> labels;
};
using Rows = std::map<std::string, Row>;

std::string FileText(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> SplitAt(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(separator, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + separator.size();
  }
  return parts;
}

// The lines "| `name` | type | labels | meaning |" of docs/metrics.md.
Rows Documented() {
  Rows rows;
  for (const std::string& line : SplitAt(FileText("docs/metrics.md"), "\n")) {
    if (!line.starts_with("| `")) continue;
    const std::vector<std::string> cells = SplitAt(line, "|");
    const std::string name = cells[1].substr(2, cells[1].size() - 4);
    Row& row = rows[name];
    row.type = cells[2].substr(1, cells[2].size() - 2);
    for (const std::string& label : SplitAt(cells[3], ",")) {
      const size_t first = label.find_first_not_of(' ');
      if (first == label.npos) continue;
      row.labels.insert(label.substr(first, label.find_last_not_of(' ') + 1 - first));
    }
  }
  return rows;
}

// Names of labels in `name{a="1",b="2"} 3`; values here hold no quotes.
std::set<std::string> LabelsOf(const std::string& sample) {
  std::set<std::string> labels;
  for (size_t at = sample.find('{'); at != sample.npos && sample[at] != '}';) {
    const size_t equals = sample.find("=\"", at);
    const std::string label = sample.substr(at + 1, equals - at - 1);
    if (label != "le") labels.insert(label);
    at = sample.find('"', equals + 2) + 1;
  }
  return labels;
}

// Of the text exposition format: families, with the labels of their samples.
Rows Served(const std::string& text) {
  Rows rows;
  std::string name;
  for (const std::string& line : SplitAt(text, "\n")) {
    if (line.starts_with("# TYPE ")) {
      name = line.substr(7, line.rfind(' ') - 7);
      rows[name].type = line.substr(line.rfind(' ') + 1);
    } else if (!line.empty() && line[0] != '#') {
      rows[name].labels.merge(LabelsOf(line));
    }
  }
  return rows;
}

class MetricsTest : public DaemonTest {
 protected:
  // A session of a chain of products that takes a while; its handle.
  std::string OpenSlow() {
    v1::GraphModule module;
    module.set_stage(v1::STAGE_MIR);
    v1::Graph& graph = *module.add_graphs();
    AddInput(graph, "input", "x", {1024, 1024});
    for (uint32_t n = 0; n < 12; ++n) AddNode(graph, "matmul", {n, 0});
    AddOutput(graph, "y", 12);
    v1::OpenRequest open;
    *open.mutable_compile() = RequestFor(module);
    v1::OpenResponse opened;
    EXPECT_TRUE(Open(open, opened).ok());
    return opened.handle();
  }
  static v1::RunRequest RunOf(const std::string& handle, v1::Tensor x) {
    v1::RunRequest request;
    request.set_handle(handle);
    v1::NamedTensor& input = *request.add_inputs();
    input.set_name("x");
    *input.mutable_tensor() = std::move(x);
    return request;
  }
};

TEST_F(MetricsTest, AreThoseOfTheDocs) {
  // Some of everything: a compile, a hit, a miss, a refusal, runs that succeed, fail and are left.
  ASSERT_TRUE(Compile(LinearModule(2, 3, 4)).status.ok());
  ASSERT_TRUE(Compile(LinearModule(2, 3, 4)).status.ok());
  v1::GraphModule bad = IdentityModule();
  bad.mutable_graphs(0)->mutable_nodes(0)->set_op("nothing");
  EXPECT_FALSE(Compile(bad).status.ok());
  v1::GraphModule missed = LinearModule(8, 16, 32);
  AddNode(*missed.mutable_graphs(0), "neg", {3});
  AddNode(*missed.mutable_graphs(0), "neg", {3});  // merged with the other
  AddOutput(*missed.mutable_graphs(0), "z", 6);
  AddOutput(*missed.mutable_graphs(0), "again", 7);
  ASSERT_TRUE(Compile(missed).status.ok());
  v1::OpenRequest open;
  *open.mutable_compile() = RequestFor(IdentityModule());
  v1::OpenResponse opened;
  ASSERT_TRUE(Open(open, opened).ok());
  v1::RunResponse ran;
  ASSERT_TRUE(Run(RunOf(opened.handle(), Floats({16}, 1)), ran).ok());
  EXPECT_FALSE(Run(RunOf(opened.handle(), Floats({15}, 1)), ran).ok());
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(20));
  EXPECT_FALSE(sessions_->Run(&context, RunOf(OpenSlow(), Floats({1024, 1024}, 0)), &ran).ok());
  EXPECT_TRUE(BecomesEventually("rlxd_rpc_inflight{method=\"Run\",service=\"Sessions\"}", 0));
  const Rows documented = Documented(), served = Served(Metrics());
  for (const auto& [name, row] : served) {
    const auto known = documented.find(name);
    ASSERT_NE(known, documented.end()) << name << " is not in docs/metrics.md";
    EXPECT_EQ(row.type, known->second.type) << name;
    EXPECT_EQ(row.labels, known->second.labels) << name;
  }
  EXPECT_GE(served.size(), 55u);
  // Those that nothing above made appear stand in the source.
  const std::string source = FileText("server/metrics.cc") + FileText("server/model_metrics.cc");
  for (const auto& [name, row] : documented) {
    EXPECT_NE(source.find(Cat("\"", name, "\"")), std::string::npos) << name << " is no metric";
  }
}

TEST_F(MetricsTest, MessagesAreMeasuredAsTheyTravel) {
  grpc::ClientContext context;
  v1::GetCapabilitiesResponse capabilities;
  ASSERT_TRUE(server_->GetCapabilities(&context, {}, &capabilities).ok());
  const auto bytes = [&](const char* what, const char* direction, const char* method) {
    return Metric(Cat("rlxd_rpc_message_bytes_", what, "{direction=\"", direction, "\",method=\"",
                      method, "\"}"));
  };
  EXPECT_EQ(bytes("count", "received", "GetCapabilities"), 1);
  EXPECT_EQ(bytes("sum", "received", "GetCapabilities"), 0) << "the request is empty";
  EXPECT_EQ(bytes("sum", "sent", "GetCapabilities"), capabilities.ByteSizeLong());
  const v1::CompileRequest request = RequestFor(LinearModule(2, 3, 4));
  const Compiled compiled = Compile(request);
  ASSERT_TRUE(compiled.status.ok());
  EXPECT_EQ(bytes("sum", "received", "Compile"), request.ByteSizeLong());
  EXPECT_EQ(bytes("count", "sent", "Compile"), compiled.progress.size() + 1);
  EXPECT_GT(bytes("sum", "sent", "Compile"), compiled.result.ByteSizeLong());
  // An upload, chunk by chunk, and its way back.
  const std::string data(100'000, 'b'), digest(Sha256Of(data).view());
  grpc::ClientContext up;
  v1::WriteResponse written;
  const auto upload = blobs_->Write(&up, &written);
  for (size_t at = 0; at < data.size(); at += 25'000) {
    v1::WriteRequest chunk;
    if (at == 0) chunk.mutable_blob()->set_sha256(digest);
    if (at == 0) chunk.mutable_blob()->set_size(data.size());
    chunk.set_data(data.substr(at, 25'000));
    ASSERT_TRUE(upload->Write(chunk));
  }
  upload->WritesDone();
  ASSERT_TRUE(upload->Finish().ok());
  EXPECT_EQ(bytes("count", "received", "Write"), 4);
  EXPECT_GT(bytes("sum", "received", "Write"), 100'000);
  EXPECT_LT(bytes("sum", "received", "Write"), 100'200);
  EXPECT_EQ(bytes("sum", "sent", "Write"), written.ByteSizeLong());
}

TEST_F(MetricsTest, WhatServingCostsIsShown) {
  EXPECT_EQ(Metric("rlxd_device_memory_used_bytes{device=\"cpu:0\"}"), 0);
  EXPECT_EQ(Metric("rlxd_cache_longest_idle_seconds{tier=\"disk\"}"), 0);
  v1::OpenRequest open;
  *open.mutable_compile() = RequestFor(LinearModule(8, 16, 32));
  for (const auto& [name, dims] :
       std::map<std::string, std::vector<int64_t>>{{"w", {16, 32}}, {"b", {32}}}) {
    v1::WeightBinding& weight = *open.add_weights();
    weight.set_param(name);
    *weight.mutable_inline_() = dims.size() == 2 ? Floats({16, 32}, 1) : Floats({32}, 1);
  }
  v1::OpenResponse opened;
  ASSERT_TRUE(Open(open, opened).ok());
  EXPECT_GT(Metric("rlxd_device_memory_used_bytes{device=\"cpu:0\"}"), 16 * 32 * 4);
  EXPECT_GE(Metric("rlxd_device_memory_peak_bytes{device=\"cpu:0\"}"),
            Metric("rlxd_device_memory_used_bytes{device=\"cpu:0\"}"));
  EXPECT_EQ(Metric("rlxd_compile_queue_seconds_count"), 1);
  EXPECT_GE(Metric("rlxd_cache_op_seconds_count{op=\"get\",tier=\"disk\"}"), 1);
  EXPECT_EQ(Metric("rlxd_cache_op_seconds_count{op=\"put\",tier=\"disk\"}"), 1);
  EXPECT_EQ(Metric("rlxd_cache_op_seconds_count{op=\"put\",tier=\"memory\"}"), 1);
  EXPECT_GT(Metric("rlxd_cache_longest_idle_seconds{tier=\"disk\"}"), 0);
  EXPECT_THAT(Metrics(),
              testing::ContainsRegex("rlxd_device_info\\{device=\"cpu:0\",driver=\"[^\"]+\","
                                     "name=\"[^\"]+\",vendor=\"[A-Za-z]+\"\\} 1"));
}

}  // namespace
}  // namespace rlx::server
