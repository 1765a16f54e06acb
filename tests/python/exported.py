# SPDX-License-Identifier: Apache-2.0
"""ONNX graphs as exporters write them: no torch, TensorFlow or paddle, but their ops one by one.

An exporter knows how it writes numbers, means and roots at its opset; on these stand the layers
that have no op of their own there.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Exporter:
    """Collects a graph; every method returns the name of what it makes."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.inputs: list[onnx.ValueInfoProto] = []

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def input(self, name: str, shape: Sequence[int | str], element: int = TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, element, shape))
        return name

    def weight(self, name: str, array: np.ndarray) -> str:
        self.initializers.setdefault(name, numpy_helper.from_array(array, name))
        return name

    def ints(self, *values: int) -> str:
        return self.weight("i" + "_".join(map(str, values)), np.array(values, np.int64))

    def model(self, outputs: Mapping[str, Sequence[int | str]]) -> bytes:
        """Of outputs that the graph already names, with their shapes."""
        infos = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in outputs.items()
        ]
        graph = helper.make_graph(
            self.nodes, "exported", self.inputs, infos, list(self.initializers.values())
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8
        )
        onnx.checker.check_model(model)
        return model.SerializeToString()

    # --- How each writes what all need ---

    def number(self, value: float) -> str:
        return self.weight(f"n{value}", np.array(value, np.float32))

    def mean(self, x: str) -> str:
        if self.opset < 18:
            return self.op("ReduceMean", x, axes=[-1], keepdims=1)
        return self.op("ReduceMean", x, self.ints(-1), keepdims=1)

    def square(self, x: str) -> str:
        return self.op("Pow", x, self.number(2.0))

    # --- What they write out ---

    def layer_norm(self, x: str, gamma: str, beta: str, eps: float) -> str:
        centred = self.op("Sub", x, self.mean(x))
        variance = self.mean(self.square(centred))
        root = self.op("Sqrt", self.op("Add", variance, self.number(eps)))
        return self.op("Add", self.op("Mul", self.op("Div", centred, root), gamma), beta)

    def rms_norm(self, x: str, gamma: str, eps: float) -> str:
        variance = self.op("Add", self.mean(self.square(x)), self.number(eps))
        inverse = self.op("Reciprocal", self.op("Sqrt", variance))
        return self.op("Mul", gamma, self.op("Mul", x, inverse))

    def gelu(self, x: str) -> str:
        erf = self.op("Erf", self.op("Div", x, self.number(math.sqrt(2.0))))
        return self.op(
            "Mul", self.op("Mul", x, self.op("Add", erf, self.number(1.0))), self.number(0.5)
        )

    def gelu_tanh(self, x: str) -> str:
        cube = self.op("Mul", self.number(0.044715), self.op("Pow", x, self.number(3.0)))
        inner = self.op("Mul", self.number(math.sqrt(2 / math.pi)), self.op("Add", x, cube))
        gate = self.op("Add", self.number(1.0), self.op("Tanh", inner))
        return self.op("Mul", self.op("Mul", self.number(0.5), x), gate)

    def silu(self, x: str) -> str:
        return self.op("Mul", x, self.op("Sigmoid", x))

    def softmax(self, x: str) -> str:
        return self.op("Softmax", x, axis=-1)

    def scores(self, q: str, k: str, width: int) -> str:
        """Of q [b,h,s,d] and k [b,s,h,d]."""
        turned = self.op("Transpose", k, perm=[0, 2, 3, 1])
        return self.op("Div", self.op("MatMul", q, turned), self.number(math.sqrt(width)))

    def linear(self, x: str, name: str, weight: np.ndarray, bias: np.ndarray) -> str:
        product = self.op("MatMul", x, self.weight(f"{name}.weight", weight))
        return self.op("Add", product, self.weight(f"{name}.bias", bias))

    def attention(self, q: str, k: str, v: str, mask: str, heads: int, width: int) -> str:
        """Over [b,s,h·d], with a mask that is added."""

        def apart(x: str) -> str:
            return self.op("Reshape", x, self.ints(0, 0, heads, width))

        queries = self.op("Transpose", apart(q), perm=[0, 2, 1, 3])
        values = self.op("Transpose", apart(v), perm=[0, 2, 1, 3])
        scores = self.op("Add", self.scores(queries, apart(k), width), mask)
        mixed = self.op("MatMul", self.softmax(scores), values)
        rows = self.op("Transpose", mixed, perm=[0, 2, 1, 3])
        return self.op("Reshape", rows, self.ints(0, 0, heads * width))


