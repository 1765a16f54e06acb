// SPDX-License-Identifier: Apache-2.0
// Sessions on symbolic modules: any admissible size, by buckets that never change a result.
#include <gmock/gmock.h>

#include <cmath>
#include <thread>

#include "runtime/base/text.h"
#include "runtime/engine/buckets.h"
#include "tests/unit/engine/engine_fixture.h"

namespace rlx::engine::test {
namespace {

using testing::FloatNear;
using testing::Pointwise;

TEST(Buckets, ArePowersOfTwoWithinTheRange) {
  const SymbolTable symbols = {{"seq", {1, 100}}, {"batch", {}}};
  EXPECT_EQ(BucketFor({{"batch", 1}, {"seq", 33}}, symbols),
            (DimBinding{{"batch", 1}, {"seq", 64}}));
  EXPECT_EQ(BucketFor({{"batch", 9}, {"seq", 65}}, symbols),
            (DimBinding{{"batch", 16}, {"seq", 100}}));
  EXPECT_TRUE(Holds({{"a", 4}, {"b", 2}}, {{"a", 3}, {"b", 2}}));
  EXPECT_FALSE(Holds({{"a", 4}, {"b", 2}}, {{"a", 3}, {"b", 3}}));
  EXPECT_FALSE(Holds({{"a", 4}}, {{"c", 3}}));
}

// The ladder of a range, by the sizes at which a bucket ends: powers of two from the first that
// holds the least, and the range's own end instead of what lies beyond it: a module that declares
// 20 the greatest size has none that a capacity of 32 would serve.
TEST(Buckets, FormALadder) {
  const auto ladder = [](int64_t least, int64_t most) {
    std::vector<int64_t> ends;
    for (int64_t size = least; size <= most; ++size) {
      const int64_t end = BucketFor({{"n", size}}, {{"n", {least, most}}}).at("n");
      if (ends.empty() || ends.back() != end) ends.push_back(end);
    }
    return ends;
  };
  EXPECT_EQ(ladder(8, 64), (std::vector<int64_t>{8, 16, 32, 64}));
  EXPECT_EQ(ladder(8, 256), (std::vector<int64_t>{8, 16, 32, 64, 128, 256}));
  EXPECT_EQ(ladder(10, 64), (std::vector<int64_t>{16, 32, 64}));
  EXPECT_EQ(ladder(8, 20), (std::vector<int64_t>{8, 16, 20}));
  EXPECT_EQ(ladder(16, 16), (std::vector<int64_t>{16}));
}

// y[n] = the mean over all rows of softmax over rows of x[rows, 4].
constexpr std::string_view kRowsMix =
    "mir \"mix\" {\nsymbol rows in [1, 100]\n%0 = input \"x\" : f32[rows,4]\n"
    "%1 = softmax(%0) {axis = 0}\n%2 = mul(%1, %0)\n"
    "%3 = reduce_mean(%2) {axes = [0], keep_dims = false}\noutput \"y\" = %3\n}\n";

std::vector<float> MixExpected(const std::vector<float>& x) {
  const size_t rows = x.size() / 4;
  std::vector<float> y(4);
  for (size_t c = 0; c < 4; ++c) {
    double sum = 0, weighted = 0;
    for (size_t r = 0; r < rows; ++r) {
      sum += std::exp(x[r * 4 + c]);
      weighted += std::exp(x[r * 4 + c]) * x[r * 4 + c];
    }
    y[c] = static_cast<float>(weighted / sum / static_cast<double>(rows));
  }
  return y;
}

std::vector<float> RowsInput(int64_t rows) {
  std::vector<float> x(rows * 4);
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i) * 0.7f) * 2;
  return x;
}

class VariantsTest : public EngineTest {
 protected:
  void SetUp() override { Start(); }

  RandomId Open(std::string_view text) { return Open(Spec(Parse(text))); }
  RandomId Open(CompileSpec module) {
    OpenSpec spec;
    spec.executable = OpenSpec::Compile{std::move(module), {}};
    const auto opened = engine->OpenSession({}, spec, {});
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened->handle;
  }

