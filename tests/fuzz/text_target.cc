// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/check.h"
#include "runtime/base/status.h"
#include "runtime/ir/text.h"
#include "tests/fuzz/accepted.h"
#include "tests/fuzz/targets.h"

namespace rlx::fuzz {
namespace {

// As people write it: the types of results left out, and comments. Leaves keep theirs.
std::string Loosely(std::string_view text) {
  std::string out = "// by hand\n";
  for (std::string_view line : Split(text, '\n')) {
    const size_t type = line.rfind(" : ");
    const auto has = [&](const char* word) { return line.find(word) != line.npos; };
    const bool node = type != line.npos && has(" = ") && !has(" = input") && !has(" = param") &&
                      !has(" = constant") && !has("graph {");
    out += Cat(node ? line.substr(0, type) : line, node ? "  // inferred\n" : "\n");
  }
  return out;
}

// Every stage in print, LIR with its plan, and some of it loosely.
std::vector<std::string> Seeds() {
  std::vector<std::string> out;
  for (const Module& module : SeedModules(29)) {
    const std::string text = Print(module);
    out.push_back(text);
    const std::string loose = Loosely(text);
    if (ParseModule(loose).ok()) out.push_back(loose);
    if (out.size() % 4 != 0) continue;
    const auto result = CompileDry(module);
    CHECK(result.ok(), Message(result.status()));
    out.push_back(Print(stages::ModuleFromLir(result->lir)));
  }
  return out;
}

void Run(std::string_view bytes) {
  const auto module = ParseModule(bytes);
  if (module.ok() && Verify(*module, kLimits).ok()) CheckAccepted(*module, bytes.size());
}

}  // namespace

const Target kTextTarget{"text", Seeds, Run};

}  // namespace rlx::fuzz
