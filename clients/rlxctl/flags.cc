// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/flags.h"

#include "clients/rlxctl/failure.h"

namespace rlx::ctl {
namespace {

bool LooksLikeFlag(std::string_view arg) { return arg.starts_with('-') && arg != "-"; }

const FlagSpec* Find(std::span<const FlagSpec> specs, std::string_view name) {
  for (const FlagSpec& spec : specs) {
    if (spec.name == name) return &spec;
  }
  return nullptr;
}

// One argument that looks like a flag, taken apart.
struct Given {
  std::string_view name;
  std::optional<std::string_view> value;
};

Given TakeApart(std::string_view arg) {
  arg.remove_prefix(arg.starts_with("--") ? 2 : 1);
  const size_t equals = arg.find('=');
  if (equals == std::string_view::npos) return {arg, std::nullopt};
  return {arg.substr(0, equals), arg.substr(equals + 1)};
}

}  // namespace

absl::StatusOr<Flags> Flags::Parse(std::span<const std::string_view> args,
                                   std::span<const std::span<const FlagSpec>> specs) {
  Flags out;
  for (size_t i = 0; i < args.size(); ++i) {
    if (args[i] == "--") {
      out.operands_.insert(out.operands_.end(), args.begin() + i + 1, args.end());
      break;
    }
    if (!LooksLikeFlag(args[i])) {
      out.operands_.push_back(args[i]);
      continue;
    }
    Given given = TakeApart(args[i]);
    const FlagSpec* spec = nullptr;
    for (std::span<const FlagSpec> group : specs) {
      if (spec == nullptr && args[i].starts_with("--")) spec = Find(group, given.name);
    }
    if (spec == nullptr) return Usage("unknown flag ", args[i].substr(0, args[i].find('=')));
    if (spec->value.empty()) {
      if (!given.value) given.value = "true";
      if (*given.value != "true" && *given.value != "false")
        return Usage("--", spec->name, " is true or false, not \"", *given.value, "\"");
    } else if (!given.value) {
      if (i + 1 == args.size()) return Usage("--", spec->name, " needs a value: ", spec->value);
      given.value = args[++i];
    }
    std::vector<std::string_view>& values = out.values_[spec->name];
    if (!values.empty() && !spec->repeated) return Usage("--", spec->name, " is given twice");
    values.push_back(*given.value);
  }
  return out;
}

std::optional<bool> Flags::Switch(std::string_view name) const {
  if (!Has(name)) return std::nullopt;
  return Text(name) == "true";
}

std::string_view Flags::Text(std::string_view name, std::string_view fallback) const {
  const auto found = values_.find(name);
  return found == values_.end() ? fallback : found->second.back();
}

std::vector<std::string_view> Flags::All(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string_view>() : found->second;
}

absl::StatusOr<int64_t> Flags::Int(std::string_view name, int64_t fallback, int64_t min,
                                   int64_t max) const {
  if (!Has(name)) return fallback;
  const std::optional<int64_t> value = ParseInt(Text(name));
  if (!value || *value < min || *value > max) {
    return Usage("--", name, " is a whole number from ", min, " to ", max, ", not \"", Text(name),
                 "\"");
  }
  return *value;
}

size_t FindCommand(std::span<const std::string_view> args, std::span<const FlagSpec> flags) {
  size_t i = 0;
  while (i < args.size() && LooksLikeFlag(args[i])) {
    const Given given = TakeApart(args[i]);
    const FlagSpec* spec = Find(flags, given.name);
    const bool takes_next = spec != nullptr && !spec->value.empty() && !given.value;
    i += takes_next ? 2 : 1;
  }
  return std::min(i, args.size());
}

std::optional<std::pair<std::string_view, std::string_view>> SplitPair(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) return std::nullopt;
  return std::pair(text.substr(0, equals), text.substr(equals + 1));
}

std::vector<std::string_view> SplitNames(std::string_view text) {
  if (text.empty()) return {};
  return Split(text, ',');
}

}  // namespace rlx::ctl