  void ExpectMix(const RandomId& handle, int64_t rows) {
    const std::vector<float> x = RowsInput(rows);
    const auto ran = Run(handle, x, {rows, 4});
    ASSERT_TRUE(ran.ok()) << rows << " rows: " << ran.status();
    EXPECT_THAT(ran->outputs.at(0), Pointwise(FloatNear(1e-5f), MixExpected(x))) << rows << " rows";
  }
};

TEST_F(VariantsTest, PaddingNeverChangesAResult) {
  const RandomId handle = Open(kRowsMix);
  for (int64_t rows : {64, 1, 63, 2, 100, 33, 65, 7, 99, 5}) ExpectMix(handle, rows);
}

// One variant serves every size of its bucket, and what is larger serves while it is made.
TEST_F(VariantsTest, ASizeRunsOnTheSmallestBucketThatIsReady) {
  const RandomId handle = Open(kRowsMix);
  ExpectMix(handle, 50);
  EngineStats stats = engine->Stats();
  EXPECT_EQ(stats.runs_waited, 1u);
  EXPECT_EQ(stats.variants, 1);
  EXPECT_GT(stats.variant_bytes, 0);
  ExpectMix(handle, 40);
  EXPECT_EQ(engine->Stats().runs_bucket, 1u);
  ExpectMix(handle, 5);  // the bucket of 8 is not there yet
  stats = engine->Stats();
  EXPECT_EQ(stats.runs_waited, 1u) << "nobody waits for what is made in the background";
  EXPECT_EQ(stats.runs_larger_bucket, 1u);
  ASSERT_TRUE(Eventually([&] { return engine->Stats().variants_built_in_background == 1; }));
  ExpectMix(handle, 6);
  EXPECT_EQ(engine->Stats().runs_bucket, 2u);
  EXPECT_EQ(engine->Stats().runs_waited, 1u);
}

TEST_F(VariantsTest, SizesThatKeepComingGetAVariantOfTheirOwn) {
  const RandomId handle = Open(kRowsMix);
  for (int i = 0; i < 40; ++i) ExpectMix(handle, 10);
  ASSERT_TRUE(Eventually([&] { return engine->Stats().variants == 2; }));
  const uint64_t exact = engine->Stats().runs_exact;
  ExpectMix(handle, 10);
  EXPECT_EQ(engine->Stats().runs_exact, exact + 1);
}

TEST_F(VariantsTest, WhatCannotBePaddedRunsExactly) {
  // A reshape that mixes rows with columns.
  const RandomId handle = Open(
      "mir \"torn\" {\nsymbol rows in [1, 100]\n%0 = input \"x\" : f32[2,rows,3]\n"
      "%1 = transpose(%0) {perm = [1, 0, 2]}\n%2 = reshape(%1) {shape = [2, (3 * rows)]}\n"
      "%3 = neg(%2)\noutput \"y\" = %3\n}\n");
  for (int64_t rows : {4, 6}) {
    std::vector<float> x(2 * rows * 3);
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
    const auto ran = Run(handle, x, {2, rows, 3});
    ASSERT_TRUE(ran.ok()) << ran.status();
    EXPECT_FLOAT_EQ(ran->outputs.at(0).at(3), -static_cast<float>(3 * rows));
  }
  EXPECT_EQ(engine->Stats().runs_waited, 2u);
  EXPECT_EQ(engine->Stats().variants, 2);
  EXPECT_EQ(engine->Stats().variants_failed, 0u) << "that no bucket holds them is no failure";
}

