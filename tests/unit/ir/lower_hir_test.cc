// SPDX-License-Identifier: Apache-2.0
// Blocks lower to the same numbers under both policies, and those are the numbers of loops written
// from the block's definition.
#include "runtime/ir/lower_hir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "runtime/base/status.h"
#include "runtime/base/text.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/verify.h"
#include "tests/unit/ir/op_testing.h"

namespace rlx {
namespace {

using Ints = std::vector<int64_t>;
using testing::AllOf;
using testing::Field;
using testing::HasSubstr;

// A block over named operands, as a module of one block.
struct Block {
  OpKind op;
  std::vector<std::pair<std::string, TensorType>> operands;
  std::vector<Attr> attrs;
};

TensorType F64(Shape shape) { return {DType::kF64, std::move(shape)}; }

absl::StatusOr<Module> ModuleOf(const Block& block, FusionPolicy policy) {
  Module module{Stage::kHir, policy, {}};
  GraphBuilder b(module.graph, policy);
  std::vector<Value> operands;
  for (const auto& [name, type] : block.operands) operands.push_back(b.Input(name, type));
  const std::vector<Value> results = b.EmitAll(block.op, operands, block.attrs);
  RLX_TRY(b.status());
  module.graph.node(results[0].node).name = "block";
  for (size_t i = 0; i < results.size(); ++i) b.Output(Cat("out", i), results[i]);
  RLX_TRY(b.status());
  return module;
}

absl::StatusOr<Graph> LowerBlock(const Block& block, FusionPolicy policy) {
  RLX_ASSIGN(const Module module, ModuleOf(block, policy));
  RLX_TRY(Verify(module));
  RLX_ASSIGN(Graph graph, LowerHir(module));
  RLX_TRY(VerifyGraph(graph));
  return graph;
}

std::string WhyNotBlock(const Block& block) {
  const auto module = ModuleOf(block, FusionPolicy::kDirect);
  return module.ok() ? "" : std::string(Message(module.status()));
}

TensorMap RandomInputs(const Graph& graph, const DimBinding& binding = {}) {
  Rng rng(29);
  TensorMap inputs;
  for (NodeId id : graph.inputs()) {
    const Node& node = graph.node(id);
    const TensorType type = node.results[0].Bind(binding);
    if (type.dtype == DType::kF64) {
      inputs[node.name] = RandomF64(rng, type.StaticDims(), -0.7, 0.7);
      continue;
    }
    Ints values;  // bools, and positions that differ from the index
    for (int64_t k = 0; k < *type.NumElements(); ++k) {
      values.push_back(type.dtype == DType::kBool ? k % 3 != 1 : k + 2);
    }
    inputs[node.name] = HostTensor::FromInts(type.dtype, type.StaticDims(), values);
  }
  return inputs;
}

int Count(const Graph& graph, OpKind op) {
  int count = 0;
  for (const Node& node : graph.nodes()) count += node.op == op;
  return count;
}

// Both policies agree; returns the outputs.
std::vector<EvalTensor> EvaluateBoth(const Block& block) {
  const auto direct = LowerBlock(block, FusionPolicy::kDirect);
  const auto fusable = LowerBlock(block, FusionPolicy::kFusable);
  EXPECT_TRUE(direct.ok()) << Message(direct.status());
  EXPECT_TRUE(fusable.ok()) << Message(fusable.status());
  if (!direct.ok() || !fusable.ok()) return {};
  const auto a = Evaluate(*direct, RandomInputs(*direct));
  const auto b = Evaluate(*fusable, RandomInputs(*fusable));
  EXPECT_TRUE(a.ok()) << Message(a.status());
  EXPECT_TRUE(b.ok()) << Message(b.status());
  if (!a.ok() || !b.ok()) return {};
  for (size_t i = 0; i < a->size(); ++i) EXPECT_LT(MaxDifference((*a)[i], (*b)[i]), 1e-12);
  return *a;
}

// ---- the blocks

Block LinearBlock(std::string activation, bool bias) {
  Block block{OpKind::kHirLinear,
              {{"x", F64({2, 3, 4})}, {"w", F64({4, 5})}},
              {{"activation", std::move(activation)}}};
  if (bias) block.operands.push_back({"bias", F64({5})});
  return block;
}

Block SwigluBlock() {
  return {OpKind::kHirSwiglu,
          {{"x", F64({3, 4})}, {"up", F64({4, 6})}, {"gate", F64({4, 6})}, {"down", F64({6, 4})}},
          {}};
}

struct LlamaSize {
  Dim batch = 2, seq = 5;
  int64_t heads = 4, kv_heads = 2, head_dim = 6, hidden = 10, inner = 14, table = 16;
};

Block LlamaBlock(const LlamaSize& n, bool betas = false, bool positions = false,
                 std::string mask = "causal") {
  Block block{OpKind::kHirLlamaDecoderBlock,
              {{"x", F64({n.batch, n.seq, n.hidden})}, {"ln1_g", F64({n.hidden})}},
              {{"num_heads", n.heads},
               {"num_kv_heads", n.kv_heads},
               {"head_dim", n.head_dim},
               {"n_rot", int64_t{4}},
               {"eps", 1e-5},
               {"mask", mask},
               {"norm_bias", betas},
               {"has_positions", positions}}};
  auto add = [&](std::string name, Shape shape) {
    block.operands.push_back({std::move(name), F64(std::move(shape))});
  };
  if (betas) add("ln1_b", {n.hidden});
  add("q_w", {n.hidden, n.heads * n.head_dim});
  add("k_w", {n.hidden, n.kv_heads * n.head_dim});
  add("v_w", {n.hidden, n.kv_heads * n.head_dim});
  add("o_w", {n.heads * n.head_dim, n.hidden});
  add("ln2_g", {n.hidden});
  if (betas) add("ln2_b", {n.hidden});
  add("gate_w", {n.hidden, n.inner});
  add("up_w", {n.hidden, n.inner});
  add("down_w", {n.inner, n.hidden});
  add("cos", {n.table, 2});
  add("sin", {n.table, 2});
  if (mask == "keep") block.operands.push_back({"mask", {DType::kBool, {n.batch, n.seq}}});
  if (positions) block.operands.push_back({"positions", {DType::kI32, {n.seq}}});
  return block;
}

Block BertBlock(bool mask) {
  const int64_t hidden = 8, width = 12, inner = 9;
  Block block{OpKind::kHirBertEncoderBlock,
              {{"x", F64({2, 4, hidden})}},
              {{"num_heads", int64_t{3}}, {"head_dim", int64_t{4}}, {"eps", 1e-12}}};
  auto add = [&](std::string name, Shape shape) {
    block.operands.push_back({std::move(name), F64(std::move(shape))});
  };
  if (mask) {
    block.attrs.push_back({"mask", std::string("keep")});
    block.operands.push_back({"mask", {DType::kBool, {2, 4}}});
  }
  for (const char* name : {"q", "k", "v"}) {
    add(Cat(name, "_w"), {hidden, width});
    add(Cat(name, "_b"), {width});
  }
  add("o_w", {width, hidden});
  for (const char* name : {"o_b", "ln1_g", "ln1_b"}) add(name, {hidden});
  add("ffn1_w", {hidden, inner});
  add("ffn1_b", {inner});
  add("ffn2_w", {inner, hidden});
  for (const char* name : {"ffn2_b", "ln2_g", "ln2_b"}) add(name, {hidden});
  return block;
}

// ---- the same, by definition, on one batch element

struct Matrix {
  int64_t rows, columns;
  std::vector<double> at;
  double& operator()(int64_t i, int64_t j) { return at[i * columns + j]; }
  double operator()(int64_t i, int64_t j) const { return at[i * columns + j]; }
};

Matrix Load(const TensorMap& inputs, const std::string& name) {
  const HostTensor& tensor = inputs.at(name);
  const Ints& dims = tensor.dims();
  return {dims.size() == 2 ? dims[0] : 1, dims.back(), tensor.ToDoubles()};
}

Matrix Slice(const HostTensor& x, int64_t batch) {
  const Ints& d = x.dims();
  const auto all = x.ToDoubles();
  const auto first = all.begin() + batch * d[1] * d[2];
  return {d[1], d[2], std::vector<double>(first, first + d[1] * d[2])};
}

Matrix operator*(const Matrix& a, const Matrix& b) {
  Matrix out{a.rows, b.columns, std::vector<double>(a.rows * b.columns, 0.0)};
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t j = 0; j < b.columns; ++j) {
      for (int64_t k = 0; k < a.columns; ++k) out(i, j) += a(i, k) * b(k, j);
    }
  }
  return out;
}

