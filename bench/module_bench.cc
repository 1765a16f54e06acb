// SPDX-License-Identifier: Apache-2.0
// A graph module on this machine's CPU, in process: bench_module_bench MODULE WEIGHTS THREADS.
// MODULE is a serialized rlx.v1.GraphModule. WEIGHTS lists `NAME PATH OFFSET LENGTH` of every param
// and input, one a line. Prints `compile LOAD BIND` in seconds; then, for each line on standard
// input, runs once and prints the seconds it took. minilm_peers.py drives it in turn with others.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <iterator>
#include <sstream>

#include "backends/cpu/cpu_backend.h"
#include "bench/loaded_program.h"
#include "runtime/base/status.h"
#include "runtime/stages/stages.h"
#include "runtime/wire/module.h"

namespace rlx {
namespace {

using Tensors = std::map<std::string, SharedBytes>;

absl::StatusOr<std::string> ReadAll(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return NotFound("cannot read ", path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// A whole file, mapped for as long as anyone refers to it.
absl::StatusOr<SharedBytes> Map(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY);
  if (fd < 0) return NotFound("cannot open ", path);
  struct stat info{};
  fstat(fd, &info);
  const size_t size = static_cast<size_t>(info.st_size);
  void* data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
  close(fd);
  if (data == MAP_FAILED) return Internal("cannot map ", path);
  std::shared_ptr<void> owner(data, [size](void* p) { munmap(p, size); });
  return SharedBytes(owner, data, size);
}

absl::StatusOr<Tensors> ReadTensors(const char* list) {
  RLX_ASSIGN(const std::string text, ReadAll(list));
  std::map<std::string, SharedBytes> files;
  Tensors tensors;
  std::istringstream lines(text);
  std::string name, path;
  for (size_t offset = 0, length = 0; lines >> name >> path >> offset >> length;) {
    if (files.count(path) == 0) {
      RLX_ASSIGN(files[path], Map(path));
    }
    tensors[name] = files[path].Slice(offset, length);
  }
  return tensors;
}

absl::StatusOr<SharedBytes> BytesOf(const Tensors& tensors, const device::TensorSpec& spec) {
  const auto it = tensors.find(spec.name);
  if (it == tensors.end()) return NotFound("no bytes for ", spec.name);
  if (static_cast<int64_t>(it->second.size()) != spec.type.ByteSize()) {
    return InvalidArgument(spec.name, " has ", it->second.size(), " bytes");
  }
  return it->second;
}

absl::StatusOr<std::shared_ptr<const device::Program>> Compile(const char* path,
                                                               const device::Backend& backend) {
  RLX_ASSIGN(const std::string bytes, ReadAll(path));
  v1::GraphModule message;
  if (!message.ParseFromString(bytes)) return InvalidArgument(path, " is no graph module");
  RLX_ASSIGN(const Module module, wire::ModuleFromWire(message, Limits{}, nullptr));
  stages::CompileRequest request;
  request.backend = &backend;
  request.target = backend.Targets()[0];
  RLX_ASSIGN(stages::CompileResult result, stages::CompileModuleStages(module, request));
  if (result.program == nullptr) return FailedPrecondition(result.why_no_program);
  return result.program;
}

absl::Status Main(const char* module, const char* list, int threads) {
  const std::unique_ptr<device::Backend> backend = cpu::MakeCpuBackend();
  RLX_ASSIGN(const Tensors tensors, ReadTensors(list));
  const auto start = std::chrono::steady_clock::now();
  RLX_ASSIGN(const auto program, Compile(module, *backend));
  std::cout << bench::SecondsSince(start);

  std::string why_none;
  const auto devices = backend->Enumerate(why_none);
  if (devices.empty()) return Unavailable(why_none);
  RLX_ASSIGN(const auto device, backend->Open(devices[0].id, {.threads = threads}));
  RLX_ASSIGN(auto loaded,
             bench::LoadedProgram::Create(*device, program, [&](const device::TensorSpec& spec) {
               return BytesOf(tensors, spec);
             }));
  std::cout << ' ' << loaded.load_seconds() << ' ' << loaded.bind_seconds() << std::endl;
  for (std::string line; std::getline(std::cin, line);) {  // one run a line
    const auto begun = std::chrono::steady_clock::now();
    RLX_TRY(loaded.Run());
    std::cout << bench::SecondsSince(begun) << std::endl;
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace rlx

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: bench_module_bench MODULE WEIGHTS THREADS\n";
    return 2;
  }
  const absl::Status status = rlx::Main(argv[1], argv[2], atoi(argv[3]));
  if (!status.ok()) std::cerr << std::string(status.message()) << '\n';
  return status.ok() ? 0 : 1;
}
