// SPDX-License-Identifier: Apache-2.0
// rlx-conformance: every op of the table, drawn at random, compiled for a back end and compared
// with the reference evaluator. Needs the back end's device.
#include <charconv>
#include <cmath>
#include <cstdio>
#include <map>

#include "backends/cpu/cpu_backend.h"
#include "runtime/base/status.h"
#include "runtime/device/registry.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/op_info.h"
#include "runtime/ir/text.h"
#include "runtime/ir/tolerance.h"
#include "runtime/ir/verify.h"
#include "tests/support/interpreting_backend.h"
#include "tests/support/run_on_backend.h"

namespace rlx::test {
namespace {

constexpr char kHelp[] =
    "usage: rlx-conformance [--flag=value ...]\n"
    "Runs every op on a back end, drawn at random, and compares with the evaluator.\n"
    "Needs the back end's device. Exits 0 when all agree, 1 when one does not, 2 when it cannot "
    "run.\n"
    "\n"
    "  --backend=NAME     cpu unless said otherwise; interpreter: a GPU's kernels, run by the\n"
    "                     kernel IR's interpreter\n"
    "  --backend_dir=DIR  where its plug-in is; without it the CPU's, which is linked in\n"
    "  --profile=NAME     what to compile for (cpu:x86-64); without it the device that is here\n"
    "  --op=NAME          this op alone\n"
    "  --dtype=NAME       a float type or c64 for the f32 operands and attributes of each sample; "
    "samples\n"
    "                     that the op does not take so are left out\n"
    "  --samples=N        of each op (24)\n"
    "  --seed=N           of what is drawn (1)\n"
    "  --threads=N        to compute with (2)\n"
    "  --list             name the ops and run none\n";

struct Flags {
  std::string backend = "cpu", backend_dir, profile, op;
  DType dtype = DType::kF32;
  int samples = 24, threads = 2;
  uint64_t seed = 1;
  bool list = false, help = false;
};

template <typename T>
bool ParseInto(std::string_view text, T& out) {
  return std::from_chars(text.data(), text.data() + text.size(), out).ec == std::errc();
}

absl::StatusOr<Flags> ParseFlags(int argc, char** argv) {
  Flags out;
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    const size_t equals = arg.find('=');
    const std::string_view name = arg.substr(0, equals);
    const std::string_view value = equals == arg.npos ? "" : arg.substr(equals + 1);
    bool good = true;
    if (name == "--backend") {
      out.backend = value;
    } else if (name == "--backend_dir") {
      out.backend_dir = value;
    } else if (name == "--profile") {
      out.profile = value;
    } else if (name == "--op") {
      out.op = value;
    } else if (name == "--dtype") {
      const auto dtype = ParseDType(value);
      good = dtype && (IsFloat(*dtype) || *dtype == DType::kC64);
      if (good) out.dtype = *dtype;
    } else if (name == "--samples") {
      good = ParseInto(value, out.samples);
    } else if (name == "--threads") {
      good = ParseInto(value, out.threads);
    } else if (name == "--seed") {
      good = ParseInto(value, out.seed);
    } else if (name == "--list") {
      out.list = true;
    } else if (name == "--help" || name == "-h") {
      out.help = true;
    } else {
      good = false;
    }
    if (!good) return InvalidArgument("unknown or malformed flag ", arg);
  }
  return out;
}

HostTensor Draw(const OpSample::Operand& operand, Rng& rng) {
  const std::vector<int64_t> dims = operand.type.StaticDims();
  const int64_t count = *operand.type.NumElements();
  if (IsExact(operand.type.dtype)) {
    std::uniform_int_distribution<int64_t> draw(static_cast<int64_t>(operand.low),
                                                static_cast<int64_t>(operand.high));
    std::vector<int64_t> values(static_cast<size_t>(count));
    for (int64_t& v : values) v = draw(rng);
    return HostTensor::FromInts(operand.type.dtype, dims, values);
  }
  std::uniform_real_distribution<double> draw(operand.low, operand.high);
  const int64_t parts = operand.type.dtype == DType::kC64 ? 2 : 1;
  std::vector<double> values(static_cast<size_t>(count * parts));
  for (double& v : values) v = draw(rng);
  return HostTensor::FromDoubles(operand.type.dtype, dims, values);
}

struct Case {
  Graph graph;
  TensorMap tensors;
};

// The sample in another float type. Nested graphs say of what type they are: they stay.
void Retype(OpSample& sample, DType dtype) {
  if (!sample.subgraphs.empty()) return;
  for (OpSample::Operand& operand : sample.operands)
    if (operand.type.dtype == DType::kF32) operand.type.dtype = dtype;
  for (Attr& attr : sample.attrs)
    if (auto* type = std::get_if<DType>(&attr.value); type && *type == DType::kF32) *type = dtype;
}

// The sample as a graph: each operand an input or, as luck has it, a param.
absl::StatusOr<Case> MakeCase(const OpInfo& info, DType dtype, Rng& rng) {
  OpSample sample = info.sample(rng);
  Retype(sample, dtype);
  Case out;
  GraphBuilder b(out.graph);
  std::vector<Value> operands;
  for (const OpSample::Operand& operand : sample.operands) {
    const std::string name = Cat("x", operands.size());
    const bool param = rng() % 3 == 0;
    operands.push_back(param ? b.Param(name, operand.type) : b.Input(name, operand.type));
    out.tensors.emplace(name, Draw(operand, rng));
  }
  int results = 0;
  for (Value v : b.EmitAll(info.kind, operands, sample.attrs, sample.subgraphs))
    b.Output(Cat("y", results++), v);
  RLX_TRY(b.status());
  RLX_TRY(VerifyGraph(out.graph));
  return out;
}

// What a product may underflow to zero from.
double Smallest(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return 0;
    case DType::kF16:
    case DType::kFp8E5M2:
      return 6.2e-5;
    case DType::kFp8E4M3:
      return 0x1p-6;
    default:
      return 1.2e-38;
  }
}

