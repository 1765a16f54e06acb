// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tensor/dtype.h"

namespace rlx::cuda {

// A buffer as the copy engine sees it, which fetches boxes of it: dims from the innermost on, whose
// elements are neighbours; strides of the others in bytes. What a box covers outside is 0.
struct TensorMap {
  int32_t buffer = 0;  // of the launch
  DType dtype = DType::kF16;
  std::vector<int64_t> dims, strides;
  std::vector<uint32_t> box;
  int swizzle = 128;  // bytes, of which the 16-byte pieces are permuted: 64 or 128

  // Bytes from the first element to the end of the last; none when it is no map that there can be.
  std::optional<int64_t> Bytes() const;
  bool operator==(const TensorMap&) const = default;
};

// What a launch of a kernel with a source takes beside its lanes and buffers.
struct LaunchNotes {
  int64_t shared_bytes = 0;  // of memory that is not declared in the kernel
  // Everything that reads what a step writes, and everything that writes, comes after AwaitBefore
  // (source_text.h) in the kernel: it may start while the launch before it still runs.
  bool waits = false;
  std::vector<TensorMap> maps;  // parameters before the buffers, 128 bytes each

  static constexpr int64_t kMostShared = 227 << 10;
  static constexpr int64_t kMostMaps = 4;
  bool operator==(const LaunchNotes&) const = default;
};

// A line of numbers, with which such a source begins and which stays with the compiled kernel.
std::string NotesText(const LaunchNotes& notes);
// Those of a source; of one that says nothing, the default.
std::optional<LaunchNotes> NotesOfSource(std::string_view source);
// From the words that NotesText makes, all of them; none for others.
std::optional<LaunchNotes> ReadNotes(std::span<const std::string_view> words);
std::string NotesWords(const LaunchNotes& notes);

}  // namespace rlx::cuda
