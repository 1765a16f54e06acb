# SPDX-License-Identifier: Apache-2.0
"""all-MiniLM-L6-v2 as an ONNX model, built from its weights without torch.

The graph is the one a torch export gives: primitive matmuls, reshapes and transposes around one
Softmax per layer, LayerNormalization and exact Gelu, an additive mask. That is the form that the
peers' own fusions recognise, and what a user of theirs would load.
"""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

OPSET = 17


class _Graph:
    """Collects nodes and initializers; every method returns the name of the value it makes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        output = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def value(self, name: str, array: np.ndarray) -> str:
        self.initializers.setdefault(
            name, numpy_helper.from_array(np.ascontiguousarray(array), name)
        )
        return name

    def shape(self, *dims: int) -> str:
        return self.value("shape_" + "_".join(map(str, dims)), np.array(dims, np.int64))

    def scalar(self, value: float) -> str:
        return self.value(f"scalar_{value}", np.array(value, np.float32))


def build(config_json: Path, safetensors: Path) -> onnx.ModelProto:
    """ids and mask int64 [batch, seq] to embeddings float [batch, hidden]."""
    config, weights, g = json.loads(config_json.read_text()), load_file(safetensors), _Graph()
    x = _embed(g, weights, config["layer_norm_eps"])
    keep = g.op("Cast", g.op("Unsqueeze", "mask", g.shape(1, 2)), to=TensorProto.FLOAT)
    bias = g.op("Mul", g.op("Sub", g.scalar(1.0), keep), g.scalar(float(np.finfo(np.float32).min)))
    for layer in range(config["num_hidden_layers"]):
        x = _layer(g, weights, config, f"encoder.layer.{layer}", x, bias)
    g.nodes.append(helper.make_node("Identity", [_pool(g, x)], ["embeddings"]))
    rows = ["batch", "seq"]
    graph = helper.make_graph(
        g.nodes,
        "all-MiniLM-L6-v2",
        [helper.make_tensor_value_info(name, TensorProto.INT64, rows) for name in ("ids", "mask")],
        [
            helper.make_tensor_value_info(
                "embeddings", TensorProto.FLOAT, ["batch", config["hidden_size"]]
            )
        ],
        list(g.initializers.values()),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def _embed(g: _Graph, weights: dict, eps: float) -> str:
    word, position, kind = (
        g.value(name, weights[name])
        for name in (
            f"embeddings.{part}_embeddings.weight" for part in ("word", "position", "token_type")
        )
    )
    seq = g.op("Gather", g.op("Shape", "ids"), g.shape(1), axis=0)
    rows = g.op("Slice", position, g.shape(0), seq, g.shape(0))
    x = g.op("Add", g.op("Gather", word, "ids", axis=0), g.op("Gather", kind, g.shape(0), axis=0))
    return _layer_norm(g, weights, "embeddings.LayerNorm", g.op("Add", x, rows), eps)


def _layer(g: _Graph, weights: dict, config: dict, name: str, x: str, bias: str) -> str:
    heads, eps = config["num_attention_heads"], config["layer_norm_eps"]
    size = config["hidden_size"] // heads

    def split(part: str, *perm: int) -> str:
        flat = _linear(g, weights, f"{name}.attention.self.{part}", x)
        return g.op("Transpose", g.op("Reshape", flat, g.shape(0, 0, heads, size)), perm=perm)

    query, key, value = (
        split("query", 0, 2, 1, 3),
        split("key", 0, 2, 3, 1),
        split("value", 0, 2, 1, 3),
    )
    scores = g.op("Div", g.op("MatMul", query, key), g.scalar(float(np.sqrt(size))))
    probabilities = g.op("Softmax", g.op("Add", scores, bias), axis=-1)
    mixed = g.op("Transpose", g.op("MatMul", probabilities, value), perm=(0, 2, 1, 3))
    mixed = g.op("Reshape", mixed, g.shape(0, 0, heads * size))
    attended = g.op("Add", _linear(g, weights, f"{name}.attention.output.dense", mixed), x)
    x = _layer_norm(g, weights, f"{name}.attention.output.LayerNorm", attended, eps)
    inner = _gelu(g, _linear(g, weights, f"{name}.intermediate.dense", x))
    out = g.op("Add", _linear(g, weights, f"{name}.output.dense", inner), x)
    return _layer_norm(g, weights, f"{name}.output.LayerNorm", out, eps)


def _linear(g: _Graph, weights: dict, name: str, x: str) -> str:
    matrix = g.value(f"{name}.weight", weights[f"{name}.weight"].T)
    return g.op("Add", g.op("MatMul", x, matrix), g.value(f"{name}.bias", weights[f"{name}.bias"]))


def _layer_norm(g: _Graph, weights: dict, name: str, x: str, eps: float) -> str:
    gamma, beta = (
        g.value(f"{name}.{part}", weights[f"{name}.{part}"]) for part in ("weight", "bias")
    )
    return g.op("LayerNormalization", x, gamma, beta, axis=-1, epsilon=eps)


def _gelu(g: _Graph, x: str) -> str:
    erf = g.op("Erf", g.op("Div", x, g.scalar(float(np.sqrt(2.0)))))
    return g.op("Mul", g.op("Mul", x, g.op("Add", erf, g.scalar(1.0))), g.scalar(0.5))


def _pool(g: _Graph, x: str) -> str:
    keep = g.op("Cast", g.op("Unsqueeze", "mask", g.shape(2)), to=TensorProto.FLOAT)
    total = g.op("ReduceSum", g.op("Mul", x, keep), g.shape(1), keepdims=0)
    mean = g.op("Div", total, g.op("ReduceSum", keep, g.shape(1), keepdims=0))
    return g.op("Div", mean, g.op("ReduceL2", mean, axes=[1], keepdims=1))
