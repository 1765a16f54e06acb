// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "runtime/import/node.h"

namespace rlx::onnx {

// The rows of each family, from the files of this folder. A new op is a row; a new family is a line
// here and one in table.cc.
std::span<const OpRow> ActivationOps();
std::span<const OpRow> ArithmeticOps();
std::span<const OpRow> AttentionOps();
std::span<const OpRow> BitOps();
std::span<const OpRow> CastOps();
std::span<const OpRow> ConstantOps();
std::span<const OpRow> ControlOps();
std::span<const OpRow> ConvOps();
std::span<const OpRow> EinsumOps();
std::span<const OpRow> GatherOps();
std::span<const OpRow> LogicOps();
std::span<const OpRow> LossOps();
std::span<const OpRow> MatMulOps();
std::span<const OpRow> MovementOps();
std::span<const OpRow> NormOps();
std::span<const OpRow> PoolOps();
std::span<const OpRow> QuantizeOps();
std::span<const OpRow> RecurrentOps();
std::span<const OpRow> ReduceOps();
std::span<const OpRow> ResizeOps();
std::span<const OpRow> SelectionOps();
std::span<const OpRow> SequenceOps();
std::span<const OpRow> ShapeOps();
std::span<const OpRow> SignalOps();
std::span<const OpRow> RegionOps();
std::span<const OpRow> TextOps();
std::span<const OpRow> VisionOps();

}  // namespace rlx::onnx
