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
  // Sound inputs to begin from: one of every op, random graphs, blocks. Always the same.
  std::vector<std::string> (*seeds)();
  void (*run)(std::string_view bytes);
};

extern const Target kModuleTarget;    // a GraphModule as it travels
extern const Target kTextTarget;      // the text form
extern const Target kArtifactTarget;  // what caches keep: a LIR module with its program
extern const Target kOnnxTarget;      // an ONNX model as it lies in its file

std::span<const Target* const> AllTargets();

// The modules behind every target's seeds.
const std::vector<Module>& SeedModules();

// One to three small changes at random places: bits, numbers, tokens, pieces moved or lost.
std::string Mutate(std::string bytes, uint64_t seed);

}  // namespace rlx::fuzz
