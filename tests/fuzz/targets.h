// SPDX-License-Identifier: Apache-2.0
// What bytes from outside meet first, as functions that a fuzzer calls. A target may refuse its
// input; where it does not, it holds the compiler to what it promises for everything it accepts,
// with CHECK.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/ir/graph.h"

namespace rlx::fuzz {

struct Target {
  std::string_view name;
  // Sound inputs to begin from. Always the same.
  std::vector<std::string> (*seeds)();
  void (*run)(std::string_view bytes);
};

extern const Target kModuleTarget;    // a GraphModule as it travels
extern const Target kTextTarget;      // the text form, HIR to LIR
extern const Target kLirTarget;       // a planned module as it travels
extern const Target kArtifactTarget;  // what caches keep: a LIR module with its program
extern const Target kOnnxTarget;      // an ONNX model as it lies in its file

std::span<const Target* const> AllTargets();

// Sound modules to begin from: one of every op, random graphs, blocks. `number` draws them: each
// target has its own.
std::vector<Module> SeedModules(uint64_t number);

// One to three small changes at random places: bits, numbers, tokens, pieces moved or lost.
std::string Mutate(std::string bytes, uint64_t seed);

}  // namespace rlx::fuzz
