// SPDX-License-Identifier: Apache-2.0
#include "bench/models/models.h"

namespace rlx::models {

std::vector<ZooEntry> Zoo() {
  const Extents fixed, symbolic = Extents::Symbolic();
  DecoderShape half8b = kLlama8B;
  half8b.dtype = DType::kF32;
  return {
      {"mlp", [=](FusionPolicy p) { return Mlp({784, 512, 512, 10}, fixed, p); }},
      {"mlp_symbolic", [=](FusionPolicy p) { return Mlp({784, 512, 512, 10}, symbolic, p); }},
      {"bert", [=](FusionPolicy p) { return Bert({}, fixed, p); }},
      {"bert_symbolic", [=](FusionPolicy p) { return Bert({}, symbolic, p); }},
      {"llama8b", [=](FusionPolicy p) { return Llama(half8b, fixed, p); }},
      {"llama8b_symbolic", [=](FusionPolicy p) { return Llama(kLlama8B, symbolic, p); }},
      {"llama70b_symbolic", [=](FusionPolicy p) { return Llama(kLlama70B, symbolic, p); }},
      {"resnet", [=](FusionPolicy p) { return ResNet(224, fixed, p); }},
      {"resnet_symbolic", [=](FusionPolicy p) { return ResNet(224, symbolic, p); }},
  };
}

}  // namespace rlx::models
