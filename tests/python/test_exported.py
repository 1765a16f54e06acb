# SPDX-License-Identifier: Apache-2.0
"""What exporters write out in primitives is found again, and runs as what it was."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from exported import EXPORTERS, Exporter
from quickstart.daemon import Daemon

import rlxd

BATCH, SEQ, HEADS, WIDTH = 2, 7, 4, 16
HIDDEN, INNER, EPS = HEADS * WIDTH, 96, 1e-5
ROWS = [BATCH, SEQ, HIDDEN]


@pytest.fixture(scope="module")
def client(daemon: Daemon) -> Iterator[rlxd.Client]:
    with rlxd.Client(daemon.address) as client:
        yield client


@pytest.fixture(params=EXPORTERS)
def exporter(request: pytest.FixtureRequest) -> Exporter:
    return EXPORTERS[request.param]()


def random(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def applied(executable: rlxd.Executable) -> dict[str, int]:
    return {rule.rule: rule.applied for rule in executable.fusion.rules}


def after(executable: rlxd.Executable) -> dict[str, int]:
    """How many nodes of each op are left, but for what is no work of a run."""
    leaves = ("constant", "input", "param")
    return {c.op: c.after for c in executable.fusion.ops if c.after > 0 and c.op not in leaves}


def erf(x: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf)(x.astype(np.float64))


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def layer_norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + EPS) * gamma + beta


def check(
    client: rlxd.Client, exporter: Exporter, y: str, feeds: dict[str, np.ndarray], want: np.ndarray
) -> rlxd.Executable:
    executable = client.compile(rlxd.OnnxModel.of_bytes(exporter.model({y: list(want.shape)})))
    assert executable.fusion.clean, [r.message for r in executable.fusion.remarks if r.actionable]
    with client.open(executable) as session:
        np.testing.assert_allclose(session.run(feeds)[y], want, rtol=1e-4, atol=1e-4)
    return executable


def test_layer_norm(client: rlxd.Client, exporter: Exporter) -> None:
    gamma, beta, x = random(HIDDEN), random(HIDDEN, seed=2), random(*ROWS, seed=3)
    y = exporter.layer_norm(
        exporter.input("x", ROWS), exporter.weight("g", gamma), exporter.weight("b", beta), EPS
    )
    executable = check(client, exporter, y, {"x": x}, layer_norm(x, gamma, beta))
    assert after(executable) == {"layer_norm": 1}


def test_rms_norm(client: rlxd.Client, exporter: Exporter) -> None:
    gamma, x = random(HIDDEN), random(*ROWS, seed=3)
    y = exporter.rms_norm(exporter.input("x", ROWS), exporter.weight("g", gamma), EPS)
    want = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + EPS) * gamma
    assert after(check(client, exporter, y, {"x": x}, want)) == {"rms_norm": 1}


ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "gelu": lambda x: x / 2 * (1 + erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x / (1 + np.exp(-x)),
}


@pytest.mark.parametrize("function", ACTIVATIONS)
def test_activations_become_epilogues(
    client: rlxd.Client, exporter: Exporter, function: str
) -> None:
    weight, bias, x = random(HIDDEN, INNER), random(INNER, seed=2), random(*ROWS, seed=3)
    linear = exporter.linear(exporter.input("x", ROWS), "fc", weight, bias)
    y = getattr(exporter, function)(linear)
    want = ACTIVATIONS[function](x @ weight + bias)
    executable = check(client, exporter, y, {"x": x}, want)
    assert applied(executable)["raise_activation"] == 1
    assert after(executable) == {"fused_matmul_bias_act": 1}


def test_attention(client: rlxd.Client, exporter: Exporter) -> None:
    feeds = {name: random(*ROWS, seed=i) for i, name in enumerate("qkv")}
    feeds["mask"] = np.where(random(BATCH, 1, 1, SEQ) > 0, np.float32(-1e4), np.float32(0))
    names = [exporter.input(name, ROWS) for name in "qkv"]
    y = exporter.attention(*names, exporter.input("mask", [BATCH, 1, 1, SEQ]), HEADS, WIDTH)
    q, k, v = (
        feeds[name].reshape(BATCH, SEQ, HEADS, WIDTH).transpose(0, 2, 1, 3) for name in "qkv"
    )
    weights = softmax(q @ k.transpose(0, 1, 3, 2) / math.sqrt(WIDTH) + feeds["mask"])
    want = (weights @ v).transpose(0, 2, 1, 3).reshape(ROWS)
    executable = check(client, exporter, y, feeds, want)
    assert after(executable) == {"attention": 1}


# --- A whole encoder ---

LAYERS = 2
PARTS = {"q": HIDDEN, "k": HIDDEN, "v": HIDDEN, "o": HIDDEN, "ffn1": INNER, "ffn2": HIDDEN}


def encoder_weights() -> dict[str, np.ndarray]:
    weights = {}
    for layer in range(LAYERS):
        for i, (part, width) in enumerate(PARTS.items()):
            rows = INNER if part == "ffn2" else HIDDEN
            weights[f"{layer}.{part}_w"] = random(rows, width, seed=10 * layer + i) / 8
            weights[f"{layer}.{part}_b"] = random(width, seed=100 + 10 * layer + i) / 8
        for norm in ("ln1", "ln2"):
            weights[f"{layer}.{norm}_g"] = 1 + random(HIDDEN, seed=200 + layer) / 8
            weights[f"{layer}.{norm}_b"] = random(HIDDEN, seed=300 + layer) / 8
    return weights


def encoder_blocks(weights: dict[str, np.ndarray]) -> rlxd.HirModule:
    module = rlxd.HirModule("encoder", "fusable")
    x = module.input("x", ROWS)
    mask = module.input("mask", [BATCH, 1, 1, SEQ])
    for layer in range(LAYERS):
        names = {
            name.partition(".")[2]: module.param(name, list(array.shape))
            for name, array in weights.items()
            if name.startswith(f"{layer}.")
        }
        x = module.bert_encoder_block(
            x, **names, num_heads=HEADS, head_dim=WIDTH, eps=EPS, mask="bias", mask_values=mask
        )
    module.output("y", x)
    return module


def encoder_exported(exporter: Exporter, weights: dict[str, np.ndarray]) -> str:
    x, mask = exporter.input("x", ROWS), exporter.input("mask", [BATCH, 1, 1, SEQ])
    for layer in range(LAYERS):

        def linear(x: str, part: str, layer: int = layer) -> str:
            w, b = weights[f"{layer}.{part}_w"], weights[f"{layer}.{part}_b"]
            return exporter.linear(x, f"{layer}.{part}", w, b)

        def norm(x: str, part: str, layer: int = layer) -> str:
            gamma, beta = (f"{layer}.{part}_{which}" for which in "gb")
            exporter.weight(gamma, weights[gamma])
            exporter.weight(beta, weights[beta])
            return exporter.layer_norm(x, gamma, beta, EPS)

        q, k, v = (linear(x, part) for part in "qkv")
        attended = linear(exporter.attention(q, k, v, mask, HEADS, WIDTH), "o")
        x = norm(exporter.op("Add", attended, x), "ln1")
        inner = exporter.gelu(linear(x, "ffn1"))
        x = norm(exporter.op("Add", linear(inner, "ffn2"), x), "ln2")
    return x


def test_an_exported_encoder_runs_as_its_blocks_do(client: rlxd.Client, exporter: Exporter) -> None:
    weights = encoder_weights()
    feeds = {"x": random(*ROWS, seed=7)}
    feeds["mask"] = np.where(random(BATCH, 1, 1, SEQ) > 0, np.float32(-1e4), np.float32(0))
    blocks = client.compile(encoder_blocks(weights))
    with client.open(blocks, weights) as session:
        want = session.run(feeds)["y"]
    exported = check(client, exporter, encoder_exported(exporter, weights), feeds, want)
    assert after(exported) == after(blocks)
    found = applied(exported)
    assert found["raise_layer_norm"] == 2 * LAYERS
    assert found["raise_activation"] == found["raise_attention"] == LAYERS


# --- What has more parts ---


def test_batch_norm_goes_into_the_weights(client: rlxd.Client, exporter: Exporter) -> None:
    x, kernel = random(2, 3, 9, 9), random(5, 3, 3, 3, seed=2)
    parts = [random(5, seed=3), random(5, seed=4), random(5, seed=5), random(5, seed=6) ** 2]
    inputs = [exporter.weight(f"p{i}", part) for i, part in enumerate(parts)]
    conv = exporter.op(
        "Conv", exporter.input("x", x.shape), exporter.weight("w", kernel), kernel_shape=[3, 3]
    )
    y = exporter.op("BatchNormalization", conv, *inputs, epsilon=EPS)
    scale, shift, mean, variance = (part.reshape(1, -1, 1, 1) for part in parts)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))
    want = np.einsum("nchwij,ocij->nohw", windows, kernel)
    want = (want - mean) / np.sqrt(variance + EPS) * scale + shift
    executable = check(client, exporter, y, {"x": x}, want)
    assert applied(executable)["fold_batch_norm"] == 1
    left = after(executable)
    assert sum(count for op, count in left.items() if "conv" in op) == 1
    assert "batch_norm" not in left and "elementwise_region" not in left


KV_HEADS = 2


def rotate_half(exporter: Exporter, x: str, cos: str, sin: str) -> str:
    half = WIDTH // 2
    low, high = (
        exporter.op("Slice", x, exporter.ints(a), exporter.ints(b), exporter.ints(3))
        for a, b in ((0, half), (half, 2**31 - 1))
    )
    turned = exporter.op("Concat", exporter.op("Neg", high), low, axis=-1)
    return exporter.op("Add", exporter.op("Mul", x, cos), exporter.op("Mul", turned, sin))


def repeat_heads(exporter: Exporter, x: str) -> str:
    groups = HEADS // KV_HEADS
    lifted = exporter.op("Reshape", x, exporter.ints(BATCH, KV_HEADS, 1, SEQ, WIDTH))
    spread = exporter.op("Expand", lifted, exporter.ints(BATCH, KV_HEADS, groups, SEQ, WIDTH))
    return exporter.op("Reshape", spread, exporter.ints(BATCH, HEADS, SEQ, WIDTH))


def decoder_weights() -> dict[str, np.ndarray]:
    shapes = {
        "q": (HIDDEN, HIDDEN),
        "k": (HIDDEN, KV_HEADS * WIDTH),
        "v": (HIDDEN, KV_HEADS * WIDTH),
        "o": (HIDDEN, HIDDEN),
        "gate": (HIDDEN, INNER),
        "up": (HIDDEN, INNER),
        "down": (INNER, HIDDEN),
    }
    return {name: random(*shape, seed=i) / 8 for i, (name, shape) in enumerate(shapes.items())}


ANGLES = np.outer(np.arange(SEQ), 10000.0 ** (-np.arange(0, WIDTH, 2) / WIDTH)).astype(np.float32)
CAUSAL = np.where(np.tri(SEQ, dtype=bool), 0, np.finfo(np.float32).min).astype(np.float32)


def decoder_exported(exporter: Exporter, weights: dict[str, np.ndarray], gamma: np.ndarray) -> str:
    def times(x: str, name: str) -> str:
        return exporter.op("MatMul", x, exporter.weight(name, weights[name]))

    def heads(x: str, count: int) -> str:
        apart = exporter.op("Reshape", x, exporter.ints(0, 0, count, WIDTH))
        return exporter.op("Transpose", apart, perm=[0, 2, 1, 3])

    x = exporter.input("x", ROWS)
    angles = exporter.input("angles", [1, 1, SEQ, WIDTH // 2])
    both = exporter.op("Concat", angles, angles, axis=-1)
    cos, sin = exporter.op("Cos", both), exporter.op("Sin", both)
    normed = exporter.rms_norm(x, exporter.weight("g", gamma), EPS)
    q = rotate_half(exporter, heads(times(normed, "q"), HEADS), cos, sin)
    k = rotate_half(exporter, heads(times(normed, "k"), KV_HEADS), cos, sin)
    v = repeat_heads(exporter, heads(times(normed, "v"), KV_HEADS))
    turned = exporter.op("Transpose", repeat_heads(exporter, k), perm=[0, 1, 3, 2])
    scores = exporter.op("Div", exporter.op("MatMul", q, turned), exporter.number(4.0))
    masked = exporter.op("Add", scores, exporter.input("mask", [1, 1, SEQ, SEQ]))
    mixed = exporter.op("MatMul", exporter.softmax(masked), v)
    rows = exporter.op("Transpose", mixed, perm=[0, 2, 1, 3])
    attended = times(exporter.op("Reshape", rows, exporter.ints(0, 0, HIDDEN)), "o")
    x = exporter.op("Add", x, attended)
    normed = exporter.rms_norm(x, "g", EPS)
    gated = exporter.op("Mul", exporter.silu(times(normed, "gate")), times(normed, "up"))
    return exporter.op("Add", x, times(gated, "down"))


def decoder(x: np.ndarray, weights: dict[str, np.ndarray], gamma: np.ndarray) -> np.ndarray:
    def norm(x: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + EPS) * gamma

    def heads(x: np.ndarray, name: str) -> np.ndarray:
        return (x @ weights[name]).reshape(BATCH, SEQ, -1, WIDTH).transpose(0, 2, 1, 3)

    def turn(x: np.ndarray) -> np.ndarray:
        low, high = np.split(x, 2, axis=-1)
        cos, sin = np.cos(ANGLES), np.sin(ANGLES)
        return np.concatenate([low * cos - high * sin, high * cos + low * sin], axis=-1)

    normed = norm(x)
    q, k = turn(heads(normed, "q")), turn(heads(normed, "k"))
    k, v = (np.repeat(part, HEADS // KV_HEADS, axis=1) for part in (k, heads(normed, "v")))
    mixed = softmax(q @ k.transpose(0, 1, 3, 2) / 4 + CAUSAL) @ v
    x = x + mixed.transpose(0, 2, 1, 3).reshape(ROWS) @ weights["o"]
    gate, up = norm(x) @ weights["gate"], norm(x) @ weights["up"]
    return x + (gate / (1 + np.exp(-gate)) * up) @ weights["down"]


def test_an_exported_decoder_has_its_parts(client: rlxd.Client, exporter: Exporter) -> None:
    weights, gamma = decoder_weights(), 1 + random(HIDDEN, seed=9) / 8
    feeds = {"x": random(*ROWS, seed=8), "angles": ANGLES[None, None], "mask": CAUSAL[None, None]}
    want = decoder(feeds["x"], weights, gamma)
    executable = check(client, exporter, decoder_exported(exporter, weights, gamma), feeds, want)
    left = after(executable)
    assert left["attention"] == left["fused_swiglu"] == 1
    assert "softmax" not in left and "expand" not in left
    assert applied(executable)["raise_rms_norm"] == 2
