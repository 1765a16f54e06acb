# SPDX-License-Identifier: Apache-2.0
"""Client for rlxd, a daemon that compiles tensor graphs and runs them.

A module is built, compiled, opened with its weights, and run:

    import numpy as np
    import rlxd

    m = rlxd.HirModule("mlp")
    x = m.input("x", ["batch", 384])
    m.output("y", m.linear(x, m.param("w", [384, 8]), m.param("b", [8]), activation="gelu"))

    with rlxd.Client() as client:
        executable = client.compile(m)
        with client.open(executable, {"w": w, "b": b}) as session:
            y = session.run({"x": np.ones((1, 384), np.float32)})["y"]
"""

from rlxd.blobs import Blob
from rlxd.client import Client
from rlxd.dims import Dim
from rlxd.dtypes import (
    DType,
    bf16,
    bool_,
    c64,
    f16,
    f32,
    f64,
    fp8e4m3,
    fp8e5m2,
    i8,
    i16,
    i32,
    i64,
    u8,
    u32,
)
from rlxd.errors import (
    Aborted,
    AlreadyExists,
    Cancelled,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    FusionNotClean,
    Internal,
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ResourceExhausted,
    RlxError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from rlxd.executable import CompileProgress, Executable
from rlxd.graph import Value
from rlxd.module import HirModule, MirModule
from rlxd.onnx_model import OnnxModel
from rlxd.options import CompileOptions
from rlxd.run_stream import RunStream
from rlxd.session import Session
from rlxd.weights import FileSlice, WeightFile

__version__ = "0.1.0"

__all__ = [
    "Aborted",
    "AlreadyExists",
    "Blob",
    "Cancelled",
    "Client",
    "CompileOptions",
    "CompileProgress",
    "DType",
    "DataLoss",
    "DeadlineExceeded",
    "Dim",
    "Executable",
    "FailedPrecondition",
    "FileSlice",
    "FusionNotClean",
    "HirModule",
    "Internal",
    "InvalidArgument",
    "MirModule",
    "NotFound",
    "OnnxModel",
    "OutOfRange",
    "PermissionDenied",
    "ResourceExhausted",
    "RlxError",
    "RunStream",
    "Session",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Value",
    "WeightFile",
    "bf16",
    "bool_",
    "c64",
    "f16",
    "f32",
    "f64",
    "fp8e4m3",
    "fp8e5m2",
    "i16",
    "i32",
    "i64",
    "i8",
    "u32",
    "u8",
]
