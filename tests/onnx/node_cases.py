# SPDX-License-Identifier: Apache-2.0
"""The published backend node tests of the `onnx` package, as rlxd takes them.

Left out: domains but ONNX's own, and tests with strings, sequences, optionals or maps. An operand
that decides shapes (of Reshape, Slice, TopK ...) is an input of these models; a model in use has it
as an initializer, and so it becomes one here, where the importer asks for it by name.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

Array = npt.NDArray[np.generic]

_TENSOR = "tensor_type"
_NEEDED = re.compile(r"node (\d+) .*?operand (\d+) \([a-z _]+\) has to be known while compiling")

# How rlxd carries element types that it has no dtype for (docs/onnx.md).
_CARRIED: dict[type, npt.DTypeLike] = {
    np.uint16: np.int32,
    np.uint64: np.int64,
    ml_dtypes.int4: np.int8,
    ml_dtypes.uint4: np.uint8,
    ml_dtypes.int2: np.int8,
    ml_dtypes.uint2: np.uint8,
}
_AS_BITS = (
    "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float4_e2m1fn",
    "float8_e8m0fnu",
)  # fmt: skip


@dataclass
class Case:
    """One test: a model, and sets of inputs with the outputs that they give."""

    name: str
    model: onnx.ModelProto
    data_sets: list[tuple[list[Array], list[Array]]]
    rtol: float
    atol: float


def cases() -> Iterator[Case]:
    """All that are ours to pass, in the package's order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        found = load_model_tests(kind="node")
    for test in found:
        if test.model is None or not test.data_sets or not _is_ours(test.model):
            continue
        sets = [
            ([_array(x) for x in ins], [_array(y) for y in outs]) for ins, outs in test.data_sets
        ]
        yield Case(test.name, test.model, sets, test.rtol, test.atol)


def _is_ours(model: onnx.ModelProto) -> bool:
    domains = {node.domain for node in model.graph.node}
    if domains - {"", "ai.onnx"} and not model.functions:
        return False
    values = [*model.graph.input, *model.graph.output]
    return all(
        value.type.WhichOneof("value") == _TENSOR
        and value.type.tensor_type.elem_type != TensorProto.STRING
        for value in values
    )


def _array(value: object) -> Array:
    if isinstance(value, TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value)


def carried(array: Array) -> Array:
    """The array as it travels."""
    if array.dtype.name in _AS_BITS:
        return array.view(np.uint8)
    to = _CARRIED.get(array.dtype.type)
    if to is None:
        return array
    return array.view(np.int64) if array.dtype == np.uint64 else array.astype(to)


def needed(message: str, model: onnx.ModelProto, known: set[str]) -> set[str]:
    """The inputs that a refusal asks to know, less those that are known already."""
    match = _NEEDED.search(message)
    inputs = {value.name for value in model.graph.input} - known
    if match is None:
        scalars = {
            value.name
            for value in model.graph.input
            if not value.type.tensor_type.shape.dim and "known at run time" in message
        }
        return scalars & inputs
    nodes = model.graph.node
    index, operand = int(match[1]), int(match[2])
    if index < len(nodes) and operand < len(nodes[index].input):
        name = nodes[index].input[operand]
        if name in inputs:
            return {name}
    # Inside a function, or behind other nodes: whatever is not real-valued data.
    small = {
        value.name
        for value in model.graph.input
        if value.type.tensor_type.elem_type
        in (TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL)
    }
    return (small & inputs) or set()


def with_known(
    model: onnx.ModelProto, inputs: list[Array], known: set[str]
) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """The model with some inputs as initializers, and the arrays of the others by name."""
    out = onnx.ModelProto()
    out.CopyFrom(model)
    rest = {}
    del out.graph.input[:]
    for value, array in zip(model.graph.input, inputs, strict=False):
        if value.name in known:
            out.graph.initializer.append(numpy_helper.from_array(np.asarray(array), value.name))
        else:
            out.graph.input.append(value)
            rest[value.name] = array
    return out, rest


def difference(case: Case, got: Array, want: Array) -> str:
    """What is wrong with an output; empty when nothing is.

    Values of 16 bits may be off by the last of their own, or of the greatest value's: sums of them
    cancel.
    """
    small_float = want.dtype if want.dtype.name in _AS_BITS else None
    rtol, atol = case.rtol, case.atol
    if want.dtype in (np.float16, ml_dtypes.bfloat16):
        last = float(ml_dtypes.finfo(want.dtype).eps)
        rtol = max(rtol, last)
        finite = np.abs(want[np.isfinite(want)].astype(np.float64))
        atol = max(atol, last * float(finite.max(initial=0)))
    want = carried(want)
    if got.dtype != want.dtype:
        return f"dtype is {got.dtype}, not {want.dtype}"
    if got.shape != want.shape:
        return f"shape is {got.shape}, not {want.shape}"
    if small_float is not None:  # several codes are NaN
        got, want = got.view(small_float), want.view(small_float)
    wide = np.complex64 if np.iscomplexobj(want) else np.float64
    a, b = got.astype(wide), want.astype(wide)
    if np.allclose(a, b, rtol=rtol, atol=atol, equal_nan=True):
        return ""
    with np.errstate(all="ignore"):
        return f"differs by up to {np.nanmax(np.abs(a - b)):.3g}"