// A target without loops runs one whose length is a symbol, by writing it out for each size.
TEST_F(VariantsTest, AScanOfAnyLengthRunsWithoutLoops) {
  CompileSpec spec =
      Spec(Parse("mir \"sums\" {\nsymbol rows in [1, 100]\n%0 = input \"x\" : f32[rows,4]\n"
                 "%1 = constant {value = f32[4] (0, 0, 0, 0)}\n"
                 "%2 = scan(%1, %0) {carries = 1, sequences = 1, length = [rows]} graph \"\" {\n"
                 "%0 = input \"h\" : f32[4]\n%1 = input \"x\" : f32[4]\n%2 = add(%0, %1)\n"
                 "output \"h\" = %2\n}\noutput \"y\" = %2\n}\n"));
  spec.options.supported_ops = {{"Input", "Param", "Constant", "Activation", "Binary", "Compare",
                                 "Where", "Cast", "Reshape", "Narrow", "Concat", "Expand",
                                 "ElementwiseRegion"}};
  const RandomId handle = Open(std::move(spec));
  for (const int64_t rows : {1, 3, 5, 9}) {
    const std::vector<float> x = RowsInput(rows);
    const auto ran = Run(handle, x, {rows, 4});
    ASSERT_TRUE(ran.ok()) << rows << " rows: " << ran.status();
    std::vector<float> want(4);
    for (size_t i = 0; i < x.size(); ++i) want[i % 4] += x[i];
    EXPECT_THAT(ran->outputs.at(0), Pointwise(FloatNear(1e-4f), want)) << rows << " rows";
  }
}

// No pass touches what came as LIR: not when it is made for sizes either, whatever the options.
TEST_F(VariantsTest, LirStaysAsItCame) {
  Module lir = Parse(kRowsMix);
  lir.stage = Stage::kLir;
  CompileSpec spec = Spec(std::move(lir));
  spec.options.kernel_dispatch.policy = DispatchPolicy::kForceCommon;
  const RandomId handle = Open(std::move(spec));
  for (int64_t rows : {9, 16}) ExpectMix(handle, rows);
}

// There is room for 16 rows where 9 are true, and nothing lies behind them.
TEST_F(VariantsTest, IndicesAreCheckedAgainstTrueExtents) {
  const RandomId handle = Open(
      "mir \"pick\" {\nsymbol rows in [1, 100]\n%0 = input \"x\" : f32[rows,4]\n"
      "%1 = reduce_max(%0) {axes = [0, 1], keep_dims = false}\n%2 = cast(%1) {to = i32}\n"
      "%3 = exp(%0)\n%4 = gather(%3, %2) {axis = 0}\noutput \"y\" = %4\n}\n");
  std::vector<float> x(9 * 4);
  for (const int index : {8, 9, 15, 16}) {
    x[0] = static_cast<float>(index);
    const auto ran = Run(handle, x, {9, 4});
    EXPECT_EQ(ran.ok(), index == 8) << ran.status();
    if (index == 8) continue;
    EXPECT_TRUE(absl::IsInvalidArgument(ran.status())) << ran.status();
    const std::string what = Cat("index ", index, " at position 0 is not in [0, 9)");
    EXPECT_NE(ran.status().ToString().find(what), std::string::npos) << ran.status();
  }
}

TEST_F(VariantsTest, SizesBeyondTheRangeAreRefused) {
  const RandomId handle = Open(kRowsMix);
  const auto ran = Run(handle, RowsInput(101), {101, 4});
  EXPECT_TRUE(absl::IsInvalidArgument(ran.status())) << ran.status();
  EXPECT_NE(ran.status().message().find("rows"), std::string::npos) << ran.status();
}

TEST_F(VariantsTest, AreBoundedInNumberAndGoWithTheirSession) {
  options.max_variants = 2;
  Start();
  const RandomId handle = Open(kRowsMix);
  for (int64_t rows : {1, 2, 4, 8, 16, 32, 64}) ExpectMix(handle, rows);
  EXPECT_LE(engine->Stats().variants, 2);
  EXPECT_GT(engine->Stats().variants_evicted, 0u);
  ASSERT_TRUE(engine->CloseSession({}, handle, {}).ok());
  EXPECT_TRUE(Eventually([&] { return engine->Stats().variants == 0; }));
  EXPECT_EQ(engine->Stats().variant_bytes, 0);
}

