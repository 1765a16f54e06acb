// SPDX-License-Identifier: Apache-2.0
// Reports for people.
#pragma once

#include <string>

namespace rlx::v1 {
class DispatchReport;
class FusionReport;
}  // namespace rlx::v1

namespace rlx::ctl {

// What was fused, by rule with some examples; all that was missed and why; which ops came and went.
std::string FusionText(const v1::FusionReport& report);

// How each kind of op runs, and what runs nowhere.
std::string DispatchText(const v1::DispatchReport& report);

}  // namespace rlx::ctl
