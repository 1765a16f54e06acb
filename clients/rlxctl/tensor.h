// SPDX-License-Identifier: Apache-2.0
// Tensors by value: sizes, elements as numbers, made-up contents.
#pragma once

#include "rlx/v1/types.pb.h"
#include "runtime/base/status.h"

namespace rlx::ctl {

// Bytes of one element; 0 for a dtype that this build does not know.
size_t ElementBytes(v1::DType dtype);

// Bytes of a tensor, unless that overflows, an extent is below 1 or the dtype is unknown.
std::optional<uint64_t> TensorBytes(v1::DType dtype, std::span<const int64_t> shape);

// OK when the data has the length that dtype and shape ask for.
absl::Status CheckTensor(const v1::Tensor& tensor);

// Element `i` of checked data, as a number; of c64 the real part.
double ElementAt(v1::DType dtype, std::string_view data, uint64_t i);

// Up to `most` elements, separated by blanks; "..." where there are more.
std::string ValuesText(const v1::Tensor& tensor, uint64_t most);

enum class Fill { kZeros, kOnes, kRandom };

// Appends `count` elements. Random ones depend on `seed` alone: floats are uniform in [-range,
// range), integers and booleans are 0 or 1, which every index and mask can be.
void AppendFilled(std::string& out, v1::DType dtype, uint64_t count, Fill fill, uint64_t seed,
                  double range);

// A seed for what has that name.
uint64_t SeedOf(uint64_t seed, std::string_view name);

}  // namespace rlx::ctl
