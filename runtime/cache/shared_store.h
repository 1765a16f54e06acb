// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "runtime/cache/redis_options.h"
#include "runtime/cache/store.h"
#include "runtime/cache/turns.h"

namespace rlx::cache {

// The tier that the replicas of a fleet share, and whose turn it is to fill it.
class SharedStore : public Store, public Turns {};

// Whether this build has one: it needs hiredis (cmake/rlx_packages.cmake).
bool HasSharedStore();

// In Redis (redis_store.h). Waits a moment for the server's first answer; a server that is not
// there is no error. Null unless HasSharedStore().
std::unique_ptr<SharedStore> OpenSharedStore(RedisOptions options);

}  // namespace rlx::cache
