# SPDX-License-Identifier: Apache-2.0
"""Bytes by SHA-256: uploaded once, in chunks, resumed where a connection broke."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rlxd import errors
from rlxd._proto.rlx.v1 import blobs_pb2, blobs_pb2_grpc
from rlxd._proto.rlx.v1 import types_pb2 as types
from rlxd.channel import Channel, translated

#: Called with (bytes on the server, bytes in all) of an upload.
Progress = Callable[[int, int], None]

_HASH_BYTES = 1 << 20
_MIN_RATE = 1 << 20  # bytes a second; slower than that, an upload runs into its deadline
_PATIENCE = 5  # tries without a byte of progress


@dataclass(frozen=True)
class Blob:
    """Bytes in memory or in a file, named by their digest."""

    sha256: bytes
    size: int
    data: bytes | None = field(default=None, repr=False, compare=False)
    path: Path | None = field(default=None, compare=False)

    @classmethod
    def of_bytes(cls, data: bytes) -> Blob:
        """A blob in memory."""
        return cls(hashlib.sha256(data).digest(), len(data), data=data)

    @classmethod
    def of_file(cls, path: str | os.PathLike[str]) -> Blob:
        """A blob in a file, which must not change until it is uploaded."""
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while piece := file.read(_HASH_BYTES):
                digest.update(piece)
            return cls(digest.digest(), file.tell(), path=Path(path))

    @property
    def ref(self) -> types.BlobRef:
        """Its name on the wire."""
        return types.BlobRef(sha256=self.sha256, size=self.size)

    def chunks(self, offset: int, chunk_bytes: int) -> Iterator[bytes]:
        """The bytes from `offset` on."""
        if self.data is not None:
            for start in range(offset, self.size, chunk_bytes):
                yield self.data[start : start + chunk_bytes]
            return
        assert self.path is not None
        with open(self.path, "rb") as file:
            file.seek(offset)
            while piece := file.read(chunk_bytes):
                yield piece


class Blobs:
    """The server's blob store, as one client sees it. Thread safe."""

    def __init__(self, channel: Channel, chunk_bytes: Callable[[], int]) -> None:
        self._channel = channel
        self._chunk_bytes = chunk_bytes  # asks the server's limits, on first use

    @property
    def _stub(self) -> blobs_pb2_grpc.BlobsStub:
        return self._channel.stub(blobs_pb2_grpc.BlobsStub)

    def missing(self, blobs: Iterable[Blob]) -> list[Blob]:
        """Those that the server does not have."""
        by_digest = {blob.sha256: blob for blob in blobs}
        request = blobs_pb2.FindMissingRequest(blobs=[b.ref for b in by_digest.values()])
        answer = self._channel.call(self._stub.FindMissing, request)
        return [by_digest[ref.sha256] for ref in answer.missing]

    def upload(
        self, blobs: Iterable[Blob], progress: Progress | None = None, timeout: float | None = None
    ) -> int:
        """Makes the server have all of them; returns the bytes that had to travel. `timeout` is
        for each blob; the default grows with its size."""
        missing = self.missing(blobs)
        total = sum(blob.size for blob in missing)
        done = 0
        for blob in missing:
            report = None if progress is None else _shifted(progress, done, total)
            self._upload(blob, report, timeout)
            done += blob.size
        return total

    def _upload(self, blob: Blob, progress: Progress | None, timeout: float | None) -> None:
        if timeout is None:
            timeout = self._channel.timeout + blob.size / _MIN_RATE
        end = time.monotonic() + timeout
        tries, furthest = 0, 0
        while True:
            state = self._channel.call(
                self._stub.QueryWrite, blobs_pb2.QueryWriteRequest(blob=blob.ref)
            )
            if state.complete:
                return
            tries = 1 if state.committed_size > furthest else tries + 1
            furthest = max(furthest, state.committed_size)
            try:
                if self._write(blob, state.committed_size, progress, end - time.monotonic()):
                    return
            except (errors.Unavailable, errors.Aborted, errors.OutOfRange) as error:
                if tries >= _PATIENCE or time.monotonic() >= end:
                    raise
                time.sleep(error.retry_after or 0.05 * 2**tries)
            else:
                if tries >= _PATIENCE:
                    raise errors.DataLoss(f"{blob.sha256.hex()}: the server keeps less than sent")

    def _write(self, blob: Blob, offset: int, progress: Progress | None, timeout: float) -> bool:
        requests = _requests(blob, offset, self._chunk_bytes(), progress)
        with translated():
            answer = self._stub.Write(requests, timeout=self._channel.deadline(max(timeout, 0)))
        if progress is not None:
            progress(answer.committed_size, blob.size)
        return bool(answer.complete)

    def read(
        self, sha256: bytes, offset: int = 0, length: int = 0, timeout: float | None = None
    ) -> bytes:
        """A blob's bytes, or `length` of them from `offset`."""
        request = blobs_pb2.ReadRequest(
            blob=types.BlobRef(sha256=sha256), offset=offset, length=length
        )
        pieces = self._channel.stream(self._stub.Read, request, timeout)
        return b"".join(piece.data for piece in pieces)


def _requests(
    blob: Blob, offset: int, chunk_bytes: int, progress: Progress | None
) -> Iterator[blobs_pb2.WriteRequest]:
    head = blobs_pb2.WriteRequest(blob=blob.ref, offset=offset)
    for piece in blob.chunks(offset, chunk_bytes):
        if progress is not None:  # gRPC asks for a chunk when the one before has left
            progress(offset, blob.size)
        head.data = piece
        yield head
        head = blobs_pb2.WriteRequest()
        offset += len(piece)
    if head.HasField("blob"):  # nothing left to send: let the server finish it
        yield head


def _shifted(progress: Progress, before: int, total: int) -> Progress:
    return lambda done, _: progress(before + done, total)
