# SPDX-License-Identifier: Apache-2.0
"""Where a session's weights come from: arrays, or slices of safetensors files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from rlxd._proto.rlx.v1 import types_pb2 as types
from rlxd.blobs import Blob
from rlxd.dtypes import DType
from rlxd.tensors import to_bytes, to_wire

#: Arrays up to this size travel with the request that opens the session.
INLINE_WEIGHT_BYTES = 4096

_MAX_HEADER_BYTES = 100_000_000
_SAFETENSORS = {
    "BOOL": DType.BOOL, "U8": DType.U8, "I8": DType.I8, "I16": DType.I16, "BF16": DType.BF16,
    "F16": DType.F16, "U32": DType.U32, "I32": DType.I32, "I64": DType.I64, "F32": DType.F32,
    "F64": DType.F64, "C64": DType.C64, "F8_E4M3": DType.FP8E4M3, "F8_E5M2": DType.FP8E5M2,
}  # fmt: skip


@dataclass(frozen=True)
class FileSlice:
    """A tensor inside a file: the file is uploaded whole, once, and serves all its tensors."""

    blob: Blob
    offset: int
    length: int
    dtype: DType
    shape: tuple[int, ...]


Weight: TypeAlias = npt.NDArray[np.generic] | FileSlice


class WeightFile(Mapping[str, FileSlice]):
    """The tensors of a safetensors file, by name. The bytes stay in the file."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.blob = Blob.of_file(path)
        self._slices = self._read()

    def _read(self) -> dict[str, FileSlice]:
        with open(self.path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= min(_MAX_HEADER_BYTES, self.blob.size - 8):
                raise ValueError(f"{self.path} is no safetensors file")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        return {name: self._slice(name, entry, 8 + length) for name, entry in header.items()}

    def _slice(self, name: str, entry: dict[str, Any], base: int) -> FileSlice:
        dtype = _SAFETENSORS.get(str(entry["dtype"]))
        if dtype is None:
            raise ValueError(f"{self.path}: {name}: rlxd has no element type {entry['dtype']}")
        begin, end = map(int, entry["data_offsets"])
        shape = tuple(map(int, entry["shape"]))
        size = dtype.itemsize * int(np.prod(shape, dtype=object))
        if end - begin != size or begin < 0 or base + end > self.blob.size:
            raise ValueError(f"{self.path}: {name}: bytes {begin} to {end} do not hold {shape}")
        return FileSlice(self.blob, base + begin, end - begin, dtype, shape)

    def __getitem__(self, name: str) -> FileSlice:
        return self._slices[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._slices)

    def __len__(self) -> int:
        return len(self._slices)

    def array(self, name: str) -> npt.NDArray[np.generic]:
        """One tensor, read into memory."""
        part = self[name]
        with open(self.path, "rb") as file:
            file.seek(part.offset)
            data = bytearray(file.read(part.length))
        return np.frombuffer(data, part.dtype.numpy).reshape(part.shape)


@dataclass(frozen=True)
class Bindings:
    """What OpenRequest.weights says, and the blobs that must be there first."""

    wire: list[types.WeightBinding]
    blobs: list[Blob]


def bind(weights: Mapping[str, Weight], inline_budget: int) -> Bindings:
    """Small arrays inline as long as the server takes them, everything else by reference."""
    wire, blobs = [], []
    for param, weight in weights.items():
        if isinstance(weight, FileSlice):
            blob, part, dtype = weight.blob, (weight.offset, weight.length), weight.dtype
        else:
            weight = np.asarray(weight)
            if weight.nbytes <= min(INLINE_WEIGHT_BYTES, inline_budget):
                inline_budget -= weight.nbytes
                wire.append(_binding(param, to_wire(weight)))
                continue
            blob = Blob.of_bytes(to_bytes(weight))
            part, dtype = (0, blob.size), DType.of(weight.dtype)
        blobs.append(blob)
        source = types.BlobSlice(sha256=blob.sha256, offset=part[0], length=part[1])
        wire.append(
            types.WeightBinding(param=param, blob=source, dtype=dtype.wire, shape=weight.shape)
        )
    return Bindings(wire, blobs)


def _binding(param: str, tensor: types.Tensor) -> types.WeightBinding:
    return types.WeightBinding(param=param, inline=tensor, dtype=tensor.dtype, shape=tensor.shape)
