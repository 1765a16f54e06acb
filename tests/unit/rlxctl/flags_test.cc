// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "clients/rlxctl/compile_flags.h"
#include "clients/rlxctl/failure.h"

namespace rlx::ctl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr FlagSpec kSpecs[] = {
    {"on", "", ""}, {"name", "TEXT", ""}, {"count", "N", ""}, {"each", "TEXT", "", true}};

absl::StatusOr<Flags> ParseArgs(std::vector<std::string_view> args) {
  const std::vector<std::span<const FlagSpec>> groups = {kSpecs};
  return Flags::Parse(args, groups);
}

std::string ErrorOf(std::vector<std::string_view> args) {
  const auto flags = ParseArgs(std::move(args));
  if (flags.ok()) return "";
  EXPECT_EQ(ExitCodeOf(flags.status()), kExitUsage);
  return std::string(Message(flags.status()));
}

TEST(Flags, TakesBothSpellings) {
  const auto flags = ParseArgs({"a", "--name=x=y", "--on", "--count", "12", "-", "--", "--name"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->Text("name"), "x=y");
  EXPECT_TRUE(flags->IsOn("on"));
  EXPECT_EQ(flags->Int("count", 0, 1, 12).value(), 12);
  EXPECT_THAT(flags->operands(), ElementsAre("a", "-", "--name"));
}

TEST(Flags, TellsAbsentFromEmptyAndFalse) {
  const auto none = ParseArgs({});
  EXPECT_FALSE(none->Has("name"));
  EXPECT_EQ(none->Switch("on"), std::nullopt);
  EXPECT_EQ(none->Text("name", "default"), "default");
  const auto given = ParseArgs({"--name=", "--on=false", "--each", "", "--each=b"});
  ASSERT_TRUE(given.ok()) << given.status();
  EXPECT_TRUE(given->Has("name"));
  EXPECT_EQ(given->Text("name", "default"), "");
  EXPECT_EQ(given->Switch("on"), false);
  EXPECT_THAT(given->All("each"), ElementsAre("", "b"));
}

TEST(Flags, SaysWhatIsWrong) {
  EXPECT_THAT(ErrorOf({"--nope=3"}), HasSubstr("unknown flag --nope"));
  EXPECT_THAT(ErrorOf({"-on"}), HasSubstr("unknown flag -on"));
  EXPECT_THAT(ErrorOf({"--name"}), HasSubstr("--name needs a value"));
  EXPECT_THAT(ErrorOf({"--on=maybe"}), HasSubstr("--on is true or false"));
  EXPECT_THAT(ErrorOf({"--name=a", "--name=b"}), HasSubstr("--name is given twice"));
  const auto flags = ParseArgs({"--count=13"});
  EXPECT_THAT(std::string(Message(flags->Int("count", 0, 1, 12).status())),
              HasSubstr("--count is a whole number from 1 to 12, not \"13\""));
}

TEST(Flags, FindsTheCommandAmongGlobalFlags) {
  const std::vector<std::string_view> args = {"--name", "x", "--on", "--name=y", "run", "--each"};
  EXPECT_EQ(FindCommand(args, kSpecs), 4u);
  EXPECT_EQ(FindCommand(std::span(args).first(4), kSpecs), 4u);
  EXPECT_EQ(FindCommand(std::span(args).first(1), kSpecs), 1u);
}

// --- compile options

absl::StatusOr<v1::CompileOptions> Options(std::vector<std::string_view> args) {
  const std::vector<std::span<const FlagSpec>> groups = {kCompileFlags};
  RLX_ASSIGN(const Flags flags, Flags::Parse(args, groups));
  return OptionsFrom(flags);
}

TEST(CompileFlags, NothingGivenIsNothingSaid) { EXPECT_EQ(Options({})->ByteSizeLong(), 0u); }

TEST(CompileFlags, AnEmptyListIsAValue) {
  EXPECT_TRUE(Options({"--supported-ops="})->has_supported_ops());
  EXPECT_EQ(Options({"--supported-ops", ""})->supported_ops().names_size(), 0);
  EXPECT_THAT(Options({"--supported-ops=MatMul,Binary"})->supported_ops().names(),
              ElementsAre("MatMul", "Binary"));
  EXPECT_TRUE(Options({"--disable-pass="})->has_disabled_passes());
  EXPECT_EQ(Options({"--disable-pass="})->disabled_passes().names_size(), 0);
  EXPECT_THAT(Options({"--disable-pass=a", "--disable-pass=b"})->disabled_passes().names(),
              ElementsAre("a", "b"));
  EXPECT_TRUE(Options({"--salt="})->has_salt());
}

TEST(CompileFlags, AnExplicitFalseIsAValue) {
  const auto options = Options({"--dce=false", "--skip-fusion=false", "--verbose"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_TRUE(options->has_dce());
  EXPECT_FALSE(options->dce());
  EXPECT_TRUE(options->fusion_opts().has_skip_fusion());
  EXPECT_FALSE(options->fusion_opts().has_unfuse_elementwise_regions());
  EXPECT_TRUE(options->verbose());
  EXPECT_FALSE(options->has_constant_folding());
}

TEST(CompileFlags, SetsEveryField) {
  const auto options = Options(
      {"--precision=bf16", "--policy=compute=f16,reduction=f32", "--fusion-target=cuda",
       "--max-elementwise-steps=8", "--max-elementwise-inputs=unbounded", "--arena-alignment=128",
       "--assert-fusion-clean", "--bind=batch=2", "--bind", "seq=128", "--dispatch=force-common",
       "--force-common=Softmax", "--force-native=", "--constant-folding=false",
       "--unfuse-elementwise-regions", "--salt=s"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->precision(), v1::PRECISION_BF16);
  EXPECT_EQ(options->policy().kind(), v1::PrecisionPolicy::KIND_CUSTOM);
  EXPECT_EQ(options->policy().custom().at("compute"), v1::PRECISION_F16);
  EXPECT_EQ(options->fusion_target(), v1::FUSION_TARGET_CUDA);
  EXPECT_EQ(options->fusion_opts().limits().max_elementwise_steps(), 8u);
  EXPECT_EQ(options->fusion_opts().limits().max_elementwise_inputs(), UINT32_MAX);
  EXPECT_EQ(options->arena_alignment(), 128u);
  EXPECT_TRUE(options->assert_fusion_clean());
  EXPECT_EQ(options->dim_binding().values().at("seq"), 128);
  EXPECT_EQ(options->kernel_dispatch().policy(), v1::KernelDispatch::POLICY_FORCE_COMMON);
  EXPECT_THAT(options->kernel_dispatch().force_common_kinds().names(), ElementsAre("Softmax"));
  EXPECT_TRUE(options->kernel_dispatch().has_force_native_kinds());
  EXPECT_EQ(options->salt(), "s");
}

TEST(CompileFlags, SaysWhatIsWrong) {
  const auto error = [](std::vector<std::string_view> args) {
    const auto options = Options(std::move(args));
    EXPECT_EQ(ExitCodeOf(options.status()), kExitUsage);
    return std::string(Message(options.status()));
  };
  EXPECT_THAT(error({"--precision=f64"}), HasSubstr("--precision: \"f64\" is none of: f32, f16"));
  EXPECT_THAT(error({"--fusion-target=unspecified"}), HasSubstr("is none of"));
  EXPECT_THAT(error({"--bind=batch"}), HasSubstr("SYMBOL=N"));
  EXPECT_THAT(error({"--bind=batch=two"}), HasSubstr("SYMBOL=N"));
  EXPECT_THAT(error({"--max-elementwise-steps=8"}), HasSubstr("go together"));
  EXPECT_THAT(error({"--policy=compute=f16,reduction"}), HasSubstr("CLASS=PRECISION"));
}

}  // namespace
}  // namespace rlx::ctl
