// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "runtime/ir/device_kind.h"
#include "runtime/ir/graph.h"
#include "runtime/tensor/dim.h"

namespace rlx {

enum class Precision : uint8_t { kF32, kF16, kBF16 };
enum class PrecisionPolicyKind : uint8_t {
  kAlwaysF32,
  kAlwaysF16,
  kAutoMixedConservative,
  kAutoMixed,
  kAutoMixedBf16,
  kCustom,
};
struct PrecisionPolicy {
  PrecisionPolicyKind kind = PrecisionPolicyKind::kAlwaysF32;
  std::map<std::string, Precision> custom;  // kCustom: op class name → precision
  friend bool operator==(const PrecisionPolicy&, const PrecisionPolicy&) = default;
};

struct FusionLimits {
  uint32_t max_elementwise_steps = 32;
  uint32_t max_elementwise_inputs = 16;
  friend bool operator==(const FusionLimits&, const FusionLimits&) = default;
};

struct FusionOptions {
  std::optional<bool> skip_fusion;
  std::optional<bool> unfuse_elementwise_regions;
  std::optional<FusionLimits> limits;  // explicit limits stay, whatever their value
  friend bool operator==(const FusionOptions&, const FusionOptions&) = default;
};

enum class DispatchPolicy : uint8_t { kPreferNative, kForceCommon, kForceNative };
struct KernelDispatch {
  std::optional<DispatchPolicy> policy;
  std::optional<std::set<std::string>> force_common_kinds;
  std::optional<std::set<std::string>> force_native_kinds;
  friend bool operator==(const KernelDispatch&, const KernelDispatch&) = default;
};

// What a client may say about a compile. An absent field inherits the server's default; an empty
// list is a value. Everything here that can change code is part of the cache key, after Resolve.
struct CompileOptions {
  std::optional<Precision> precision;
  std::optional<PrecisionPolicy> policy;
  std::optional<bool> dce;
  std::optional<bool> constant_folding;
  std::optional<bool> verbose;
  std::optional<FusionTarget> fusion_target;
  FusionOptions fusion;
  std::optional<int64_t> arena_alignment;  // bytes; a power of two from 16 to 4096
  std::optional<bool> assert_fusion_clean;
  std::optional<std::set<std::string>> supported_ops;  // claim names; empty accepts all
  std::optional<DimBinding> dim_binding;
  KernelDispatch kernel_dispatch;
  std::optional<std::set<std::string>> disabled_passes;  // by pass name
  std::optional<std::string> salt;
  std::set<Stage> dump;  // stages to hand back as text; not in the key
  friend bool operator==(const CompileOptions&, const CompileOptions&) = default;
};

}  // namespace rlx
