// SPDX-License-Identifier: Apache-2.0
#include <llvm/Analysis/CGSCCPassManager.h>
#include <llvm/Analysis/LoopAnalysisManager.h>
#include <llvm/IR/Constants.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/PassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/Transforms/InstCombine/InstCombine.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>
#include <llvm/Transforms/Scalar/LICM.h>
#include <llvm/Transforms/Scalar/LoopPassManager.h>
#include <llvm/Transforms/Scalar/LoopUnrollPass.h>
#include <llvm/Transforms/Scalar/SROA.h>
#include <llvm/Transforms/Scalar/SimplifyCFG.h>

#include <mutex>
#include <set>

#include "backends/cpu/codegen/codegen.h"
#include "backends/cpu/codegen/emit.h"
#include "backends/cpu/codegen/object_format.h"
#include "runtime/base/status.h"
#include "runtime/kernel/legalize/legalize.h"
#include "runtime/kernel/verify.h"

namespace rlx::cpu {
namespace {

constexpr char kTriple[] = "x86_64-unknown-linux-gnu";
constexpr int kMostLanes = 64;

// What goes into one module: 50 to 100 ms of LLVM, after which a cancelled compile stops and the
// memory of the module is free again.
constexpr int64_t kBatchWork = 3000;  // kernel instructions
constexpr size_t kBatchKernels = 8;

// X86 alone, at the first compile: an idle process does not pay for it.
void SetUpLlvm() {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
  });
}

absl::StatusOr<std::unique_ptr<llvm::TargetMachine>> MachineFor(const CpuTarget& target) {
  SetUpLlvm();
  std::string error;
  const llvm::Target* found = llvm::TargetRegistry::lookupTarget(kTriple, error);
  if (found == nullptr) return Internal("llvm has no target ", kTriple, ": ", error);
  std::unique_ptr<llvm::TargetMachine> machine(found->createTargetMachine(
      kTriple, target.cpu, target.features, llvm::TargetOptions(), llvm::Reloc::PIC_,
      llvm::CodeModel::Small, llvm::CodeGenOptLevel::Default));
  if (machine == nullptr) return Internal("llvm makes no machine for ", target.cpu);
  return machine;
}

llvm::Function* Declare(const kernel::Kernel& kernel, const CpuTarget& target,
                        llvm::Module& module) {
  llvm::LLVMContext& context = module.getContext();
  llvm::Type* pointer = llvm::PointerType::get(context, 0);
  llvm::Type* i64 = llvm::Type::getInt64Ty(context);
  auto* type =
      llvm::FunctionType::get(llvm::Type::getVoidTy(context), {pointer, pointer, i64, i64}, false);
  auto* function =
      llvm::Function::Create(type, llvm::Function::ExternalLinkage, kernel.name, module);
  function->setDSOLocal(true);
  function->setDoesNotThrow();
  function->addFnAttr("target-cpu", target.cpu);
  function->addFnAttr("target-features", target.features);
  // Some processors' tuning prefers halves of their widest registers; the vectors here are meant.
  const std::string width = Cat(32 * target.lanes);
  function->addFnAttr("prefer-vector-width", width);
  function->addFnAttr("min-legal-vector-width", width);
  return function;
}

// The target's features stand in the object, for the loader to check.
void AddTargetNote(const CpuTarget& target, llvm::Module& module) {
  llvm::Constant* text =
      llvm::ConstantDataArray::getString(module.getContext(), target.features, false);
  auto* note = new llvm::GlobalVariable(module, text->getType(), true,
                                        llvm::GlobalValue::ExternalLinkage, text, kTargetSymbol);
  note->setSection(kTargetSection);
  note->setAlignment(llvm::Align(1));
}

// What is left for LLVM to do is small: the walker has vectorised already. Loops that run a few
// times are unrolled, which cells and affine addresses then profit from.
void Optimize(llvm::Module& module, llvm::TargetMachine& machine) {
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager graph;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(graph);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, graph, modules);

  llvm::FunctionPassManager passes;
  passes.addPass(llvm::SROAPass(llvm::SROAOptions::ModifyCFG));
  passes.addPass(llvm::EarlyCSEPass(true));
  passes.addPass(llvm::SimplifyCFGPass());
  passes.addPass(llvm::InstCombinePass());
  passes.addPass(llvm::createFunctionToLoopPassAdaptor(llvm::LICMPass(llvm::LICMOptions()), true));
  passes.addPass(llvm::LoopUnrollPass(llvm::LoopUnrollOptions(2, true)));
  passes.addPass(llvm::EarlyCSEPass(true));
  passes.addPass(llvm::InstCombinePass());
  passes.addPass(llvm::SimplifyCFGPass());
  for (llvm::Function& function : module) {
    if (!function.isDeclaration()) passes.run(function, functions);
  }
}

absl::StatusOr<std::string> EmitFile(llvm::Module& module, llvm::TargetMachine& machine,
                                     llvm::CodeGenFileType type) {
  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream stream(bytes);
  llvm::legacy::PassManager passes;
  if (machine.addPassesToEmitFile(passes, stream, nullptr, type)) {
    return Internal("llvm cannot write an object for ", kTriple);
  }
  passes.run(module);
  return std::string(bytes.begin(), bytes.end());
}

