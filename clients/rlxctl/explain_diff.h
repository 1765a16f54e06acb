// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace rlx {
class JsonWriter;
}

namespace rlx::ctl {

struct ExplainModel;

// What two compiles have not in common: counts, options, ops of the result, rules, dispatch, and
// what fused differently block by block.
struct ExplainDiff {
  struct Row {
    std::string what;
    std::string one, other;  // as text
  };
  std::vector<Row> counts;                         // all, equal or not
  std::vector<Row> options, ops, rules, dispatch;  // that differ
  struct Place {
    std::string block;                    // its path
    std::vector<std::string> one, other;  // what only one of them has
  };
  std::vector<Place> blocks;
  bool same() const;  // nothing differs
};
ExplainDiff Diff(const ExplainModel& one, const ExplainModel& other);

std::string DiffText(const ExplainDiff& diff);
void WriteDiff(const ExplainDiff& diff, JsonWriter& json);

}  // namespace rlx::ctl