// a + b, b one row or as many as a.
Matrix operator+(Matrix a, const Matrix& b) {
  for (int64_t i = 0; i < a.rows; ++i) {
    for (int64_t j = 0; j < a.columns; ++j) a(i, j) += b(b.rows == 1 ? 0 : i, j);
  }
  return a;
}

Matrix Norm(Matrix x, const Matrix& gamma, double eps, bool centred) {
  for (int64_t i = 0; i < x.rows; ++i) {
    double mean = 0, square = 0;
    for (int64_t j = 0; centred && j < x.columns; ++j) mean += x(i, j) / x.columns;
    for (int64_t j = 0; j < x.columns; ++j) {
      square += (x(i, j) - mean) * (x(i, j) - mean) / x.columns;
    }
    for (int64_t j = 0; j < x.columns; ++j) {
      x(i, j) = (x(i, j) - mean) / std::sqrt(square + eps) * gamma(0, j);
    }
  }
  return x;
}

Matrix Rotate(Matrix x, int64_t head_dim, const Matrix& cos, const Matrix& sin, int64_t offset) {
  const int64_t half = cos.columns;
  for (int64_t i = 0; i < x.rows; ++i) {
    for (int64_t first = 0; first < x.columns; first += head_dim) {
      for (int64_t k = 0; k < half; ++k) {
        const double a = x(i, first + k), b = x(i, first + k + half);
        const double c = cos(i + offset, k), s = sin(i + offset, k);
        x(i, first + k) = a * c - b * s;
        x(i, first + k + half) = b * c + a * s;
      }
    }
  }
  return x;
}

