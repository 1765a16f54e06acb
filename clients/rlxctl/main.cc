// SPDX-License-Identifier: Apache-2.0
// rlxctl: rlxd from the command line. `rlxctl help` says what it can do.
#include "clients/rlxctl/app.h"

int main(int argc, char** argv) { return rlx::ctl::Main({argv + 1, argv + argc}); }
