// SPDX-License-Identifier: Apache-2.0
// Planning an arena: time, and bytes beside the largest live set, for buffers of several shapes of
// life.
//
//   bench_arena_bench [BUFFERS]     default 10000
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "runtime/base/check.h"
#include "runtime/base/text.h"
#include "runtime/ir/builder.h"
#include "runtime/lower/arena.h"
#include "runtime/lower/lower.h"

namespace rlx::bench {
namespace {

using Requests = std::vector<lower::ArenaRequest>;
using Rng = std::mt19937;

int64_t Size(Rng& rng) { return 64 + static_cast<int64_t>(rng() % 65536); }

// Each buffer is read by the next step alone.
Requests Chain(int count, Rng& rng) {
  Requests out;
  for (int i = 0; i < count; ++i) out.push_back({Size(rng), i, i + 1});
  return out;
}

// Lives of every length, most of them short.
Requests Mixed(int count, Rng& rng) {
  Requests out;
  for (int i = 0; i < count; ++i) {
    const int life =
        rng() % 16 == 0 ? static_cast<int>(rng() % count) : static_cast<int>(rng() % 8);
    out.push_back({Size(rng), i, std::min(count, i + life)});
  }
  return out;
}

// Blocks of twelve over a stream that lives through each.
Requests Residual(int count, Rng& rng) {
  Requests out;
  for (int i = 0; i < count; ++i) {
    const bool stream = i % 12 == 0;
    out.push_back({stream ? 16384 : Size(rng), i, i + (stream ? 12 : 1 + i % 3)});
  }
  return out;
}

// All made first, then read one by one in the order in which they were made.
Requests Queue(int count, Rng& rng) {
  Requests out;
  for (int i = 0; i < count; ++i) out.push_back({Size(rng), i, count + i});
  return out;
}

struct Form {
  const char* name;
  Requests (*make)(int count, Rng& rng);
};
constexpr Form kForms[] = {
    {"chain", Chain}, {"mixed", Mixed}, {"residual", Residual}, {"queue", Queue}};

template <class Work>
double MedianMilliseconds(const Work& work) {
  std::vector<double> times;
  for (int i = 0; i < 11; ++i) {
    const auto start = std::chrono::steady_clock::now();
    work();
    times.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
            .count());
  }
  std::ranges::sort(times);
  return times[times.size() / 2];
}

void Line(const char* name, size_t buffers, double ms, int64_t bytes, int64_t bound) {
  std::printf("%-9s %zu buffers: %.2f ms, %.4f of the bound\n", name, buffers, ms,
              static_cast<double>(bytes) / static_cast<double>(bound));
}

// From a graph: lives, views, phases and manifest too.
void ReportGraph(int count) {
  Graph graph;
  GraphBuilder b(graph);
  Rng rng(2);
  std::vector<Value> values = {b.Input("x", {DType::kF32, {16, 64}})};
  for (int i = 0; i < count; ++i) {
    const size_t reach = std::min<size_t>(values.size(), 12);
    const Value x = values[values.size() - 1 - rng() % reach];
    values.push_back(b.Emit(OpKind::kAdd, {x, values.back()}));
  }
  b.Output("y", values.back());
  CHECK(b.status().ok(), Cat(b.status()));
  BufferPlan plan;
  const double ms =
      MedianMilliseconds([&] { plan = *lower::PlanBuffers(graph, {.alignment = 64}, nullptr); });
  Line("graph", plan.schedule.size(), ms, plan.arena_bytes, lower::ArenaLowerBound(graph, plan));
}

int Main(int count) {
  for (const Form& form : kForms) {
    Rng rng(1);
    const Requests requests = form.make(count, rng);
    std::optional<lower::ArenaPlan> plan;
    const double ms = MedianMilliseconds([&] { plan = lower::PlanArena(requests, 64); });
    Line(form.name, requests.size(), ms, plan->bytes, lower::ArenaLowerBound(requests, 64));
  }
  ReportGraph(count);
  return 0;
}

}  // namespace
}  // namespace rlx::bench

int main(int argc, char** argv) { return rlx::bench::Main(argc > 1 ? std::atoi(argv[1]) : 10'000); }
