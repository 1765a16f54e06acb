// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rlx/v1/compiler.pb.h"
#include "server/frontend.h"

namespace rlx::server {

// Compile requests and answers between wire and engine.

// Reads the module (inline, or from the caller's blob), the target and the options; verifies
// nothing beyond their form. Fills CompileSpec::request.
absl::StatusOr<engine::CompileSpec> SpecFromWire(const v1::CompileSpec& spec,
                                                 const engine::Principal& who,
                                                 engine::Engine& engine);
// The name under which Engine::Recall knows a request; none for one that must not be recalled.
std::optional<Digest256> RecallKey(const v1::CompileRequest& request);

// Logs the reports of what was just compiled, as far as the daemon is told to.
void LogReports(const engine::Compiled& compiled, const Frontend& frontend);

void CompiledToWire(const engine::Compiled& compiled, v1::CompileResult& out);
void TargetToWire(const device::Target& target, FusionTarget fusion, v1::Target& out);
void ExplanationToWire(const engine::KeyExplanation& explanation, std::string* key,
                       google::protobuf::RepeatedPtrField<v1::KeyComponent>* components);
void ComparisonToWire(const engine::KeyComparison& comparison, v1::ExplainKeyResponse& out);

}  // namespace rlx::server
