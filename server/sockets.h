// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "server/address.h"

namespace rlx::server {

// Refuses new connections at these addresses (ports as bound), and ends the sending half of those
// that stand there: what has been written arrives, nothing follows. gRPC's own shutdown would
// answer CANCELLED to calls that meet it, as if their callers had given up; so they see the
// connection end, which is UNAVAILABLE.
void HangUp(const std::vector<Address>& bound);

// Whether somebody accepts connections at this Unix address. gRPC unlinks a socket that is in its
// way, whoever listens there.
bool IsTaken(const Address& address);

}  // namespace rlx::server
