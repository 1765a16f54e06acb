// SPDX-License-Identifier: Apache-2.0
// explain: what became of a module's nodes, and what they run as.
#include <array>

#include "clients/rlxctl/commands.h"
#include "clients/rlxctl/compile_flags.h"
#include "clients/rlxctl/context.h"
#include "clients/rlxctl/explain_diff.h"
#include "clients/rlxctl/explain_model.h"
#include "clients/rlxctl/explain_page.h"
#include "clients/rlxctl/explain_text.h"
#include "clients/rlxctl/message_json.h"
#include "clients/rlxctl/table.h"
#include "clients/rlxctl/words.h"
#include "rlx/v1/compiler.grpc.pb.h"
#include "runtime/base/file.h"

namespace rlx::ctl {
namespace {

constexpr FlagSpec kExplain[] = {
    {"all", "", "list the nodes that stay as they are, and equal blocks, too"},
    {"html", "FILE", "write one self-contained page: blocks, misses, arena, kernels"},
    {"diff", "", "compare with OTHER, or with the same module as --other says"},
    {"other", "'--FLAG ...'", "with --diff: the compile flags of the other, instead of these"},
};

absl::StatusOr<v1::ExplainResponse> Ask(const v1::CompileSpec& spec, Context& context) {
  v1::ExplainRequest request;
  *request.mutable_spec() = spec;
  request.set_nodes(true);
  request.set_kernels(context.flags.Has("html"));
  return context.server.Call<v1::Compiler>(&v1::Compiler::Stub::Explain, request, kLong);
}

// The other side of a comparison.
absl::StatusOr<v1::CompileSpec> OtherSpec(std::string_view module, Context& context) {
  if (!context.flags.Has("other")) return MakeSpec(module, context);
  std::vector<std::string_view> words;
  for (std::string_view word : Split(context.flags.Text("other"), ' ')) {
    if (!word.empty()) words.push_back(word);
  }
  const std::array<std::span<const FlagSpec>, 1> specs = {kCompileFlags};
  auto flags = Flags::Parse(words, specs);
  if (!flags.ok()) return Usage("--other: ", Message(flags.status()));
  if (!flags->operands().empty()) return Usage("--other takes flags alone");
  Context other{.flags = *flags, .server = context.server, .progress = context.progress};
  return MakeSpec(module, other);
}

absl::Status RunDiff(const v1::CompileSpec& spec, const v1::ExplainResponse& one,
                     Context& context) {
  const auto& operands = context.flags.operands();
  if (operands.size() < 2 && !context.flags.Has("other"))
    return Usage("--diff compares with OTHER or --other");
  if (operands.size() > 1 && operands[0] == "-" && operands[1] == "-")
    return Usage("stdin can be read only once");
  v1::ExplainKeyRequest keys;
  *keys.mutable_spec() = spec;
  RLX_ASSIGN(*keys.mutable_other(), OtherSpec(operands.back(), context));
  RLX_ASSIGN(const v1::ExplainResponse other, Ask(keys.other(), context));
  RLX_ASSIGN(const v1::ExplainKeyResponse differing,
             context.server.Call<v1::Compiler>(&v1::Compiler::Stub::ExplainKey, keys, kLong));
  const ExplainDiff diff = Diff(MakeExplainModel(one), MakeExplainModel(other), differing);
  if (context.json) WriteDiff(diff, context.document);
  context.text = DiffText(diff);
  return absl::OkStatus();
}

// The kernels in every language, where there are kernels; the page shows their IR without.
absl::StatusOr<v1::ExportSourceResponse> Sources(const v1::CompileSpec& spec,
                                                 const v1::ExplainResponse& answer,
                                                 Context& context) {
  if (answer.kernels().empty()) return v1::ExportSourceResponse();
  v1::ExportSourceRequest request;
  *request.mutable_spec() = spec;
  return context.server.Call<v1::Compiler>(&v1::Compiler::Stub::ExportSource, request, kLong);
}

absl::Status WritePage(const v1::CompileSpec& spec, const ExplainModel& model, Context& context) {
  RLX_ASSIGN(const v1::ExportSourceResponse sources, Sources(spec, *model.answer, context));
  const std::string page = ExplainPage(model, sources);
  const std::string path(context.flags.Text("html"));
  RLX_TRY(WriteFileAtomic(path, {page}, 0644));
  context.text += Cat("\n", path, ": ", BytesText(page.size()), "\n");
  return absl::OkStatus();
}

}  // namespace

const std::span<const FlagSpec> kExplainFlags = kExplain;

absl::Status RunExplain(Context& context) {
  const Flags& flags = context.flags;
  const bool diff = flags.IsOn("diff");
  if (!diff && (flags.operands().size() > 1 || flags.Has("other")))
    return Usage("OTHER and --other go with --diff");
  if (diff && (flags.Has("html") || flags.IsOn("all")))
    return Usage("--html and --all are of one module, not of --diff");
  RLX_ASSIGN(const v1::CompileSpec spec, MakeSpec(flags.operands()[0], context));
  RLX_ASSIGN(const v1::ExplainResponse answer, Ask(spec, context));
  if (diff) return RunDiff(spec, answer, context);
  if (context.json) WriteMessage(answer, context.document);
  const ExplainModel model = MakeExplainModel(answer);
  context.text = ExplainText(model, flags.IsOn("all"));
  return flags.Has("html") ? WritePage(spec, model, context) : absl::OkStatus();
}

}  // namespace rlx::ctl
