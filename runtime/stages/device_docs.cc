// SPDX-License-Identifier: Apache-2.0
#include "runtime/stages/device_docs.h"

#include <algorithm>
#include <limits>

#include "runtime/base/text.h"
#include "runtime/device/backend.h"
#include "runtime/stages/stages.h"

namespace rlx::stages {
namespace {

using Backends = std::vector<const device::Backend*>;

constexpr std::string_view kIntroduction = R"(# Devices

Written from the tables in `runtime/stages/targets.cc` and the back ends' own lists by the test
`DeviceDocs.AreUpToDate`; run it with `RLX_UPDATE_DOCS=1` after a change. `rlxctl devices` says the same of a
running daemon, with the state of each device and why one is not available; `rlxctl devices NAME` lists the
claims of one.

Modules compile for all twelve devices. Without a back end that ends with the plan (LIR) and the reports, and
opening a session fails with FAILED_PRECONDITION and the reason; with one there is code, and sessions where the
device itself is there.
)";

constexpr std::string_view kClaimsIntroduction = R"(
## Claims

A claim is an op kind that a device runs as it stands. What decides is the request's `supported_ops` if there
is one, else the back end's own list, else these tables; an empty list accepts everything. A fusion claim (●)
lets passes make the op and implies that the device runs it; the others (○) stand in for legalization and
reports where there is no back end. A back end's own list (✓) follows from what it lowers, and counts for both.
)";

std::string Limit(uint32_t limit) {
  return limit == std::numeric_limits<uint32_t>::max() ? "unbounded" : Cat(limit);
}

const device::Backend* Find(const Backends& backends, DeviceKind kind) {
  const auto it = std::ranges::find_if(backends, [&](auto* b) { return b->kind() == kind; });
  return it == backends.end() ? nullptr : *it;
}

std::string DeviceTable(const Backends& backends) {
  std::string out =
      "\n## The twelve devices\n\n| device | name | fusion target | back end |\n| --- | --- | --- "
      "| --- "
      "|\n";
  for (int k = 0; k < kDeviceKindCount; ++k) {
    const auto kind = static_cast<DeviceKind>(k);
    const device::Backend* backend = Find(backends, kind);
    out +=
        Cat("| `", Name(kind), "` | ", DisplayName(kind), " | ", Name(FusionTargetFor(kind)), " | ",
            backend == nullptr ? "none: reports and LIR" : Cat("`", backend->name(), "`"), " |\n");
  }
  return out;
}

std::string TargetTable() {
  std::string out =
      "\n## Fusion targets\n\nThe most ops in, and distinct inputs of, one elementwise region, "
      "unless "
      "the request says otherwise.\n\n| target | ops | inputs | devices |\n| --- | --- | --- | --- "
      "|\n";
  for (int t = 0; t < kFusionTargetCount; ++t) {
    const auto target = static_cast<FusionTarget>(t);
    const FusionLimits limits = LimitsFor(target);
    std::vector<std::string_view> devices;
    for (int k = 0; k < kDeviceKindCount; ++k) {
      const auto kind = static_cast<DeviceKind>(k);
      if (FusionTargetFor(kind) == target) devices.push_back(Name(kind));
    }
    out += Cat("| ", Name(target), " | ", Limit(limits.max_elementwise_steps), " | ",
               Limit(limits.max_elementwise_inputs), " | ", Join(devices, ", "), " |\n");
  }
  return out;
}

std::set<std::string> OwnClaims(const device::Backend& backend) {
  const std::vector<device::Target> targets = backend.Targets();  // none: its compiler is not here
  const std::vector<std::string> claims =
      backend.ClaimedKinds(targets.empty() ? device::Target{} : targets.front());
  return {claims.begin(), claims.end()};
}

// A row for each kind that anyone claims.
std::string ClaimTable(const Backends& backends) {
  std::set<std::string> kinds;
  std::vector<std::set<std::string>> fusion, runtime, own;
  std::string head = "\n| kind |", rule = "\n| --- |";
  for (int t = 0; t < kFusionTargetCount; ++t) {
    const auto target = static_cast<FusionTarget>(t);
    fusion.push_back(FusionClaimsFor(target));
    runtime.push_back(RuntimeClaimsFor(target));
    kinds.insert(runtime.back().begin(), runtime.back().end());
    head += Cat(" ", Name(target), " |");
    rule += " :-: |";
  }
  for (const device::Backend* backend : backends) {
    own.push_back(OwnClaims(*backend));
    kinds.insert(own.back().begin(), own.back().end());
    head += Cat(" back end `", backend->name(), "` |");
    rule += " :-: |";
  }
  std::string out = Cat(head, rule, "\n");
  for (const std::string& kind : kinds) {
    out += Cat("| ", kind, " |");
    for (size_t t = 0; t < runtime.size(); ++t) {
      out += fusion[t].count(kind) > 0 ? " ● |" : runtime[t].count(kind) > 0 ? " ○ |" : "  |";
    }
    for (const auto& claims : own) out += claims.count(kind) > 0 ? " ✓ |" : "  |";
    out += "\n";
  }
  return out;
}

}  // namespace

std::string DeviceDocs(const Backends& backends) {
  return Cat(kIntroduction, DeviceTable(backends), TargetTable(), kClaimsIntroduction,
             ClaimTable(backends));
}

}  // namespace rlx::stages
