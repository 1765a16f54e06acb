// SPDX-License-Identifier: Apache-2.0
// CHECK(condition, parts...): our own bugs only. Prints the condition, the place and Cat(parts...)
// to stderr and aborts, in every build. What a client can cause is an absl::Status instead.
#pragma once

#include <string>

#include "runtime/base/text.h"

namespace rlx {

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              const std::string& detail);

}  // namespace rlx

#define CHECK(condition, ...)                                                      \
  do {                                                                             \
    if (!(condition)) [[unlikely]]                                                 \
      ::rlx::CheckFailed(__FILE__, __LINE__, #condition, ::rlx::Cat(__VA_ARGS__)); \
  } while (false)
