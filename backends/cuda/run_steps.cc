// SPDX-License-Identifier: Apache-2.0
#include "backends/cuda/run_steps.h"

#include "runtime/base/status.h"

namespace rlx::cuda {
namespace {

using device::Step;

class Issuer {
 public:
  Issuer(const Gpu& gpu, const IssueTo& to) : gpu_(gpu), driver_(gpu.driver()), to_(to) {}

  absl::Status Issue(const Prepared& prepared) {
    const Step& step = *prepared.step;
    if (step.kind == Step::Kind::kLaunch) return Launch(prepared);
    if (step.kind == Step::Kind::kCall) {
      if (prepared.product == nullptr) return absl::OkStatus();
      after_ours_ = false;
      return prepared.product->Run(to_.addresses.data(), to_.workspace, to_.stream);
    }
    if (prepared.copy_bytes == 0) return absl::OkStatus();
    after_ours_ = false;
    return gpu_.Check(
        driver_.cuMemcpyDtoDAsync(At(step.buffers[1]), At(step.buffers[0]),
                                  static_cast<size_t>(prepared.copy_bytes), to_.stream),
        step.label);
  }

 private:
  CUdeviceptr At(int32_t buffer) const { return to_.addresses[buffer]; }

  // Arguments are read by address: maps, a pointer for each buffer, the scalars' own bytes.
  absl::Status Launch(const Prepared& prepared) {
    const Step& step = *prepared.step;
    if (step.groups == 0) return absl::OkStatus();
    std::vector<CUtensorMap> maps(prepared.notes.maps.size());
    std::vector<void*> arguments;
    for (size_t m = 0; m < maps.size(); ++m) {
      const TensorMap& map = prepared.notes.maps[m];
      RLX_TRY(gpu_.Check(Encode(map, At(step.buffers[map.buffer]), maps[m]), step.label));
      arguments.push_back(&maps[m]);
    }
    for (int32_t b : step.buffers) {
      arguments.push_back(const_cast<CUdeviceptr*>(&to_.addresses[b]));
    }
    for (const int64_t& value : step.ints) arguments.push_back(const_cast<int64_t*>(&value));
    const bool overlaps = to_.overlap && to_.marks.empty() && after_ours_ && prepared.notes.waits &&
                          driver_.cuLaunchKernelEx != nullptr;
    after_ours_ = prepared.notes.waits;
    return gpu_.Check(Start(prepared, arguments.data(), overlaps), step.label);
  }

  // A kernel that waits for the one before it in its own time is started ahead of that one's end.
  // That one waits for what was before it, or was not started ahead: when it has ended so has all.
  CUresult Start(const Prepared& prepared, void** arguments, bool overlaps) const {
    const auto groups = static_cast<unsigned>(prepared.step->groups);
    const auto lanes = static_cast<unsigned>(prepared.lanes);
    const auto shared = static_cast<unsigned>(prepared.notes.shared_bytes);
    if (!overlaps) {
      return driver_.cuLaunchKernel(prepared.function, groups, 1, 1, lanes, 1, 1, shared,
                                    to_.stream, arguments, nullptr);
    }
    CUlaunchAttribute attribute = {
        .id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION, .pad = {}, .value = {}};
    attribute.value.programmaticStreamSerializationAllowed = 1;
    const CUlaunchConfig config = {groups, 1, 1, lanes, 1, 1, shared, to_.stream, &attribute, 1};
    return driver_.cuLaunchKernelEx(&config, prepared.function, arguments, nullptr);
  }

  CUresult Encode(const TensorMap& map, CUdeviceptr address, CUtensorMap& out) const {
    const std::vector<uint64_t> dims(map.dims.begin(), map.dims.end());
    const std::vector<uint64_t> strides(map.strides.begin(), map.strides.end());
    const std::vector<uint32_t> steps(map.dims.size(), 1);
    return driver_.cuTensorMapEncodeTiled(
        &out,
        map.dtype == DType::kBF16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                  : CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
        static_cast<uint32_t>(dims.size()), reinterpret_cast<void*>(address), dims.data(),
        strides.data(), map.box.data(), steps.data(), CU_TENSOR_MAP_INTERLEAVE_NONE,
        map.swizzle == 64 ? CU_TENSOR_MAP_SWIZZLE_64B : CU_TENSOR_MAP_SWIZZLE_128B,
        CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  }

  const Gpu& gpu_;
  const Driver& driver_;
  const IssueTo& to_;
  // What was put on the stream last is a kernel that lets its follower begin. To begin behind
  // others early gains nothing, and costs half a microsecond.
  bool after_ours_ = false;
};

}  // namespace

absl::Status IssueSteps(const Gpu& gpu, std::span<const Prepared> steps, const IssueTo& to) {
  Issuer issuer(gpu, to);
  if (!to.marks.empty()) RLX_TRY(to.marks[0].Record(to.stream));
  for (size_t s = 0; s < steps.size(); ++s) {
    RLX_TRY(issuer.Issue(steps[s]));
    if (!to.marks.empty()) RLX_TRY(to.marks[s + 1].Record(to.stream));
  }
  return absl::OkStatus();
}

}  // namespace rlx::cuda
