// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <grpcpp/support/status.h>
#include <gtest/gtest.h>

#include "clients/rlxctl/failure.h"
#include "clients/rlxctl/message_json.h"
#include "clients/rlxctl/module_file.h"
#include "clients/rlxctl/outputs.h"
#include "clients/rlxctl/report_text.h"
#include "clients/rlxctl/table.h"
#include "google/protobuf/text_format.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "rlx/v1/error.pb.h"
#include "rlx/v1/options.pb.h"
#include "runtime/base/file.h"
#include "tests/support/temp_dir.h"

namespace rlx::ctl {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(Table, AlignsColumns) {
  Table table({"name", ">size", "note"});
  table.Row({"a", "12", "first"});
  table.Row({"µs", "7"});
  table.Row({"two\nlines", "", "x"});
  EXPECT_EQ(table.ToString(),
            "name       size  note\n"
            "a            12  first\n"
            "µs            7\n"
            "two lines        x\n");
}

TEST(Table, WritesUnits) {
  EXPECT_EQ(BytesText(1023), "1023 B");
  EXPECT_EQ(BytesText(1024), "1.0 KiB");
  EXPECT_EQ(BytesText((1 << 20) - 1), "1.0 MiB");
  EXPECT_EQ(BytesText(UINT64_MAX), "16.0 EiB");
  EXPECT_EQ(SecondsText(0.0000125), "12 µs");
  EXPECT_EQ(SecondsText(0.0351), "35.1 ms");
  EXPECT_EQ(SecondsText(1.239), "1.24 s");
  EXPECT_EQ(SecondsText(3600), "3600 s");
}

TEST(Table, TakesTerminalCommandsOut) {
  EXPECT_EQ(Printable("a\x1b[2Jb\tc\nd\x7f µ"), "a[2Jb\tc\nd µ");
}

TEST(MessageJson, WritesNumbersWordsAndHex) {
  v1::CompileOptions options;
  options.set_arena_alignment(uint64_t{1} << 60);
  options.set_dce(false);
  options.set_precision(v1::PRECISION_F16);
  options.set_salt(std::string("\x00\xFF", 2));
  options.mutable_supported_ops();
  (*options.mutable_dim_binding()->mutable_values())["batch"] = -2;
  options.add_dump(v1::STAGE_LIR);
  JsonWriter json;
  WriteMessage(options, json);
  EXPECT_EQ(json.text(), R"({"precision":"f16","dce":false,"fusion_target":"unspecified",)"
                         R"("arena_alignment":1152921504606846976,"supported_ops":{"names":[]},)"
                         R"("dim_binding":{"values":{"batch":-2}},"dump":["lir"],"salt":"00ff"})");
}

absl::Status Refusal() {
  v1::ErrorDetail detail;
  detail.set_reason("limit_exceeded");
  detail.set_node(3);
  detail.set_node_name("fc\x1b");
  detail.set_field("spec.options.arena_alignment");
  detail.set_limit("max_nodes");
  detail.set_limit_value(100);
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_nanos(500'000'000);
  google::rpc::Status status;
  status.add_details()->PackFrom(detail);
  status.add_details()->PackFrom(retry);
  return FromGrpc(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "too many nodes",
                               status.SerializeAsString()));
}

TEST(Failure, TellsTheDetails) {
  EXPECT_EQ(FailureText(Refusal()),
            "rlxctl: resource exhausted: too many nodes\n"
            "  reason: limit_exceeded\n"
            "  node: 3 \"fc\x1b\"\n"
            "  field: spec.options.arena_alignment\n"
            "  limit: max_nodes is 100\n"
            "  try again in 0.5 s\n");
  EXPECT_EQ(RetryAfter(Refusal()), 0.5);
  JsonWriter json;
  WriteFailure(Refusal(), json);
  EXPECT_THAT(json.text(), HasSubstr(R"({"error":{"code":"resource_exhausted",)"));
  EXPECT_THAT(json.text(), HasSubstr(R"("field":"spec.options.arena_alignment")"));
}

TEST(Failure, KeepsDetailsThroughAnnotation) {
  EXPECT_THAT(FailureText(Annotate(Refusal(), "here")), HasSubstr("limit: max_nodes"));
}

TEST(Failure, HasAnExitCodeForEach) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), kExitOk);
  EXPECT_EQ(ExitCodeOf(InvalidArgument("x")), kExitError);
  EXPECT_EQ(ExitCodeOf(Usage("x")), kExitUsage);
  EXPECT_EQ(ExitCodeOf(Unavailable("x")), kExitUnavailable);
  EXPECT_EQ(ExitCodeOf(DeadlineExceeded("x")), kExitDeadline);
  google::rpc::Status status;
  v1::FusionMisses misses;
  misses.add_missed()->set_hint("split it");
  status.add_details()->PackFrom(misses);
  const absl::Status missed = FromGrpc(
      grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "not clean", status.SerializeAsString()));
  EXPECT_EQ(ExitCodeOf(missed), kExitFusionMissed);
  EXPECT_THAT(FailureText(missed), HasSubstr("hint: split it"));
  // Details that are no details are no reason to fall over.
  EXPECT_EQ(ExitCodeOf(FromGrpc(grpc::Status(grpc::StatusCode::INTERNAL, "x", "\xFF\xFF"))),
            kExitError);
}

TEST(ModuleFile, ReadsBothForms) {
  v1::GraphModule module;
  module.set_name("m");
  module.set_stage(v1::STAGE_MIR);
  EXPECT_EQ(ParseModule(module.SerializeAsString(), "m.pb")->name(), "m");
  EXPECT_EQ(ParseModule("name: 'm'", "m.pbtxt")->name(), "m");
  EXPECT_EQ(ParseModule("name: 'm'", "stdin")->name(), "m");
  EXPECT_EQ(ParseModule(module.SerializeAsString(), "stdin")->name(), "m");
}

