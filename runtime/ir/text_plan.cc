// SPDX-License-Identifier: Apache-2.0
#include "runtime/ir/text_plan.h"

#include <algorithm>

#include "runtime/base/checked.h"
#include "runtime/base/status.h"

namespace rlx {
namespace {

constexpr size_t kNodesPerLine = 16;

class PlanPrinter {
 public:
  PlanPrinter(const BufferPlan& plan, int indent, std::string& out)
      : plan_(plan), margin_(2 * static_cast<size_t>(indent), ' '), out_(out) {}

  void Run() {
    Add(margin_, "plan {\n");
    Line("arena ", plan_.arena_bytes, " aligned ", plan_.alignment, " unshared ",
         plan_.unshared_bytes);
    if (!plan_.dynamic_symbols.empty()) Line("unbound ", Join(plan_.dynamic_symbols, ", "));
    for (const Assignment& a : plan_.assignments) PrintAssignment(a);
    for (size_t i = 0; i < plan_.schedule.size();) i = PrintRun(i);
    Add(margin_, "}\n");
  }

 private:
  template <class... Parts>
  void Add(const Parts&... parts) {
    (AppendPart(out_, parts), ...);
  }
  template <class... Parts>
  void Line(const Parts&... parts) {
    Add(margin_, "  ", parts..., '\n');
  }

  void PrintAssignment(const Assignment& a) {
    std::string where;
    if (a.storage == Storage::kArena) where = Cat(" at ", a.offset);
    if (a.storage == Storage::kView) {
      where = Cat(" of ", a.root, " at ", a.element_offset);
      if (!a.strides.empty()) where += Cat(" strides [", Join(a.strides, ","), "]");
    }
    Line(a.value, ' ', Name(a.storage), ' ', a.bytes, where);
  }

  // One line of nodes of one phase; where the next begins.
  size_t PrintRun(size_t begin) {
    const Phase phase = plan_.phases[plan_.schedule[begin]];
    size_t end = begin;
    Add(margin_, "  run ", Name(phase));
    while (end < plan_.schedule.size() && end < begin + kNodesPerLine &&
           plan_.phases[plan_.schedule[end]] == phase) {
      Add(" %", plan_.schedule[end++]);
    }
    Add('\n');
    return end;
  }

  const BufferPlan& plan_;
  const std::string margin_;
  std::string& out_;
};

class PlanScanner {
 public:
  PlanScanner(const Graph& graph, TextScanner& scan) : graph_(graph), scan_(scan) {
    plan_.phases.assign(graph.size(), Phase::kPrologue);
    plan_.weight_only = WeightOnly(graph);
  }

  absl::StatusOr<BufferPlan> Run() {
    RLX_TRY(scan_.Expect("{"));
    RLX_TRY(Arena());
    while (!scan_.Eat('}')) RLX_TRY(Statement());
    DescribeIo(graph_, plan_);
    return std::move(plan_);
  }

 private:
  absl::Status Keyword(std::string_view word) {
    return scan_.EatWord(word) ? absl::OkStatus() : scan_.Error(Cat("expected ", word));
  }

  absl::Status Arena() {
    RLX_TRY(Keyword("arena"));
    RLX_ASSIGN(plan_.arena_bytes, scan_.Int());
    RLX_TRY(Keyword("aligned"));
    RLX_ASSIGN(plan_.alignment, scan_.Int());
    RLX_TRY(Keyword("unshared"));
    RLX_ASSIGN(plan_.unshared_bytes, scan_.Int());
    return absl::OkStatus();
  }

  absl::Status Statement() {
    if (scan_.Peek('%')) return AssignmentLine();
    if (scan_.EatWord("run")) return RunLine();
    if (scan_.EatWord("unbound")) return UnboundLine();
    return scan_.Error("expected a place, run or unbound");
  }

  absl::StatusOr<Value> Known() {
    RLX_ASSIGN(const Value value, ScanValue(scan_));
    if (!graph_.Has(value)) return scan_.Error(Cat("the graph has no ", value));
    return value;
  }

  absl::Status AssignmentLine() {
    Assignment a;
    RLX_ASSIGN(a.value, Known());
    RLX_ASSIGN(const std::string_view word, scan_.Word());
    const auto storage = ParseStorage(word);
    if (!storage) return scan_.Error(Cat("unknown storage ", word));
    a.storage = *storage;
    a.root = a.value;
    RLX_ASSIGN(a.bytes, scan_.Int());
    if (a.storage == Storage::kView) {
      RLX_TRY(ViewPart(a));
    } else if (a.storage == Storage::kArena) {
      RLX_TRY(Keyword("at"));
      RLX_ASSIGN(a.offset, scan_.Int());
    }
    plan_.assignments.push_back(std::move(a));
    return absl::OkStatus();
  }

  absl::Status ViewPart(Assignment& a) {
    RLX_TRY(Keyword("of"));
    RLX_ASSIGN(a.root, Known());
    RLX_TRY(Keyword("at"));
    RLX_ASSIGN(a.element_offset, scan_.Int());
    if (!scan_.EatWord("strides")) return absl::OkStatus();
    RLX_TRY(scan_.Expect("["));
    do {
      RLX_ASSIGN(a.strides.emplace_back(), scan_.Int());
    } while (scan_.Eat(','));
    return scan_.Expect("]");
  }

  absl::Status RunLine() {
    RLX_ASSIGN(const std::string_view word, scan_.Word());
    const auto phase = ParsePhase(word);
    if (!phase) return scan_.Error(Cat("unknown phase ", word));
    while (scan_.Peek('%')) {
      // A place of the next line begins alike, and goes on with its storage: places come first.
      RLX_ASSIGN(const Value value, Known());
      plan_.schedule.push_back(value.node);
      plan_.phases[value.node] = *phase;
    }
    return absl::OkStatus();
  }

  absl::Status UnboundLine() {
    do {
      RLX_ASSIGN(const std::string_view name, scan_.Word());
      plan_.dynamic_symbols.emplace_back(name);
    } while (scan_.Eat(','));
    return absl::OkStatus();
  }

  const Graph& graph_;
  TextScanner& scan_;
  BufferPlan plan_;
};

}  // namespace

void PrintPlan(const BufferPlan& plan, int indent, std::string& out) {
  PlanPrinter(plan, indent, out).Run();
}

absl::StatusOr<BufferPlan> ScanPlan(const Graph& graph, TextScanner& scan) {
  return PlanScanner(graph, scan).Run();
}

// The digits of `7.1` scan as one number.
absl::StatusOr<Value> ScanValue(TextScanner& scan) {
  RLX_TRY(scan.Expect("%"));
  RLX_ASSIGN(const std::string_view digits, scan.Number());
  const size_t dot = digits.find('.');
  const auto node = ParseInt(digits.substr(0, dot));
  const auto result =
      dot == std::string_view::npos ? std::optional<int64_t>(0) : ParseInt(digits.substr(dot + 1));
  if (!node || !result || !std::in_range<NodeId>(*node) || !std::in_range<int32_t>(*result))
    return scan.Error("expected a value such as %7 or %7.1");
  return Value{static_cast<NodeId>(*node), static_cast<int32_t>(*result)};
}

}  // namespace rlx
