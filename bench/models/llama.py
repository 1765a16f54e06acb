# SPDX-License-Identifier: Apache-2.0
"""A decoder of Llama's shape with 160 million parameters, and its cache of keys and values.

Two files, as exporters write them: one for a prompt, one for a token that sees the cache.
"""

import numpy as np
import onnx

from .builder import Builder
from .encoders import MOST_NEGATIVE
from .patterns import sdpa

LAYERS, HIDDEN, HEADS, INNER, VOCAB, EPS = 12, 768, 12, 3072, 32000, 1e-6
SIZE = HIDDEN // HEADS


def prefill() -> onnx.ModelProto:
    return _decoder(cached=False)


def decode() -> onnx.ModelProto:
    return _decoder(cached=True)


def _decoder(cached: bool) -> onnx.ModelProto:
    g = Builder("llama-160m")
    ids = g.input("input_ids", ["batch", "seq"], np.int64)
    mask = g.input("attention_mask", ["batch", "total"] if cached else ["batch", "seq"], np.int64)
    positions = g.input("position_ids", ["batch", "seq"], np.int64)
    past = [
        [g.input(f"past_key_values.{i}.{part}", ["batch", HEADS, "past", SIZE]) for part in KV]
        if cached
        else []
        for i in range(LAYERS)
    ]
    table = g.param("model.embed_tokens.weight", VOCAB, HIDDEN, scale=0.02)
    x = g.op("Gather", table, ids, axis=0)
    seq = g.dim(ids, 1)
    start = g.dim(past[0][0], 2) if cached else g.index(0)
    bias, turns = _mask(g, mask, start, seq), _rotations(g, positions)
    total: int | str = "total" if cached else "seq"
    for layer in range(LAYERS):
        x, present = _layer(g, f"model.layers.{layer}", x, past[layer], bias, turns)
        for part, value in zip(KV, present, strict=True):
            g.output(f"present.{layer}.{part}", value, ["batch", HEADS, total, SIZE])
    x = g.linear("lm_head", _rms_norm(g, "model.norm", x), HIDDEN, VOCAB, bias=False)
    g.output("logits", x, ["batch", "seq", VOCAB])
    return g.model()


KV = ("key", "value")


def _mask(g: Builder, mask: str, start: str, seq: str) -> str:
    """What is added to scores: nothing for tokens that are there and not in the future."""
    columns = g.op("Range", g.index(0), g.dim(mask, 1), g.index(1))
    rows = g.op("Range", start, g.op("Add", start, seq), g.index(1))
    future = g.op("Greater", columns, g.reshape(rows, -1, 1))
    absent = g.op("Equal", mask, g.index(0))
    absent = g.op("Unsqueeze", absent, g.ints(1, 2))
    return g.op("Where", g.op("Or", future, absent), g.scalar(MOST_NEGATIVE), g.scalar(0.0))


def _rotations(g: Builder, positions: str) -> tuple[str, str]:
    """Cosines and sines, [batch, 1, seq, size]."""
    frequencies = 10000.0 ** (-np.arange(0, SIZE, 2, dtype=np.float32) / SIZE)
    column = g.tensor("model.rotary_emb.inv_freq", frequencies[None, :, None].astype(np.float32))
    shape = g.shape(g.dim(positions, 0), -1, 1)
    column = g.op("Expand", column, g.op("Where", *_minus_one_is_one(g, shape)))
    row = g.op("Cast", g.op("Unsqueeze", positions, g.ints(1)), to=onnx.TensorProto.FLOAT)
    angles = g.op("Transpose", g.op("MatMul", column, row), perm=[0, 2, 1])
    angles = g.op("Concat", angles, angles, axis=-1)
    cos, sin = (g.op("Unsqueeze", g.op(kind, angles), g.ints(1)) for kind in ("Cos", "Sin"))
    return cos, sin


def _minus_one_is_one(g: Builder, shape: str) -> tuple[str, str, str]:
    """torch's expand leaves a dim as it is where -1 stands: ONNX wants a 1 there."""
    return g.op("Equal", shape, g.ints(-1)), g.ints(1), shape


def _rms_norm(g: Builder, name: str, x: str) -> str:
    square = g.op("ReduceMean", g.op("Pow", x, g.scalar(2.0)), axes=[-1], keepdims=1)
    root = g.op("Sqrt", g.op("Add", square, g.scalar(EPS)))
    normal = g.op("Mul", x, g.op("Div", g.scalar(1.0), root))
    return g.op("Mul", g.tensor(f"{name}.weight", np.ones(HIDDEN, np.float32)), normal)


def _rotate(g: Builder, x: str, turns: tuple[str, str]) -> str:
    half, end = SIZE // 2, np.iinfo(np.int64).max
    low = g.op("Slice", x, g.ints(0), g.ints(half), g.ints(3), g.ints(1))
    high = g.op("Slice", x, g.ints(half), g.ints(int(end)), g.ints(3), g.ints(1))
    turned = g.op("Concat", g.op("Neg", high), low, axis=-1)
    return g.op("Add", g.op("Mul", x, turns[0]), g.op("Mul", turned, turns[1]))


def _layer(
    g: Builder, name: str, x: str, past: list[str], bias: str, turns: tuple[str, str]
) -> tuple[str, list[str]]:
    y = _rms_norm(g, f"{name}.input_layernorm", x)
    batch, seq = g.dim(y, 0), g.dim(y, 1)

    def heads(part: str) -> str:
        flat = g.linear(f"{name}.self_attn.{part}_proj", y, HIDDEN, HIDDEN, bias=False)
        return g.op("Transpose", g.reshape(flat, batch, seq, HEADS, SIZE), perm=[0, 2, 1, 3])

    q, present = _rotate(g, heads("q"), turns), [_rotate(g, heads("k"), turns), heads("v")]
    if past:
        present = [g.op("Concat", old, new, axis=2) for old, new in zip(past, present, strict=True)]
    mixed = g.op("Transpose", sdpa(g, q, *present, SIZE, bias), perm=[0, 2, 1, 3])
    mixed = g.reshape(mixed, batch, seq, HIDDEN)
    x = g.op("Add", x, g.linear(f"{name}.self_attn.o_proj", mixed, HIDDEN, HIDDEN, bias=False))
    y = _rms_norm(g, f"{name}.post_attention_layernorm", x)
    gate = g.silu(g.linear(f"{name}.mlp.gate_proj", y, HIDDEN, INNER, bias=False))
    up = g.linear(f"{name}.mlp.up_proj", y, HIDDEN, INNER, bias=False)
    down = g.linear(f"{name}.mlp.down_proj", g.op("Mul", gate, up), INNER, HIDDEN, bias=False)
    return g.op("Add", x, down), present