constexpr std::string_view kIr = R"(
// Two numbers.
mir "m" {
  symbol batch in [1, 8]
  %0 = input "x" : f32[batch,2]
  %1 = exp(%0)
  output "y" = %1
}
)";

// By what the bytes are; the name decides where they could be something else, or are damaged.
TEST(ModuleFile, ReadsTheIrAsText) {
  for (std::string_view path : {"m.txt", "m.rlx", "m", "stdin"}) {
    const auto module = ParseModule(kIr, path);
    ASSERT_TRUE(module.ok()) << module.status();
    EXPECT_EQ(module->name(), "m");
    EXPECT_EQ(module->stage(), v1::STAGE_MIR);
    ASSERT_EQ(module->symbols_size(), 1);
    ASSERT_EQ(module->graphs_size(), 1);
    EXPECT_EQ(module->graphs(0).nodes_size(), 2);
    EXPECT_EQ(module->graphs(0).outputs(0).name(), "y");
  }
  EXPECT_EQ(ParseModule("lir\"m\"{}", "stdin")->stage(), v1::STAGE_LIR);
  // A serialized module stays one, whatever it is called and whatever its name looks like.
  v1::GraphModule module;
  module.set_name("mir \"a module of 32 characters\"x");
  ASSERT_EQ(module.name().size(), 32U);
  module.set_stage(v1::STAGE_MIR);
  for (std::string_view path : {"m.txt", "m.pb", "m"})
    EXPECT_EQ(ParseModule(module.SerializeAsString(), path)->name(), module.name());
  EXPECT_EQ(ParseModule("name: 'mir'", "m.txt")->name(), "mir");
}

TEST(ModuleFile, SaysWhatIsWrong) {
  const auto error = [](std::string_view bytes, std::string_view path) {
    const auto module = ParseModule(bytes, path);
    return module.ok() ? "" : std::string(Message(module.status()));
  };
  EXPECT_EQ(error("", "m.pb"), "m.pb: is empty");
  EXPECT_EQ(error("\xFF\xFF", "m.pb"), "m.pb: is no serialized GraphModule");
  EXPECT_THAT(error("name: 'm'\nnope: 3", "m.txtpb"), HasSubstr("m.txtpb:2:"));
  EXPECT_THAT(error("mir \"m\" {\n  %0 = nope(%1)\n}\n", "m.txt"),
              StartsWith("m.txt: line 2, column"));
  EXPECT_THAT(error("mir \"m\" {\n  nope\n", "-"),
              StartsWith("-: line 2, column 3: expected a node"));
  EXPECT_EQ(error("nope", "m.rlx"), "m.rlx: line 1, column 1: expected hir, mir or lir");
  EXPECT_THAT(ReadModule("/nowhere/m.pb").status(),
              testing::Property(&absl::Status::code, absl::StatusCode::kNotFound));
}

TEST(Outputs, KeepsFilesInTheFolder) {
  const TempDir dir;
  v1::RunResponse response;
  for (const char* name : {"../../etc/passwd", "a/b", "a_b", "", ".hidden"}) {
    v1::NamedTensor& named = *response.add_outputs();
    named.set_name(name);
    named.mutable_tensor()->set_dtype(v1::DTYPE_U8);
    named.mutable_tensor()->add_shape(1);
    named.mutable_tensor()->set_data("x");
  }
  const auto outputs = WriteOutputs(response, dir.path() + "/new");
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  std::vector<std::string> names = ListDir(dir.path() + "/new").value();
  EXPECT_THAT(names, testing::UnorderedElementsAre("_.._.._etc_passwd.npy", "a_b.npy", "a_b-2.npy",
                                                   "_.npy", "_.hidden.npy"));
}

TEST(Outputs, RefusesATensorThatLies) {
  v1::RunResponse response;
  v1::NamedTensor& named = *response.add_outputs();
  named.mutable_tensor()->set_dtype(v1::DTYPE_F32);
  named.mutable_tensor()->add_shape(1000);
  named.mutable_tensor()->set_data("abcd");
  EXPECT_TRUE(absl::IsInternal(WriteOutputs(response, "").status()));
}

TEST(Reports, ShowsMissesWithHints) {
  v1::FusionReport report;
  v1::Remark& miss = *report.add_remarks();
  miss.set_kind(v1::Remark::KIND_MISSED);
  miss.set_rule("matmul_bias_act");
  miss.set_reason("multi_consumer");
  miss.set_message("%3 (erf) has 2 uses");
  miss.set_hint("duplicate it");
  const std::string text = FusionText(report);
  EXPECT_THAT(text, HasSubstr("matmul_bias_act: %3 (erf) has 2 uses [multi_consumer]\n"));
  EXPECT_THAT(text, HasSubstr("hint: duplicate it"));
}

TEST(Reports, ShowsSomeOfManyFusionsAndEveryMiss) {
  v1::FusionReport report;
  for (int i = 0; i < 20; ++i) {
    v1::Remark& remark = *report.add_remarks();
    remark.set_kind(i % 2 == 0 ? v1::Remark::KIND_APPLIED : v1::Remark::KIND_MISSED);
    remark.set_rule("swiglu");
    remark.set_message(Cat("number ", i, "."));
  }
  const std::string text = FusionText(report);
  EXPECT_THAT(text, HasSubstr("number 4."));
  EXPECT_THAT(text, testing::Not(HasSubstr("number 6.")));
  EXPECT_THAT(text, HasSubstr("swiglu: 7 more"));
  EXPECT_THAT(text, HasSubstr("number 19."));
}

}  // namespace
}  // namespace rlx::ctl
