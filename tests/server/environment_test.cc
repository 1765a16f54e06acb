// SPDX-License-Identifier: Apache-2.0
// Every variable that rlxd reads: once, at its start, and each does what --help says of it.
#include <fcntl.h>
#include <gmock/gmock.h>

#include <map>

#include "runtime/base/file.h"
#include "runtime/base/sha256.h"
#include "runtime/base/text.h"
#include "runtime/cache/shared_store.h"
#include "tests/server/fixture.h"

namespace rlx::server {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Variables = std::map<std::string, std::string>;

// Variables that are set as long as it lives.
class Environment {
 public:
  explicit Environment(Variables variables) : variables_(std::move(variables)) {
    for (const auto& [name, value] : variables_) setenv(name.c_str(), value.c_str(), 1);
  }
  ~Environment() {
    for (const auto& [name, value] : variables_) unsetenv(name.c_str());
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const Variables variables_;
};

class EnvironmentTest : public DaemonTest {
 protected:
  // A daemon that started while the variables were set; they are gone when it serves.
  void StartWith(const Variables& variables) {
    const Environment environment(variables);
    Start();
  }

  v1::CompileOptions Resolved(v1::CompileRequest request, v1::Device device = v1::DEVICE_CPU) {
    request.mutable_spec()->mutable_target()->set_device(device);
    const Compiled compiled = Compile(request);
    EXPECT_TRUE(compiled.status.ok()) << compiled.status.error_message();
    return compiled.result.options();
  }

