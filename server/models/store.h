// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <mutex>

#include "server/models/served_model.h"

namespace rlx::server {

enum class ModelState : uint8_t { kLoading, kReady, kUnloading, kUnavailable };
inline constexpr size_t kModelStates = 4;
std::string_view Name(ModelState state);  // "LOADING" … as RepositoryIndex says it

// What is known of one version.
struct ModelStatus {
  std::string name;
  std::optional<int64_t> version;  // none: of the model as a whole
  ModelState state = ModelState::kUnavailable;
  std::string reason;
};

// The versions that serve, and what became of the others. Who finds a version holds it: what takes
// its place never meets a request that has begun. Thread safe; Find costs a lock and two lookups.
class ModelStore {
 public:
  using Served = std::shared_ptr<const ServedModel>;

  // A version by number or by label, or for "" the highest that is ready. NotFound: no such model
  // or version, or none that is ready; Unavailable: that one is not; InvalidArgument: neither a
  // number nor a label. In the words of Triton.
  absl::StatusOr<Served> Find(std::string_view name, std::string_view version) const;
  // All that are ready, by name, then version.
  std::vector<Served> AllReady() const;
  // Of "MODEL", whether any version is ready; of "MODEL/VERSION" that one, by number or by label.
  // None: there is no such thing.
  std::optional<bool> IsReady(std::string_view service) const;
  // Calls it whenever that may have changed, with no lock held. Before anything is loaded.
  void Listen(std::function<void()> changed) { changed_ = std::move(changed); }
  // Ready versions, ascending.
  std::vector<int64_t> Ready(std::string_view name) const;
  // By name, then version.
  std::vector<ModelStatus> Index() const;

  // What serves under these numbers now; null: nothing.
  Served Get(std::string_view name, int64_t version) const;

  // The word of who loads. What serves goes on until Install or Remove.
  void Loading(const std::string& name, int64_t version);
  void Failed(const std::string& name, int64_t version, std::string reason);
  void Install(const Served& served);
  // `forget`: its folder has gone, and so does every trace of it.
  void Remove(const std::string& name, int64_t version, std::string reason, bool forget);
  // Of the model as a whole: why nothing of it is loaded. Empty: nothing is wrong.
  void SetProblem(const std::string& name, std::string reason);
  // Removes all versions, and with `forget` the model.
  void RemoveAll(const std::string& name, std::string_view reason, bool forget);
  std::vector<int64_t> Versions(std::string_view name) const;
  // The version that each label means, from now on.
  using Labels = std::map<std::string, int64_t, std::less<>>;
  void SetLabels(const std::string& name, Labels labels);
  Labels GetLabels(std::string_view name) const;
  // Lets go of everything: the engine is about to end.
  void Clear();

 private:
  struct Version {
    Served served;
    std::weak_ptr<const ServedModel> leaving;
    bool loading = false;
    std::string reason;

    ModelState state() const;
  };
  struct Model {
    std::map<int64_t, Version> versions;
    Labels labels;
    std::string problem;
  };
  // Made before the lock is taken: what has changed is told, and what has gone goes, after it.
  struct Change {
    const ModelStore& store;
    Served gone;
    ~Change();
  };
  const Model* FindLocked(std::string_view name) const;
  // Of a version's number or label; none: it is neither.
  static std::optional<int64_t> NumberOf(const Model* model, std::string_view version);

  mutable std::mutex mutex_;
  std::map<std::string, Model, std::less<>> models_;  // guarded by mutex_
  std::function<void()> changed_ = [] {};
};

}  // namespace rlx::server
