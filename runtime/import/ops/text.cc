// SPDX-License-Identifier: Apache-2.0
// Runs of tokens, counted.
#include <algorithm>
#include <cmath>

#include "runtime/import/ops/common.h"
#include "runtime/import/ops/families.h"

namespace rlx::onnx {
namespace {

constexpr int64_t kMaxGram = 16, kMaxSkip = 64, kMaxColumns = int64_t{1} << 20;

// The pool of a TfIdfVectorizer, by length: [0] is of single tokens.
struct Pool {
  struct Grams {
    std::vector<int64_t> tokens;   // one after the other
    std::vector<int64_t> columns;  // of the result, one for each
  };
  std::vector<Grams> by_length;
  int64_t width = 0;            // of the result
  std::vector<double> weights;  // one for each column; empty: ones
};

absl::StatusOr<Pool> PoolOf(const OpNode& n) {
  const std::vector<int64_t> counts = n.IntList("ngram_counts"), tokens = n.IntList("pool_int64s");
  const std::vector<int64_t> columns = n.IntList("ngram_indexes");
  const std::vector<double> weights = n.FloatList("weights");
  const auto size = static_cast<int64_t>(tokens.size());
  if (counts.empty() || static_cast<int64_t>(counts.size()) > kMaxGram)
    return InvalidArgument("ngram_counts has ", counts.size(), " entries; supported are 1 to ",
                           kMaxGram);
  if (!weights.empty() && weights.size() != columns.size())
    return InvalidArgument("weights and ngram_indexes differ in length");
  Pool pool;
  for (const int64_t column : columns) {
    if (column < 0 || column >= kMaxColumns) return InvalidArgument("ngram_indexes has ", column);
    pool.width = std::max(pool.width, column + 1);
  }
  if (!weights.empty()) pool.weights.assign(static_cast<size_t>(pool.width), 0);
  size_t next = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const int64_t begin = counts[i], end = i + 1 < counts.size() ? counts[i + 1] : size;
    const auto length = static_cast<int64_t>(i) + 1;
    if (begin < 0 || begin > end || end > size || (end - begin) % length != 0)
      return InvalidArgument("ngram_counts does not cut pool_int64s into runs");
    Pool::Grams grams;
    grams.tokens.assign(tokens.begin() + begin, tokens.begin() + end);
    for (int64_t k = 0; k < (end - begin) / length; ++k, ++next) {
      if (next >= columns.size()) return InvalidArgument("ngram_indexes has too few entries");
      grams.columns.push_back(columns[next]);
      if (!weights.empty()) pool.weights[static_cast<size_t>(columns[next])] = weights[next];
    }
    pool.by_length.push_back(std::move(grams));
  }
  return pool;
}

// How often each gram of `length` tokens, `skip` others between each two, is in x [batch, tokens]:
// f32 [batch, grams].
Value Occurrences(GraphBuilder& b, Value x, const Pool::Grams& grams, int64_t length,
                  int64_t skip) {
  const Shape s = ShapeOf(b, x);
  const int64_t windows = s[1].value() - (length - 1) * (skip + 1);
  const auto count = static_cast<int64_t>(grams.columns.size());
  Value all;
  for (int64_t k = 0; k < length; ++k) {
    std::vector<int64_t> wanted;
    for (int64_t g = 0; g < count; ++g)
      wanted.push_back(grams.tokens[static_cast<size_t>(g * length + k)]);
    const Value token = b.Reshape(Strided(b, x, 1, k * (skip + 1), 1, windows), {s[0], windows, 1});
    const Value gram = b.Constant(HostTensor::FromInts(DType::kI64, {1, 1, count}, wanted));
    const Value hit = b.Emit(OpKind::kEq, {token, gram});
    all = k == 0 ? hit : b.Emit(OpKind::kLogicalAnd, {all, hit});
  }
  return b.Reduce(OpKind::kReduceSum, b.Cast(all, DType::kF32), {1}, false);
}

Results TfIdfVectorizer(OpNode& n) {
  GraphBuilder& b = n.b;
  RLX_ASSIGN(const std::string mode, n.Choice("mode", "", {"TF", "IDF", "TFIDF"}));
  RLX_ASSIGN(const Pool pool, PoolOf(n));
  const int64_t shortest = n.Int("min_gram_length", 1), longest = n.Int("max_gram_length", 1);
  const int64_t skips = n.Int("max_skip_count", 0);
  if (shortest < 1 || longest < shortest || longest > kMaxGram || skips < 0 || skips > kMaxSkip)
    return Unimplemented("runs of ", shortest, " to ", longest, " tokens, ", skips,
                         " skipped; supported are 1 to ", kMaxGram, " tokens and up to ", kMaxSkip,
                         " skipped");
  if (!IsInteger(n.dtype(0)) || n.rank(0) < 1 || n.rank(0) > 2 || !n.shape(0).back().is_static())
    return Unimplemented("operand 0 is ", n.type(0),
                         "; supported are integers [tokens] or [batch,tokens]");
  const Dim tokens = n.shape(0).back(), batch = n.rank(0) == 1 ? Dim(1) : n.shape(0)[0];
  if (pool.width < 1) return Unimplemented("a pool without runs of tokens");
  const Value x = b.Reshape(To(b, n.In(0), DType::kI64), {batch, tokens});
  std::vector<Value> counts = {};
  std::vector<int64_t> columns;
  for (int64_t length = shortest; length <= longest; ++length) {
    if (length > static_cast<int64_t>(pool.by_length.size())) break;
    const Pool::Grams& grams = pool.by_length[static_cast<size_t>(length) - 1];
    if (grams.columns.empty()) continue;
    // A single token has nothing to skip.
    Value sum;
    for (int64_t skip = 0; skip <= (length == 1 ? 0 : skips); ++skip) {
      if (tokens.value() <= (length - 1) * (skip + 1)) break;
      const Value found = Occurrences(b, x, grams, length, skip);
      sum = skip == 0 ? found : b.Add(sum, found);
    }
    if (!sum.valid()) continue;
    counts.push_back(sum);
    columns.insert(columns.end(), grams.columns.begin(), grams.columns.end());
  }
  Value y = b.Expand(b.Scalar(DType::kF32, 0), {batch, pool.width});
  if (!counts.empty()) {
    const Value all = counts.size() == 1 ? counts[0] : b.Concat(std::move(counts), 1);
    const auto count = static_cast<int64_t>(columns.size());
    const Value to = b.Constant(HostTensor::FromInts(DType::kI64, {count}, columns));
    y = b.Transpose(b.Emit(OpKind::kScatterAdd, {b.Transpose(all, {1, 0}), to},
                           {{"rows", Shape{Dim(pool.width)}}}),
                    {1, 0});
  }
  if (mode == "IDF") y = b.Cast(b.Emit(OpKind::kGt, {y, Like(b, y, 0)}), DType::kF32);
  if (mode != "TF" && !pool.weights.empty())
    y = b.Mul(y, b.Constant(HostTensor::FromDoubles(DType::kF32, {pool.width}, pool.weights)));
  return One(n.rank(0) == 1 ? b.Reshape(y, {pool.width}) : y);
}

constexpr OpRow kRows[] = {
    {kOnnx, "TfIdfVectorizer", 9, INT32_MAX, 1, 1,
     "max_gram_length max_skip_count min_gram_length mode ngram_counts ngram_indexes pool_int64s "
     "weights",
     TfIdfVectorizer, nullptr, Carries::kNo, "of integers"},
};

}  // namespace

std::span<const OpRow> TextOps() { return kRows; }

}  // namespace rlx::onnx
