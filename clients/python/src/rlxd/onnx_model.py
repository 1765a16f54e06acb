# SPDX-License-Identifier: Apache-2.0
"""An ONNX model as it lies in its file, to compile as it is: the server imports it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rlxd._proto.rlx.v1 import compiler_pb2
from rlxd.blobs import Blob


@dataclass(frozen=True)
class OnnxModel:
    """A serialized ModelProto, and the files that its tensors name as the place of their data,
    by the names that the model has for them."""

    model: Blob
    external: Mapping[str, Blob] = field(default_factory=dict)

    @classmethod
    def of_bytes(cls, data: bytes) -> OnnxModel:
        """A model in memory, with all its data in itself."""
        return cls(Blob.of_bytes(data))

    @classmethod
    def of_file(cls, path: str | os.PathLike[str], external: tuple[str, ...] = ()) -> OnnxModel:
        """A model's file, and those beside it that `external` names: relative, and within its
        folder, else a ValueError."""
        path = Path(path)
        folder = path.resolve().parent
        files = {}
        for location in external:
            real = (folder / location).resolve()
            if not real.is_relative_to(folder):
                raise ValueError(f"{location} is outside of the model's folder")
            files[location] = Blob.of_file(real)
        return cls(Blob.of_file(path), files)

    def blobs(self) -> list[Blob]:
        """All that the server has to have."""
        return [self.model, *self.external.values()]

    def to_wire(self) -> compiler_pb2.OnnxModel:
        """As CompileSpec names it."""
        out = compiler_pb2.OnnxModel(model=self.model.ref)
        for location, blob in self.external.items():
            out.external.add(location=location, blob=blob.ref)
        return out
