// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/launch_notes.h"

#include "runtime/base/checked.h"
#include "runtime/base/text.h"

namespace rlx::cuda {
namespace {

constexpr std::string_view kMark = "// launch ";
constexpr int64_t kMostDim = int64_t{1} << 32, kMostStride = int64_t{1} << 40, kMostBox = 256;

class Reader {
 public:
  explicit Reader(std::span<const std::string_view> words) : words_(words) {}

  // In bounds, or 0 and no longer well.
  int64_t Number(int64_t least, int64_t most) {
    const auto value = next_ < words_.size() ? ParseInt(words_[next_++]) : std::nullopt;
    if (value && *value >= least && *value <= most) return *value;
    well_ = false;
    return 0;
  }
  bool well() const { return well_; }
  bool all() const { return next_ == words_.size(); }

 private:
  std::span<const std::string_view> words_;
  size_t next_ = 0;
  bool well_ = true;
};

TensorMap ReadMap(Reader& reader) {
  TensorMap map;
  map.buffer = static_cast<int32_t>(reader.Number(0, 63));
  map.dtype = reader.Number(0, 1) == 0 ? DType::kF16 : DType::kBF16;
  const int64_t rank = reader.Number(2, 3);
  for (int64_t d = 0; d < rank; ++d) map.dims.push_back(reader.Number(1, kMostDim));
  for (int64_t d = 1; d < rank; ++d) map.strides.push_back(reader.Number(16, kMostStride));
  for (int64_t d = 0; d < rank; ++d) {
    map.box.push_back(static_cast<uint32_t>(reader.Number(1, kMostBox)));
  }
  map.swizzle = reader.Number(0, 1) == 0 ? 64 : 128;
  return map;
}

}  // namespace

std::optional<int64_t> TensorMap::Bytes() const {
  std::optional<int64_t> end = CheckedMul(dims[0], int64_t{ByteWidth(dtype)});
  for (size_t d = 1; d < dims.size() && end; ++d) {
    const auto along = CheckedMul(dims[d] - 1, strides[d - 1]);
    end = along && strides[d - 1] % 16 == 0 ? CheckedAdd(*end, *along) : std::nullopt;
  }
  return end;
}

std::string NotesWords(const LaunchNotes& notes) {
  std::string out = Cat(notes.shared_bytes, " ", notes.waits ? 1 : 0, " ", notes.maps.size());
  for (const TensorMap& map : notes.maps) {
    out += Cat(" ", map.buffer, " ", map.dtype == DType::kF16 ? 0 : 1, " ", map.dims.size());
    for (int64_t dim : map.dims) out += Cat(" ", dim);
    for (int64_t stride : map.strides) out += Cat(" ", stride);
    for (uint32_t edge : map.box) out += Cat(" ", edge);
    out += map.swizzle == 64 ? " 0" : " 1";
  }
  return out;
}

std::string NotesText(const LaunchNotes& notes) { return Cat(kMark, NotesWords(notes), "\n"); }

std::optional<LaunchNotes> NotesOfSource(std::string_view source) {
  if (!source.starts_with(kMark)) return LaunchNotes();
  source.remove_prefix(kMark.size());
  return ReadNotes(Split(source.substr(0, source.find('\n')), ' '));
}

std::optional<LaunchNotes> ReadNotes(std::span<const std::string_view> words) {
  Reader reader(words);
  LaunchNotes notes;
  notes.shared_bytes = reader.Number(0, LaunchNotes::kMostShared);
  notes.waits = reader.Number(0, 1) == 1;
  const int64_t maps = reader.Number(0, LaunchNotes::kMostMaps);
  for (int64_t m = 0; m < maps; ++m) notes.maps.push_back(ReadMap(reader));
  if (!reader.well() || !reader.all()) return std::nullopt;
  return notes;
}

}  // namespace rlx::cuda
