// SPDX-License-Identifier: Apache-2.0
#include "runtime/lower/weight_temporaries.h"

#include <algorithm>
#include <functional>

#include "runtime/base/check.h"
#include "runtime/lower/arena.h"

namespace rlx::lower {
namespace {

using device::Buffer;
using device::Program;
using device::Step;

void ForEachBuffer(const Step& step, const std::function<void(int32_t)>& visit) {
  for (int32_t b : step.buffers) {
    if (b >= 0) visit(b);
  }
  for (const auto& body : step.bodies) {
    for (const Step& inner : body) ForEachBuffer(inner, visit);
  }
}

// First and last weight step that touches each slot; kept slots are those that a run reads.
struct Slots {
  std::vector<bool> kept;
  std::vector<ArenaRequest> life;
};

Slots Inspect(const Program& program) {
  Slots slots{std::vector<bool>(program.weight_slots.size()),
              std::vector<ArenaRequest>(program.weight_slots.size(), {0, -1, -1})};
  for (const Step& step : program.steps) {
    ForEachBuffer(step, [&](int32_t b) {
      const Buffer& buffer = program.buffers[b];
      if (buffer.storage == Storage::kWeight) slots.kept[buffer.index] = true;
    });
  }
  for (size_t s = 0; s < program.weight_steps.size(); ++s) {
    ForEachBuffer(program.weight_steps[s], [&](int32_t b) {
      const Buffer& buffer = program.buffers[b];
      if (buffer.storage != Storage::kWeight) return;
      ArenaRequest& life = slots.life[buffer.index];
      if (life.first < 0) life.first = static_cast<int32_t>(s);
      life.last = static_cast<int32_t>(s);
    });
  }
  for (ArenaRequest& life : slots.life) {
    if (life.first < 0) life.first = life.last = 0;  // touched by nothing: anywhere will do
  }
  return slots;
}

}  // namespace

void FreeWeightTemporaries(Program& program, int64_t alignment) {
  Slots slots = Inspect(program);
  std::vector<ArenaRequest> requests;
  std::vector<int64_t> where(slots.kept.size(), -1);  // request number, or new slot number
  std::vector<int64_t> kept_bytes;
  for (size_t s = 0; s < slots.kept.size(); ++s) {
    if (slots.kept[s]) {
      where[s] = static_cast<int64_t>(kept_bytes.size());
      kept_bytes.push_back(program.weight_slots[s]);
    } else {
      where[s] = static_cast<int64_t>(requests.size());
      slots.life[s].bytes = program.weight_slots[s];
      requests.push_back(slots.life[s]);
    }
  }
  const auto arena = PlanArena(requests, alignment);
  CHECK(arena.has_value(), "weight temporaries of a planned module overflow");
  for (Buffer& buffer : program.buffers) {
    if (buffer.storage != Storage::kWeight) continue;
    const auto slot = static_cast<size_t>(buffer.index);
    if (slots.kept[slot]) {
      buffer.index = static_cast<int32_t>(where[slot]);
    } else {
      buffer.storage = Storage::kArena;
      buffer.index = 0;
      buffer.offset += arena->offsets[where[slot]];
    }
  }
  program.weight_slots = std::move(kept_bytes);
  program.weight_arena_bytes = arena->bytes;
}

}  // namespace rlx::lower