class Torch(Exporter):
    """torch.onnx: numbers are Constant nodes, and shapes are computed where they are dynamic."""

    def number(self, value: float) -> str:
        tensor = numpy_helper.from_array(np.array(value, np.float32))
        return self.op("Constant", value=tensor)


class TorchScaledDotProduct(Torch):
    """The same with scaled_dot_product_attention: the root of the scale, which follows from a
    shape, goes to queries and keys alike."""

    def scores(self, q: str, k: str, width: int) -> str:
        rank = self.op("Slice", self.op("Shape", q), self.ints(-1), self.ints(2**31 - 1))
        root = self.op("Sqrt", self.op("Cast", rank, to=TensorProto.FLOAT))
        scale = self.op("Sqrt", self.op("Div", self.number(1.0), root))
        keys = self.op("Transpose", self.op("Transpose", k, perm=[0, 2, 1, 3]), perm=[0, 1, 3, 2])
        return self.op("MatMul", self.op("Mul", q, scale), self.op("Mul", keys, scale))


class TensorFlow(Exporter):
    """tf2onnx: scales before shifts, the mean taken off last, rsqrt as 1/sqrt, factors first."""

    def square(self, x: str) -> str:
        return self.op("Mul", x, x)

    def layer_norm(self, x: str, gamma: str, beta: str, eps: float) -> str:
        mean = self.mean(x)
        variance = self.mean(self.square(self.op("Sub", x, mean)))
        root = self.op("Sqrt", self.op("Add", variance, self.number(eps)))
        scale = self.op("Mul", self.op("Reciprocal", root), gamma)
        shift = self.op("Sub", beta, self.op("Mul", mean, scale))
        return self.op("Add", self.op("Mul", x, scale), shift)

    def gelu(self, x: str) -> str:
        erf = self.op("Erf", self.op("Mul", x, self.number(1 / math.sqrt(2.0))))
        cdf = self.op("Mul", self.number(0.5), self.op("Add", self.number(1.0), erf))
        return self.op("Mul", x, cdf)

    def scores(self, q: str, k: str, width: int) -> str:
        turned = self.op("Transpose", k, perm=[0, 2, 3, 1])
        product = self.op("MatMul", q, turned)
        return self.op("Mul", product, self.number(1 / math.sqrt(width)))


class Paddle(Exporter):
    """paddle2onnx: numbers have shape [1]; queries are scaled before the product."""

    def number(self, value: float) -> str:
        return self.weight(f"n{value}", np.array([value], np.float32))

    def scores(self, q: str, k: str, width: int) -> str:
        keys = self.op("Transpose", self.op("Transpose", k, perm=[0, 2, 1, 3]), perm=[0, 1, 3, 2])
        scaled = self.op("Mul", q, self.number(1 / math.sqrt(width)))
        return self.op("MatMul", scaled, keys)


EXPORTERS = {
    "torch-11": lambda: Torch(11),
    "torch-13": lambda: Torch(13),
    "torch-17": lambda: TorchScaledDotProduct(17),
    "torch-20": lambda: TorchScaledDotProduct(20),
    "tf2onnx-15": lambda: TensorFlow(15),
    "paddle2onnx-11": lambda: Paddle(11),
    "paddle2onnx-16": lambda: Paddle(16),
}
