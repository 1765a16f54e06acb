// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/ir/hir_reference.h"

#include <cmath>

namespace rlx {

Matrix Load(const TensorMap& inputs, const std::string& name) {
  const HostTensor& tensor = inputs.at(name);
  const std::vector<int64_t>& dims = tensor.dims();
  return {dims.size() == 2 ? dims[0] : 1, dims.back(), tensor.ToDoubles()};
}

Matrix Slice(const HostTensor& x, int64_t batch) {
  const std::vector<int64_t>& d = x.dims();
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

Matrix Attend(const Matrix& q, const Matrix& k, const Matrix& v, int64_t head_dim,
              const std::function<bool(int64_t, int64_t)>& sees) {
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

Matrix Gated(Matrix up, const Matrix& gate) {
  for (size_t i = 0; i < up.at.size(); ++i) up.at[i] *= gate.at[i] / (1 + std::exp(-gate.at[i]));
  return up;
}

Matrix Columns(const Matrix& x, int64_t first, int64_t count) {
  Matrix out{x.rows, count, std::vector<double>(x.rows * count)};
  for (int64_t i = 0; i < x.rows; ++i) {
    for (int64_t j = 0; j < count; ++j) out(i, j) = x(i, first + j);
  }
  return out;
}

Matrix Rows(const Matrix& x, int64_t first, int64_t count) {
  const auto begin = x.at.begin() + first * x.columns;
  return {count, x.columns, std::vector<double>(begin, begin + count * x.columns)};
}

Matrix Below(Matrix above, const Matrix& below) {
  above.at.insert(above.at.end(), below.at.begin(), below.at.end());
  above.rows += below.rows;
  return above;
}

Matrix Beside(const Matrix& left, const Matrix& right) {
  Matrix out{left.rows, left.columns + right.columns, {}};
  for (int64_t i = 0; i < left.rows; ++i) {
    for (const Matrix* side : {&left, &right}) {
      for (int64_t j = 0; j < side->columns; ++j) out.at.push_back((*side)(i, j));
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
  return h + Gated(m * load("up_w"), m * load("gate_w")) * load("down_w");
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

}  // namespace rlx
