// SPDX-License-Identifier: Apache-2.0
// export: the kernels of a module as text.
#include "clients/rlxctl/commands.h"
#include "clients/rlxctl/compile_flags.h"
#include "clients/rlxctl/context.h"
#include "clients/rlxctl/message_json.h"
#include "clients/rlxctl/table.h"
#include "rlx/v1/compiler.grpc.pb.h"
#include "runtime/base/file.h"

namespace rlx::ctl {
namespace {

constexpr FlagSpec kExport[] = {
    {"language", "NAME", "kernel-ir, or what the back end writes: llvm-ir, ... (all)", true},
    {"output", "DIR", "write each kernel to DIR/KERNEL.LANGUAGE instead"},
};

// Names come from the server: no path is made of them.
std::string FileName(const v1::KernelSource& source) {
  std::string name = Cat(source.kernel(), ".", source.language());
  for (char& c : name) {
    const bool kept = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '.';
    if (!kept) c = '_';
  }
  return name.starts_with('.') ? Cat("_", name) : name;
}

absl::Status WriteFiles(const v1::ExportSourceResponse& answer, std::string_view folder,
                        Context& context) {
  RLX_TRY(EnsureDir(std::string(folder), 0755));
  Table table({"file", ">bytes", "computes"});
  for (const v1::KernelSource& source : answer.kernels()) {
    const std::string path = Cat(folder, "/", FileName(source));
    RLX_TRY(WriteFileAtomic(path, {source.text()}, 0644));
    table.Row({path, Cat(source.text().size()), source.label()});
  }
  context.text = table.empty() ? "no kernels\n" : table.ToString();
  return absl::OkStatus();
}

}  // namespace

const std::span<const FlagSpec> kExportFlags = kExport;

absl::Status RunExport(Context& context) {
  v1::ExportSourceRequest request;
  RLX_ASSIGN(*request.mutable_spec(), MakeSpec(context.flags.operands()[0], context));
  for (std::string_view language : context.flags.All("language")) {
    request.add_languages(std::string(language));
  }
  RLX_ASSIGN(const v1::ExportSourceResponse answer,
             context.server.Call<v1::Compiler>(&v1::Compiler::Stub::ExportSource, request, kLong));
  if (context.json) WriteMessage(answer, context.document);
  if (context.flags.Has("output")) return WriteFiles(answer, context.flags.Text("output"), context);
  for (const v1::KernelSource& source : answer.kernels()) {
    context.text += Cat("# ", source.kernel(), " ", source.language(), ": ", source.label(), "\n",
                        source.text(), source.text().ends_with('\n') ? "" : "\n", "\n");
  }
  if (answer.kernels().empty()) context.text = "no kernels: the back end's routines do it all\n";
  return absl::OkStatus();
}

}  // namespace rlx::ctl
