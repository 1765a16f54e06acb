// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "rlx/v1/options.pb.h"
#include "rlx/v1/plan.pb.h"
#include "rlx/v1/report.pb.h"
#include "rlx/v1/types.pb.h"
#include "runtime/ir/lir.h"
#include "runtime/ir/options.h"
#include "runtime/ir/report.h"

namespace rlx::wire {

// Enumerations of ours count from 0 without holes; those of the wire keep 0 for "unspecified" and
// count from 1 in the same order (stages and policies are equal, number by number). From the wire:
// none for 0 and for numbers this build does not know.
template <typename Ours, typename Theirs>
constexpr Theirs Shifted(Ours value) {
  return static_cast<Theirs>(static_cast<int>(value) + 1);
}
template <typename Ours, typename Theirs>
std::optional<Ours> Unshifted(Theirs value, int count) {
  const int number = static_cast<int>(value);
  if (number < 1 || number > count) return std::nullopt;
  return static_cast<Ours>(number - 1);
}

inline v1::DType ToWire(DType v) { return Shifted<DType, v1::DType>(v); }
inline v1::Device ToWire(DeviceKind v) { return Shifted<DeviceKind, v1::Device>(v); }
inline v1::FusionTarget ToWire(FusionTarget v) {
  return Shifted<FusionTarget, v1::FusionTarget>(v);
}
inline v1::Precision ToWire(Precision v) { return Shifted<Precision, v1::Precision>(v); }
inline v1::PrecisionPolicy::Kind ToWire(PrecisionPolicyKind v) {
  return Shifted<PrecisionPolicyKind, v1::PrecisionPolicy::Kind>(v);
}
inline v1::KernelDispatch::Policy ToWire(DispatchPolicy v) {
  return Shifted<DispatchPolicy, v1::KernelDispatch::Policy>(v);
}
inline v1::Storage ToWire(Storage v) { return Shifted<Storage, v1::Storage>(v); }
inline v1::ExecPhase ToWire(Phase v) { return Shifted<Phase, v1::ExecPhase>(v); }
inline v1::DispatchReport::Path ToWire(DispatchReport::Path v) {
  return Shifted<DispatchReport::Path, v1::DispatchReport::Path>(v);
}
inline v1::Remark::Kind ToWire(Remark::Kind v) {
  return Shifted<Remark::Kind, v1::Remark::Kind>(v);
}
inline v1::SourceRef::Kind ToWire(SourceRef::Kind v) {
  return Shifted<SourceRef::Kind, v1::SourceRef::Kind>(v);
}
inline v1::Stage ToWire(Stage v) { return static_cast<v1::Stage>(v); }
inline v1::FusionPolicy ToWire(FusionPolicy v) { return static_cast<v1::FusionPolicy>(v); }

inline std::optional<DType> FromWire(v1::DType v) { return Unshifted<DType>(v, kDTypeCount); }
inline std::optional<DeviceKind> FromWire(v1::Device v) {
  return Unshifted<DeviceKind>(v, kDeviceKindCount);
}
inline std::optional<FusionTarget> FromWire(v1::FusionTarget v) {
  return Unshifted<FusionTarget>(v, kFusionTargetCount);
}
inline std::optional<Precision> FromWire(v1::Precision v) { return Unshifted<Precision>(v, 3); }
inline std::optional<PrecisionPolicyKind> FromWire(v1::PrecisionPolicy::Kind v) {
  return Unshifted<PrecisionPolicyKind>(v, 6);
}
inline std::optional<DispatchPolicy> FromWire(v1::KernelDispatch::Policy v) {
  return Unshifted<DispatchPolicy>(v, 3);
}
inline std::optional<Storage> FromWire(v1::Storage v) { return Unshifted<Storage>(v, 8); }
inline std::optional<Phase> FromWire(v1::ExecPhase v) { return Unshifted<Phase>(v, 3); }
inline std::optional<DispatchReport::Path> FromWire(v1::DispatchReport::Path v) {
  return Unshifted<DispatchReport::Path>(v, 4);
}
inline std::optional<Remark::Kind> FromWire(v1::Remark::Kind v) {
  return Unshifted<Remark::Kind>(v, 3);
}
inline std::optional<SourceRef::Kind> FromWire(v1::SourceRef::Kind v) {
  return Unshifted<SourceRef::Kind>(v, 3);
}
inline std::optional<Stage> FromWire(v1::Stage v) {
  return v1::Stage_IsValid(v) && v != 0 ? std::optional(static_cast<Stage>(v)) : std::nullopt;
}

}  // namespace rlx::wire
