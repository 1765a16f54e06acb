// SPDX-License-Identifier: Apache-2.0
// The list that the build collects from the passes' files.
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tests/unit/passes/pass_test.h"

namespace rlx::passes {
namespace {

constexpr char kPath[] = "docs/passes.md";

std::string Expected() {
  std::string text =
      "# Passes\n\n"
      "Written from the passes' rows by the test `PassList.DocsAreUpToDate`; change the rows at "
      "the "
      "end of\n`runtime/passes/<name>.cc`, then run that test with `RLX_UPDATE_DOCS=1`.\n\n"
      "In the order of a pipeline. A gate is a claim without which the pass stays out; `fusion` "
      "marks "
      "what\n`skip_fusion` leaves out. `disabled_passes` takes these names.\n\n"
      "| | pass | gate | fusion | why there |\n| --- | --- | --- | --- | --- |\n";
  int number = 0;
  for (const Pass& pass : AllPasses()) {
    text += Cat("| ", ++number, " | `", pass.name, "` | ", pass.gate, " | ",
                pass.fusion ? "fusion" : "", " | ", pass.why, " |\n");
  }
  return text +
         "\nTwo passes need more than a graph, and no request reaches them: `promote_params` makes "
         "inputs of weights,\n`insert_q_dq` puts a calibration's scales into a graph as the "
         "quantize "
         "and dequantize nodes that `fuse_qdq`\nlooks for. A client that has such a record writes "
         "the nodes into its module.\n";
}

TEST(PassList, DocsAreUpToDate) {
  if (std::getenv("RLX_UPDATE_DOCS") != nullptr) std::ofstream(kPath) << Expected();
  std::stringstream text;
  text << std::ifstream(kPath).rdbuf();
  EXPECT_EQ(text.str(), Expected()) << "run this test with RLX_UPDATE_DOCS=1";
}

// The rows leave no choice: each names the one before it, or is named by it.
TEST(PassList, OrderIsDecided) {
  const std::span<const Pass> passes = AllPasses();
  ASSERT_GE(passes.size(), 20u);
  EXPECT_TRUE(passes[0].after.empty());
  for (size_t i = 1; i < passes.size(); ++i) {
    EXPECT_TRUE(passes[i].after == passes[i - 1].name || passes[i - 1].before == passes[i].name)
        << "whether " << passes[i - 1].name << " or " << passes[i].name << " comes first";
  }
}

TEST(PassList, EveryRowIsWhole) {
  for (const Pass& pass : AllPasses()) {
    EXPECT_NE(pass.run, nullptr) << pass.name;
    EXPECT_FALSE(pass.why.empty()) << pass.name;
    EXPECT_TRUE(std::ifstream(Cat("runtime/passes/", pass.name, ".cc")).good()) << pass.name;
  }
}

}  // namespace
}  // namespace rlx::passes
