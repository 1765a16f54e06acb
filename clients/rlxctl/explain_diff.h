// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace rlx {
class JsonWriter;
namespace v1 {
class ExplainKeyResponse;
}
}  // namespace rlx

namespace rlx::ctl {

struct ExplainModel;

// What two compiles have not in common: the modules themselves, counts, options, ops of the result,
// rules, dispatch, and what fused differently block by block.
struct ExplainDiff {
  struct Row {
    std::string what;
    std::string one, other;  // as text
  };
  struct Change {
    std::string what, field;  // `%17 "norm" (rms_norm)`, "eps"
    std::string one, other;   // empty: absent
  };
  std::vector<Change> module;  // the first that the server tells
  uint64_t more_changes = 0;
  std::vector<Row> counts;                         // all, equal or not
  std::vector<Row> options, ops, rules, dispatch;  // that differ
  struct Place {
    std::string block;                    // its path
    std::vector<std::string> one, other;  // what only one of them has
  };
  std::vector<Place> blocks;
  bool same() const;  // nothing differs
};
// `keys`: what Compiler.ExplainKey says of the same two.
ExplainDiff Diff(const ExplainModel& one, const ExplainModel& other,
                 const v1::ExplainKeyResponse& keys);

std::string DiffText(const ExplainDiff& diff);
void WriteDiff(const ExplainDiff& diff, JsonWriter& json);

}  // namespace rlx::ctl
