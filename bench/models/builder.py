# SPDX-License-Identifier: Apache-2.0
"""ONNX graphs, a node a call, in the forms that exporters write."""

import zlib
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

Dims = list[int | str]  # a name is a dim that the caller of the model chooses


class Builder:
    """Collects nodes and initializers. Every method that makes a value returns its name.

    A parameter is drawn at random, always alike for its name, unless `params` has it.
    """

    def __init__(
        self, name: str, opset: int = 17, params: Mapping[str, np.ndarray] | None = None
    ) -> None:
        self.name, self.opset, self.params = name, opset, params
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, dims: Dims, dtype: type = np.float32) -> str:
        self._inputs.append(_info(name, dims, dtype))
        return name

    def output(self, name: str, value: str, dims: Dims, dtype: type = np.float32) -> None:
        self._nodes.append(helper.make_node("Identity", [value], [name], name=f"to_{name}"))
        self._outputs.append(_info(name, dims, dtype))

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, results: int, *inputs: str, **attributes: object) -> list[str]:
        name = f"/{kind}_{len(self._nodes)}"
        outputs = [f"{name}_output_{i}" for i in range(results)]
        self._nodes.append(helper.make_node(kind, inputs, outputs, name=name, **attributes))
        return outputs

    # Constants.

    def tensor(self, name: str, array: np.ndarray) -> str:
        if name not in self._initializers:
            self._initializers[name] = numpy_helper.from_array(array.copy(order="C"), name)
        return name

    def ints(self, *values: int) -> str:
        return self.tensor("ints_" + "_".join(map(str, values)), np.array(values, np.int64))

    def index(self, value: int) -> str:
        return self.tensor(f"index_{value}", np.array(value, np.int64))

    def scalar(self, value: float) -> str:
        return self.tensor(f"scalar_{value}", np.array(value, np.float32))

    def array(self, name: str, *shape: int, scale: float | None = None) -> np.ndarray:
        """A parameter's values: normal around 0 (`scale`; default: by what feeds one output)."""
        if self.params is not None:
            found = self.params[name]
            assert found.shape == shape, f"{name} is {found.shape}, not {shape}"
            return found
        if scale is None:
            scale = float(np.prod(shape[1:], dtype=np.int64)) ** -0.5
        random = np.random.default_rng(zlib.crc32(f"{self.name}/{name}".encode()))
        return random.standard_normal(shape, np.float32) * np.float32(scale)

    def param(self, name: str, *shape: int, scale: float | None = None) -> str:
        return self.tensor(name, self.array(name, *shape, scale=scale))

    # What models are made of.

    def linear(self, name: str, x: str, fan_in: int, fan_out: int, bias: bool = True) -> str:
        """x [.., fan_in] times the transposed weight [fan_out, fan_in], as of rank 3 and more."""
        matrix = self.tensor(f"{name}.matrix", self.array(f"{name}.weight", fan_out, fan_in).T)
        product = self.op("MatMul", x, matrix)
        if not bias:
            return product
        return self.op("Add", self.param(f"{name}.bias", fan_out, scale=0.02), product)

    def gemm(self, name: str, x: str, fan_in: int, fan_out: int) -> str:
        """The same of rank 2."""
        weight = self.param(f"{name}.weight", fan_out, fan_in)
        return self.op("Gemm", x, weight, self.param(f"{name}.bias", fan_out, scale=0.02), transB=1)

    def conv(
        self,
        name: str,
        x: str,
        channels: tuple[int, int],
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        gain: float = 1.0,
    ) -> str:
        """With bias: a batch norm behind it is folded, as exporters do. (in, out) channels."""
        fan_in = channels[0] // groups * kernel * kernel
        shape = (channels[1], channels[0] // groups, kernel, kernel)
        weight = self.param(f"{name}.weight", *shape, scale=gain * fan_in**-0.5)
        return self.op(
            "Conv",
            x,
            weight,
            self.param(f"{name}.bias", channels[1], scale=0.02),
            kernel_shape=[kernel] * 2,
            strides=[stride] * 2,
            pads=[(kernel - 1) // 2 if stride < kernel else 0] * 4,
            dilations=[1, 1],
            group=groups,
        )

    def layer_norm(self, name: str, x: str, width: int, eps: float) -> str:
        gamma = self.params[f"{name}.weight"] if self.params else np.ones(width, np.float32)
        beta = self.param(f"{name}.bias", width, scale=0.02)
        gamma_name = self.tensor(f"{name}.weight", gamma)
        return self.op("LayerNormalization", x, gamma_name, beta, axis=-1, epsilon=eps)

    def gelu(self, x: str) -> str:
        erf = self.op("Erf", self.op("Div", x, self.scalar(float(np.sqrt(2.0)))))
        sum_ = self.op("Add", erf, self.scalar(1.0))
        return self.op("Mul", self.op("Mul", x, sum_), self.scalar(0.5))

    def silu(self, x: str) -> str:
        return self.op("Mul", x, self.op("Sigmoid", x))

    def dim(self, x: str, axis: int) -> str:
        """An extent, as a number."""
        return self.op("Gather", self.op("Shape", x), self.index(axis), axis=0)

    def shape(self, *dims: int | str) -> str:
        """A list of extents, numbers and values of `dim` alike."""
        if all(isinstance(dim, int) for dim in dims):
            return self.ints(*dims)  # type: ignore[arg-type]
        parts = [
            self.ints(dim) if isinstance(dim, int) else self.op("Unsqueeze", dim, self.ints(0))
            for dim in dims
        ]
        return self.op("Concat", *parts, axis=0)

    def reshape(self, x: str, *dims: int | str) -> str:
        return self.op("Reshape", x, self.shape(*dims))

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(
            self._nodes,
            self.name,
            self._inputs,
            self._outputs,
            list(self._initializers.values()),
        )
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=8, producer_name="rlxd bench"
        )


def _info(name: str, dims: Dims, dtype: type) -> onnx.ValueInfoProto:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, element, dims)
