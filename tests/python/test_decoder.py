# SPDX-License-Identifier: Apache-2.0
"""A small decoder with drawn weights, prefill and then token by token on a cache that the client
holds, against NumPy in float64, which runs the whole sequence anew for every token."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from quickstart.daemon import Daemon

import rlxd

Array = npt.NDArray[Any]
LAYERS, HIDDEN, HEADS, KV_HEADS, HEAD, INNER, VOCAB, CONTEXT = 2, 32, 4, 2, 8, 48, 61, 64
EPS = 1e-5


@dataclass(frozen=True)
class Variant:
    """What tells the families apart."""

    bias: bool = False  # Qwen 2
    norms: bool = False  # Qwen 3


VARIANTS = {"llama": Variant(), "qwen2": Variant(bias=True), "qwen3": Variant(norms=True)}


def shapes(variant: Variant) -> dict[str, tuple[int, ...]]:
    q, kv = HEADS * HEAD, KV_HEADS * HEAD
    layer = {
        "ln1_g": (HIDDEN,), "q_w": (HIDDEN, q), "k_w": (HIDDEN, kv), "v_w": (HIDDEN, kv),
        "o_w": (q, HIDDEN), "ln2_g": (HIDDEN,), "gate_w": (HIDDEN, INNER), "up_w": (HIDDEN, INNER),
        "down_w": (INNER, HIDDEN),
    }  # fmt: skip
    if variant.bias:
        layer |= {"q_b": (q,), "k_b": (kv,), "v_b": (kv,)}
    if variant.norms:
        layer |= {"q_norm_g": (HEAD,), "k_norm_g": (HEAD,)}
    every = {"embed": (VOCAB, HIDDEN), "norm_g": (HIDDEN,), "head_w": (HIDDEN, VOCAB)}
    return every | {f"{n}.{name}": s for n in range(LAYERS) for name, s in layer.items()}


def draw(variant: Variant) -> dict[str, Array]:
    rng = np.random.default_rng(11)
    weights = {n: rng.standard_normal(s) / np.sqrt(s[0]) for n, s in shapes(variant).items()}
    return {n: (w + n.endswith("_g")).astype(np.float32) for n, w in weights.items()}


def tables() -> tuple[Array, Array]:
    angles = np.outer(np.arange(CONTEXT), 10000.0 ** (-np.arange(HEAD // 2) / (HEAD // 2)))
    return np.cos(angles), np.sin(angles)


class Reference:
    """One sequence, float64, no cache, one head at a time."""

    def __init__(self, variant: Variant, weights: dict[str, Array]) -> None:
        self.variant = variant
        self.w = {name: value.astype(np.float64) for name, value in weights.items()}

    def logits(self, ids: Array) -> Array:
        x = self.w["embed"][ids]
        for n in range(LAYERS):
            w = {k.split(".")[1]: v for k, v in self.w.items() if k.startswith(f"{n}.")}
            x = x + self._attention(self._norm(x, w["ln1_g"]), w) @ w["o_w"]
            m = self._norm(x, w["ln2_g"])
            gate = m @ w["gate_w"]
            x = x + (m @ w["up_w"] * gate / (1 + np.exp(-gate))) @ w["down_w"]
        return self._norm(x, self.w["norm_g"]) @ self.w["head_w"]

    @staticmethod
    def _norm(x: Array, gamma: Array) -> Array:
        return x / np.sqrt(np.square(x).mean(-1, keepdims=True) + EPS) * gamma

    def _heads(self, x: Array, w: dict[str, Array], name: str, count: int) -> list[Array]:
        product = x @ w[f"{name}_w"] + (w[f"{name}_b"] if self.variant.bias else 0)
        heads = np.split(product, count, axis=1)
        if name == "v":
            return heads
        if self.variant.norms:
            heads = [self._norm(h, w[f"{name}_norm_g"]) for h in heads]
        cos, sin = (t[: len(x)] for t in tables())
        return [
            np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=1)
            for a, b in (np.split(h, 2, axis=1) for h in heads)
        ]

    def _attention(self, x: Array, w: dict[str, Array]) -> Array:
        q = self._heads(x, w, "q", HEADS)
        k, v = (self._heads(x, w, name, KV_HEADS) for name in "kv")
        out = []
        for head in range(HEADS):
            group = head // (HEADS // KV_HEADS)
            scores = q[head] @ k[group].T / np.sqrt(HEAD)
            scores[np.triu_indices(len(x), 1)] = -np.inf
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            out.append(scores / scores.sum(-1, keepdims=True) @ v[group])
        return np.concatenate(out, axis=1)


def build(variant: Variant, policy: Any, decode: bool) -> rlxd.HirModule:
    """Prefill over [batch, seq] with the cache as results, or one token a call on top of a past."""
    m = rlxd.HirModule("decode" if decode else "prefill", policy)
    m.symbol("batch", max=4)
    seq: rlxd.Dim | int = 1 if decode else m.symbol("seq", max=CONTEXT)
    past = m.symbol("past_seq", max=CONTEXT) if decode else None
    ids = m.input("ids", ["batch", seq], "i64")
    positions = m.input("positions", [seq], "i64")
    cos, sin = (
        m.constant(t, dtype=rlxd.f32, name=n) for t, n in zip(tables(), ("cos", "sin"), strict=True)
    )
    weights = {name: m.param(name, shape) for name, shape in shapes(variant).items()}
    x = m.gather(weights["embed"], ids)
    for n in range(LAYERS):
        layer = {k.split(".")[1]: v for k, v in weights.items() if k.startswith(f"{n}.")}
        if past is not None:
            shape = ["batch", past, KV_HEADS * HEAD]
            layer |= {f"past_{kv}": m.input(f"past_{kv}.{n}", shape) for kv in "kv"}
        x = m.llama_decoder_block(
            x, **layer, cos=cos, sin=sin, positions=positions, num_heads=HEADS,
            num_kv_heads=KV_HEADS, head_dim=HEAD, eps=EPS, keep_cache=not decode,
        )  # fmt: skip
        for kv, cache in zip("kv", m.kv_cache(x), strict=True):
            m.output(f"{kv}.{n}", cache)
    x = m.rms_norm(x, weights["norm_g"], eps=EPS)
    m.output("logits", m.linear(x, weights["head_w"]))
    return m


@pytest.fixture(scope="module")
def client(daemon: Daemon) -> Iterator[rlxd.Client]:
    with rlxd.Client(daemon.address) as client:
        yield client


def past_of(results: dict[str, Array]) -> dict[str, Array]:
    return {f"past_{name}": value for name, value in results.items() if name != "logits"}


@pytest.mark.parametrize("policy", ["direct", "fusable"])
@pytest.mark.parametrize("family", VARIANTS)
def test_prefill_and_decode_agree_with_float64(
    family: str, policy: str, client: rlxd.Client
) -> None:
    variant = VARIANTS[family]
    weights = draw(variant)
    reference = Reference(variant, weights)
    options = rlxd.CompileOptions(assert_fusion_clean=True)
    executables = [client.compile(build(variant, policy, d), options=options) for d in (0, 1)]
    for executable in executables:
        after = {count.op: count.after for count in executable.fusion.ops}
        assert after["fused_swiglu"] == after["attention"] == LAYERS
        assert after["fused_residual_rms_norm"] >= LAYERS
        assert after.get("matmul", 0) + after.get("fused_matmul_bias_act", 0) == 4 * LAYERS + 1
    prompts = np.array([[7, 3, 44, 12, 60], [1, 58, 9, 9, 30]])
    with (
        client.open(executables[0], weights) as prefill,
        client.open(executables[1], weights) as decode,
    ):
        length = prompts.shape[1]
        results = prefill.run({"ids": prompts, "positions": np.arange(length)})
        sequences = prompts
        for step in range(6):
            for row, logits in zip(sequences, results["logits"], strict=True):
                want = reference.logits(row)[-len(logits) :]
                np.testing.assert_allclose(logits, want, rtol=1e-4, atol=1e-4)
            tokens = results["logits"][:, -1].argmax(-1)[:, None]
            sequences = np.concatenate([sequences, tokens], axis=1)
            assert results["k.0"].shape == (2, length + step, KV_HEADS * HEAD)
            results = decode.run({"ids": tokens, "positions": [length + step], **past_of(results)})


def test_a_module_defines_a_block_of_its_own(client: rlxd.Client) -> None:
    """One body, used by two nodes with different weights, fuses like any other block."""
    m = rlxd.HirModule("own")
    body = m.subgraph("gated")
    operands = [body.input(n, s) for n, s in (("x", [4, 8]), ("w", [8, 8]), ("g", [8, 8]))]
    body.output("y", body.linear(operands[0], operands[1]) * body.sigmoid(
        body.linear(operands[0], operands[2])))  # fmt: skip
    x = m.input("x", [4, 8])
    names = ["w0", "g0", "w1", "g1"]
    w = {name: m.param(name, [8, 8]) for name in names}
    (first,) = m.custom(body, x, w["w0"], w["g0"])
    (second,) = m.custom(body, first, w["w1"], w["g1"])
    m.output("y", second)
    rng = np.random.default_rng(5)
    values = {name: rng.standard_normal((8, 8)).astype(np.float32) for name in names}
    data = rng.standard_normal((4, 8)).astype(np.float32)

    def gated(a: Array, n: int) -> Array:
        w, g = (values[f"{name}{n}"].astype(np.float64) for name in "wg")
        return (a @ w) / (1 + np.exp(-(a @ g)))

    executable = client.compile(m, options=rlxd.CompileOptions(assert_fusion_clean=True))
    with client.open(executable, values) as session:
        got = session.run({"x": data})["y"]
    np.testing.assert_allclose(got, gated(gated(data, 0), 1), rtol=1e-4, atol=1e-5)
