// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/engine/key.h"

// In what two keys differ, as far as their requests can tell.
namespace rlx::engine {

// At most so many are kept; the rest are counted.
inline constexpr size_t kMaxDifferences = 200;

class Differences {
 public:
  void Add(KeyDifference difference);
  size_t size() const { return all_; }
  KeyComparison Finish(KeyExplanation one, KeyExplanation other);

 private:
  std::vector<KeyDifference> kept_;
  size_t all_ = 0;
};

// By the canonical forms that keys hash, told in the authors' names. Nodes are matched by name and
// place where they are bound, else by what they compute of matched ones, else by what reads them;
// what is left has no partner. At least one difference where the digests differ.
void DiffModules(const Canonical& one, const Canonical& other, Differences& out);

// What `one` and `other` resolve to, field by field, and the other components as a whole.
KeyComparison CompareKeys(const Job& one, const Job& other);

}  // namespace rlx::engine
