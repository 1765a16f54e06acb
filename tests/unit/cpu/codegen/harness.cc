// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/cpu/codegen/harness.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cmath>

#include "runtime/base/check.h"
#include "runtime/kernel/interpret.h"
#include "runtime/kernel/text.h"

namespace rlx::cpu::test {
namespace {

using kernel::Type;

bool IsFloat(Type t) { return kernel::Has(kernel::kFloats | kernel::kNarrowFloats, t); }

// Memory with an unmapped page on either side; the elements stand at one end or the other.
class Guarded {
 public:
  Guarded(Type t, const Elements& elements, bool at_end) : type_(t), count_(elements.size()) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t bytes = count_ * static_cast<size_t>(ByteWidth(t));
    const size_t inner = (bytes + page - 1) / page * page;
    size_ = inner + 2 * page;
    void* map = mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(map != MAP_FAILED);
    map_ = static_cast<char*>(map);
    CHECK(mprotect(map_ + page, inner, PROT_READ | PROT_WRITE) == 0);
    data_ = map_ + page + (at_end ? inner - bytes : 0);
    for (size_t i = 0; i < count_; ++i) StoreScalar(t, elements[i], At(i));
  }
  ~Guarded() { munmap(map_, size_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  void* data() const { return data_; }
  Elements Read() const {
    Elements out(count_);
    for (size_t i = 0; i < count_; ++i) out[i] = LoadScalar(type_, At(i));
    return out;
  }

 private:
  void* At(size_t i) const { return data_ + i * static_cast<size_t>(ByteWidth(type_)); }

  Type type_;
  size_t count_;
  size_t size_ = 0;
  char* map_ = nullptr;
  char* data_ = nullptr;
};

std::vector<std::unique_ptr<Guarded>> Place(const Launch& launch, bool at_end) {
  std::vector<std::unique_ptr<Guarded>> placed;
  for (size_t i = 0; i < launch.buffers.size(); ++i) {
    placed.push_back(
        std::make_unique<Guarded>(launch.kernel.buffers[i].type, launch.buffers[i], at_end));
  }
  return placed;
}

std::vector<Elements> Read(const std::vector<std::unique_ptr<Guarded>>& placed) {
  std::vector<Elements> out;
  for (const auto& buffer : placed) out.push_back(buffer->Read());
  return out;
}

std::vector<Elements> RunInterpreter(const Launch& launch) {
  const auto placed = Place(launch, true);
  std::vector<kernel::BufferView> views;
  for (size_t i = 0; i < placed.size(); ++i) {
    views.push_back({placed[i]->data(), static_cast<int64_t>(launch.buffers[i].size())});
  }
  const absl::Status status = Interpret(launch.kernel, views, launch.scalars, 0, launch.groups);
  EXPECT_TRUE(status.ok()) << status;
  return Read(placed);
}

bool Close(Type t, kernel::Bits a, kernel::Bits b, Tolerance tolerance) {
  if (!IsFloat(t)) return a == b;
  const double x = kernel::ToDouble(t, a), y = kernel::ToDouble(t, b);
  if (std::isnan(x) || std::isnan(y)) return std::isnan(x) && std::isnan(y);
  if (x == y) return true;
  return std::abs(x - y) <= tolerance.absolute + tolerance.relative * std::abs(y);
}

void ExpectClose(const Launch& launch, const std::vector<Elements>& got,
                 const std::vector<Elements>& want, Tolerance tolerance) {
  for (size_t i = 0; i < want.size(); ++i) {
    const Type t = launch.kernel.buffers[i].type;
    for (size_t at = 0; at < want[i].size(); ++at) {
      if (Close(t, got[i][at], want[i][at], tolerance)) continue;
      ADD_FAILURE() << launch.kernel.name << ": buffer " << i << "[" << at << "] is "
                    << kernel::ToDouble(t, got[i][at]) << ", not "
                    << kernel::ToDouble(t, want[i][at]) << "\n"
                    << Print(launch.kernel);
      return;
    }
  }
}

}  // namespace

Elements Spread(Type t, int64_t count, double low, double high) {
  Elements out(static_cast<size_t>(count));
  for (size_t i = 0; i < out.size(); ++i) {
    const double part = std::fmod(static_cast<double>(i) * 0.618033988749895 + 0.1, 1.0);
    out[i] = kernel::EncodeFloat(t, low + (high - low) * part);
  }
  return out;
}

Elements Filled(Type t, int64_t count, double value) {
  return Elements(static_cast<size_t>(count), kernel::EncodeFloat(t, value));
}

std::vector<CpuTarget> Targets() {
  std::vector<CpuTarget> targets;
  for (std::string_view name : {"x86-64", "x86-64-v3", "x86-64-v4", "host"}) {
    auto target = TargetByName(name);
    CHECK(target.ok());
    if (CheckHostRuns(*target).ok()) targets.push_back(*std::move(target));
  }
  return targets;
}

std::vector<Elements> RunCompiled(const Launch& launch, const CpuTarget& target) {
  const auto object = CompileToObject({&launch.kernel, 1}, target);
  EXPECT_TRUE(object.ok()) << object.status();
  if (!object.ok()) return launch.buffers;
  const auto code = LoadedObject::Load(*object);
  EXPECT_TRUE(code.ok()) << code.status();
  if (!code.ok()) return launch.buffers;
  const KernelFn run = (*code)->Find(launch.kernel.name);
  std::vector<Elements> out;
  for (bool at_end : {false, true}) {
    const auto placed = Place(launch, at_end);
    std::vector<void*> pointers;
    for (const auto& buffer : placed) pointers.push_back(buffer->data());
    const int64_t half = launch.groups / 2;
    run(pointers.data(), launch.scalars.data(), half, launch.groups);
    run(pointers.data(), launch.scalars.data(), 0, half);
    out = Read(placed);
  }
  return out;
}

void ExpectAgrees(const Launch& launch, Tolerance tolerance) {
  const std::vector<Elements> want = RunInterpreter(launch);
  for (const CpuTarget& target : Targets()) {
    SCOPED_TRACE(target.name);
    ExpectClose(launch, RunCompiled(launch, target), want, tolerance);
  }
}

}  // namespace rlx::cpu::test
