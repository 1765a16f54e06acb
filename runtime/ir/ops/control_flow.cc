// SPDX-License-Identifier: Apache-2.0
// Nested graphs: their inputs are the operands given to them, by position; nothing is captured
// unseen.
#include "runtime/base/status.h"
#include "runtime/ir/builder.h"
#include "runtime/ir/evaluate.h"
#include "runtime/ir/ops/elementwise.h"
#include "runtime/ir/ops/families.h"
#include "runtime/ir/ops/rules.h"

namespace rlx {
namespace {

using Tensors = std::vector<EvalTensor>;
using TensorRefs = std::vector<const EvalTensor*>;

std::vector<TensorType> OutputTypes(const Graph& graph) {
  std::vector<TensorType> types;
  for (const Output& output : graph.outputs()) types.push_back(graph.type(output.value));
  return types;
}

// The nested graph takes `inputs`; what it demands of symbols, the node demands.
absl::Status CheckGraph(InferContext& ctx, int which, std::string_view name,
                        const std::vector<TensorType>& inputs) {
  const Graph& graph = *ctx.node.subgraphs[which];
  RLX_TRY(Annotate(RequireInputs(graph, inputs, 0), name));
  ctx.constraints.insert(ctx.constraints.end(), graph.constraints.begin(), graph.constraints.end());
  return absl::OkStatus();
}

// The first outputs of a body are the next values of the first operands, so their types are.
absl::Status CheckCarries(const std::vector<TensorType>& outputs,
                          const std::vector<TensorType>& operands, size_t carries) {
  for (size_t i = 0; i < carries; ++i) {
    if (outputs[i] == operands[i]) continue;
    return InvalidArgument("carry ", i, " is ", operands[i], ", the body makes ", outputs[i]);
  }
  return absl::OkStatus();
}

absl::Status CheckCarryCount(const InferContext& ctx, size_t others) {
  const auto carries = static_cast<size_t>(ctx.node.Int("carries"));
  if (carries + others <= ctx.operands.size()) return absl::OkStatus();
  return InvalidArgument("has ", ctx.operands.size(), " operands for ", carries + others,
                         " carries and sequences");
}

TensorRefs Refs(const Tensors& tensors) {
  TensorRefs refs;
  for (const EvalTensor& tensor : tensors) refs.push_back(&tensor);
  return refs;
}

// --- if

absl::Status InferIf(InferContext& ctx) {
  RLX_TRY(RequireBool(ctx, 0));
  if (ctx.operands[0].rank() != 0)
    return InvalidArgument("the predicate is ", ctx.operands[0], " where bool[] is needed");
  const std::vector<TensorType> captures(ctx.operands.begin() + 1, ctx.operands.end());
  RLX_TRY(CheckGraph(ctx, 0, "branch 0", captures));
  RLX_TRY(CheckGraph(ctx, 1, "branch 1", captures));
  ctx.results = OutputTypes(*ctx.node.subgraphs[0]);
  const std::vector<TensorType> other = OutputTypes(*ctx.node.subgraphs[1]);
  if (ctx.results != other)
    return InvalidArgument("the branches make ", Join(ctx.results, ", "), " and ",
                           Join(other, ", "));
  return absl::OkStatus();
}

absl::Status EvaluateIf(EvalContext& ctx) {
  const int branch = ctx.operands[0]->i[0] != 0 ? 0 : 1;
  const TensorRefs captures(ctx.operands.begin() + 1, ctx.operands.end());
  RLX_ASSIGN(ctx.results, EvaluatePositional(*ctx.node.subgraphs[branch], captures));
  return absl::OkStatus();
}

// A product, or what broadcasts to its type.
OpSample SampleIf(Rng& rng) {
  const int64_t m = Draw(rng, 1, 5), k = Draw(rng, 1, 9), n = Draw(rng, 1, 6);
  OpSample sample{{{{DType::kBool, {}}, 0, 1}, FloatOperand({m, k}), FloatOperand({k, n})}, {}};
  for (bool product : {true, false}) {
    Graph graph;
    GraphBuilder b(graph);
    const Value x = b.Input("x", sample.operands[1].type);
    const Value w = b.Input("w", sample.operands[2].type);
    const Value sum = b.Reduce(OpKind::kReduceSum, x, {1}, true);
    b.Output("out", product ? b.MatMul(x, w) : b.Expand(sum, {m, n}));
    b.Output("sum", product ? sum : b.Unary(OpKind::kNeg, sum));
    sample.subgraphs.push_back(std::make_shared<const Graph>(std::move(graph)));
  }
  return sample;
}

// --- while

absl::Status InferWhile(InferContext& ctx) {
  RLX_TRY(CheckCarryCount(ctx, 0));
  const auto carries = static_cast<size_t>(ctx.node.Int("carries"));
  RLX_TRY(CheckGraph(ctx, 0, "condition", ctx.operands));
  RLX_TRY(CheckGraph(ctx, 1, "body", ctx.operands));
  const std::vector<TensorType> condition = OutputTypes(*ctx.node.subgraphs[0]);
  if (condition != std::vector<TensorType>{{DType::kBool, {}}})
    return InvalidArgument("the condition makes ", Join(condition, ", "),
                           " where bool[] is needed");
  const std::vector<TensorType> outputs = OutputTypes(*ctx.node.subgraphs[1]);
  if (outputs.size() != carries)
    return InvalidArgument("the body makes ", outputs.size(), " values for ", carries, " carries");
  RLX_TRY(CheckCarries(outputs, ctx.operands, carries));
  ctx.results = outputs;
  return absl::OkStatus();
}

absl::Status EvaluateWhile(EvalContext& ctx) {
  const auto carries = static_cast<size_t>(ctx.node.Int("carries"));
  const int64_t most = ctx.node.Int("max_iterations");
  const bool must_end = ctx.node.Bool("must_end");
  Tensors values;
  for (size_t i = 0; i < carries; ++i) values.push_back(*ctx.operands[i]);
  for (int64_t step = 0; step < most || must_end; ++step) {
    TensorRefs inputs = Refs(values);
    inputs.insert(inputs.end(), ctx.operands.begin() + static_cast<int64_t>(carries),
                  ctx.operands.end());
    RLX_ASSIGN(const Tensors condition, EvaluatePositional(*ctx.node.subgraphs[0], inputs));
    if (condition[0].i[0] == 0) break;
    if (step == most)
      return InvalidArgument("the condition still holds after ", most, " iterations");
    RLX_ASSIGN(Tensors next, EvaluatePositional(*ctx.node.subgraphs[1], inputs));
    values = std::move(next);
  }
  ctx.results = std::move(values);
  return absl::OkStatus();
}

// Halves and squashes x while a counter is below a limit.
OpSample SampleWhile(Rng& rng) {
  const TensorType x{DType::kF32, {Draw(rng, 1, 3), Draw(rng, 1, 9)}}, count{DType::kI64, {}};
  OpSample sample{{FloatOperand(x.shape), {count, 0, 3}, {count, 0, 9}},
                  {{"carries", int64_t{2}}, {"max_iterations", Draw(rng, 1, 12)}}};
  Graph condition, body;
  GraphBuilder c(condition), b(body);
  c.Input("x", x);
  const Value i = c.Input("i", count);
  c.Output("on", c.Emit(OpKind::kLt, {i, c.Input("limit", count)}));
  const Value before = b.Input("x", x), at = b.Input("i", count);
  b.Input("limit", count);
  b.Output("x", b.Unary(OpKind::kTanh, b.Mul(before, b.Softmax(before))));
  b.Output("i", b.Add(at, b.Scalar(DType::kI64, 1)));
  sample.subgraphs = {std::make_shared<const Graph>(std::move(condition)),
                      std::make_shared<const Graph>(std::move(body))};
  return sample;
}

// --- scan

// carries…, the same for every step…, sequences….
struct ScanOperands {
  size_t carries, sequences, first_sequence;
  ScanOperands(const Node& node, size_t operands)
      : carries(static_cast<size_t>(node.Int("carries"))),
        sequences(static_cast<size_t>(node.Int("sequences"))),
        first_sequence(operands - sequences) {}
};

// The extent that all sequences have, or the attribute.
absl::StatusOr<Dim> ScanLength(InferContext& ctx, const ScanOperands& at) {
  const Shape& given = ctx.node.Dims("length");
  if (given.size() != 1)
    return InvalidArgument("length is ", ToString(given), " where one extent is needed");
  if (given[0].is_static() && given[0].value() < 1)
    return InvalidArgument("length is ", given[0], ", below 1");
  for (size_t i = at.first_sequence; i < ctx.operands.size(); ++i) {
    if (ctx.operands[i].rank() == 0) return InvalidArgument("sequence operand ", i, " is a scalar");
    RLX_TRY(RequireEqual(ctx, ctx.operands[i].shape[0], given[0], "length"));
  }
  return given[0];
}

absl::Status InferScan(InferContext& ctx) {
  const auto sequences = static_cast<size_t>(ctx.node.Int("sequences"));
  RLX_TRY(CheckCarryCount(ctx, sequences));
  const ScanOperands at(ctx.node, ctx.operands.size());
  RLX_ASSIGN(const Dim length, ScanLength(ctx, at));
  std::vector<TensorType> inputs = ctx.operands;
  for (size_t i = at.first_sequence; i < inputs.size(); ++i)
    inputs[i].shape.erase(inputs[i].shape.begin());
  RLX_TRY(CheckGraph(ctx, 0, "body", inputs));
  ctx.results = OutputTypes(*ctx.node.subgraphs[0]);
  if (ctx.results.size() < at.carries)
    return InvalidArgument("the body makes ", ctx.results.size(), " values for ", at.carries,
                           " carries");
  RLX_TRY(CheckCarries(ctx.results, ctx.operands, at.carries));
  for (size_t i = at.carries; i < ctx.results.size(); ++i)
    ctx.results[i].shape.insert(ctx.results[i].shape.begin(), length);
  return absl::OkStatus();
}

// Slice t along the first axis.
EvalTensor SliceOf(const EvalTensor& x, int64_t t) {
  EvalTensor out =
      EvalTensor::Zeros(x.dtype, std::vector<int64_t>(x.dims.begin() + 1, x.dims.end()));
  for (int64_t k = 0; k < out.size(); ++k) CopyElement(x, t * out.size() + k, out, k);
  return out;
}

void PutSlice(const EvalTensor& slice, int64_t t, EvalTensor& out) {
  for (int64_t k = 0; k < slice.size(); ++k) CopyElement(slice, k, out, t * slice.size() + k);
}

absl::Status EvaluateScan(EvalContext& ctx) {
  const ScanOperands at(ctx.node, ctx.operands.size());
  const int64_t length = ctx.node.Dims("length")[0].value();
  Tensors carries;
  for (size_t i = 0; i < at.carries; ++i) carries.push_back(*ctx.operands[i]);
  for (int64_t t = 0; t < length; ++t) {
    Tensors slices;
    for (size_t i = at.first_sequence; i < ctx.operands.size(); ++i)
      slices.push_back(SliceOf(*ctx.operands[i], t));
    TensorRefs inputs = Refs(carries);
    inputs.insert(inputs.end(), ctx.operands.begin() + static_cast<int64_t>(at.carries),
                  ctx.operands.begin() + static_cast<int64_t>(at.first_sequence));
    for (const EvalTensor& slice : slices) inputs.push_back(&slice);
    RLX_ASSIGN(Tensors made, EvaluatePositional(*ctx.node.subgraphs[0], inputs));
    for (size_t i = at.carries; i < made.size(); ++i) PutSlice(made[i], t, ctx.results[i]);
    made.resize(at.carries);
    carries = std::move(made);
  }
  for (size_t i = 0; i < at.carries; ++i) ctx.results[i] = std::move(carries[i]);
  return absl::OkStatus();
}

// A plain recurrent cell.
OpSample SampleScan(Rng& rng) {
  const int64_t n = Draw(rng, 1, 9), length = Draw(rng, 1, 20);
  const TensorType row{DType::kF32, {1, n}};
  OpSample sample{
      {FloatOperand(row.shape), FloatOperand({n, n}, -0.3, 0.3), FloatOperand({length, 1, n})},
      {{"carries", int64_t{1}}, {"sequences", int64_t{1}}, {"length", Shape{length}}}};
  Graph body;
  GraphBuilder b(body);
  const Value h = b.Input("h", row), w = b.Input("w", {DType::kF32, {n, n}});
  const Value x = b.Input("x", row);
  const Value next = b.Unary(OpKind::kTanh, b.Add(b.MatMul(h, w), x));
  b.Output("h", next);
  b.Output("y", b.Mul(next, x));
  if (Flip(rng)) b.Output("before", h);
  sample.subgraphs = {std::make_shared<const Graph>(std::move(body))};
  return sample;
}

constexpr AttrSpec kCarries = {.name = "carries",
                               .type = AttrType::kInt,
                               .min = 1,
                               .max = 4096,
                               .doc = "how many of the first operands each step replaces"};
constexpr AttrSpec kWhileAttrs[] = {
    kCarries,
    {.name = "max_iterations",
     .type = AttrType::kInt,
     .min = 1,
     .max = int64_t{1} << 31,
     .doc = "it ends after as many steps even if the condition still holds"},
    {.name = "must_end",
     .type = AttrType::kBool,
     .required = false,
     .fallback = false,
     .doc = "a run in which the condition still holds then is INVALID_ARGUMENT"},
};
constexpr AttrSpec kScanAttrs[] = {
    {.name = "carries",
     .type = AttrType::kInt,
     .min = 0,
     .max = 4096,
     .doc = "how many of the first operands each step replaces"},
    {.name = "sequences",
     .type = AttrType::kInt,
     .min = 0,
     .max = 4096,
     .doc = "how many of the last operands are taken apart along axis 0, a slice a step"},
    {.name = "length",
     .type = AttrType::kShape,
     .doc = "one extent: how many steps; that of the sequences"},
};

constexpr OpInfo kTable[] = {
    {.kind = OpKind::kIf,
     .name = "if",
     .claim = "If",
     .op_class = OpClass::kControlFlow,
     .min_operands = 1,
     .max_operands = -1,
     .results = -1,
     .subgraphs = 2,
     .infer = InferIf,
     .evaluate = EvaluateIf,
     .sample = SampleIf,
     .doc =
         "(predicate, captures…) graph graph: the outputs of the first graph where the bool scalar "
         "holds, else of the second; the captures are their inputs, by position"},
    {.kind = OpKind::kWhile,
     .name = "while",
     .claim = "While",
     .op_class = OpClass::kControlFlow,
     .min_operands = 1,
     .max_operands = -1,
     .results = -1,
     .subgraphs = 2,
     .attrs = kWhileAttrs,
     .infer = InferWhile,
     .evaluate = EvaluateWhile,
     .sample = SampleWhile,
     .doc = "(carries…, captures…) graph graph: while the first graph, a bool scalar, holds, the "
            "carries become the outputs of the second; both take all operands; results are the "
            "carries"},
    {.kind = OpKind::kScan,
     .name = "scan",
     .claim = "Scan",
     .op_class = OpClass::kControlFlow,
     .min_operands = 1,
     .max_operands = -1,
     .results = -1,
     .subgraphs = 1,
     .attrs = kScanAttrs,
     .infer = InferScan,
     .evaluate = EvaluateScan,
     .sample = SampleScan,
     .doc = "(carries…, captures…, sequences…) graph: step t gives the graph the carries, the "
            "captures and slice t of each sequence; its first outputs are the next carries, the "
            "others are stacked along a new axis 0; results are the last carries, then the stacks"},
};

}  // namespace

std::span<const OpInfo> ControlFlowOps() { return kTable; }

}  // namespace rlx
