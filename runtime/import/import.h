// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runtime/ir/verify.h"

// ONNX models as modules. docs/onnx.md says what of ONNX is supported.
namespace rlx::onnx {

// Bytes of a file that tensors name as the place of their data, by its name as the model writes it.
// It is a client's text: whoever answers decides what it may stand for.
using ExternalFiles = std::function<absl::StatusOr<SharedBytes>(std::string_view location)>;

// Where a param's elements lie: a slice of the model's bytes, or of an external file.
struct Weight {
  std::string param;
  TensorType type;       // static
  std::string location;  // empty: the model itself
  uint64_t offset = 0, length = 0;
};

struct Imported {
  Module module;                // MIR, not yet verified
  std::vector<Weight> weights;  // one for each param
};

// Reads an untrusted ModelProto. Initializers become params, whose bytes stay where they are; small
// ones and those that decide shapes, axes and the like become constants. What depends on shapes
// alone is computed here. InvalidArgument or Unimplemented naming node, op and attribute, and what
// is supported; ResourceExhausted naming the limit. `external` may be empty: then external data is
// NotFound.
absl::StatusOr<Imported> Import(const SharedBytes& model, const ExternalFiles& external,
                                const Limits& limits);

}  // namespace rlx::onnx
