// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>

#include "runtime/base/status.h"
#include "runtime/device/backend.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/verify.h"
#include "runtime/stages/pipeline.h"
#include "runtime/stages/reports.h"

namespace rlx::stages {
namespace {

using Refused = std::vector<DispatchReport::Unsupported>;

std::string SizesText(const DimBinding& sizes) {
  return Join(sizes, ", ", [](std::string& out, const auto& size) {
    out += Cat(size.first, " = ", size.second);
  });
}

// A graph with symbols, tried at sizes of them: bound, and where something of it does not run as it
// stands, through the passes that the binding would run.
class Trials {
 public:
  Trials(const Graph& graph, const CompileResult& result, const device::Backend* backend,
         const device::Target& target, const CancelToken& cancel)
      : graph_(graph), result_(result), backend_(backend), target_(target), cancel_(cancel) {}

  // What does not run; nothing where the sizes are not admissible.
  absl::StatusOr<std::optional<Refused>> At(const DimBinding& sizes) const {
    RLX_TRY(cancel_.Check());
    absl::StatusOr<Graph> bound = BindSymbols(graph_, sizes);
    if (!bound.ok()) return std::nullopt;
    Refused refused = Judged(*bound, result_.options);
    if (refused.empty() || result_.as_given) return refused;
    std::vector<Remark> remarks;
    std::vector<PassTiming> timings;
    passes::PassContext context = ContextFor(result_.options, backend_, target_, remarks);
    context.cancel = cancel_;
    context.policy = {};
    const absl::Status status = RunPasses(*bound, result_.options, context, {}, timings);
    RLX_TRY(cancel_.Check());
    if (!status.ok()) return std::nullopt;
    return Judged(*bound, result_.options);
  }

 private:
  Refused Judged(const Graph& bound, const ResolvedOptions& options) const {
    return ReportDispatch({}, bound, {}, options, backend_, target_, result_.as_given).unsupported;
  }

  const Graph& graph_;
  const CompileResult& result_;
  const device::Backend* const backend_;
  const device::Target& target_;
  const CancelToken& cancel_;
};

// Every symbol at its bound, at most (or at least) `limit`.
DimBinding Corner(const SymbolTable& symbols, bool high, int64_t limit) {
  DimBinding corner;
  for (const auto& [name, range] : symbols) {
    corner[name] = std::clamp(high ? std::min(limit, range.max) : std::max(limit, range.min),
                              range.min, range.max);
  }
  return corner;
}

struct Tried {
  DimBinding sizes;
  Refused refused;
};

// The first of a few corners that is admissible: constraints may forbid that all are at the bound.
absl::StatusOr<std::optional<Tried>> AtCorner(const Trials& trials, const SymbolTable& symbols,
                                              bool high) {
  for (const int64_t limit :
       {high ? SymbolRange{}.max : 1, int64_t{4096}, int64_t{64}, int64_t{8}}) {
    DimBinding sizes = Corner(symbols, high, limit);
    RLX_ASSIGN(std::optional<Refused> refused, trials.At(sizes));
    if (refused) return Tried{std::move(sizes), *std::move(refused)};
  }
  return std::nullopt;
}

// The least size of the one symbol that is refused, which `high` is and `low` is not.
absl::StatusOr<Tried> FirstRefused(const Trials& trials, const DimBinding& low, Tried high) {
  const std::string symbol = low.begin()->first;
  int64_t good = low.begin()->second;
  while (high.sizes[symbol] - good > 1) {
    const int64_t middle = good + (high.sizes[symbol] - good) / 2;
    RLX_ASSIGN(std::optional<Refused> refused, trials.At({{symbol, middle}}));
    if (refused && !refused->empty()) {
      high = {{{symbol, middle}}, *std::move(refused)};
    } else {
      good = middle;
    }
  }
  return high;
}

// Whether anything depends on sizes that have not been asked about.
bool AnythingOpen(const Graph& graph, const device::Backend* backend) {
  if (graph.symbols.empty()) return false;
  return backend != nullptr || std::ranges::any_of(graph.nodes(), [](const Node& node) {
           return Info(node.op).op_class == OpClass::kControlFlow;
         });
}

}  // namespace

absl::Status JudgeSizes(const Graph& graph, const device::Backend* backend,
                        const device::Target& target, const CancelToken& cancel,
                        CompileResult& result) {
  DispatchReport& report = result.dispatch;
  result.runs_at_some_sizes = report.compile_ready;
  if (!report.compile_ready || !AnythingOpen(graph, backend)) return absl::OkStatus();
  const Trials trials(graph, result, backend, target, cancel);
  RLX_ASSIGN(std::optional<Tried> high, AtCorner(trials, graph.symbols, /*high=*/true));
  RLX_ASSIGN(std::optional<Tried> low, AtCorner(trials, graph.symbols, /*high=*/false));
  const bool low_runs = low && low->refused.empty(), high_runs = high && high->refused.empty();
  std::optional<Tried> refused = high_runs || !high ? low : high;
  if (!refused || refused->refused.empty()) return absl::OkStatus();
  result.runs_at_some_sizes = low_runs || high_runs;
  const bool one = graph.symbols.size() == 1;
  if (low_runs && one) {
    RLX_ASSIGN(refused, FirstRefused(trials, low->sizes, *std::move(refused)));
  }
  for (DispatchReport::Unsupported& node : refused->refused) {
    if (result.runs_at_some_sizes) {
      node.why += Cat(low_runs && one ? ", from " : ", at ", SizesText(refused->sizes));
    }
    report.unsupported.push_back(std::move(node));
  }
  report.compile_ready = false;
  return absl::OkStatus();
}

}  // namespace rlx::stages
