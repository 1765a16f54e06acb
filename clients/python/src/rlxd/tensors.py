# SPDX-License-Identifier: Apache-2.0
"""NumPy arrays to wire tensors and back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rlxd._proto.rlx.v1 import types_pb2 as types
from rlxd.dtypes import DType

Array = npt.NDArray[np.generic]


def to_bytes(array: Array) -> bytes:
    """Row-major little-endian bytes."""
    return np.ascontiguousarray(array, DType.of(array.dtype).numpy).tobytes()


def to_wire(array: npt.ArrayLike, dtype: DType | None = None) -> types.Tensor:
    """A tensor of the array's own element type. `dtype` is for lists and numbers, which have none;
    an array is never cast: what the server makes of a mismatch is an error that names it."""
    if not isinstance(array, (np.ndarray, np.generic)):
        array = np.asarray(array, dtype.numpy if dtype else None)
    array = np.asarray(array)
    return types.Tensor(dtype=DType.of(array.dtype).wire, shape=array.shape, data=to_bytes(array))


def from_wire(tensor: types.Tensor) -> Array:
    """A writable array with its own memory."""
    flat = np.frombuffer(bytearray(tensor.data), DType(tensor.dtype).numpy)
    return flat.reshape(tuple(tensor.shape))
