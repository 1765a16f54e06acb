// SPDX-License-Identifier: Apache-2.0
// An ONNX model on this machine's CPU, in process:
//
//   bench_onnx_bench MODEL.onnx FOLDER THREADS PROFILE [SYMBOL=EXTENT...]
//
// FOLDER has the bytes of each input in a file of its name, with / as _. PROFILE is a target's
// ("cpu", "cpu:x86-64-v3"). Prints the seconds from the file to a session that is ready: read,
// compile, load, bind. Then, for each line on standard input: `run` runs once and prints the
// seconds it took; `write` writes the outputs of the last run beside the inputs, as INDEX.out, and
// prints their names; `trace` runs once and prints the steps that took longest.
// bench/cpu_peers drives it in turn with others.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <iterator>

#include "backends/cpu/cpu_backend.h"
#include "bench/loaded_program.h"
#include "runtime/base/status.h"
#include "runtime/base/text.h"
#include "runtime/import/import.h"
#include "runtime/stages/stages.h"

namespace rlx {
namespace {

struct Options {
  std::string model, folder, profile;
  int threads = 1;
  DimBinding sizes;
};

// A whole file, mapped for as long as anyone refers to it.
absl::StatusOr<SharedBytes> Map(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY);
  if (fd < 0) return NotFound("cannot open ", path);
  struct stat info{};
  fstat(fd, &info);
  const size_t size = static_cast<size_t>(info.st_size);
  void* data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  if (data == MAP_FAILED) return Internal("cannot map ", path);
  std::shared_ptr<void> owner(data, [size](void* p) { munmap(p, size); });
  return SharedBytes(owner, data, size);
}

absl::StatusOr<std::shared_ptr<const device::Program>> Compile(const Module& module,
                                                               const device::Backend& backend,
                                                               const Options& options) {
  stages::CompileRequest request;
  request.backend = &backend;
  request.options.dim_binding = options.sizes;
  for (const device::Target& target : backend.Targets()) {
    if (target.profile == options.profile) request.target = target;
  }
  if (request.target.profile.empty()) return NotFound("no profile ", options.profile);
  RLX_ASSIGN(stages::CompileResult result, stages::CompileModuleStages(module, request));
  if (result.program == nullptr) return FailedPrecondition(result.why_no_program);
  return result.program;
}

// Of params, slices of the model; of inputs, a file each.
class Bytes {
 public:
  Bytes(SharedBytes model, const std::vector<onnx::Weight>& weights, std::string folder)
      : folder_(std::move(folder)) {
    for (const onnx::Weight& w : weights) slices_[w.param] = model.Slice(w.offset, w.length);
  }

  absl::StatusOr<SharedBytes> operator()(const device::TensorSpec& spec) const {
    SharedBytes bytes;
    if (const auto slice = slices_.find(spec.name); slice != slices_.end()) {
      bytes = slice->second;
    } else {
      std::string name = spec.name;
      std::replace(name.begin(), name.end(), '/', '_');
      RLX_ASSIGN(bytes, Map(Cat(folder_, "/", name)));
    }
    if (static_cast<int64_t>(bytes.size()) == spec.type.ByteSize()) return bytes;
    return InvalidArgument(spec.name, " has ", bytes.size(), " bytes, not ",
                           spec.type.ByteSize().value_or(-1));
  }

 private:
  std::map<std::string, SharedBytes> slices_;
  std::string folder_;
};

absl::Status Write(const device::Program& program, const bench::LoadedProgram& loaded,
                   const std::string& folder) {
  for (size_t i = 0; i < program.outputs.size(); ++i) {
    const std::vector<uint8_t>& bytes = loaded.results()[i];
    std::ofstream file(Cat(folder, "/", i, ".out"), std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    if (!file.flush()) return Internal("cannot write to ", folder);
    std::cout << (i == 0 ? "" : " ") << program.outputs[i].name;
  }
  std::cout << std::endl;
  return absl::OkStatus();
}

absl::Status Trace(bench::LoadedProgram& loaded) {
  std::vector<device::StepTime> steps;
  RLX_TRY(loaded.RunTraced(steps));
  std::ranges::sort(steps, std::greater<>(),
                    [](const device::StepTime& s) { return s.end - s.start; });
  for (const device::StepTime& s : steps) {
    std::cout << 1e6 * (s.end - s.start) << " us  "
              << 1e-9 * static_cast<double>(s.step->cost_flops) / (s.end - s.start) << " GFLOP/s  "
              << s.step->routine << "  " << s.step->label << '\n';
  }
  std::cout << std::endl;
  return absl::OkStatus();
}

absl::Status Main(const Options& options) {
  const auto start = std::chrono::steady_clock::now();
  const std::unique_ptr<device::Backend> backend = cpu::MakeCpuBackend();
  RLX_ASSIGN(const SharedBytes model, Map(options.model));
  RLX_ASSIGN(const onnx::Imported imported, onnx::Import(model, {}, Limits{}));
  std::cout << bench::SecondsSince(start);
  const auto read = std::chrono::steady_clock::now();
  RLX_ASSIGN(const auto program, Compile(imported.module, *backend, options));
  std::cout << ' ' << bench::SecondsSince(read);

  std::string why_none;
  const auto devices = backend->Enumerate(why_none);
  if (devices.empty()) return Unavailable(why_none);
  RLX_ASSIGN(const auto device, backend->Open(devices[0].id, {.threads = options.threads}));
  RLX_ASSIGN(auto loaded, bench::LoadedProgram::Create(
                              *device, program, Bytes(model, imported.weights, options.folder)));
  std::cout << ' ' << loaded.load_seconds() << ' ' << loaded.bind_seconds() << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "write") {
      RLX_TRY(Write(*program, loaded, options.folder));
      continue;
    }
    if (line == "trace") {
      RLX_TRY(Trace(loaded));
      continue;
    }
    const auto begun = std::chrono::steady_clock::now();
    RLX_TRY(loaded.Run());
    std::cout << bench::SecondsSince(begun) << std::endl;
  }
  return absl::OkStatus();
}

bool ReadOptions(int argc, char** argv, Options& out) {
  if (argc < 5) return false;
  out = {.model = argv[1], .folder = argv[2], .profile = argv[4], .threads = atoi(argv[3])};
  for (int i = 5; i < argc; ++i) {
    const std::string_view text = argv[i];
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) return false;
    out.sizes.emplace(text.substr(0, equals), atoll(argv[i] + equals + 1));
  }
  return out.threads > 0;
}

}  // namespace
}  // namespace rlx

int main(int argc, char** argv) {
  rlx::Options options;
  if (!rlx::ReadOptions(argc, argv, options)) {
    std::cerr << "usage: bench_onnx_bench MODEL.onnx FOLDER THREADS PROFILE [SYMBOL=EXTENT...]\n";
    return 2;
  }
  const absl::Status status = rlx::Main(options);
  if (!status.ok()) std::cerr << std::string(status.message()) << '\n';
  return status.ok() ? 0 : 1;
}
