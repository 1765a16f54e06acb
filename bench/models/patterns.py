# SPDX-License-Identifier: Apache-2.0
"""The three classic patterns: a feed-forward part, a norm, attention."""

import numpy as np
import onnx

from .builder import Builder


def mlp(width: int = 768, inner: int = 3072) -> onnx.ModelProto:
    g = Builder("mlp")
    x = g.input("x", ["rows", width])
    y = g.linear("down", g.gelu(g.linear("up", x, width, inner)), inner, width)
    g.output("y", y, ["rows", width])
    return g.model()


def layernorm(width: int = 768) -> onnx.ModelProto:
    g = Builder("layernorm")
    x = g.input("x", ["batch", "seq", width])
    g.output("y", g.layer_norm("norm", x, width, 1e-5), ["batch", "seq", width])
    return g.model()


def attention(heads: int = 12, size: int = 64) -> onnx.ModelProto:
    g = Builder("attention")
    dims = ["batch", heads, "seq", size]
    q, k, v = (g.input(name, dims) for name in "qkv")
    g.output("y", sdpa(g, q, k, v, size), dims)
    return g.model()


def sdpa(g: Builder, q: str, k: str, v: str, size: int, mask: str | None = None) -> str:
    """scaled_dot_product_attention, as torch writes it: both sides scaled by the root."""
    root = g.scalar(float(np.sqrt(np.sqrt(1 / size))))
    keys = g.op("Mul", g.op("Transpose", k, perm=[0, 1, 3, 2]), root)
    scores = g.op("MatMul", g.op("Mul", q, root), keys)
    if mask is not None:
        scores = g.op("Add", scores, mask)
    return g.op("MatMul", g.op("Softmax", scores, axis=-1), v)
