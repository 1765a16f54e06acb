# SPDX-License-Identifier: Apache-2.0
"""Floating-point operations of a model at one size: those of its products and convolutions."""

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime

Shape = tuple[int, ...]
COUNTED = ("MatMul", "Gemm", "Conv", "LSTM")


def count(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> float:
    """Multiplications and additions, from the shapes that a run of the peer has."""
    nodes = [node for node in model.graph.node if node.op_type in COUNTED]
    shapes: dict[str, Shape] = {t.name: tuple(t.dims) for t in model.graph.initializer}
    shapes |= {name: array.shape for name, array in feeds.items()}
    wanted = {name for node in nodes for name in (node.input[0], node.output[0])} - shapes.keys()
    shapes |= _run(model, feeds, sorted(wanted))
    return float(sum(_of(node, shapes) for node in nodes))


def _run(
    model: onnx.ModelProto, feeds: Mapping[str, np.ndarray], wanted: list[str]
) -> dict[str, Shape]:
    if not wanted:
        return {}
    kept = list(model.graph.output)
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
    finally:
        del model.graph.output[:]
        model.graph.output.extend(kept)
    found = session.run(wanted, dict(feeds))
    return {name: array.shape for name, array in zip(wanted, found, strict=True)}


def _product(dims: Shape) -> int:
    return int(np.prod(dims, dtype=np.int64))


def _of(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    if node.op_type == "LSTM":
        seq, batch, _ = shapes[node.input[0]]
        return 2 * seq * batch * sum(_product(shapes[name]) for name in node.input[1:3])
    if node.op_type == "Conv":
        return 2 * _product(shapes[node.output[0]]) * _product(shapes[node.input[1]][1:])
    turned = any(a.name == "transA" and a.i for a in node.attribute)
    return 2 * _product(shapes[node.output[0]]) * shapes[node.input[0]][0 if turned else -1]