TEST_F(VariantsTest, AreBoundedInBytes) {
  options.max_variant_bytes = 1;
  Start();
  const RandomId handle = Open(kRowsMix);
  for (int64_t rows : {1, 9, 60}) ExpectMix(handle, rows);
  EXPECT_EQ(engine->Stats().variants, 1);
}

TEST_F(VariantsTest, ThreadsAtManySizesAgree) {
  const RandomId handle = Open(kRowsMix);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int64_t rows = 1 + t; rows <= 100; rows += 7) ExpectMix(handle, rows);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// A symbol that is no extent by itself has the size that makes the extents what they are, or what
// the module demands.
TEST_F(VariantsTest, SizesAreFoundInExpressions) {
  const auto open = [&](std::string_view extent, std::string_view rest) {
    return Open(
        Cat("mir \"m\" {\nsymbol n in [1, 64] symbol k in [1, 128]\n%0 = input \"x\" : f32[",
            extent, ",3]\n", rest));
  };
  const std::vector<float> x(18, 2.5f);
  const auto twice = open("(2 * n)", "%1 = neg(%0)\noutput \"y\" = %1\n}\n");
  const auto more = open("(n + 1)", "%1 = neg(%0)\noutput \"y\" = %1\n}\n");
  const auto demanded = open("k", "%1 = reshape(%0) {shape = [n,6]}\noutput \"y\" = %1\n}\n");
  for (const RandomId& handle : {twice, more, demanded}) {
    const auto ran = Run(handle, x, {6, 3});
    ASSERT_TRUE(ran.ok()) << ran.status();
    EXPECT_EQ(ran->outputs.at(0).size(), 18u);
  }
  const auto odd = Run(twice, std::vector<float>(15), {5, 3});
  EXPECT_TRUE(absl::IsInvalidArgument(odd.status())) << odd.status();
  EXPECT_THAT(Cat(odd.status()),
              testing::HasSubstr("input \"x\": (2 * n) is wanted, 5 given: no n makes it that"));
  const auto none = Run(more, std::vector<float>(3), {1, 3});
  EXPECT_TRUE(absl::IsInvalidArgument(none.status())) << none.status();
}

// A caller who cannot wait gets what was made for it the next time.
TEST_F(VariantsTest, ABuildOutlivesWhoWaitedForIt) {
  const RandomId handle = Open(kRowsMix);
  const auto go = std::make_shared<std::atomic<bool>>(false);
  {
    std::lock_guard lock(hooks->mutex);
    hooks->on_claim = [go] {
      while (!*go) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    };
  }
  const std::vector<float> x = RowsInput(50);
  for (int i = 0; i < 2; ++i) {
    const auto ran = Run(handle, x, {50, 4}, {}, Within(20));
    EXPECT_TRUE(absl::IsDeadlineExceeded(ran.status())) << ran.status();
  }
  *go = true;
  ASSERT_TRUE(Eventually([&] { return engine->Stats().variants == 1; }));
  EXPECT_EQ(engine->Stats().variants_failed, 0u);
  EXPECT_EQ(engine->Stats().variants_built, 1u);
  ExpectMix(handle, 50);
  EXPECT_EQ(engine->Stats().runs_waited, 2u);
  EXPECT_EQ(engine->Stats().runs_bucket, 1u);
}

// Buckets come from the disk after a restart.
TEST_F(VariantsTest, AreCached) {
  const TempDir folder;
  options.cache_dir = folder.path();
  Start();
  ExpectMix(Open(kRowsMix), 50);
  const int compiled = hooks->kernel_compiles;
  Start();
  ExpectMix(Open(kRowsMix), 40);
  EXPECT_EQ(hooks->kernel_compiles, compiled);
}

}  // namespace
}  // namespace rlx::engine::test
