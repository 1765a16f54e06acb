// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

// What remarks draw from: rule and reason names are metric labels.
namespace rlx::passes {

// What a pass does, as reports call it. Made of literals alone, so that there is an end of them: a
// pass declares its own in its file, those of several stand here.
struct Rule {
  consteval explicit Rule(std::string_view text) : name(text) {}
  std::string_view name;
};
inline constexpr Rule kDecomposeRule("decompose");
inline constexpr Rule kMatMulBiasActRule("matmul_bias_act");
inline constexpr Rule kSwigluRule("swiglu");

// Why a rule did not apply. Only actionable reasons make a report unclean: the author can write the
// same computation so that it fuses.
enum class Reason : uint8_t {
  kOtherOp,  // not this pattern at all; never reported
  kMultiConsumer,
  kGraphOutput,
  kBiasRankTooHigh,
  kUnsupportedEpilogueActivation,
  kResidualShape,
  kWeightNotConstant,
  kWeightShape,
  kSwigluNotSharedInput,
  kAttentionNoProjection,
  kAttentionNotSharedInput,
  kAttentionOtherForm,
  kLayerOtherForm,
  kBackendRefuses,
  kPassSkipped,
  kOtherScaling,
  kQuantizedForm,
  kNormOtherForm,
  kActivationOtherForm,
  kAttentionNotRaised,
  kRopeNotRaised,
  kWeightShared,
  kFoldingBudget,
};
struct ReasonInfo {
  std::string_view name;
  bool actionable;
  std::string_view hint;
};
inline constexpr std::array<ReasonInfo, 23> kReasons = {{
    {"other_op", false, ""},
    {"multi_consumer", true, "let one node alone read the intermediate value, or compute it twice"},
    {"graph_output", false, "the value is an output of the module and has to be written"},
    {"bias_rank_too_high", false, "a bias of shape [N] fuses into the product"},
    {"unsupported_epilogue_activation", false,
     "gelu, gelu_tanh, silu, relu, tanh and sigmoid fuse into the product"},
    {"residual_shape", false, "a residual sum of two equal shapes fuses into the norm"},
    {"weight_not_constant", false, "products merge when their right sides are weights"},
    {"weight_shape", false, "products merge when their weights have rank 2 and one K"},
    {"swiglu_not_shared_input", true, "let gate and up projection read the same value"},
    {"attention_no_projection", false,
     "a block is q, k and v projections, attention and an output projection"},
    {"attention_not_shared_input", false, "a block attends to the value that it projects q from"},
    {"attention_other_form", false, "q and k rotate alike, and heads have one width"},
    {"layer_other_form", false, "a layer is a block and a feed-forward part, each with its norm"},
    {"backend_refuses", false, "the back end has no kernel for these types and extents"},
    {"pass_skipped", false, "the pass stays out under these options"},
    {"other_scaling", false,
     "codes that are quantized again with their own numbers need no arithmetic"},
    {"quantized_form", false,
     "i8 codes, one scale for activations and one a column for weights, and an i32 bias at the "
     "products' scale"},
    {"norm_other_form", false,
     "a norm divides what it took the mean square of, over its last axes"},
    {"activation_other_form", false, "gelu, gelu_tanh, silu and sigmoid are ops"},
    {"attention_not_raised", false,
     "attention is softmax(q·kᵀ times a number, plus a mask or -inf where a mask says)·v"},
    {"rope_not_raised", false,
     "rope turns the halves of a head by tables whose own halves are made of one"},
    {"weight_shared", false, "a weight that others read too is not scaled: there would be two"},
    {"folding_budget", false,
     "a compile computes a part of what depends on constants alone: give the value itself"},
}};
constexpr const ReasonInfo& Info(Reason reason) { return kReasons[static_cast<size_t>(reason)]; }

static_assert(kReasons.size() == static_cast<size_t>(Reason::kFoldingBudget) + 1);

}  // namespace rlx::passes
