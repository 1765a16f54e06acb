// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace rlx::test {

// The body of a GET from this machine's loopback; empty when it fails or the answer is not 200.
std::string HttpGet(int port, const std::string& path);

}  // namespace rlx::test