template <class Sees>
Matrix Attend(const Matrix& q, const Matrix& k, const Matrix& v, int64_t head_dim, Sees&& sees) {
  Matrix out{q.rows, q.columns, std::vector<double>(q.rows * q.columns, 0.0)};
  const int64_t group = q.columns / k.columns;
  for (int64_t first = 0; first < q.columns; first += head_dim) {
    const int64_t kv = first / head_dim / group * head_dim;
    for (int64_t i = 0; i < q.rows; ++i) {
      double total = 0;
      std::vector<double> weights(k.rows, 0.0);
      for (int64_t j = 0; j < k.rows; ++j) {
        double score = 0;
        for (int64_t d = 0; d < head_dim; ++d) score += q(i, first + d) * k(j, kv + d);
        if (sees(i, j)) total += weights[j] = std::exp(score / std::sqrt(head_dim));
      }
      for (int64_t j = 0; j < k.rows; ++j) {
        for (int64_t d = 0; d < head_dim; ++d) {
          out(i, first + d) += weights[j] / total * v(j, kv + d);
        }
      }
    }
  }
  return out;
}

Matrix ExpectedLlama(const TensorMap& in, int64_t batch, int64_t head_dim, int64_t offset) {
  auto load = [&](const char* name) { return Load(in, name); };
  const Matrix x = Slice(in.at("x"), batch);
  const Matrix n = Norm(x, load("ln1_g"), 1e-5, false);
  const Matrix q = Rotate(n * load("q_w"), head_dim, load("cos"), load("sin"), offset);
  const Matrix k = Rotate(n * load("k_w"), head_dim, load("cos"), load("sin"), offset);
  const auto causal = [](int64_t i, int64_t j) { return j <= i; };
  const Matrix h = x + Attend(q, k, n * load("v_w"), head_dim, causal) * load("o_w");
  const Matrix m = Norm(h, load("ln2_g"), 1e-5, false);
  Matrix inner = m * load("up_w");
  const Matrix gate = m * load("gate_w");
  for (size_t i = 0; i < inner.at.size(); ++i)
    inner.at[i] *= gate.at[i] / (1 + std::exp(-gate.at[i]));
  return h + inner * load("down_w");
}

Matrix ExpectedBert(const TensorMap& in, int64_t batch, bool mask) {
  auto load = [&](const char* name) { return Load(in, name); };
  const Matrix x = Slice(in.at("x"), batch);
  const auto sees = [&](int64_t, int64_t j) {
    return !mask || in.at("mask").ToInts()[batch * x.rows + j] != 0;
  };
  const Matrix heads = Attend(x * load("q_w") + load("q_b"), x * load("k_w") + load("k_b"),
                              x * load("v_w") + load("v_b"), 4, sees);
  const Matrix h =
      Norm(x + (heads * load("o_w") + load("o_b")), load("ln1_g"), 1e-12, true) + load("ln1_b");
  Matrix inner = h * load("ffn1_w") + load("ffn1_b");
  for (double& v : inner.at) v = v * 0.5 * (1 + std::erf(v / std::sqrt(2.0)));
  const Matrix outer = h + (inner * load("ffn2_w") + load("ffn2_b"));
  return Norm(outer, load("ln2_g"), 1e-12, true) + load("ln2_b");
}

