// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace rlx::server {

class ModelStore;
class Snapshot;

// What /metrics shows of the models that are served.
void CollectModels(const ModelStore& models, Snapshot& out);

}  // namespace rlx::server
