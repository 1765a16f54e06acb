# SPDX-License-Identifier: Apache-2.0
"""Element types, and what NumPy calls them."""

from __future__ import annotations

import enum
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt


class DType(enum.Enum):
    """An element type; the value is the wire's number."""

    BOOL = 1
    U8 = 2
    I8 = 3
    I16 = 4
    BF16 = 5
    F16 = 6
    U32 = 7
    I32 = 8
    I64 = 9
    F32 = 10
    F64 = 11
    C64 = 12
    FP8E4M3 = 13
    FP8E5M2 = 14

    @property
    def numpy(self) -> np.dtype[Any]:
        """The NumPy dtype: little endian; bf16 and fp8 are ml_dtypes'."""
        return _TO_NUMPY[self]

    @property
    def wire(self) -> Any:
        """The wire's number, which type hints of messages call an enumeration."""
        return self.value

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.numpy.itemsize

    @classmethod
    def of(cls, dtype: DType | npt.DTypeLike) -> DType:
        """The element type of a DType, a NumPy dtype, or a name of either ("f32", "float32")."""
        if isinstance(dtype, cls):
            return dtype
        if isinstance(dtype, str) and dtype.upper() in cls.__members__:
            return cls[dtype.upper()]
        numpy: np.dtype[Any] = np.dtype(dtype)  # type: ignore[arg-type]
        found = _FROM_NUMPY.get(numpy.newbyteorder("<"))
        if found is None:
            raise TypeError(f"rlxd has no element type for {numpy}")
        return found

    def __str__(self) -> str:
        return self.name.lower()


_TO_NUMPY: dict[DType, np.dtype[Any]] = {
    DType.BOOL: np.dtype(np.bool_),
    DType.U8: np.dtype("u1"),
    DType.I8: np.dtype("i1"),
    DType.I16: np.dtype("<i2"),
    DType.BF16: np.dtype(ml_dtypes.bfloat16),
    DType.F16: np.dtype("<f2"),
    DType.U32: np.dtype("<u4"),
    DType.I32: np.dtype("<i4"),
    DType.I64: np.dtype("<i8"),
    DType.F32: np.dtype("<f4"),
    DType.F64: np.dtype("<f8"),
    DType.C64: np.dtype("<c8"),
    DType.FP8E4M3: np.dtype(ml_dtypes.float8_e4m3fn),
    DType.FP8E5M2: np.dtype(ml_dtypes.float8_e5m2),
}
_FROM_NUMPY = {numpy: dtype for dtype, numpy in _TO_NUMPY.items()}

bool_ = DType.BOOL
u8 = DType.U8
i8 = DType.I8
i16 = DType.I16
bf16 = DType.BF16
f16 = DType.F16
u32 = DType.U32
i32 = DType.I32
i64 = DType.I64
f32 = DType.F32
f64 = DType.F64
c64 = DType.C64
fp8e4m3 = DType.FP8E4M3
fp8e5m2 = DType.FP8E5M2
