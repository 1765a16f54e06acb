# SPDX-License-Identifier: Apache-2.0
"""A graph under construction: nodes appended in order, checked by the server.

Nothing is inferred here: the daemon knows the ops, and its errors name the node.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from rlxd._proto.rlx.v1 import module_pb2
from rlxd._proto.rlx.v1 import types_pb2 as types
from rlxd.dims import Dim, Shape, tensor_type
from rlxd.dtypes import DType, f32
from rlxd.tensors import to_bytes, to_wire

#: Constants above this many bytes travel as blobs.
INLINE_CONSTANT_BYTES = 16 * 1024


class Value:
    """A result of a node. Operators emit nodes: `x @ w + b`; numbers become constants of f32."""

    __slots__ = ("graph", "node", "result")

    def __init__(self, graph: Graph, node: int, result: int = 0) -> None:
        self.graph = graph
        self.node = node
        self.result = result

    def _binary(self, op: str, other: Operand, swap: bool = False) -> Value:
        right = other if isinstance(other, Value) else self.graph.constant(other, dtype=f32)
        return self.graph.emit(op, (right, self) if swap else (self, right))

    def __add__(self, other: Operand) -> Value:
        return self._binary("add", other)

    def __radd__(self, other: Operand) -> Value:
        return self._binary("add", other, swap=True)

    def __sub__(self, other: Operand) -> Value:
        return self._binary("sub", other)

    def __rsub__(self, other: Operand) -> Value:
        return self._binary("sub", other, swap=True)

    def __mul__(self, other: Operand) -> Value:
        return self._binary("mul", other)

    def __rmul__(self, other: Operand) -> Value:
        return self._binary("mul", other, swap=True)

    def __truediv__(self, other: Operand) -> Value:
        return self._binary("div", other)

    def __rtruediv__(self, other: Operand) -> Value:
        return self._binary("div", other, swap=True)

    def __matmul__(self, other: Value) -> Value:
        return self.graph.emit("matmul", (self, other))

    def __neg__(self) -> Value:
        return self.graph.emit("neg", (self,))

    def __repr__(self) -> str:
        return f"%{self.node}" if self.result == 0 else f"%{self.node}.{self.result}"


Operand: TypeAlias = Value | float
AttrValue: TypeAlias = (
    bool
    | int
    | float
    | str
    | DType
    | Sequence[int]
    | Sequence[float]
    | types.Tensor
    | module_pb2.DimList
)
Attrs: TypeAlias = Mapping[str, AttrValue | None]


class Graph:
    """The main graph of a module (number 0), or a nested one. Not thread safe."""

    def __init__(
        self, message: module_pb2.Graph, blobs: dict[bytes, bytes], number: int = 0
    ) -> None:
        self.number = number
        self._message = message
        self._blobs = blobs

    def emit(
        self,
        op: str,
        operands: Sequence[Value] = (),
        attrs: Attrs | None = None,
        *,
        name: str = "",
        results: Sequence[types.TensorType] = (),
        subgraphs: Sequence[Graph] = (),
    ) -> Value:
        """Appends any op by its name; attributes that are None are left out. The first result."""
        for operand in operands:
            if operand.graph is not self:
                raise ValueError(f"{op}: {operand} belongs to another graph")
        self._message.nodes.add(
            op=op,
            operands=[module_pb2.ValueRef(node=v.node, result=v.result) for v in operands],
            attributes=[_attribute(k, v) for k, v in (attrs or {}).items() if v is not None],
            results=results,
            name=name,
            subgraphs=[graph.number for graph in subgraphs],
        )
        return Value(self, len(self._message.nodes) - 1)

    def result(self, value: Value, index: int) -> Value:
        """Another result of the node that made `value`."""
        return Value(self, value.node, index)

    def input(self, name: str, shape: Shape, dtype: DType | str = f32) -> Value:
        """A tensor that every run must be given."""
        return self.emit("input", name=name, results=[tensor_type(dtype, shape)])

    def param(self, name: str, shape: Shape, dtype: DType | str = f32) -> Value:
        """A weight, given when a session is opened."""
        return self.emit("param", name=name, results=[tensor_type(dtype, shape)])

    def constant(
        self, value: npt.ArrayLike, *, dtype: DType | None = None, name: str = ""
    ) -> Value:
        """A literal, part of the compile key. `dtype` converts; default: the array's own, and
        f32 for Python floats."""
        if dtype is None and not isinstance(value, (np.ndarray, np.generic)):
            value = np.asarray(value)
            dtype = f32 if value.dtype == np.float64 else None
        array = np.asarray(value, dtype.numpy if dtype else None)
        kind = DType.of(array.dtype)
        if array.nbytes <= INLINE_CONSTANT_BYTES:
            literal = module_pb2.Attribute(name="value", tensor=to_wire(array))
        else:
            literal = module_pb2.Attribute(name="value", blob=self._blob(to_bytes(array)))
        node = self.emit("constant", name=name, results=[tensor_type(kind, array.shape)])
        self._message.nodes[node.node].attributes.append(literal)
        return node

    def output(self, name: str, value: Value) -> None:
        """Names a result of the graph."""
        if value.graph is not self:
            raise ValueError(f"output {name!r}: {value} belongs to another graph")
        ref = module_pb2.ValueRef(node=value.node, result=value.result)
        self._message.outputs.add(name=name, value=ref)

    @property
    def title(self) -> str:
        """The graph's name."""
        return self._message.name

    @property
    def output_count(self) -> int:
        """How many outputs have been named."""
        return len(self._message.outputs)

    def name(self, value: Value, name: str) -> Value:
        """Labels the node that made `value`, for reports and errors; returns `value`."""
        self._message.nodes[value.node].name = name
        return value

    def _blob(self, data: bytes) -> types.BlobSlice:
        digest = hashlib.sha256(data).digest()
        self._blobs[digest] = data
        return types.BlobSlice(sha256=digest, offset=0, length=len(data))


def dims(shape: Shape) -> module_pb2.DimList:
    """A shape as an attribute; -1 stands for "whatever is left"."""
    return module_pb2.DimList(dims=[Dim.of(d).to_wire() for d in shape])


def _attribute(name: str, value: AttrValue) -> module_pb2.Attribute:
    attribute = module_pb2.Attribute(name=name)
    if isinstance(value, bool | np.bool_):
        attribute.b = bool(value)
    elif isinstance(value, int | np.integer):
        attribute.i = int(value)
    elif isinstance(value, float | np.floating):
        attribute.f = float(value)
    elif isinstance(value, str):
        attribute.s = value
    elif isinstance(value, DType):
        attribute.dtype = value.wire
    elif isinstance(value, types.Tensor):
        attribute.tensor.CopyFrom(value)
    elif isinstance(value, module_pb2.DimList):
        attribute.shape.CopyFrom(value)
    elif any(isinstance(v, float | np.floating) for v in value):
        attribute.floats.values.extend(map(float, value))
    else:
        attribute.ints.SetInParent()
        attribute.ints.values.extend(map(int, value))
    return attribute
