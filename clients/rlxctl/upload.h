// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/base/sha256.h"
#include "runtime/base/shared_bytes.h"
#include "runtime/base/status.h"

namespace rlx::ctl {

class Connection;
class Progress;

// Bytes and the name that they have on the server.
struct Blob {
  SharedBytes bytes;
  Digest256 digest;
};

// Reads all of the bytes.
Blob MakeBlob(SharedBytes bytes);

// Makes the server have the blob, going on where an earlier upload of the same bytes ended. Returns
// how many bytes had to travel. A connection that breaks is tried again while it makes headway.
absl::StatusOr<uint64_t> Upload(const Blob& blob, Connection& server, Progress& progress);

}  // namespace rlx::ctl
