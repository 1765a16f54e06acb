// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <map>

#include "runtime/base/check.h"
#include "runtime/passes/passes.h"

namespace rlx::passes {

#define RLX_DECLARE(row) extern const Pass row;
RLX_PASSES(RLX_DECLARE)
#undef RLX_DECLARE

namespace {

// The rows in the order that their `after` and `before` ask for. Where those leave a choice, names
// decide; a test demands that they leave none.
class Order {
 public:
  explicit Order(std::vector<const Pass*> rows) : rows_(std::move(rows)) {
    std::ranges::sort(rows_, {}, [](const Pass* pass) { return pass->name; });
    for (const Pass* pass : rows_) {
      CHECK(by_name_.emplace(pass->name, pass).second, "two passes are called ", pass->name);
    }
    for (const Pass* pass : rows_) {
      if (!pass->after.empty()) predecessors_[pass].push_back(Named(pass->after));
      if (!pass->before.empty()) predecessors_[Named(pass->before)].push_back(pass);
    }
  }

  std::vector<Pass> Sort() {
    for (const Pass* pass : rows_) Place(pass);
    return std::move(placed_);
  }

 private:
  const Pass* Named(std::string_view name) const {
    const auto it = by_name_.find(name);
    CHECK(it != by_name_.end(), "no pass is called ", name);
    return it->second;
  }

  void Place(const Pass* pass) {
    int& state = state_[pass];
    CHECK(state != 1, pass->name, " comes before itself");
    if (state == 2) return;
    state = 1;
    for (const Pass* earlier : predecessors_[pass]) Place(earlier);
    state = 2;
    placed_.push_back(*pass);
  }

  std::vector<const Pass*> rows_;
  std::map<std::string_view, const Pass*> by_name_;
  std::map<const Pass*, std::vector<const Pass*>> predecessors_;
  std::map<const Pass*, int> state_;  // 1: being placed, 2: placed
  std::vector<Pass> placed_;
};

}  // namespace

std::span<const Pass> AllPasses() {
#define RLX_ROW(row) &row,
  static const std::vector<Pass> passes = Order({RLX_PASSES(RLX_ROW)}).Sort();
#undef RLX_ROW
  return passes;
}

}  // namespace rlx::passes
