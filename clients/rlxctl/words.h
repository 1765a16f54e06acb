// SPDX-License-Identifier: Apache-2.0
// Enum values, types and dims as people write them: "cpu", "f32[batch,384]".
#pragma once

#include <google/protobuf/generated_enum_reflection.h>

#include "rlx/v1/target.pb.h"
#include "rlx/v1/types.pb.h"
#include "runtime/base/status.h"

namespace rlx::ctl {

// The value's name in lower case, without the prefix that all names of the enum share;
// "unspecified" for 0, a number for what this build does not know.
std::string WordOf(const google::protobuf::EnumDescriptor& type, int value);

// The value of a word. `-` stands for `_` too. InvalidArgument, listing the words, for any other
// and for "unspecified".
absl::StatusOr<int> ValueOf(const google::protobuf::EnumDescriptor& type, std::string_view word);

template <class Enum>
std::string Word(Enum value) {
  return WordOf(*google::protobuf::GetEnumDescriptor<Enum>(), value);
}

template <class Enum>
absl::StatusOr<Enum> Parse(std::string_view word) {
  RLX_ASSIGN(const int value, ValueOf(*google::protobuf::GetEnumDescriptor<Enum>(), word));
  return static_cast<Enum>(value);
}

// "KIND" or "KIND:PROFILE".
absl::StatusOr<v1::TargetSpec> ParseTarget(std::string_view text);
// The profile, or the device where there is none.
std::string TargetWord(const v1::Target& target);

// What the server's operator should mend, a line each.
std::string WarningLines(const google::protobuf::RepeatedPtrField<std::string>& warnings);

std::string DimText(const v1::Dim& dim);
std::string TypeText(const v1::TensorType& type);
std::string TypeText(v1::DType dtype, const google::protobuf::RepeatedField<int64_t>& shape);

}  // namespace rlx::ctl