  std::string FileOf(const v1::CompileResult& result, const std::string& folder,
                     const std::string& ending) {
    const auto key = Digest256::FromBytes(result.key());
    const auto text = ReadFile(Cat(folder, "/", *key, ending), 1 << 20);
    EXPECT_TRUE(text.ok()) << Cat(text.status());
    return text.ok() ? *text : "";
  }
};

v1::CompileRequest Linear() { return RequestFor(LinearModule(8, 16, 32)); }

TEST(Environment, HelpListsWhatIsRead) {
  const std::string help = HelpText();
  for (const char* name : {"RLX_FUSION_REPORT", "RLX_DISPATCH_REPORT", "RLX_VERBOSE", "RLX_IR_DUMP",
                           "RLX_TRACE_PERFETTO", "RLX_KERNEL_DISPATCH", "RLX_ARENA_ALIGN",
                           "RLX_METAL_NO_FUSION", "RLX_METAL_UNFUSE_REGIONS"}) {
    EXPECT_THAT(help, HasSubstr(Cat("  ", name)));
  }
}

TEST(Environment, ABuildWithoutSharedCacheSaysSo) {
  const bool has = cache::HasSharedStore();
  EXPECT_EQ(HelpText().find("--shared_cache") != std::string::npos, has);
  const auto settings = ReadSettings({"--shared_cache=redis://a"});
  EXPECT_THAT(Message(settings.status()), HasSubstr(has ? "key_file" : "without hiredis"));
}

// What a switch takes for off: nothing, 0, false, off, no.
TEST(Environment, SwitchesAreOnUnlessTheySayNo) {
  const std::pair<const char*, bool> values[] = {{"", false},    {"0", false},  {"false", false},
                                                 {"off", false}, {"no", false}, {"1", true},
                                                 {"yes", true},  {"2", true}};
  for (const auto& [value, on] : values) {
    const Environment environment(Variables{{"RLX_FUSION_REPORT", value}});
    EXPECT_EQ(ReadSettings({})->log_fusion, on) << value;
  }
}

TEST(Environment, WhatHasNoMeaningIsNamed) {
  for (const auto& [name, value] :
       Variables{{"RLX_ARENA_ALIGN", "48"}, {"RLX_KERNEL_DISPATCH", "sometimes"}}) {
    const Environment environment(Variables{{name, value}});
    const auto read = ReadSettings({});
    ASSERT_FALSE(read.ok()) << name;
    EXPECT_THAT(Cat(read.status().message()), AllOf(HasSubstr(name), HasSubstr(value)));
  }
}

// RLX_FUSION_REPORT, RLX_DISPATCH_REPORT: a line in the log for each compile, none for a hit.
TEST_F(EnvironmentTest, ReportsAreLogged) {
  for (const bool on : {true, false}) {
    const std::string path = dir_ / "log";
    const auto file = OpenFile(path, O_CREAT | O_TRUNC | O_WRONLY);
    ASSERT_TRUE(file.ok());
    Logger log(LogLevel::kInfo, file->get());
    {
      const Environment environment(Variables{{"RLX_FUSION_REPORT", on ? "1" : "0"},
                                              {"RLX_DISPATCH_REPORT", on ? "1" : "0"}});
      Start({}, &log);
    }
    v1::CompileRequest request = Linear();
    request.mutable_spec()->mutable_options()->set_salt(on ? "on" : "off");
    ASSERT_TRUE(Compile(request).status.ok());
    ASSERT_TRUE(Compile(request).status.ok());
    Stop();
    const std::string lines = *ReadFile(path, 1 << 20);
    const auto count = [&](std::string_view what) {
      int found = 0;
      for (size_t at = lines.find(what); at != lines.npos; at = lines.find(what, at + 1)) ++found;
      return found;
    };
    EXPECT_EQ(count(R"("event":"fusion report")"), on ? 1 : 0) << lines;
    EXPECT_EQ(count(R"("event":"dispatch report")"), on ? 1 : 0) << lines;
    EXPECT_EQ(count("fused_mm_act=1") > 0, on) << lines;
  }
}

TEST_F(EnvironmentTest, IrDumpLeavesEveryStage) {
  const std::string folder = dir_ / "ir";
  StartWith({{"RLX_IR_DUMP", folder}});
  const Compiled compiled = Compile(Linear());
  ASSERT_TRUE(compiled.status.ok());
  EXPECT_THAT(FileOf(compiled.result, folder, ".ir.txt"),
              AllOf(HasSubstr("mir \""), HasSubstr("lir \""), HasSubstr("plan {")));
}

TEST_F(EnvironmentTest, IrDumpLeavesTheBlocksOfHirToo) {
  const std::string folder = dir_ / "ir";
  StartWith({{"RLX_IR_DUMP", folder}});
  v1::GraphModule module = LinearModule(4, 8, 16);
  module.set_stage(v1::STAGE_HIR);
  v1::Graph& graph = *module.mutable_graphs(0);
  graph.mutable_nodes()->DeleteSubrange(3, 3);
  graph.clear_outputs();
  AddNode(graph, "linear", {0, 1, 2}).set_name("projection");
  AddOutput(graph, "y", 3);
  const Compiled compiled = Compile(module);
  ASSERT_TRUE(compiled.status.ok()) << compiled.status.error_message();
  const std::string text = FileOf(compiled.result, folder, ".ir.txt");
  // One after the other: the block as it was sent, what it is lowered to, and that with its plan.
  size_t at = 0;
  for (const char* next :
       {"hir \"linear\"", "= linear \"projection\"", "mir \"linear\"", "fused_matmul_bias_act",
        "lir \"linear\"", "fused_matmul_bias_act", "plan {"}) {
    at = text.find(next, at);
    ASSERT_NE(at, std::string::npos) << next << " in\n" << text;
  }
  EXPECT_EQ(text.find("= linear", text.find("mir \"")), std::string::npos) << text;
}

TEST_F(EnvironmentTest, AFolderThatCannotBeIsNamedWithItsVariable) {
  for (const char* variable : {"RLX_IR_DUMP", "RLX_TRACE_PERFETTO"}) {
    const Environment environment(Variables{{variable, "/proc/no/such"}});
    const auto settings = ReadSettings({"--listen=127.0.0.1:0", "--metrics_listen=127.0.0.1:0"});
    ASSERT_TRUE(settings.ok()) << Cat(settings.status());
    const absl::Status status = Daemon::Start(*settings, {}, log_).status();
    EXPECT_THAT(Cat(status), HasSubstr(Cat(variable, "=/proc/no/such: ")));
  }
}

TEST_F(EnvironmentTest, TracePerfettoLeavesCompilesAndRuns) {
  const std::string folder = dir_ / "traces";
  StartWith({{"RLX_TRACE_PERFETTO", folder}});
  const Compiled compiled = Compile(SoftmaxModule());
  ASSERT_TRUE(compiled.status.ok());
  const std::string compile = FileOf(compiled.result, folder, ".compile.json");
  for (const char* span : {"\"traceEvents\":[", "\"name\":\"mir\"", "\"name\":\"passes\"",
                           "\"name\":\"dead_code_elimination\"", "\"name\":\"kernels\""}) {
    EXPECT_THAT(compile, HasSubstr(span));
  }
  v1::OpenRequest open;
  open.set_key(compiled.result.key());
  v1::OpenResponse opened;
  ASSERT_TRUE(Open(open, opened).ok());
  v1::RunRequest request;
  request.set_handle(opened.handle());
  request.add_inputs()->set_name("x");
  *request.mutable_inputs(0)->mutable_tensor() = Floats({4, 8}, 1);
  v1::RunResponse response;
  ASSERT_TRUE(Run(request, response).ok());
  EXPECT_THAT(response.timing().steps(), IsEmpty());  // the caller did not ask
  EXPECT_THAT(FileOf(compiled.result, folder, ".run.json"),
              AllOf(HasSubstr("\"name\":\"compute\""), HasSubstr("\"what\":\"launch k0\"")));
}

TEST_F(EnvironmentTest, VerboseShowsRemarksThatNobodyCanActOn) {
  const auto skipped = [&](std::string_view salt) {
    v1::CompileRequest request = Linear();
    request.mutable_spec()->mutable_options()->set_salt(std::string(salt));
    request.mutable_spec()->mutable_options()->mutable_fusion_opts()->set_skip_fusion(true);
    return Compile(request).result.fusion().remarks_size();
  };
  const int quiet = skipped("a");
  StartWith({{"RLX_VERBOSE", "1"}});
  EXPECT_GT(skipped("b"), quiet);
}

TEST_F(EnvironmentTest, KernelDispatchIsADefault) {
  using Dispatch = v1::KernelDispatch;
  const std::pair<const char*, Dispatch::Policy> values[] = {
      {"common", Dispatch::POLICY_FORCE_COMMON},
      {"ForceCommon", Dispatch::POLICY_FORCE_COMMON},
      {"force_native", Dispatch::POLICY_FORCE_NATIVE},
      {"prefer_native", Dispatch::POLICY_PREFER_NATIVE}};
  for (const auto& [value, policy] : values) {
    StartWith({{"RLX_KERNEL_DISPATCH", value}});
    EXPECT_EQ(Resolved(Linear()).kernel_dispatch().policy(), policy) << value;
    v1::CompileRequest request = Linear();
    request.mutable_spec()->mutable_options()->mutable_kernel_dispatch()->set_policy(
        Dispatch::POLICY_PREFER_NATIVE);
    EXPECT_EQ(Resolved(request).kernel_dispatch().policy(), Dispatch::POLICY_PREFER_NATIVE);
  }
}

TEST_F(EnvironmentTest, ArenaAlignIsADefault) {
  StartWith({{"RLX_ARENA_ALIGN", "256"}});
  EXPECT_EQ(Resolved(Linear()).arena_alignment(), 256u);
  v1::CompileRequest request = Linear();
  request.mutable_spec()->mutable_options()->set_arena_alignment(32);
  EXPECT_EQ(Resolved(request).arena_alignment(), 32u);
}

// On Metal alone, and a request cannot turn it off.
TEST_F(EnvironmentTest, MetalSwitchesStayOn) {
  for (const bool regions : {false, true}) {
    StartWith({{regions ? "RLX_METAL_UNFUSE_REGIONS" : "RLX_METAL_NO_FUSION", "1"}});
    const auto on = [&](v1::Device device, bool asked) {
      v1::CompileRequest request = Linear();
      v1::FusionOptions& fusion = *request.mutable_spec()->mutable_options()->mutable_fusion_opts();
      if (regions) {
        fusion.set_unfuse_elementwise_regions(asked);
      } else {
        fusion.set_skip_fusion(asked);
      }
      const v1::FusionOptions resolved = Resolved(request, device).fusion_opts();
      return regions ? resolved.unfuse_elementwise_regions() : resolved.skip_fusion();
    };
    EXPECT_TRUE(on(v1::DEVICE_METAL, false));
    EXPECT_TRUE(on(v1::DEVICE_METAL, true));
    EXPECT_FALSE(on(v1::DEVICE_CUDA, false));
    EXPECT_TRUE(on(v1::DEVICE_CUDA, true));
    StartWith({});  // and only where they were set
    EXPECT_FALSE(on(v1::DEVICE_METAL, false));
  }
}

}  // namespace
}  // namespace rlx::server
