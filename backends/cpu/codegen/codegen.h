// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <absl/status/statusor.h>

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/cancel.h"
#include "runtime/kernel/kernel.h"

// Machine code for kernels, by LLVM. A workgroup becomes one SIMD vector of `local` lanes; the
// groups of a launch are a loop, any part of which a thread may run:
//
//   RLX_ASSIGN(const CpuTarget target, TargetByName("host"));
//   // local: target.lanes, or two to four times that where an accumulator should be interleaved
//   RLX_ASSIGN(std::string object, CompileToObject(kernels, target));      // kept in the artifact
//   RLX_ASSIGN(std::unique_ptr<LoadedObject> code, LoadedObject::Load(object));
//   code->Find("add")(buffers, scalars, 0, groups);
//
// All functions are thread safe. LLVM is set up by the first compile; loading does not touch it.
namespace rlx::cpu {

// Runs workgroups [group_begin, group_end). `buffers` and `scalars` by slot (kernel::Kernel); a
// buffer is aligned to its element. Writes nothing but writable buffers; needs no other state.
using KernelFn = void (*)(void* const* buffers, const int64_t* scalars, int64_t group_begin,
                          int64_t group_end);

// What code is generated for.
struct CpuTarget {
  std::string name;      // "host", "x86-64", "x86-64-v3", "x86-64-v4"
  std::string cpu;       // LLVM's name of the processor whose timing is assumed
  std::string features;  // LLVM's list "+avx,+avx2": what the code may use, and so needs
  int lanes = 4;         // f32 in one vector register

  // Everything that can change the code, this generator's and LLVM's version included.
  std::string Fingerprint() const;
  bool Has(std::string_view feature) const;  // "avx2"
};

CpuTarget HostTarget();
// Of the library that is loaded: "19.1.7".
std::string LlvmVersion();
// kInvalidArgument for an unknown name.
absl::StatusOr<CpuTarget> TargetByName(std::string_view name);
// kFailedPrecondition, naming what is missing, when this machine cannot run the target's code.
absl::Status CheckHostRuns(const CpuTarget& target);

// ELF objects, one after the other, of a few kernels each: one function per kernel, under the
// kernels' names (which must differ). The same kernels and target give the same bytes. kInternal
// when a kernel does not verify; kUnimplemented for local > 64; kCancelled and kDeadlineExceeded
// between objects.
absl::StatusOr<std::string> CompileToObject(std::span<const kernel::Kernel> kernels,
                                            const CpuTarget& target,
                                            const CancelToken& cancel = {});

// One kernel as CompileToObject writes it, for people: after LLVM's passes, and as assembly.
struct KernelListing {
  std::string llvm_ir, assembly;
};
absl::StatusOr<KernelListing> ListKernel(const kernel::Kernel& kernel, const CpuTarget& target);

// Code of CompileToObject in memory, mapped executable and not writable; unmapped with this object.
class LoadedObject {
 public:
  // kFailedPrecondition when the code needs what this processor lacks; kDataLoss when `object` is
  // not what CompileToObject makes. `object` is not kept.
  static absl::StatusOr<std::unique_ptr<LoadedObject>> Load(std::string_view object);
  ~LoadedObject();
  LoadedObject(const LoadedObject&) = delete;
  LoadedObject& operator=(const LoadedObject&) = delete;

  KernelFn Find(std::string_view name) const;  // null: there is no such kernel
  size_t bytes() const;                        // of memory mapped

 private:
  struct Image;
  LoadedObject();
  std::vector<std::unique_ptr<Image>> images_;  // one an object
  std::map<std::string, KernelFn, std::less<>> functions_;
};

}  // namespace rlx::cpu
