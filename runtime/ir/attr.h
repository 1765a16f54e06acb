// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "runtime/tensor/host_tensor.h"

namespace rlx {

// An attribute's value. A Shape attribute may hold one Dim(-1): "whatever is left".
using AttrValue = std::variant<int64_t, double, bool, std::string, std::vector<int64_t>,
                               std::vector<double>, DType, Shape, HostTensor>;

// The alternatives of AttrValue, in order.
enum class AttrType : uint8_t {
  kInt,
  kFloat,
  kBool,
  kString,
  kInts,
  kFloats,
  kDType,
  kShape,
  kTensor,
};
std::string_view Name(AttrType type);
inline AttrType TypeOf(const AttrValue& value) { return static_cast<AttrType>(value.index()); }

struct Attr {
  std::string name;
  AttrValue value;
  friend bool operator==(const Attr&, const Attr&) = default;
};

// What the integers of an attribute count.
enum class AxisRule : uint8_t {
  kNone,
  kAxis,     // axes of operand 0. A negative one counts from the end; stored as 0 … rank-1
  kAxisSet,  // the same, distinct and stored in order; none given means all
};

// What a row says of one attribute. The verifier checks presence, type, range and enumeration, so
// inference, evaluation and passes read attributes without checking again. Floats are finite. An
// integer is taken for a float, a list of integers for a list of floats or a shape.
struct AttrSpec {
  std::string_view name;
  AttrType type = AttrType::kInt;
  bool required = true;
  // Filled in when an optional attribute is absent, so that writing the default or leaving it out
  // is the same node. A monostate default leaves it absent.
  std::variant<std::monostate, int64_t, double, bool, std::string_view> fallback = {};
  // For kString: the values allowed; empty allows any.
  std::span<const std::string_view> choices = {};
  // For kInt and kInts (each element): inclusive range.
  int64_t min = INT64_MIN;
  int64_t max = INT64_MAX;
  AxisRule axis = AxisRule::kNone;
  std::string_view doc = {};
};

}  // namespace rlx
