// SPDX-License-Identifier: Apache-2.0
#include "server/models/store.h"

#include <algorithm>

#include "runtime/base/status.h"

namespace rlx::server {
namespace {

constexpr size_t kMaxNameShown = 128;

// Clients match on these words.
std::string Unknown(std::string_view name) {
  return Cat("Request for unknown model: '", name.substr(0, kMaxNameShown), "'");
}

}  // namespace

std::string_view Name(ModelState state) {
  static constexpr std::array<std::string_view, kModelStates> kNames = {"LOADING", "READY",
                                                                        "UNLOADING", "UNAVAILABLE"};
  return kNames[static_cast<size_t>(state)];
}

ModelStore::Change::~Change() {
  if (gone != nullptr) gone->Leave();
  store.changed_();
}

ModelState ModelStore::Version::state() const {
  if (served != nullptr) return ModelState::kReady;
  if (loading) return ModelState::kLoading;
  return leaving.expired() ? ModelState::kUnavailable : ModelState::kUnloading;
}

const ModelStore::Model* ModelStore::FindLocked(std::string_view name) const {
  const auto found = models_.find(name);
  return found == models_.end() ? nullptr : &found->second;
}

std::optional<int64_t> ModelStore::NumberOf(const Model* model, std::string_view version) {
  if (model != nullptr) {
    const auto label = model->labels.find(version);
    if (label != model->labels.end()) return label->second;
  }
  return ParseInt(version);
}

absl::StatusOr<ModelStore::Served> ModelStore::Find(std::string_view name,
                                                    std::string_view version) const {
  std::lock_guard lock(mutex_);
  const Model* model = FindLocked(name);
  std::optional<int64_t> number;
  if (!version.empty()) {
    number = NumberOf(model, version);
    if (!number || *number < 0) {
      return InvalidArgument("failed to get model version from specified version string '",
                             version.substr(0, 32), "'");
    }
  }
  if (model == nullptr) return NotFound(Unknown(name), " is not found");
  if (!number) {
    for (auto it = model->versions.rbegin(); it != model->versions.rend(); ++it) {
      if (it->second.served != nullptr) return it->second.served;
    }
    return NotFound(Unknown(name), " has no available versions");
  }
  const auto found = model->versions.find(*number);
  if (found == model->versions.end()) {
    return NotFound(Unknown(name), " version ", *number, " is not found");
  }
  if (found->second.served != nullptr) return found->second.served;
  return Unavailable(Unknown(name), " version ", *number, " is not at ready state");
}

std::optional<bool> ModelStore::IsReady(std::string_view service) const {
  const size_t slash = service.find('/');
  const std::string_view name = service.substr(0, slash);
  if (slash != service.npos) {
    const absl::StatusOr<Served> found = Find(name, service.substr(slash + 1));
    if (found.ok()) return true;
    return absl::IsUnavailable(found.status()) ? std::optional(false) : std::nullopt;
  }
  std::lock_guard lock(mutex_);
  const Model* model = FindLocked(name);
  if (model == nullptr) return std::nullopt;
  return std::ranges::any_of(model->versions,
                             [](const auto& entry) { return entry.second.served != nullptr; });
}

std::vector<ModelStore::Served> ModelStore::AllReady() const {
  std::vector<Served> out;
  std::lock_guard lock(mutex_);
  for (const auto& [name, model] : models_) {
    for (const auto& [number, version] : model.versions) {
      if (version.served != nullptr) out.push_back(version.served);
    }
  }
  return out;
}

std::vector<int64_t> ModelStore::Ready(std::string_view name) const {
  std::vector<int64_t> out;
  std::lock_guard lock(mutex_);
  const Model* model = FindLocked(name);
  if (model == nullptr) return out;
  for (const auto& [number, version] : model->versions) {
    if (version.served != nullptr) out.push_back(number);
  }
  return out;
}

std::vector<ModelStatus> ModelStore::Index() const {
  std::vector<ModelStatus> out;
  std::lock_guard lock(mutex_);
  for (const auto& [name, model] : models_) {
    for (const auto& [number, version] : model.versions) {
      out.push_back({name, number, version.state(), version.reason});
    }
    if (model.versions.empty() || !model.problem.empty()) {
      out.push_back({name, std::nullopt, ModelState::kUnavailable, model.problem});
    }
  }
  return out;
}

ModelStore::Served ModelStore::Get(std::string_view name, int64_t version) const {
  std::lock_guard lock(mutex_);
  const Model* model = FindLocked(name);
  if (model == nullptr) return nullptr;
  const auto found = model->versions.find(version);
  return found == model->versions.end() ? nullptr : found->second.served;
}

void ModelStore::Loading(const std::string& name, int64_t version) {
  std::lock_guard lock(mutex_);
  Version& entry = models_[name].versions[version];
  entry.loading = true;
  entry.reason.clear();
}

void ModelStore::Failed(const std::string& name, int64_t version, std::string reason) {
  std::lock_guard lock(mutex_);
  Version& entry = models_[name].versions[version];
  entry.loading = false;
  entry.reason = std::move(reason);
}

void ModelStore::Install(const Served& served) {
  Change change{*this, nullptr};
  std::lock_guard lock(mutex_);
  Model& model = models_[served->name()];
  Version& entry = model.versions[served->version()];
  change.gone = std::exchange(entry.served, served);
  entry.loading = false;
  entry.reason.clear();
}

void ModelStore::Remove(const std::string& name, int64_t version, std::string reason, bool forget) {
  Change change{*this, nullptr};
  std::lock_guard lock(mutex_);
  const auto model = models_.find(name);
  if (model == models_.end()) return;
  const auto found = model->second.versions.find(version);
  if (found == model->second.versions.end()) return;
  change.gone = std::exchange(found->second.served, nullptr);
  if (change.gone != nullptr) found->second.leaving = change.gone;
  found->second.loading = false;
  found->second.reason = std::move(reason);
  if (forget) model->second.versions.erase(found);
}

void ModelStore::SetProblem(const std::string& name, std::string reason) {
  std::lock_guard lock(mutex_);
  models_[name].problem = std::move(reason);
}

void ModelStore::RemoveAll(const std::string& name, std::string_view reason, bool forget) {
  for (int64_t version : Versions(name)) Remove(name, version, std::string(reason), forget);
  const Change change{*this, nullptr};
  std::lock_guard lock(mutex_);
  if (forget) models_.erase(name);
}

void ModelStore::SetLabels(const std::string& name, Labels labels) {
  const Change change{*this, nullptr};
  std::lock_guard lock(mutex_);
  models_[name].labels = std::move(labels);
}

ModelStore::Labels ModelStore::GetLabels(std::string_view name) const {
  std::lock_guard lock(mutex_);
  const Model* model = FindLocked(name);
  return model == nullptr ? Labels() : model->labels;
}

void ModelStore::Clear() {
  std::map<std::string, Model, std::less<>> models;  // go after the lock
  std::lock_guard lock(mutex_);
  models.swap(models_);
}

std::vector<int64_t> ModelStore::Versions(std::string_view name) const {
  std::vector<int64_t> out;
  std::lock_guard lock(mutex_);
  const Model* model = FindLocked(name);
  if (model == nullptr) return out;
  for (const auto& [number, version] : model->versions) out.push_back(number);
  return out;
}

}  // namespace rlx::server