void ExpectBatchNear(const EvalTensor& got, int64_t batch, const Matrix& want) {
  const int64_t size = want.rows * want.columns;
  for (int64_t k = 0; k < size; ++k) {
    ASSERT_NEAR(got.f[batch * size + k], want.at[k], 1e-10) << batch << " " << k;
  }
}

// ---- tests

TEST(LowerHir, LinearIsOneFusedOpOrAChain) {
  const Block block = LinearBlock("gelu", true);
  const auto direct = LowerBlock(block, FusionPolicy::kDirect);
  const auto fusable = LowerBlock(block, FusionPolicy::kFusable);
  ASSERT_TRUE(direct.ok() && fusable.ok());
  EXPECT_EQ(direct->size(), 4);  // x, w, bias, fused
  EXPECT_EQ(Count(*direct, OpKind::kFusedMatMulBiasAct), 1);
  EXPECT_EQ(fusable->size(), 6);  // … matmul, add, gelu
  EXPECT_EQ(Count(*fusable, OpKind::kMatMul), 1);
  EvaluateBoth(block);
}

TEST(LowerHir, PlainLinearIsAMatMulUnderBothPolicies) {
  for (FusionPolicy policy : {FusionPolicy::kDirect, FusionPolicy::kFusable}) {
    const auto graph = LowerBlock(LinearBlock("none", false), policy);
    ASSERT_TRUE(graph.ok());
    EXPECT_EQ(graph->size(), 3);
    EXPECT_EQ(Count(*graph, OpKind::kMatMul), 1);
  }
}

TEST(LowerHir, EveryActivationAgreesUnderBothPolicies) {
  for (const char* name : {"none", "relu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh"}) {
    EvaluateBoth(LinearBlock(name, true));
    EvaluateBoth(LinearBlock(name, false));
  }
}

TEST(LowerHir, LinearFusedIsFusedUnderBothPolicies) {
  Block block = LinearBlock("silu", true);
  block.op = OpKind::kHirLinearFused;
  for (FusionPolicy policy : {FusionPolicy::kDirect, FusionPolicy::kFusable}) {
    const auto graph = LowerBlock(block, policy);
    ASSERT_TRUE(graph.ok());
    EXPECT_EQ(Count(*graph, OpKind::kFusedMatMulBiasAct), 1);
  }
}

TEST(LowerHir, SharedLinearPairJoinsItsWeights) {
  const Block block{OpKind::kHirSharedLinearPair,
                    {{"x", F64({3, 4})}, {"first", F64({4, 5})}, {"second", F64({4, 2})}},
                    {}};
  const auto direct = LowerBlock(block, FusionPolicy::kDirect);
  ASSERT_TRUE(direct.ok());
  EXPECT_EQ(Count(*direct, OpKind::kMatMul), 1);
  const auto fusable = LowerBlock(block, FusionPolicy::kFusable);
  ASSERT_TRUE(fusable.ok());
  EXPECT_EQ(Count(*fusable, OpKind::kMatMul), 2);
  const auto out = EvaluateBoth(block);
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[0].dims, (Ints{3, 5}));
  EXPECT_EQ(out[1].dims, (Ints{3, 2}));
}

TEST(LowerHir, SwigluNodeCounts) {
  const auto direct = LowerBlock(SwigluBlock(), FusionPolicy::kDirect);
  const auto fusable = LowerBlock(SwigluBlock(), FusionPolicy::kFusable);
  ASSERT_TRUE(direct.ok() && fusable.ok());
  EXPECT_EQ(Count(*direct, OpKind::kFusedSwiglu), 1);
  EXPECT_EQ(Count(*direct, OpKind::kMatMul), 2);
  EXPECT_EQ(Count(*fusable, OpKind::kMatMul), 3);
  EXPECT_EQ(fusable->size(), 9);
  EvaluateBoth(SwigluBlock());
}

TEST(LowerHir, ResidualNormsGiveNormAndSum) {
  for (OpKind op : {OpKind::kHirResidualRmsNorm, OpKind::kHirResidualLayerNorm}) {
    const Block block{
        op,
        {{"x", F64({3, 4})}, {"residual", F64({3, 4})}, {"gamma", F64({4})}, {"beta", F64({4})}},
        {}};
    const auto direct = LowerBlock(block, FusionPolicy::kDirect);
    ASSERT_TRUE(direct.ok()) << Message(direct.status());
    EXPECT_EQ(direct->size(), 5);
    EXPECT_EQ(EvaluateBoth(block).size(), 2u);
  }
}

