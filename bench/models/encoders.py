# SPDX-License-Identifier: Apache-2.0
"""Transformer encoders: BERT, MiniLM with its real weights, ViT."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from .builder import Builder
from .patterns import sdpa

MOST_NEGATIVE = float(np.finfo(np.float32).min)


@dataclass(frozen=True)
class Config:
    layers: int = 12
    hidden: int = 768
    heads: int = 12
    inner: int = 3072
    vocab: int = 30522
    positions: int = 512
    eps: float = 1e-12


def bert(config: Config = Config()) -> onnx.ModelProto:
    g = Builder("bert-base")
    x = _encode(g, config)
    g.output("last_hidden_state", x, ["batch", "seq", config.hidden])
    first = g.op("Gather", x, g.index(0), axis=1)
    pooled = g.op("Tanh", g.gemm("pooler.dense", first, config.hidden, config.hidden))
    g.output("pooler_output", pooled, ["batch", config.hidden])
    return g.model()


def minilm(config_json: Path, safetensors: Path) -> onnx.ModelProto:
    """all-MiniLM-L6-v2 with its mean over tokens and unit length: "embeddings"."""
    from safetensors.numpy import load_file

    raw = json.loads(config_json.read_text())
    config = Config(
        layers=raw["num_hidden_layers"],
        hidden=raw["hidden_size"],
        heads=raw["num_attention_heads"],
        inner=raw["intermediate_size"],
        vocab=raw["vocab_size"],
        positions=raw["max_position_embeddings"],
        eps=raw["layer_norm_eps"],
    )
    g = Builder("all-MiniLM-L6-v2", params=load_file(safetensors))
    x = _encode(g, config)
    keep = g.op("Cast", g.op("Unsqueeze", "attention_mask", g.ints(2)), to=onnx.TensorProto.FLOAT)
    total = g.op("ReduceSum", g.op("Mul", x, keep), g.ints(1), keepdims=0)
    mean = g.op("Div", total, g.op("ReduceSum", keep, g.ints(1), keepdims=0))
    unit = g.op("Div", mean, g.op("ReduceL2", mean, axes=[1], keepdims=1))
    g.output("embeddings", unit, ["batch", config.hidden])
    return g.model()


def vit(layers: int = 12, hidden: int = 768, heads: int = 12) -> onnx.ModelProto:
    """ViT-B/16 of 224 pixels, 1000 classes: norms first, one product for q, k and v."""
    g, size = Builder("vit-b16"), hidden // heads
    image = g.input("image", ["batch", 3, 224, 224])
    patches = g.conv("patch_embed", image, (3, hidden), kernel=16, stride=16)
    batch = g.dim(patches, 0)
    patches = g.op("Transpose", g.reshape(patches, batch, hidden, -1), perm=[0, 2, 1])
    token = g.op("Expand", g.param("cls_token", 1, 1, hidden, scale=0.02), g.shape(batch, 1, 1))
    x = g.op("Concat", token, patches, axis=1)
    x = g.op("Add", x, g.param("pos_embed", 1, 197, hidden, scale=0.02))
    for layer in range(layers):
        name = f"blocks.{layer}"
        y = g.layer_norm(f"{name}.norm1", x, hidden, 1e-6)
        joint = g.linear(f"{name}.attn.qkv", y, hidden, 3 * hidden)
        joint = g.reshape(joint, batch, 197, 3, heads, size)
        joint = g.op("Transpose", joint, perm=[2, 0, 3, 1, 4])
        q, k, v = (g.op("Gather", joint, g.index(i), axis=0) for i in range(3))
        mixed = g.op("Transpose", sdpa(g, q, k, v, size), perm=[0, 2, 1, 3])
        mixed = g.reshape(mixed, batch, 197, hidden)
        x = g.op("Add", x, g.linear(f"{name}.attn.proj", mixed, hidden, hidden))
        y = g.layer_norm(f"{name}.norm2", x, hidden, 1e-6)
        y = g.gelu(g.linear(f"{name}.mlp.fc1", y, hidden, 4 * hidden))
        x = g.op("Add", x, g.linear(f"{name}.mlp.fc2", y, 4 * hidden, hidden))
    x = g.op("Gather", g.layer_norm("norm", x, hidden, 1e-6), g.index(0), axis=1)
    g.output("logits", g.gemm("head", x, hidden, 1000), ["batch", 1000])
    return g.model()


def _encode(g: Builder, c: Config) -> str:
    """From ids, mask and token types to the last hidden state."""
    rows = ["batch", "seq"]
    ids, mask, types = (
        g.input(name, rows, np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")
    )
    word, position, kind = (
        g.param(f"embeddings.{part}_embeddings.weight", count, c.hidden, scale=0.02)
        for part, count in (("word", c.vocab), ("position", c.positions), ("token_type", 2))
    )
    seq = g.op("Unsqueeze", g.dim(ids, 1), g.ints(0))
    numbers = g.tensor("embeddings.position_ids", np.arange(c.positions, dtype=np.int64)[None])
    numbers = g.op("Slice", numbers, g.ints(0), seq, g.ints(1), g.ints(1))
    x = g.op("Add", g.op("Gather", word, ids, axis=0), g.op("Gather", kind, types, axis=0))
    x = g.op("Add", x, g.op("Gather", position, numbers, axis=0))
    x = g.layer_norm("embeddings.LayerNorm", x, c.hidden, c.eps)
    keep = g.op("Unsqueeze", g.op("Unsqueeze", mask, g.ints(1)), g.ints(2))
    keep = g.op("Cast", keep, to=onnx.TensorProto.FLOAT)
    bias = g.op("Mul", g.op("Sub", g.scalar(1.0), keep), g.scalar(MOST_NEGATIVE))
    for layer in range(c.layers):
        x = _layer(g, c, f"encoder.layer.{layer}", x, bias)
    return x


def _layer(g: Builder, c: Config, name: str, x: str, bias: str) -> str:
    size = c.hidden // c.heads

    def split(part: str, *perm: int) -> str:
        flat = g.linear(f"{name}.attention.self.{part}", x, c.hidden, c.hidden)
        heads = g.reshape(flat, g.dim(flat, 0), g.dim(flat, 1), c.heads, size)
        return g.op("Transpose", heads, perm=perm)

    query, key, value = (
        split("query", 0, 2, 1, 3),
        split("key", 0, 2, 3, 1),
        split("value", 0, 2, 1, 3),
    )
    scores = g.op("Div", g.op("MatMul", query, key), g.scalar(float(np.sqrt(size))))
    weights = g.op("Softmax", g.op("Add", scores, bias), axis=-1)
    mixed = g.op("Transpose", g.op("MatMul", weights, value), perm=[0, 2, 1, 3])
    mixed = g.reshape(mixed, g.dim(mixed, 0), g.dim(mixed, 1), c.hidden)
    out = g.linear(f"{name}.attention.output.dense", mixed, c.hidden, c.hidden)
    x = g.layer_norm(f"{name}.attention.output.LayerNorm", g.op("Add", out, x), c.hidden, c.eps)
    inner = g.gelu(g.linear(f"{name}.intermediate.dense", x, c.hidden, c.inner))
    out = g.linear(f"{name}.output.dense", inner, c.inner, c.hidden)
    return g.layer_norm(f"{name}.output.LayerNorm", g.op("Add", out, x), c.hidden, c.eps)
