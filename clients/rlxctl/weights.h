// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "clients/rlxctl/safetensors.h"
#include "clients/rlxctl/upload.h"
#include "rlx/v1/sessions.pb.h"

namespace rlx::ctl {

// What Sessions.Open is told about weights, and the blobs that must be there first.
struct Weights {
  std::vector<v1::WeightBinding> bindings;
  std::vector<Blob> blobs;
};

// A safetensors file, mapped: one blob, of which its tensors are slices.
struct WeightFile {
  std::string path;
  Blob blob;
  std::map<std::string, TensorSlice, std::less<>> tensors;
};

absl::StatusOr<std::vector<WeightFile>> ReadWeightFiles(const std::vector<std::string_view>& paths);

// The weights that a compile of an ONNX model found in it.
using OwnWeights = google::protobuf::RepeatedPtrField<v1::WeightBinding>;

// For each param the tensor of its name, else the model's own; NotFound, naming some, when one has
// neither, InvalidArgument when two files have one name.
absl::StatusOr<Weights> BindParams(const v1::Manifest& manifest,
                                   const std::vector<WeightFile>& files, const OwnWeights& own);

// Made-up weights for all params, in one blob: small random floats that depend on seed and name
// alone. FailedPrecondition when a param's size is not known.
absl::StatusOr<Weights> RandomWeights(const v1::Manifest& manifest, uint64_t seed,
                                      uint64_t max_bytes);

}  // namespace rlx::ctl
