// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "clients/rlxctl/flags.h"
#include "rlx/v1/plan.pb.h"
#include "rlx/v1/sessions.pb.h"

namespace rlx::ctl {

using Extents = std::map<std::string_view, int64_t>;

// What a dim is when its symbols have these sizes; nothing when one has none, or when it is below 1
// or overflows.
std::optional<int64_t> EvaluateDim(const v1::Dim& dim, const Extents& extents);

// The inputs that --input, --extent and --seed ask for, one for each of the manifest. Files are
// read; what is made up has the manifest's dtype and shape, at the extents given.
absl::StatusOr<std::vector<v1::NamedTensor>> MakeInputs(const v1::Manifest& manifest,
                                                        const Flags& flags);

}  // namespace rlx::ctl
