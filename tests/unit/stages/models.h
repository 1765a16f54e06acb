// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include "runtime/base/text.h"
#include "runtime/ir/text.h"
#include "runtime/ir/verify.h"

// Modules that several tests of this room compile.
namespace rlx::stages {

inline Module ParseOrFail(std::string_view text) {
  absl::StatusOr<Module> module = ParseModule(text);
  EXPECT_TRUE(module.ok()) << module.status().ToString();
  if (!module.ok()) return {};
  const absl::Status verified = Verify(*module);
  EXPECT_TRUE(verified.ok()) << verified.ToString();
  return *std::move(module);
}

// `batch` and `seq` are extents or symbols.
inline Module LlamaBlock(std::string_view policy, std::string_view batch = "2",
                         std::string_view seq = "6") {
  const std::string symbols =
      batch == "batch" ? "symbol batch in [1, 8] symbol seq in [1, 32]" : "";
  return ParseOrFail(Cat("hir ", policy, R"( "llama" { )", symbols, R"(
    %0 = input "x" : f32[)",
                         batch, ",", seq, R"(,16]
    %1 = param "ln1" : f32[16]
    %2 = param "q" : f32[16,16]
    %3 = param "k" : f32[16,8]
    %4 = param "v" : f32[16,8]
    %5 = param "o" : f32[16,16]
    %6 = param "ln2" : f32[16]
    %7 = param "gate" : f32[16,24]
    %8 = param "up" : f32[16,24]
    %9 = param "down" : f32[24,16]
    %10 = input "cos" : f32[)",
                         seq, R"(,2]
    %11 = input "sin" : f32[)",
                         seq, R"(,2]
    %12 = llama_decoder_block "layer.0" (%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11)
        {num_heads = 4, num_kv_heads = 2, head_dim = 4, eps = 1e-5}
    output "y" = %12
  })"));
}

inline Module BertBlock(std::string_view policy, std::string_view batch = "2",
                        std::string_view seq = "6") {
  const std::string symbols =
      batch == "batch" ? "symbol batch in [1, 8] symbol seq in [1, 32]" : "";
  return ParseOrFail(Cat("hir ", policy, R"( "bert" { )", symbols, R"(
    %0 = input "x" : f32[)",
                         batch, ",", seq, R"(,16]
    %1 = param "q_w" : f32[16,16]
    %2 = param "q_b" : f32[16]
    %3 = param "k_w" : f32[16,16]
    %4 = param "k_b" : f32[16]
    %5 = param "v_w" : f32[16,16]
    %6 = param "v_b" : f32[16]
    %7 = param "o_w" : f32[16,16]
    %8 = param "o_b" : f32[16]
    %9 = param "ln1_g" : f32[16]
    %10 = param "ln1_b" : f32[16]
    %11 = param "ffn1_w" : f32[16,32]
    %12 = param "ffn1_b" : f32[32]
    %13 = param "ffn2_w" : f32[32,16]
    %14 = param "ffn2_b" : f32[16]
    %15 = param "ln2_g" : f32[16]
    %16 = param "ln2_b" : f32[16]
    %17 = bert_encoder_block "layer.0" (%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13,
        %14, %15, %16) {num_heads = 4, head_dim = 4, eps = 1e-12}
    output "y" = %17
  })"));
}

}  // namespace rlx::stages
