// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/fma_peak.h"
#include "runtime/base/status.h"
#include "runtime/device/backend.h"

namespace rlx::bench {

// A program with its params bound and its inputs set, ready to run any number of times.
class LoadedProgram {
 public:
  // Bytes of a param or input by name.
  using BytesOf = std::function<absl::StatusOr<SharedBytes>(const device::TensorSpec&)>;

  static absl::StatusOr<LoadedProgram> Create(const device::Device& device,
                                              std::shared_ptr<const device::Program> program,
                                              const BytesOf& bytes_of) {
    LoadedProgram loaded;
    const auto gather = [&](const std::vector<device::TensorSpec>& specs,
                            std::vector<SharedBytes>& out) -> absl::Status {
      for (const device::TensorSpec& spec : specs) {
        RLX_ASSIGN(SharedBytes bytes, bytes_of(spec));
        out.push_back(std::move(bytes));
      }
      return absl::OkStatus();
    };
    std::vector<SharedBytes> params;
    RLX_TRY(gather(program->params, params));
    RLX_TRY(gather(program->inputs, loaded.inputs_));
    for (const SharedBytes& bytes : loaded.inputs_) loaded.in_.push_back(bytes.span());
    for (const device::TensorSpec& spec : program->outputs) {
      loaded.results_.emplace_back(static_cast<size_t>(*spec.type.ByteSize()));
    }
    for (std::vector<uint8_t>& bytes : loaded.results_) loaded.out_.emplace_back(bytes);
    auto start = std::chrono::steady_clock::now();
    RLX_ASSIGN(loaded.executable_, device.Load(std::move(program)));
    loaded.load_seconds_ = SecondsSince(start);
    start = std::chrono::steady_clock::now();
    RLX_ASSIGN(loaded.weights_, loaded.executable_->BindWeights(params, {}));
    loaded.bind_seconds_ = SecondsSince(start);
    RLX_ASSIGN(loaded.context_, loaded.executable_->NewContext());
    return loaded;
  }

  double load_seconds() const { return load_seconds_; }
  double bind_seconds() const { return bind_seconds_; }
  absl::Status Run() { return context_->Run(*weights_, in_, out_, {}); }
  absl::Status RunTraced(std::vector<device::StepTime>& trace) {
    return context_->RunTraced(*weights_, in_, out_, {}, trace);
  }
  // Bytes of the outputs, as the last run left them.
  const std::vector<std::vector<uint8_t>>& results() const { return results_; }

 private:
  std::shared_ptr<const device::Executable> executable_;
  std::shared_ptr<const device::Weights> weights_;
  std::unique_ptr<device::ExecContext> context_;
  std::vector<SharedBytes> inputs_;
  std::vector<std::vector<uint8_t>> results_;
  std::vector<std::span<const uint8_t>> in_;
  std::vector<std::span<uint8_t>> out_;
  double load_seconds_ = 0, bind_seconds_ = 0;
};

}  // namespace rlx::bench
