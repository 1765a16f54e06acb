// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine/key_diff.h"

#include <algorithm>

#include "runtime/base/text.h"

namespace rlx::engine {
namespace {

using Texts = std::map<std::string, std::string>;

// `name=value` lines.
Texts Fields(std::string_view text) {
  Texts out;
  for (std::string_view line : Split(text, '\n')) {
    const size_t equals = line.find('=');
    if (equals == line.npos) continue;
    out[std::string(line.substr(0, equals))] = line.substr(equals + 1);
  }
  return out;
}

// Of a list of names, those that the other list lacks; other values as they are.
std::string OwnPart(const std::string& value, const std::string& other) {
  if (value.find(',') == value.npos && other.find(',') == other.npos) return value;
  const std::vector<std::string_view> theirs = Split(other, ',');
  std::vector<std::string_view> own;
  for (std::string_view name : Split(value, ',')) {
    if (std::ranges::find(theirs, name) == theirs.end()) own.push_back(name);
  }
  return Join(own, ",");
}

void DiffOptions(std::string_view one, std::string_view other, Differences& out) {
  const Texts ours = Fields(one), theirs = Fields(other);
  Texts names = ours;
  names.insert(theirs.begin(), theirs.end());
  const auto value = [](const Texts& texts, const std::string& name) {
    const auto it = texts.find(name);
    return it == texts.end() ? std::string() : it->second;
  };
  for (const auto& [name, unused] : names) {
    const std::string a = value(ours, name), b = value(theirs, name);
    if (a != b) out.Add({"options", "", name, OwnPart(a, b), OwnPart(b, a)});
  }
}

}  // namespace

void Differences::Add(KeyDifference difference) {
  if (++all_ <= kMaxDifferences) kept_.push_back(std::move(difference));
}

KeyComparison Differences::Finish(KeyExplanation one, KeyExplanation other) {
  return {std::move(one), std::move(other), std::move(kept_),
          all_ - std::min(all_, kMaxDifferences)};
}

KeyComparison CompareKeys(const Job& one, const Job& other) {
  Differences out;
  const auto text = [](const Job& job, const std::string& name) -> std::string_view {
    for (const KeyComponent& component : job.key.components) {
      if (component.name == name) return component.text;
    }
    return {};
  };
  for (const std::string& name : Differing(one.key, other.key)) {
    if (name == "module") {
      DiffModules(one.canonical, other.canonical, out);
    } else if (name == "options") {
      DiffOptions(text(one, name), text(other, name), out);
    } else {
      out.Add({name, "", "", std::string(text(one, name)), std::string(text(other, name))});
    }
  }
  return out.Finish(one.key, other.key);
}

}  // namespace rlx::engine
