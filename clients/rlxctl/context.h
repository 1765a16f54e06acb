// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "clients/rlxctl/connection.h"
#include "clients/rlxctl/flags.h"
#include "clients/rlxctl/progress.h"

namespace rlx::ctl {

// What a command works with.
struct Context {
  const Flags& flags;  // the command's operands, and its flags with the global ones
  Connection& server;
  Progress& progress;
  bool json = false;  // --json: write `document`, else `text`

  std::string text{};  // for people
  JsonWriter document{};
  int exit_code = kExitOk;  // when the command succeeds
};

}  // namespace rlx::ctl
