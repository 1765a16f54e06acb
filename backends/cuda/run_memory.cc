// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/run_memory.h"

#include <algorithm>
#include <cstring>

#include "runtime/base/status.h"

namespace rlx::cuda {
namespace {

constexpr size_t kPartBytes = size_t{8} << 20;
constexpr int kParts = 2;

}  // namespace

absl::StatusOr<Upload> Upload::Begin(std::shared_ptr<const Gpu> gpu, CUstream stream) {
  Upload upload(std::move(gpu), stream);
  for (int i = 0; i < kParts; ++i) {
    RLX_ASSIGN(Memory memory, Memory::Allocate(upload.gpu_, Memory::Kind::kPinned,
                                               static_cast<int64_t>(kPartBytes)));
    RLX_ASSIGN(Event arrived, Event::Create(upload.gpu_));
    upload.parts_.push_back({std::move(memory), std::move(arrived)});
  }
  return upload;
}

Upload::~Upload() {
  for (const Part& part : parts_) static_cast<void>(part.arrived.Wait());  // whoever reads it hears
}

absl::Status Upload::Copy(CUdeviceptr to, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const Part& part = parts_[next_++ % parts_.size()];
    const size_t size = std::min(bytes.size(), kPartBytes);
    RLX_TRY(part.arrived.Wait());
    std::memcpy(part.memory.host(), bytes.data(), size);
    RLX_TRY(gpu_->Check(gpu_->driver().cuMemcpyHtoDAsync(to, part.memory.host(), size, stream_),
                        "upload"));
    RLX_TRY(part.arrived.Record(stream_));
    bytes = bytes.subspan(size);
    to += size;
  }
  return absl::OkStatus();
}

}  // namespace rlx::cuda
