// SPDX-License-Identifier: Apache-2.0
#include <grpcpp/generic/generic_stub.h>

#include "tests/server/fixture.h"

namespace rlx::server {
namespace {

// What a client may send, how it must be refused, and a word that names the offending thing.
struct Bad {
  const char* name;
  std::function<void(v1::CompileRequest&)> spoil;  // of a request for LinearModule(2, 3, 4)
  grpc::StatusCode code;
  const char* names;
  const char* also = "";  // another
};

v1::Graph& Main(v1::CompileRequest& request) {
  return *request.mutable_spec()->mutable_module()->mutable_graphs(0);
}

void SetDim(v1::CompileRequest& request, int node, int dim, int64_t value) {
  Main(request).mutable_nodes(node)->mutable_results(0)->mutable_dims(dim)->set_value(value);
}

// A chain of nested `if`s, each in the branch of the one before; the other branch is a leaf.
void Nest(v1::CompileRequest& request, uint32_t depth) {
  v1::GraphModule& module = *request.mutable_spec()->mutable_module();
  module.clear_graphs();
  const auto leaf = [&]() -> v1::Graph& {
    v1::Graph& graph = *module.add_graphs();
    AddInput(graph, "input", "c", {}, v1::DTYPE_BOOL);
    return graph;
  };
  for (uint32_t d = 0; d < depth; ++d) {
    v1::Graph& graph = leaf();
    v1::Node& node = AddNode(graph, "if", {0, 0});
    node.add_subgraphs(d + 1);
    node.add_subgraphs(depth + 1 + d);
    AddOutput(graph, "y", 1);
  }
  for (uint32_t d = 0; d < depth + 1; ++d) AddOutput(leaf(), "y", 0);
}

void ShareSubgraph(v1::CompileRequest& request) {
  Nest(request, 2);
  Main(request).mutable_nodes(1)->set_subgraphs(1, 1);
}

const Bad kBad[] = {
    {"UnknownOp", [](auto& r) { Main(r).mutable_nodes(3)->set_op("matmull"); },
     grpc::INVALID_ARGUMENT, "matmull"},
    {"UnknownSourceKind",
     [](auto& r) {
       Main(r).mutable_nodes(3)->add_sources()->set_kind(static_cast<v1::SourceRef::Kind>(99));
     },
     grpc::INVALID_ARGUMENT, "source kind 99"},
    {"TooManySources",
     [](auto& r) {
       for (int i = 0; i <= 400'000; ++i) Main(r).mutable_nodes(i % 3)->add_sources()->set_id(i);
     },
     grpc::RESOURCE_EXHAUSTED, "max_sources"},
    {"LongSourceName",
     [](auto& r) { Main(r).mutable_nodes(3)->add_sources()->set_name(std::string(513, 's')); },
     grpc::RESOURCE_EXHAUSTED, "max_name_bytes"},
    {"ForwardNode", [](auto& r) { Main(r).mutable_nodes(3)->mutable_operands(0)->set_node(5); },
     grpc::INVALID_ARGUMENT, "node 3"},
    {"DanglingNode", [](auto& r) { Main(r).mutable_nodes(3)->mutable_operands(0)->set_node(99); },
     grpc::INVALID_ARGUMENT, "99"},
    {"Cycle", [](auto& r) { Main(r).mutable_nodes(4)->mutable_operands(0)->set_node(4); },
     grpc::INVALID_ARGUMENT, "node 4"},
    {"DanglingResult",
     [](auto& r) { Main(r).mutable_nodes(4)->mutable_operands(0)->set_result(7); },
     grpc::INVALID_ARGUMENT, "result 7"},
    {"DuplicateNames", [](auto& r) { Main(r).mutable_nodes(2)->set_name("w"); },
     grpc::INVALID_ARGUMENT, "\"w\""},
    {"WrongArity", [](auto& r) { Main(r).mutable_nodes(3)->mutable_operands()->RemoveLast(); },
     grpc::INVALID_ARGUMENT, "matmul"},
    {"ShapeMismatch", [](auto& r) { SetDim(r, 1, 0, 5); }, grpc::INVALID_ARGUMENT, "matmul"},
    {"DtypeMismatch",
     [](auto& r) { Main(r).mutable_nodes(2)->mutable_results(0)->set_dtype(v1::DTYPE_F64); },
     grpc::INVALID_ARGUMENT, "add"},
    {"DeclaredTypeDiffers",
     [](auto& r) {
       v1::TensorType& type = *Main(r).mutable_nodes(3)->add_results();
       type.set_dtype(v1::DTYPE_F32);
       type.add_dims()->set_value(9);
     },
     grpc::INVALID_ARGUMENT, "matmul"},
    {"OverflowingDims",
     [](auto& r) {
       SetDim(r, 0, 0, int64_t{1} << 40);
       SetDim(r, 0, 1, int64_t{1} << 40);
       SetDim(r, 1, 0, int64_t{1} << 40);
     },
     grpc::INVALID_ARGUMENT, "overflow", "%0 input \"x\""},
    {"NegativeDim", [](auto& r) { SetDim(r, 0, 0, -3); }, grpc::INVALID_ARGUMENT, "-3"},
    {"ZeroDim", [](auto& r) { SetDim(r, 0, 0, 0); }, grpc::INVALID_ARGUMENT, "extent 0"},
    {"Rank65",
     [](auto& r) {
       for (int d = 0; d < 63; ++d) {
         Main(r).mutable_nodes(0)->mutable_results(0)->add_dims()->set_value(1);
       }
     },
     grpc::RESOURCE_EXHAUSTED, "rank"},
    {"ConstantBytes",
     [](auto& r) {
       v1::Node& node = *Main(r).mutable_nodes(2);
       node.set_op("constant");
       v1::Attribute& value = *node.add_attributes();
       value.set_name("value");
       *value.mutable_tensor() = Floats({4}, 1);
       value.mutable_tensor()->mutable_data()->pop_back();
     },
     grpc::INVALID_ARGUMENT, "15 bytes", "node 2 constant \"b\""},
    {"TooManyNodes",
     [](auto& r) {
       for (uint32_t n = 5; n < 60; ++n) AddNode(Main(r), "neg", {n});
     },
     grpc::RESOURCE_EXHAUSTED, "max_nodes"},
    // Refused before they are read: reading compares each with those before.
    {"TooManyConstraints",
     [](auto& r) {
       for (int i = 0; i < 200'000; ++i) {
         v1::DimConstraint& one = *r.mutable_spec()->mutable_module()->add_constraints();
         one.mutable_left()->set_value(i + 1);
         one.mutable_right()->set_value(i + 1);
       }
     },
     grpc::RESOURCE_EXHAUSTED, "max_constraints"},
    {"NestingBeyondLimit", [](auto& r) { Nest(r, 12); }, grpc::RESOURCE_EXHAUSTED, "max_nesting"},
    {"SharedSubgraph", ShareSubgraph, grpc::INVALID_ARGUMENT, "owner"},
    {"UnknownAttribute", [](auto& r) { SetInt(*Main(r).mutable_nodes(3), "colour", 3); },
     grpc::INVALID_ARGUMENT, "colour"},
    {"UnknownDtype",
     [](auto& r) {
       Main(r).mutable_nodes(0)->mutable_results(0)->set_dtype(static_cast<v1::DType>(77));
     },
     grpc::INVALID_ARGUMENT, "77"},
    {"UnknownStage",
     [](auto& r) { r.mutable_spec()->mutable_module()->set_stage(static_cast<v1::Stage>(9)); },
     grpc::INVALID_ARGUMENT, "stage 9"},
    {"UnknownDevice",
     [](auto& r) { r.mutable_spec()->mutable_target()->set_device(static_cast<v1::Device>(40)); },
     grpc::INVALID_ARGUMENT, "40"},
    {"NoTarget", [](auto& r) { r.mutable_spec()->clear_target(); }, grpc::INVALID_ARGUMENT,
     "spec.target.device is missing"},
    {"UnknownProfile", [](auto& r) { r.mutable_spec()->mutable_target()->set_profile("cpu:vax"); },
     grpc::NOT_FOUND, "cpu:vax"},
    {"UndeclaredSymbol",
     [](auto& r) {
       Main(r).mutable_nodes(0)->mutable_results(0)->mutable_dims(0)->set_symbol("tokens");
     },
     grpc::INVALID_ARGUMENT, "tokens"},
    {"DivisorBelowOne",
     [](auto& r) {
       v1::DimExpr& expr =
           *Main(r).mutable_nodes(0)->mutable_results(0)->mutable_dims(0)->mutable_expr();
       expr.add_terms()->set_symbol("batch");
       expr.add_terms()->set_constant(-2);
       expr.add_terms()->set_op(v1::DimExpr::OP_FLOOR_DIV);
     },
     grpc::INVALID_ARGUMENT, "divides by -2"},
    {"PlanOfMir", [](auto& r) { r.mutable_spec()->mutable_module()->mutable_plan(); },
     grpc::INVALID_ARGUMENT, "plan"},
    {"SameNameOfInputAndParam", [](auto& r) { Main(r).mutable_nodes(1)->set_name("x"); },
     grpc::INVALID_ARGUMENT, "\"x\""},
    {"NoOutput", [](auto& r) { Main(r).clear_outputs(); }, grpc::INVALID_ARGUMENT, "output"},
    {"NoModule", [](auto& r) { r.mutable_spec()->clear_source(); }, grpc::INVALID_ARGUMENT,
     "module"},
    {"MissingBlob",
     [](auto& r) { r.mutable_spec()->mutable_module_blob()->set_sha256(std::string(32, 'x')); },
     grpc::NOT_FOUND, "blob"},
    {"Alignment0", [](auto& r) { r.mutable_spec()->mutable_options()->set_arena_alignment(0); },
     grpc::INVALID_ARGUMENT, "arena_alignment"},
    {"Alignment48", [](auto& r) { r.mutable_spec()->mutable_options()->set_arena_alignment(48); },
     grpc::INVALID_ARGUMENT, "arena_alignment"},
    {"Alignment2To63",
     [](auto& r) { r.mutable_spec()->mutable_options()->set_arena_alignment(uint64_t{1} << 63); },
     grpc::INVALID_ARGUMENT, "9223372036854775808"},
    {"ArenaOf2To63",
     [](auto& r) {
       r.mutable_spec()->mutable_module()->set_stage(v1::STAGE_LIR);
       r.mutable_spec()->mutable_module()->mutable_plan()->set_arena_size(uint64_t{1} << 63);
     },
     grpc::INVALID_ARGUMENT, "arena_size 9223372036854775808"},
    {"OffsetThatWraps",
     [](auto& r) {
       r.mutable_spec()->mutable_module()->set_stage(v1::STAGE_LIR);
       v1::Assignment& assignment =
           *r.mutable_spec()->mutable_module()->mutable_plan()->add_assignments();
       assignment.set_storage(v1::STORAGE_ARENA);
       assignment.set_offset(UINT64_MAX - 63);
     },
     grpc::INVALID_ARGUMENT, "offset 18446744073709551552"},
    {"UnknownPrecision",
     [](auto& r) {
       r.mutable_spec()->mutable_options()->set_precision(static_cast<v1::Precision>(12));
     },
     grpc::INVALID_ARGUMENT, "precision"},
    {"UnknownFusionPolicy",
     [](auto& r) {
       r.mutable_spec()->mutable_module()->set_fusion_policy(static_cast<v1::FusionPolicy>(99));
     },
     grpc::INVALID_ARGUMENT, "fusion policy 99"},
    {"UnknownPolicyKind",
     [](auto& r) {
       r.mutable_spec()->mutable_options()->mutable_policy()->set_kind(
           static_cast<v1::PrecisionPolicy::Kind>(99));
     },
     grpc::INVALID_ARGUMENT, "policy.kind", "99"},
    {"UnknownCustomPrecision",
     [](auto& r) {
       v1::PrecisionPolicy& policy = *r.mutable_spec()->mutable_options()->mutable_policy();
       policy.set_kind(v1::PrecisionPolicy::KIND_CUSTOM);
       (*policy.mutable_custom())["MatMul"] = static_cast<v1::Precision>(99);
     },
     grpc::INVALID_ARGUMENT, "policy.custom", "99"},
    {"UnknownDispatchPolicy",
     [](auto& r) {
       r.mutable_spec()->mutable_options()->mutable_kernel_dispatch()->set_policy(
           static_cast<v1::KernelDispatch::Policy>(99));
     },
     grpc::INVALID_ARGUMENT, "kernel_dispatch.policy", "99"},
    {"UnknownFusionTarget",
     [](auto& r) {
       r.mutable_spec()->mutable_options()->set_fusion_target(static_cast<v1::FusionTarget>(99));
     },
     grpc::INVALID_ARGUMENT, "fusion_target", "99"},
    {"UnknownDump",
     [](auto& r) { r.mutable_spec()->mutable_options()->add_dump(static_cast<v1::Stage>(99)); },
     grpc::INVALID_ARGUMENT, "dump", "99"},
    {"UnknownDimOperation",
     [](auto& r) {
       v1::DimExpr& expr =
           *Main(r).mutable_nodes(0)->mutable_results(0)->mutable_dims(0)->mutable_expr();
       expr.add_terms()->set_constant(1);
       expr.add_terms()->set_constant(1);
       expr.add_terms()->set_op(static_cast<v1::DimExpr::Op>(99));
     },
     grpc::INVALID_ARGUMENT, "unknown operation 99", "node 0 input \"x\""},
    {"UnknownStorage",
     [](auto& r) {
       r.mutable_spec()->mutable_module()->set_stage(v1::STAGE_LIR);
       r.mutable_spec()->mutable_module()->mutable_plan()->add_assignments()->set_storage(
           static_cast<v1::Storage>(99));
     },
     grpc::INVALID_ARGUMENT, "unknown storage 99"},
    {"UnknownClaim",
     [](auto& r) {
       r.mutable_spec()->mutable_options()->mutable_supported_ops()->add_names("MatMull");
     },
     grpc::INVALID_ARGUMENT, "MatMull"},
    {"UnknownPass",
     [](auto& r) {
       r.mutable_spec()->mutable_options()->mutable_disabled_passes()->add_names("fuse_all");
     },
     grpc::INVALID_ARGUMENT, "fuse_all"},
    {"LongSalt",
     [](auto& r) { r.mutable_spec()->mutable_options()->set_salt(std::string(65, 's')); },
     grpc::INVALID_ARGUMENT, "salt"},
    {"LongName", [](auto& r) { Main(r).mutable_nodes(0)->set_name(std::string(10'000, 'n')); },
     grpc::RESOURCE_EXHAUSTED, "name"},
};

class BadModules : public DaemonTest {
 protected:
  void SetUp() override { Start({"--max_nodes=50", "--max_nesting=8"}); }
};

TEST_F(BadModules, AreRefusedByNameAndTheServerLives) {
  for (const Bad& bad : kBad) {
    SCOPED_TRACE(bad.name);
    v1::CompileRequest request = RequestFor(LinearModule(2, 3, 4));
    bad.spoil(request);
    const Compiled compiled = Compile(request);
    EXPECT_EQ(compiled.status.error_code(), bad.code) << compiled.status.error_message();
    for (const char* word : {bad.names, bad.also}) {
      EXPECT_NE(compiled.status.error_message().find(word), std::string::npos)
          << compiled.status.error_message();
    }
  }
  EXPECT_TRUE(Serves());
  EXPECT_TRUE(Compile(LinearModule(2, 3, 4)).status.ok());
  EXPECT_EQ(Metric("rlxd_compile_inflight"), 0);
}

TEST_F(BadModules, LimitsThatWerePassedAreNamedAndCounted) {
  v1::CompileRequest request = RequestFor(LinearModule(2, 3, 4));
  for (uint32_t n = 5; n < 60; ++n) AddNode(Main(request), "neg", {n});
  const Compiled compiled = Compile(request);
  EXPECT_EQ(compiled.status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_GE(Metric("rlxd_limit_rejections_total{limit=\"max_nodes\"}"), 1);
}

TEST_F(BadModules, AThousandNestedGraphsAreRefused) {
  Start();
  v1::CompileRequest request = RequestFor(LinearModule(2, 3, 4));
  Nest(request, 1000);
  const Compiled compiled = Compile(request);
  EXPECT_EQ(compiled.status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_NE(compiled.status.error_message().find("max_nesting"), std::string::npos)
      << compiled.status.error_message();
  EXPECT_TRUE(Serves());
  EXPECT_TRUE(Compile(LinearModule(2, 3, 4)).status.ok());
}

TEST_F(BadModules, MessagesAboveTheLimitAreRefused) {
  Start({"--max_message_bytes=1048576"});
  v1::CompileRequest request = RequestFor(LinearModule(2, 3, 4));
  Main(request).set_name(std::string(3 << 20, 'x'));
  EXPECT_EQ(Compile(request).status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(Serves());
}

// More than protobuf can hold: sent as slices that share one page of zeros. The length prefix is
// enough for the server to say no.
TEST_F(BadModules, AThreeGibibyteMessageIsRefused) {
  grpc::GenericStub stub(NewChannel());
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  const auto call = stub.PrepareCall(&context, "/rlx.v1.Compiler/Compile", &queue);
  void* tag = nullptr;
  bool ok = false;
  call->StartCall(nullptr);
  ASSERT_TRUE(queue.Next(&tag, &ok));
  static char zeros[1 << 20] = {};
  const grpc::Slice piece(zeros, sizeof zeros, grpc::Slice::STATIC_SLICE);
#ifdef __SANITIZE_THREAD__
  constexpr size_t kMebibytes = 512;  // its bookkeeping of more passes the limit on mappings
#else
  constexpr size_t kMebibytes = 3072;
#endif
  const std::vector<grpc::Slice> slices(kMebibytes, piece);
  call->Write(grpc::ByteBuffer(slices.data(), slices.size()), nullptr);
  ASSERT_TRUE(queue.Next(&tag, &ok));
  grpc::Status status;
  call->Finish(&status, nullptr);
  ASSERT_TRUE(queue.Next(&tag, &ok));
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED) << status.error_message();
  EXPECT_TRUE(Serves());
}

}  // namespace
}  // namespace rlx::server
