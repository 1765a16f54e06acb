// SPDX-License-Identifier: Apache-2.0
// What rlxctl can do: each command is a function that fills the context's text or document, and the
// flags that it alone has.
#pragma once

#include "clients/rlxctl/flags.h"

namespace rlx::ctl {

struct Context;

absl::Status RunDevices(Context& context);
absl::Status RunCapabilities(Context& context);
absl::Status RunHealth(Context& context);
absl::Status RunCompile(Context& context);
absl::Status RunRun(Context& context);
absl::Status RunLower(Context& context);
absl::Status RunExplain(Context& context);
absl::Status RunExport(Context& context);
absl::Status RunExplainKey(Context& context);
absl::Status RunCache(Context& context);
absl::Status RunSessions(Context& context);

extern const std::span<const FlagSpec> kCapabilitiesFlags;
extern const std::span<const FlagSpec> kHealthFlags;
extern const std::span<const FlagSpec> kRunFlags;
extern const std::span<const FlagSpec> kLowerFlags;
extern const std::span<const FlagSpec> kExplainFlags;
extern const std::span<const FlagSpec> kExportFlags;
extern const std::span<const FlagSpec> kExplainKeyFlags;
extern const std::span<const FlagSpec> kCacheFlags;

}  // namespace rlx::ctl
