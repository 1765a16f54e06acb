// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "runtime/ir/builder.h"

namespace rlx::passes {

// Appends the nodes of `body` to the builder's graph, its inputs bound to `operands` in order, and
// returns what its outputs are there. Nodes get the builder's sources unless they carry their own.
// Where `on` is given, a bool scalar, they fail no run in which it does not hold (guard.h); the
// outputs then mean nothing.
std::vector<Value> Inline(GraphBuilder& builder, const Graph& body,
                          const std::vector<Value>& operands, Value on = {});

// The same by name, for a graph with a signature of its own: inputs and params are what `bindings`
// says, and a param that it does not name becomes one of the builder's graph. InvalidArgument for
// an input without a binding, and for a binding of another type or of no leaf. The symbols and
// constraints of both graphs are joined.
absl::StatusOr<std::vector<Value>> InlineInto(GraphBuilder& builder, const Graph& source,
                                              const std::map<std::string, Value>& bindings);

}  // namespace rlx::passes
