// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/import/node.h"

// Elements that only travel (element.h): to and from numbers that ops compute with.
namespace rlx::onnx {

struct CastMode {
  bool saturate = true;      // 8-bit floats: what is too large becomes the largest
  std::string round = "up";  // FLOAT8E8M0: up, down, nearest
};
absl::StatusOr<CastMode> CastModeOf(const OpNode& n);

// As what ops compute with: small floats as f32, integers as the dtype that carries them (UINT64,
// whose upper half would be negative there, is f64 then). Others as they are.
Value Decode(GraphBuilder& b, Value x, Element element);
// From any real dtype to the bits or integers that stand for `element`: floats round to the
// nearest, halves to even; integers wrap.
Value Encode(GraphBuilder& b, Value x, Element element, const CastMode& mode = {});

}  // namespace rlx::onnx
