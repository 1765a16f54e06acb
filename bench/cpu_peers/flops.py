# SPDX-License-Identifier: Apache-2.0
"""Floating-point operations of a model at one size: those of its products and convolutions."""

from collections.abc import Mapping

import onnx
from onnx import shape_inference

Shape = list[int]


def count(model: onnx.ModelProto, sizes: Mapping[str, int]) -> float:
    """Multiplications and additions. A product whose shape ONNX cannot infer is an error."""
    shapes = _shapes(model, sizes)
    return float(sum(_of(node, shapes) for node in model.graph.node))


def _shapes(model: onnx.ModelProto, sizes: Mapping[str, int]) -> dict[str, Shape]:
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for info in [*fixed.graph.input, *fixed.graph.output]:
        for dim in info.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_value = sizes[dim.dim_param]
    graph = shape_inference.infer_shapes(fixed, data_prop=True).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for info in [*graph.input, *graph.value_info, *graph.output]:
        dims = info.type.tensor_type.shape.dim
        if all(dim.HasField("dim_value") for dim in dims):
            shapes[info.name] = [dim.dim_value for dim in dims]
    return shapes


def _product(dims: Shape) -> int:
    out = 1
    for dim in dims:
        out *= dim
    return out


def _of(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    if node.op_type in ("MatMul", "Gemm"):
        inner = _attribute(node, "transA", 0)
        k = shapes[node.input[0]][0 if inner else -1]
        return 2 * _product(shapes[node.output[0]]) * k
    if node.op_type == "Conv":
        return 2 * _product(shapes[node.output[0]]) * _product(shapes[node.input[1]][1:])
    if node.op_type == "LSTM":
        seq, batch, _ = shapes[node.input[0]]
        return 2 * seq * batch * sum(_product(shapes[name]) for name in node.input[1:3])
    return 0


def _attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((a.i for a in node.attribute if a.name == name), default)
