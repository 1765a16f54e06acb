// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rlx/onnx/model.pb.h"
#include "runtime/import/element.h"
#include "runtime/import/import.h"

namespace rlx::onnx {

// What a TensorProto says of itself, checked.
struct TensorData {
  const ElementInfo* element = nullptr;
  std::vector<int64_t> dims;
  int64_t count = 0;  // elements; may be 0
  // Where its bytes lie in a file; else they are written in the message, element by element.
  bool in_file = false;
  std::string location;  // empty: the model
  uint64_t offset = 0, length = 0;

  // Whether those bytes are the tensor as the IR has it.
  bool is_slice() const;
  TensorType type() const;
};

absl::StatusOr<TensorData> Describe(const TensorProto& tensor);
// That its place in a file has as many bytes as it needs.
absl::Status CheckLength(const TensorData& data);

// Its elements. Bytes that lie right are not copied.
absl::StatusOr<HostTensor> Read(const TensorProto& tensor, const SharedBytes& model,
                                const ExternalFiles& external);

}  // namespace rlx::onnx
