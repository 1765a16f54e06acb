// SPDX-License-Identifier: Apache-2.0
// Command line flags: `--name=value`, `--name value`, `--switch`, `--switch=false`. Flags and
// operands may be mixed; after `--` everything is an operand, and so is `-` alone.
#pragma once

#include <map>
#include <optional>
#include <span>

#include "runtime/base/status.h"

namespace rlx::ctl {

struct FlagSpec {
  std::string_view name;
  std::string_view value;  // what help calls its value; empty: a switch, true or false
  std::string_view help;
  bool repeated = false;
};

// What one command line gave. A flag that was not given differs from one given an empty value.
class Flags {
 public:
  // A usage error (failure.h) for flags that no spec names, for a value missing or out of place,
  // and for a flag given twice that may not be.
  static absl::StatusOr<Flags> Parse(std::span<const std::string_view> args,
                                     std::span<const std::span<const FlagSpec>> specs);

  bool Has(std::string_view name) const { return values_.contains(name); }
  // A switch as given, if it was.
  std::optional<bool> Switch(std::string_view name) const;
  bool IsOn(std::string_view name) const { return Switch(name).value_or(false); }
  std::string_view Text(std::string_view name, std::string_view fallback = "") const;
  // All values of a repeated flag, in order.
  std::vector<std::string_view> All(std::string_view name) const;
  // A whole number in [min, max], or a usage error.
  absl::StatusOr<int64_t> Int(std::string_view name, int64_t fallback, int64_t min,
                              int64_t max) const;

  const std::vector<std::string_view>& operands() const { return operands_; }

 private:
  std::map<std::string_view, std::vector<std::string_view>, std::less<>> values_;
  std::vector<std::string_view> operands_;
};

// The command in `args`: the first that is neither one of the flags nor a flag's value. args.size()
// when there is none.
size_t FindCommand(std::span<const std::string_view> args, std::span<const FlagSpec> flags);

// "SYMBOL=VALUE" taken apart at the first `=`; nothing when there is none or no name before it.
std::optional<std::pair<std::string_view, std::string_view>> SplitPair(std::string_view text);

// The comma-separated names; "" is the empty list.
std::vector<std::string_view> SplitNames(std::string_view text);

}  // namespace rlx::ctl
