// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "runtime/base/sha256.h"

namespace rlx::cache {

// What a shared store did for its processes, since it was made.
struct TurnStats {
  bool up = false;     // the store answers
  uint64_t taken = 0;  // it was ours to make
  uint64_t found = 0;  // another had made it, before or while we waited
  uint64_t alone = 0;  // made without asking, as the store did not answer
  uint64_t lost = 0;   // taken from us while we made it: another did, too
};

// Single flight among processes that share a store: who is to make what it lacks. A turn is a
// lease; it is kept for its holder as long as the holder lives, and passes on soon after its death.
// What someone puts whose turn has passed to another is refused (fencing). Thread safe.
class Turns {
 public:
  enum class Word : uint8_t {
    kMine,    // make it, put it, give the turn back
    kTheirs,  // another makes it; ask again
    kThere,   // the store has it
    kAlone,   // nobody can say: make it, and do not wait
  };

  virtual ~Turns() = default;
  // Returns soon, whatever the store does. One asks at a time for a key.
  virtual Word Take(const Digest256& key) = 0;
  // After what was put under the key, if anything.
  virtual void GiveBack(const Digest256& key) = 0;
  virtual TurnStats turn_stats() const = 0;
};

// A turn that was taken, given back at the end. Empty: none.
class Turn {
 public:
  Turn() = default;
  Turn(Turns& turns, const Digest256& key) : turns_(&turns), key_(key) {}
  Turn(Turn&& other) noexcept : turns_(std::exchange(other.turns_, nullptr)), key_(other.key_) {}
  Turn& operator=(Turn&& other) noexcept {
    std::swap(turns_, other.turns_);
    std::swap(key_, other.key_);
    return *this;
  }
  ~Turn() {
    if (turns_ != nullptr) turns_->GiveBack(key_);
  }

 private:
  Turns* turns_ = nullptr;
  Digest256 key_;
};

}  // namespace rlx::cache
