// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "rlx/v1/report.pb.h"
#include "runtime/ir/report.h"

namespace rlx::wire {

// Reports between wire and IR. To the wire fills the sums and counts per rule as well; from the
// wire reads what sums are made of, and fails (DataLoss) on enumeration values it does not know.
void FusionReportToWire(const FusionReport& report, v1::FusionReport& out);
absl::StatusOr<FusionReport> FusionReportFromWire(const v1::FusionReport& report);
void DispatchReportToWire(const DispatchReport& report, v1::DispatchReport& out);
absl::StatusOr<DispatchReport> DispatchReportFromWire(const v1::DispatchReport& report);
void RemarkToWire(const Remark& remark, v1::Remark& out);
void PassTimingToWire(const PassTiming& timing, v1::PassTiming& out);
PassTiming PassTimingFromWire(const v1::PassTiming& timing);

}  // namespace rlx::wire