// Empty when the result is within tolerance.
std::string Compare(const HostTensor& got, const EvalTensor& want, Tolerance tolerance) {
  if (got.dims() != want.dims || got.dtype() != want.dtype) return "another type";
  const std::vector<double> values = IsExact(got.dtype()) ? std::vector<double>() : got.ToDoubles();
  const std::vector<int64_t> ints = IsExact(got.dtype()) ? got.ToInts() : std::vector<int64_t>();
  if (!ints.empty()) {
    for (size_t i = 0; i < ints.size(); ++i) {
      if (ints[i] != want.i[i]) return Cat("[", i, "] is ", ints[i], ", not ", want.i[i]);
    }
    return "";
  }
  double top = 0;
  for (double v : want.f) top = std::isfinite(v) ? std::max(top, std::abs(v)) : top;
  for (size_t i = 0; i < values.size(); ++i) {
    const double expected = want.f[i];
    if (std::isnan(expected) && std::isnan(values[i])) continue;
    if (expected == values[i]) continue;
    const double allowed =
        tolerance.relative * std::abs(expected) + tolerance.scale * top + Smallest(got.dtype());
    if (!(std::abs(values[i] - expected) <= allowed)) {
      return Cat("[", i, "] is ", values[i], ", not ", expected, " within ", allowed);
    }
  }
  return "";
}

enum class Outcome { kPass, kFail, kRefused, kUndefined };

// The oracle's results as their type holds them: what is past its range is infinite there too.
void Round(std::vector<EvalTensor>& results) {
  for (EvalTensor& result : results)
    for (double& value : result.f) value = RoundTo(result.dtype, value);
}

Outcome RunCase(const BackendRunner& runner, const OpInfo& info, const Case& test,
                std::string& why) {
  auto want = Evaluate(test.graph, test.tensors);
  if (!want.ok()) return why = Cat("oracle: ", want.status()), Outcome::kFail;
  Round(*want);
  CompileOptions options;
  options.fusion.skip_fusion = true;
  const auto got = runner.Run(test.graph, test.tensors, options);
  if (absl::IsUnimplemented(got.status())) {
    return why = std::string(got.status().message()), Outcome::kRefused;
  }
  if (!got.ok()) return why = Cat(got.status()), Outcome::kFail;
  const DType dtype = test.graph.type(test.graph.outputs()[0].value).dtype;
  const Tolerance tolerance = ToleranceOf(info.op_class, dtype);
  for (size_t r = 0; r < want->size(); ++r) {
    why = Compare((*got)[r], (*want)[r], tolerance);
    if (!why.empty()) return Outcome::kFail;
  }
  return Outcome::kPass;
}

