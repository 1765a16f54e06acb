// SPDX-License-Identifier: Apache-2.0
#include "runtime/cache/shared_store.h"

#ifdef RLX_HIREDIS
#include "runtime/cache/redis_store.h"
#endif

namespace rlx::cache {

#ifdef RLX_HIREDIS
bool HasSharedStore() { return true; }

std::unique_ptr<SharedStore> OpenSharedStore(RedisOptions options) {
  return std::make_unique<RedisStore>(std::move(options));
}
#else
bool HasSharedStore() { return false; }

std::unique_ptr<SharedStore> OpenSharedStore(RedisOptions) { return nullptr; }
#endif

}  // namespace rlx::cache