TEST(LowerHir, LlamaMatchesItsDefinition) {
  for (bool positions : {false, true}) {
    const Block block = LlamaBlock({}, false, positions);
    const auto out = EvaluateBoth(block);
    ASSERT_EQ(out.size(), 1u);
    const auto module = ModuleOf(block, FusionPolicy::kDirect);
    const TensorMap inputs = RandomInputs(module->graph);
    for (int64_t b = 0; b < 2; ++b) {
      ExpectBatchNear(out[0], b, ExpectedLlama(inputs, b, 6, positions ? 2 : 0));
    }
  }
}

TEST(LowerHir, LlamaTakesBetasAndMasks) {
  EvaluateBoth(LlamaBlock({}, true));
  EvaluateBoth(LlamaBlock({}, true, true, "keep"));
}

// No head is copied, the residual sum feeds the norm and the end, and every pair has been fused.
TEST(LowerHir, DirectLlamaIsFused) {
  const auto graph = LowerBlock(LlamaBlock({}), FusionPolicy::kDirect);
  ASSERT_TRUE(graph.ok());
  EXPECT_EQ(Count(*graph, OpKind::kAttention), 1);
  EXPECT_EQ(Count(*graph, OpKind::kRope), 2);
  EXPECT_EQ(Count(*graph, OpKind::kMatMul), 3);              // qkv, o, gate and up
  EXPECT_EQ(Count(*graph, OpKind::kFusedMatMulBiasAct), 1);  // down + residual
  EXPECT_EQ(Count(*graph, OpKind::kFusedResidualRmsNorm), 1);
  EXPECT_EQ(Count(*graph, OpKind::kFusedSwiglu), 1);
  EXPECT_EQ(Count(*graph, OpKind::kExpand), 0);
}

TEST(LowerHir, BertMatchesItsDefinition) {
  for (bool mask : {false, true}) {
    const Block block = BertBlock(mask);
    const auto out = EvaluateBoth(block);
    ASSERT_EQ(out.size(), 1u);
    const auto module = ModuleOf(block, FusionPolicy::kDirect);
    const TensorMap inputs = RandomInputs(module->graph);
    for (int64_t b = 0; b < 2; ++b) ExpectBatchNear(out[0], b, ExpectedBert(inputs, b, mask));
  }
}

// Lower with symbols and bind, or bind and lower: the same numbers, in both policies and in parts.
TEST(LowerHir, SymbolicBlocksBindLater) {
  LlamaSize symbolic;
  symbolic.batch = Dim::Symbol(kBatch);
  symbolic.seq = Dim::Symbol(kSeq);
  const DimBinding binding = {{std::string(kBatch), 2}, {std::string(kSeq), 5}};
  const auto want = EvaluateBoth(LlamaBlock({}));
  ASSERT_EQ(want.size(), 1u);
  for (FusionPolicy policy : {FusionPolicy::kDirect, FusionPolicy::kFusable}) {
    const auto graph = LowerBlock(LlamaBlock(symbolic), policy);
    ASSERT_TRUE(graph.ok()) << Message(graph.status());
    const auto bound = BindSymbols(*graph, binding);
    ASSERT_TRUE(bound.ok()) << Message(bound.status());
    const auto got = Evaluate(*bound, RandomInputs(*bound));
    ASSERT_TRUE(got.ok()) << Message(got.status());
    EXPECT_LT(MaxDifference((*got)[0], want[0]), 1e-12);
  }
}

