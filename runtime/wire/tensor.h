// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "rlx/v1/types.pb.h"
#include "runtime/ir/graph.h"

namespace rlx::wire {

// Types and tensors between wire and IR. From the wire: InvalidArgument saying what is wrong (the
// caller adds where).

// `symbols` holds the module's; a well-known symbol that it lacks is added with the default range,
// any other unknown one is an error. `allow_rest` admits one literal -1 ("whatever is left").
absl::StatusOr<Dim> DimFromWire(const v1::Dim& dim, SymbolTable& symbols, bool allow_rest = false);
absl::StatusOr<TensorType> TypeFromWire(const v1::TensorType& type, SymbolTable& symbols);
// Copies the data.
absl::StatusOr<HostTensor> TensorFromWire(const v1::Tensor& tensor);
// Checks dtype, extents, length and (bool) bytes, without copying the data.
absl::Status CheckTensor(const v1::Tensor& tensor);

void DimToWire(const Dim& dim, v1::Dim& out);
void TypeToWire(const TensorType& type, v1::TensorType& out);
void TensorToWire(const HostTensor& tensor, v1::Tensor& out);

}  // namespace rlx::wire
