// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "runtime/ir/options.h"

namespace rlx::stages {
struct ResolvedOptions;
}

namespace rlx::engine {

struct EngineOptions;

// `request` with what it leaves open taken from `defaults`.
CompileOptions WithDefaults(CompileOptions request, const CompileOptions& defaults);

// What a request means: its own fields, then what its device inherits, then what all do. Fusion
// switches that are on for its device stay on.
CompileOptions Inherit(const CompileOptions& request, DeviceKind device,
                       const EngineOptions& engine);

std::string_view StageName(Stage stage);  // "hir", "mir", "lir"

// Compile answers with `dump`, and with no stage that is before its module's own; other calls have
// no place for it. InvalidArgument.
absl::Status CheckDump(const CompileOptions& request, Stage stage);
absl::Status RefuseDump(const CompileOptions& request);

// Every field set: what responses echo and artifacts keep. Resolving it again gives the same.
CompileOptions AsCompileOptions(const stages::ResolvedOptions& options);

// `name=value` a line, in a fixed order: everything that can change an artifact, so without
// verbose, assert_fusion_clean, dumps and the salt (a field of the key by itself).
std::string KeyText(const stages::ResolvedOptions& options);

}  // namespace rlx::engine