// Takes away what the walker or the processor lacks.
absl::StatusOr<kernel::Kernel> Legalize(const kernel::Kernel& kernel, const CpuTarget& target) {
  using kernel::Property;
  RLX_ASSIGN(kernel::Kernel legal, ExpandMath32(kernel));
  RLX_ASSIGN(legal, ExpandBF16(legal));
  RLX_ASSIGN(legal, ExpandFp8(legal));
  if (!target.Has("sse4.1")) {
    RLX_ASSIGN(legal, ExpandRounding(legal));
    RLX_TRY(Require(legal, std::array{Property::kNoRounding}));
  }
  if (!target.Has("f16c")) {
    RLX_ASSIGN(legal, ExpandF16(legal));
    RLX_TRY(Require(legal, std::array{Property::kNoF16Casts}));
  }
  RLX_TRY(Require(legal,
                  std::array{Property::kNoMath32, Property::kNoBF16Casts, Property::kNoFp8Casts}));
  return legal;
}

absl::Status CheckKernels(std::span<const kernel::Kernel> kernels) {
  std::set<std::string_view> names;
  for (const kernel::Kernel& kernel : kernels) {
    RLX_TRY(Verify(kernel));
    if (!kernel.source.empty()) return Unimplemented(kernel.name, ": not in kernel IR");
    if (kernel.local > kMostLanes) {
      return Unimplemented(kernel.name, ": groups of ", kernel.local, " lanes on a cpu, ",
                           kMostLanes, " at most");
    }
    if (!names.insert(kernel.name).second)
      return Internal("two kernels have the name ", kernel.name);
  }
  return absl::OkStatus();
}

// The functions of legal kernels, optimized.
absl::Status FillModule(std::span<const kernel::Kernel> kernels, const CpuTarget& target,
                        llvm::TargetMachine& machine, llvm::Module& module) {
  module.setTargetTriple(kTriple);
  module.setDataLayout(machine.createDataLayout());
  for (const kernel::Kernel& kernel : kernels) {
    llvm::Function* function = Declare(kernel, target, module);
    EmitKernel(kernel, *function);
    std::string complaint;
    llvm::raw_string_ostream stream(complaint);
    if (llvm::verifyFunction(*function, &stream)) {
      return Internal(kernel.name, ": the code generator made wrong IR: ", complaint);
    }
  }
  Optimize(module, machine);
  return absl::OkStatus();
}

// One object; the kernels are legal.
absl::StatusOr<std::string> CompileBatch(std::span<const kernel::Kernel> kernels,
                                         const CpuTarget& target, llvm::TargetMachine& machine) {
  llvm::LLVMContext context;
  llvm::Module module("kernels", context);
  AddTargetNote(target, module);
  RLX_TRY(FillModule(kernels, target, machine, module));
  RLX_ASSIGN(std::string object, EmitFile(module, machine, llvm::CodeGenFileType::ObjectFile));
  if (ObjectSize(object) != object.size()) return Internal("llvm wrote past its section table");
  return object;
}

std::string FunctionText(const llvm::Module& module, std::string_view name) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  module.getFunction(name)->print(stream);
  return text;
}

}  // namespace

absl::StatusOr<std::string> CompileToObject(std::span<const kernel::Kernel> kernels,
                                            const CpuTarget& target, const CancelToken& cancel) {
  RLX_TRY(CheckKernels(kernels));
  RLX_ASSIGN(std::unique_ptr<llvm::TargetMachine> machine, MachineFor(target));
  std::string objects;
  std::vector<kernel::Kernel> batch;
  int64_t work = 0;
  for (size_t k = 0; k < kernels.size(); ++k) {
    RLX_TRY(cancel.Check());
    RLX_ASSIGN(batch.emplace_back(), Legalize(kernels[k], target));
    work += static_cast<int64_t>(batch.back().body.size());
    if (work < kBatchWork && batch.size() < kBatchKernels && k + 1 < kernels.size()) continue;
    RLX_ASSIGN(const std::string object, CompileBatch(batch, target, *machine));
    objects += object;
    batch.clear();
    work = 0;
  }
  return objects;
}

absl::StatusOr<KernelListing> ListKernel(const kernel::Kernel& kernel, const CpuTarget& target) {
  RLX_TRY(CheckKernels(std::span(&kernel, 1)));
  RLX_ASSIGN(const kernel::Kernel legal, Legalize(kernel, target));
  RLX_ASSIGN(std::unique_ptr<llvm::TargetMachine> machine, MachineFor(target));
  llvm::LLVMContext context;
  llvm::Module module("kernel", context);
  RLX_TRY(FillModule(std::span(&legal, 1), target, *machine, module));
  KernelListing out{FunctionText(module, kernel.name), {}};
  RLX_ASSIGN(out.assembly, EmitFile(module, *machine, llvm::CodeGenFileType::AssemblyFile));
  return out;
}

}  // namespace rlx::cpu