// A back end's own words for what it leaves out are shown once an op.
bool RunOp(const BackendRunner& runner, const OpInfo& info, const Flags& flags) {
  std::map<Outcome, int> counts;
  std::string refused;
  for (int s = 0; s < flags.samples; ++s) {
    Rng rng(flags.seed * 1'000'003 + static_cast<uint64_t>(s));
    std::string why;
    const auto test = MakeCase(info, flags.dtype, rng);
    const Outcome untaken = flags.dtype == DType::kF32 ? Outcome::kFail : Outcome::kUndefined;
    const Outcome outcome = test.ok() ? RunCase(runner, info, *test, why) : untaken;
    if (!test.ok()) why = Cat("sample: ", test.status());
    ++counts[outcome];
    if (outcome == Outcome::kRefused) refused = why;
    if (outcome != Outcome::kFail) continue;
    std::printf("  FAILED sample %d: %s\n%s", s, why.c_str(),
                test.ok() ? Print(test->graph).c_str() : "");
  }
  std::printf("%-28s %3d passed, %d failed", std::string(info.name).c_str(), counts[Outcome::kPass],
              counts[Outcome::kFail]);
  if (counts[Outcome::kUndefined] > 0) {
    std::printf(", %d not defined for %s", counts[Outcome::kUndefined],
                std::string(Name(flags.dtype)).c_str());
  }
  if (counts[Outcome::kRefused] > 0) {
    std::printf(", %d not supported (%s)", counts[Outcome::kRefused], refused.c_str());
  }
  std::printf("\n");
  return counts[Outcome::kFail] == 0;
}

absl::StatusOr<const device::Backend*> FindBackend(const Flags& flags, device::Registry& registry) {
  if (flags.backend == "interpreter") {
    RLX_TRY(registry.Add(MakeInterpretingBackend()));
  } else if (flags.backend_dir.empty()) {
    RLX_TRY(registry.Add(cpu::MakeCpuBackend()));
  } else {
    RLX_TRY(registry.LoadFolder(flags.backend_dir));
  }
  for (const device::Backend* backend : registry.all()) {
    if (backend->name() == flags.backend) return backend;
  }
  return NotFound("no back end \"", flags.backend, "\"");
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "rlx-conformance: %s\n", Cat(status).c_str());
  return 2;
}

int Main(int argc, char** argv) {
  const auto flags = ParseFlags(argc, argv);
  if (!flags.ok()) return Fail(flags.status());
  if (flags->help) return std::fputs(kHelp, stdout) < 0;
  device::Registry registry;
  const auto backend = FindBackend(*flags, registry);
  if (!backend.ok()) return Fail(backend.status());
  const auto runner = BackendRunner::Create(**backend, flags->threads, flags->profile);
  if (!runner.ok()) return Fail(runner.status());
  std::printf("%s on %s\n", runner->target().profile.c_str(), runner->device().info().name.c_str());
  int ops = 0, failed = 0;
  for (const OpInfo* info : AllOps()) {
    const bool sampled = info->level == Stage::kMir && info->sample != nullptr;
    if (!sampled || (!flags->op.empty() && flags->op != info->name)) continue;
    ++ops;
    if (flags->list) {
      std::printf("%s\n", std::string(info->name).c_str());
    } else if (!RunOp(*runner, *info, *flags)) {
      ++failed;
    }
  }
  if (ops == 0) return Fail(NotFound("no op \"", flags->op, "\""));
  std::printf("%d ops, %d failed\n", ops, failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace rlx::test

int main(int argc, char** argv) { return rlx::test::Main(argc, argv); }
