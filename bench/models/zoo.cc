// SPDX-License-Identifier: Apache-2.0
#include "bench/models/models.h"

namespace rlx::models {

std::vector<ZooEntry> Zoo() {
  const Extents fixed, symbolic = Extents::Symbolic();
  DecoderShape f32 = kLlama8B;
  f32.dtype = DType::kF32;
  return {
      {"mlp", [=](FusionPolicy p) { return Mlp({784, 512, 512, 10}, fixed, p); }},
      {"mlp_symbolic", [=](FusionPolicy p) { return Mlp({784, 512, 512, 10}, symbolic, p); }},
      {"bert", [=](FusionPolicy p) { return Bert({}, fixed, p); }},
      {"bert_symbolic", [=](FusionPolicy p) { return Bert({}, symbolic, p); }},
      {"llama8b", [=](FusionPolicy p) { return Decoder(f32, fixed, p); }},
      {"llama8b_symbolic", [=](FusionPolicy p) { return Decoder(kLlama8B, symbolic, p); }},
      {"llama8b_prefill",
       [=](FusionPolicy p) { return Decoder(kLlama8B, symbolic, p, Cache::kStart); }},
      {"llama8b_decode",
       [=](FusionPolicy p) { return Decoder(kLlama8B, symbolic, p, Cache::kAppend); }},
      {"llama70b_symbolic", [=](FusionPolicy p) { return Decoder(kLlama70B, symbolic, p); }},
      {"qwen2_symbolic", [=](FusionPolicy p) { return Decoder(kQwen2, symbolic, p); }},
      {"qwen3_symbolic", [=](FusionPolicy p) { return Decoder(kQwen3, symbolic, p); }},
      {"resnet", [=](FusionPolicy p) { return ResNet(224, fixed, p); }},
      {"resnet_symbolic", [=](FusionPolicy p) { return ResNet(224, symbolic, p); }},
  };
}

}  // namespace rlx::models
