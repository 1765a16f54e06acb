// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/ir/op_info.h"

// The attributes of windows that slide over spatial dims.
namespace rlx {

inline constexpr int64_t kMostOfAWindow = int64_t{1} << 30;  // past any real one, far from overflow

inline constexpr AttrSpec kStridesAttr = {.name = "strides",
                                          .type = AttrType::kInts,
                                          .min = 1,
                                          .max = kMostOfAWindow,
                                          .doc = "one per spatial dim"};
inline constexpr AttrSpec kPadsAttr = {.name = "pads",
                                       .type = AttrType::kInts,
                                       .min = 0,
                                       .max = kMostOfAWindow,
                                       .doc = "begin of every spatial dim, then end of every one"};
inline constexpr AttrSpec kDilationsAttr = {.name = "dilations",
                                            .type = AttrType::kInts,
                                            .min = 1,
                                            .max = kMostOfAWindow,
                                            .doc = "one per spatial dim"};
inline constexpr AttrSpec kGroupsAttr = {.name = "groups",
                                         .type = AttrType::kInt,
                                         .required = false,
                                         .fallback = int64_t{1},
                                         .min = 1,
                                         .max = kMostOfAWindow,
                                         .doc = "divides both channel counts"};

inline constexpr std::string_view kPoolModes[] = {"max", "mean"};
inline constexpr AttrSpec kPoolAttrs[] = {
    {.name = "mode",
     .type = AttrType::kString,
     .choices = kPoolModes,
     .doc = "what a window yields"},
    {.name = "kernel",
     .type = AttrType::kInts,
     .min = 1,
     .max = kMostOfAWindow,
     .doc = "one per spatial dim"},
    kStridesAttr,
    kPadsAttr,
    {.name = "count_include_pad",
     .type = AttrType::kBool,
     .required = false,
     .fallback = false,
     .doc = "mean divides by the whole kernel instead of by what lies inside"},
};

}  // namespace rlx
