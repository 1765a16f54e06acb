// SPDX-License-Identifier: Apache-2.0
// compile, lower, explain-key: what becomes of a module.
#include "clients/rlxctl/commands.h"
#include "clients/rlxctl/compile.h"
#include "clients/rlxctl/compile_flags.h"
#include "clients/rlxctl/context.h"
#include "clients/rlxctl/message_json.h"
#include "clients/rlxctl/module_file.h"
#include "clients/rlxctl/report_text.h"
#include "clients/rlxctl/table.h"
#include "clients/rlxctl/trace.h"
#include "clients/rlxctl/words.h"
#include "rlx/v1/compiler.grpc.pb.h"
#include "runtime/base/hex.h"

namespace rlx::ctl {
namespace {

constexpr FlagSpec kLower[] = {
    {"stage", "hir|mir|lir", "how far to lower (lir)"},
    {"output", "FILE", "write the module too: .pbtxt and .txtpb as text, else serialized"},
};
constexpr FlagSpec kExplainKey[] = {
    {"other-target", "DEVICE[:PROFILE]",
     "compare with another target, of OTHER or the same module"},
};

std::string Hex(std::string_view bytes) {
  return HexEncode({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

std::string BindingsText(const google::protobuf::RepeatedPtrField<v1::Binding>& bindings) {
  return Join(bindings, ", ", [](std::string& out, const v1::Binding& binding) {
    out += Cat(binding.name(), ": ", TypeText(binding.type()));
  });
}

uint64_t ParamBytes(const v1::Manifest& manifest) {
  uint64_t bytes = 0;
  for (const v1::Binding& param : manifest.params()) bytes += param.byte_size();
  return bytes;
}

std::string ResultText(const v1::CompileResult& result) {
  const v1::MemoryStats& memory = result.memory();
  Table table({"", ""});
  table.Row({"key", Hex(result.key())});
  table.Row({"from", OriginText(result)});
  table.Row({"target", Cat(TargetWord(result.target()), " ", result.target().arch())});
  table.Row({"inputs", BindingsText(result.manifest().inputs())});
  table.Row({"outputs", BindingsText(result.manifest().outputs())});
  table.Row({"params",
             Cat(result.manifest().params_size(), ", ", BytesText(ParamBytes(result.manifest())))});
  const auto& unbound = result.plan().dynamic_symbols();
  const std::string arena = unbound.empty() ? BytesText(memory.arena_bytes())
                                            : Cat("unknown while ", Join(unbound, ", "),
                                                  unbound.size() > 1 ? " are" : " is", " unbound");
  table.Row({"memory", Cat("arena ", arena, ", weights ", BytesText(memory.weight_bytes()),
                           ", code ", BytesText(memory.code_bytes()), ", constants ",
                           BytesText(memory.constant_bytes()))});
  table.Row({"artifact", BytesText(result.artifact_bytes())});
  table.Row({"fusion", result.fusion().summary()});
  table.Row({"phases", Join(result.phases(), ", ", [](std::string& out, const v1::PhaseTime& p) {
               out += Cat(Word(p.phase()), " ", SecondsText(p.seconds()));
             })});
  if (!result.runnable()) table.Row({"runnable", Cat("no: ", result.reason())});
  std::string out = table.ToString();
  for (const v1::StageText& dump : result.dumps())
    out += Cat("--- ", Word(dump.stage()), "\n", dump.text());
  return out;
}

constexpr size_t kDigits = 16;

// The statements of a component's text: lines, and what semicolons separate.
std::vector<std::string_view> Statements(std::string_view text) {
  std::vector<std::string_view> out;
  for (std::string_view line : Split(Trim(text), '\n')) {
    for (std::string_view statement : Split(line, ';')) out.push_back(statement);
  }
  return out;
}

const v1::KeyComponent* Find(const google::protobuf::RepeatedPtrField<v1::KeyComponent>& all,
                             std::string_view name) {
  for (const v1::KeyComponent& component : all) {
    if (component.name() == name) return &component;
  }
  return nullptr;
}

std::string ComponentsText(const google::protobuf::RepeatedPtrField<v1::KeyComponent>& all) {
  Table table({"component", "sha256", "what"});
  std::string longer;
  for (const v1::KeyComponent& component : all) {
    const std::vector<std::string_view> statements = Statements(component.text());
    table.Row({component.name(), Hex(component.sha256()).substr(0, kDigits),
               statements.size() > 1 ? "(below)" : component.text()});
    if (statements.size() == 1) continue;
    longer += Cat(component.name(), "\n");
    for (std::string_view statement : statements) longer += Cat("  ", statement, "\n");
  }
  return Cat(table.ToString("  "), longer);
}

// What two keys have in common and, of what differs, both sides.
std::string DifferenceText(const v1::ExplainKeyResponse& answer) {
  const auto& differing = answer.differing();
  Table table({"component", "sha256", "other"});
  for (const v1::KeyComponent& component : answer.components()) {
    const v1::KeyComponent* other = Find(answer.other_components(), component.name());
    const std::string digest =
        other == nullptr ? "absent" : Hex(other->sha256()).substr(0, kDigits);
    const std::string own = Hex(component.sha256()).substr(0, kDigits);
    table.Row({component.name(), own, digest == own ? "the same" : digest});
  }
  std::string out = Cat("other  ", Hex(answer.other_key()), "\n", table.ToString("  "));
  if (differing.empty()) return Cat(out, "equal\n");
  for (const std::string& name : differing) {
    out += Cat(name, " differs\n");
    for (const v1::KeyDifference& d : answer.differences()) {
      if (d.component() == name) out += ChangeLine(d.what(), d.field(), d.one(), d.other());
    }
  }
  if (answer.more_differences() > 0) out += Cat("and ", answer.more_differences(), " more\n");
  return out;
}

std::string KeyText(const v1::ExplainKeyResponse& answer) {
  const bool two = !answer.other_key().empty();
  return Cat(two ? "key    " : "key  ", Hex(answer.key()), "\n",
             two ? DifferenceText(answer) : ComponentsText(answer.components()));
}

}  // namespace

const std::span<const FlagSpec> kLowerFlags = kLower;
const std::span<const FlagSpec> kExplainKeyFlags = kExplainKey;

absl::Status RunCompile(Context& context) {
  RLX_ASSIGN(v1::CompileSpec spec, MakeSpec(context.flags.operands()[0], context));
  RLX_ASSIGN(const v1::CompileResult result, Compile(std::move(spec), context));
  if (context.flags.Has("trace")) {
    RLX_TRY(WriteTrace(CompileTrace(result), context.flags.Text("trace")));
  }
  if (context.json) WriteMessage(result, context.document);
  context.text = ResultText(result);
  return absl::OkStatus();
}

absl::Status RunLower(Context& context) {
  v1::LowerRequest request;
  const auto stage = Parse<v1::Stage>(context.flags.Text("stage", "lir"));
  if (!stage.ok()) return Usage("--stage: ", Message(stage.status()));
  request.set_stage(*stage);
  RLX_ASSIGN(*request.mutable_spec(), MakeSpec(context.flags.operands()[0], context));
  RLX_ASSIGN(v1::LowerResponse answer,
             context.server.Call<v1::Compiler>(&v1::Compiler::Stub::Lower, request, kLong));
  if (context.flags.Has("output"))
    RLX_TRY(WriteModule(answer.module(), context.flags.Text("output")));
  context.text = answer.text();
  if (!context.text.ends_with('\n')) context.text += "\n";
  answer.clear_module();  // its text says the same
  if (context.json) WriteMessage(answer, context.document);
  return absl::OkStatus();
}

absl::Status RunExplainKey(Context& context) {
  const auto& operands = context.flags.operands();
  v1::ExplainKeyRequest request;
  if (operands[0] == "-" && operands.back() == "-" &&
      (operands.size() > 1 || context.flags.Has("other-target")))
    return Usage("stdin can be read only once");
  RLX_ASSIGN(*request.mutable_spec(), MakeSpec(operands[0], context));
  if (operands.size() > 1 || context.flags.Has("other-target")) {
    RLX_ASSIGN(*request.mutable_other(),
               MakeSpec(operands.back(), context, context.flags.Text("other-target")));
  }
  RLX_ASSIGN(const v1::ExplainKeyResponse answer,
             context.server.Call<v1::Compiler>(&v1::Compiler::Stub::ExplainKey, request, kLong));
  if (context.json) WriteMessage(answer, context.document);
  context.text = KeyText(answer);
  return absl::OkStatus();
}

}  // namespace rlx::ctl