// Every composite of a symbolic block taken apart, then bound.
TEST(LowerHir, SymbolicPartsBindLater) {
  LlamaSize symbolic;
  symbolic.batch = Dim::Symbol(kBatch);
  symbolic.seq = Dim::Symbol(kSeq);
  const auto graph = LowerBlock(LlamaBlock(symbolic), FusionPolicy::kFusable);
  ASSERT_TRUE(graph.ok());
  Graph parts;
  GraphBuilder b(parts);
  std::vector<std::vector<Value>> map;
  for (Node node : graph->nodes()) {
    for (Value& v : node.operands) v = map[v.node][v.result];
    const OpInfo& info = Info(node.op);
    if (IsLeaf(node.op)) {
      map.push_back({{parts.Add(node)}});
    } else if (info.decompose) {
      const auto values = info.decompose(b, node);
      ASSERT_TRUE(values.ok()) << Message(values.status());
      map.push_back(*values);
    } else {
      map.push_back(b.Clone(node, node.operands));
    }
  }
  b.Output("out0", map.back()[0]);
  ASSERT_TRUE(b.status().ok()) << Message(b.status());
  EXPECT_EQ(Count(parts, OpKind::kAttention) + Count(parts, OpKind::kRope), 0);
  const auto bound = BindSymbols(parts, {{std::string(kBatch), 2}, {std::string(kSeq), 5}});
  ASSERT_TRUE(bound.ok()) << Message(bound.status());
  const auto got = Evaluate(*bound, RandomInputs(*bound));
  ASSERT_TRUE(got.ok()) << Message(got.status());
  const auto want = EvaluateBoth(LlamaBlock({}));
  EXPECT_LT(MaxDifference((*got)[0], want[0]), 1e-10);
}

TEST(LowerHir, NodesSayWhereTheyCameFrom) {
  const auto graph = LowerBlock(LinearBlock("gelu", true), FusionPolicy::kFusable);
  ASSERT_TRUE(graph.ok());
  for (NodeId id = 3; id < graph->size(); ++id) {
    EXPECT_THAT(
        graph->node(id).sources,
        testing::ElementsAre(AllOf(Field(&SourceRef::kind, SourceRef::Kind::kHir),
                                   Field(&SourceRef::id, 3), Field(&SourceRef::name, "block"))));
  }
}

TEST(LowerHir, CopiesMirOpsAndTheSignature) {
  Module module{Stage::kHir, FusionPolicy::kDirect, {}};
  GraphBuilder b(module.graph);
  const Value x = b.Input("x", F64({2, 4})), unused = b.Input("unused", F64({1}));
  EXPECT_TRUE(unused.valid());
  const Value w = b.Param("w", F64({4, 4}));
  const Value y = b.Emit(OpKind::kHirLinear, {b.Unary(OpKind::kTanh, x), w});
  b.Output("y", b.Add(y, x));
  ASSERT_TRUE(b.status().ok()) << Message(b.status());
  const auto graph = LowerHir(module);
  ASSERT_TRUE(graph.ok()) << Message(graph.status());
  EXPECT_EQ(graph->inputs().size(), 2u);
  EXPECT_EQ(graph->params().size(), 1u);
  EXPECT_EQ(Count(*graph, OpKind::kTanh), 1);
  EXPECT_EQ(Count(*graph, OpKind::kAdd), 1);
  EXPECT_EQ(graph->outputs()[0].name, "y");
  EXPECT_TRUE(VerifyGraph(*graph).ok());
}

TEST(LowerHir, RefusesOtherStages) {
  EXPECT_THAT(std::string(Message(LowerHir(Module{}).status())), HasSubstr("not at the hir stage"));
}

TEST(HirBlocks, SayWhatIsWrong) {
  EXPECT_THAT(WhyNotBlock({OpKind::kHirLinear, {{"x", F64({2, 4})}, {"w", F64({5, 3})}}, {}}),
              HasSubstr("w is f64[5,3] where f64[4,3] is needed"));
  LlamaSize size;
  size.kv_heads = 3;
  EXPECT_THAT(WhyNotBlock(LlamaBlock(size)),
              HasSubstr("num_heads 4 is not a multiple of num_kv_heads 3"));
  size = {};
  size.table = 4;
  EXPECT_THAT(WhyNotBlock(LlamaBlock(size)), HasSubstr("cos has 4 rows for a sequence of 5"));
  Block block = LlamaBlock({});
  block.attrs[3].value = int64_t{3};
  EXPECT_THAT(WhyNotBlock(block), HasSubstr("n_rot 3 is odd"));
  block = LlamaBlock({});
  block.operands[2].second = F64({10, 20});
  EXPECT_THAT(WhyNotBlock(block), HasSubstr("q_w is f64[10,20] where f64[10,24] is needed"));
  block = LlamaBlock({});
  block.attrs[6].value = true;  // norm_bias without the betas
  EXPECT_THAT(WhyNotBlock(block), HasSubstr("has 12 operands where 14 are needed"));
  block = BertBlock(true);
  block.operands[1].second = {DType::kBool, {2, 5}};
  EXPECT_THAT(WhyNotBlock(block), HasSubstr("mask is bool[2,5], which does not broadcast"));
}

}  // namespace
}  // namespace rlx
