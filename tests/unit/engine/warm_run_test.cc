// SPDX-License-Identifier: Apache-2.0
// A warm run allocates nothing: counted at operator new, under sanitizers at their allocator.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "tests/unit/engine/engine_fixture.h"

namespace {

std::atomic<bool> counting{false};
std::atomic<int> allocations{0};

void Allocated() {
  if (counting.load(std::memory_order_relaxed)) allocations.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// g++ has no header for it.
extern "C" int __sanitizer_install_malloc_and_free_hooks(  // NOLINT(bugprone-reserved-identifier)
    void (*on_malloc)(const volatile void*, size_t), void (*on_free)(const volatile void*));

namespace {

const int hooks = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, size_t) { Allocated(); }, [](const volatile void*) {});

}  // namespace
#else
namespace {

void* Allocate(size_t bytes, size_t alignment) {
  Allocated();
  void* memory = std::aligned_alloc(alignment, (bytes + alignment) / alignment * alignment);
  if (memory == nullptr) std::abort();
  return memory;
}

}  // namespace

void* operator new(size_t bytes) { return Allocate(bytes, alignof(std::max_align_t)); }
void* operator new(size_t bytes, std::align_val_t alignment) {
  return Allocate(bytes, static_cast<size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }
#endif

namespace rlx::engine::test {
namespace {

// How often `work` allocates, in all threads.
int Allocations(const std::function<void()>& work) {
  allocations = 0;
  counting = true;
  work();
  counting = false;
  return allocations;
}

// A product, attention, a norm, an elementwise region, large enough for two threads, and a loop.
constexpr char kLayer[] = R"(mir "layer" {
  %0 = input "x" : f32[4,128,64]
  %1 = param "w" : f32[64,192]
  %2 = matmul(%0, %1)
  %3 = narrow(%2) {axis = 2, start = 0, length = 64}
  %4 = narrow(%2) {axis = 2, start = 64, length = 64}
  %5 = narrow(%2) {axis = 2, start = 128, length = 64}
  %6 = attention(%3, %4, %5) {num_heads = 4, head_dim = 16}
  %7 = tanh(%6)
  %8 = exp(%7)
  %9 = mul(%8, %0)
  %10 = softmax(%9) {axis = 2}
  %11 = transpose(%9) {perm = [1,0,2]}
  %12 = narrow(%11) {axis = 0, start = 0, length = 1}
  %13 = reshape(%12) {shape = [4,64]}
  %14 = scan(%13, %11) {carries = 1, sequences = 1, length = [128]} graph "" {
    %0 = input "c" : f32[4,64]
    %1 = input "x" : f32[4,64]
    %2 = add(%0, %1)
    %3 = softmax(%2) {axis = 1}
    output "c" = %3
    output "s" = %2
  }
  %15 = transpose(%14.1) {perm = [1,0,2]}
  output "y" = %10
  output "z" = %15
})";

class WarmRun : public EngineTest {
 protected:
  void SetUp() override { Start(); }

  absl::StatusOr<Opened> OpenLayer() {
    OpenSpec spec;
    spec.executable = OpenSpec::Compile{Spec(Parse(kLayer)), {}};
    spec.weights = {{"w", DType::kF32, {64, 192}, SharedBytes(FloatBytes(w_))}};
    return engine->OpenSession({}, std::move(spec), {});
  }

  absl::Status RunOnce(const RandomId& handle) {
    const NamedInput input{"x", DType::kF32, dims_, {Bytes(x_), x_.size() * sizeof(float)}};
    const auto memory = [&](const OutputSpec& output) {
      return Bytes(output.position == 0 ? y_ : z_);
    };
    return engine->Run({}, {handle, {&input, 1}, {}}, memory, {}).status();
  }

 private:
  static uint8_t* Bytes(std::vector<float>& values) {
    return reinterpret_cast<uint8_t*>(values.data());
  }

  const std::vector<int64_t> dims_ = {4, 128, 64};
  std::vector<float> w_ = std::vector<float>(64 * 192, 0.01f);
  std::vector<float> x_ = std::vector<float>(4 * 128 * 64, 0.5f), y_ = x_, z_ = x_;
};

TEST_F(WarmRun, CountsWhatIsAllocated) {
  EXPECT_GE(Allocations([] { ::operator delete(::operator new(100)); }), 1);
  EXPECT_GE(Allocations([this] { EXPECT_TRUE(Compile(Mlp()).ok()); }), 100);
}

TEST_F(WarmRun, AllocatesNothing) {
  const auto opened = OpenLayer();
  ASSERT_TRUE(opened.ok()) << opened.status();
  const std::map<std::string, int64_t> ops = opened->compiled.Fusion().ops_after;
  for (const char* op : {"matmul", "attention", "elementwise_region", "softmax", "scan"}) {
    EXPECT_EQ(ops.count(op), 1u) << op;
  }
  ASSERT_TRUE(RunOnce(opened->handle).ok());
  // A thread that takes part for the first time may make something of its own: so more than one
  // run, of which each would allocate what a run needs.
  int fewest = 1 << 30;
  for (int run = 0; run < 20 && fewest > 0; ++run) {
    fewest = std::min(fewest, Allocations([&] { EXPECT_TRUE(RunOnce(opened->handle).ok()); }));
  }
  EXPECT_EQ(fewest, 0);
}

}  // namespace
}  // namespace rlx::engine::test
