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

// `  %17 "norm" (rms_norm) eps: 1e-05 -> 1e-06`: one thing that differs, a line.
std::string ChangeLine(const std::string& what, const std::string& field, const std::string& one,
                       const std::string& other);

}  // namespace rlx::ctl
