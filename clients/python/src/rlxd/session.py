# SPDX-License-Identifier: Apache-2.0
"""Sessions: an executable with its weights, ready to run."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from rlxd import errors
from rlxd._proto.rlx.v1 import plan_pb2, sessions_pb2, sessions_pb2_grpc
from rlxd.channel import Channel
from rlxd.dtypes import DType
from rlxd.run_stream import WINDOW, RunStream
from rlxd.tensors import from_wire, to_wire

Arrays = dict[str, npt.NDArray[np.generic]]


class Session:
    """Runs one executable. Made by Client.open; close it, or use `with`. Thread safe.

    The server closes a session that nobody used for `lease_seconds`; a run renews the lease, and
    `keep_alive` does so without one.
    """

    def __init__(self, channel: Channel, opened: sessions_pb2.OpenResponse) -> None:
        self._channel = channel
        self._opened = opened
        self._dtypes = {b.name: DType(b.type.dtype) for b in opened.manifest.inputs}
        self._lock = threading.Lock()
        self._closed = False

    @property
    def _stub(self) -> sessions_pb2_grpc.SessionsStub:
        return self._channel.stub(sessions_pb2_grpc.SessionsStub)

    @property
    def handle(self) -> bytes:
        """16 bytes that name the session; whoever has them and the same identity may use it."""
        return self._opened.handle

    @property
    def manifest(self) -> plan_pb2.Manifest:
        """Inputs, params and outputs, by name."""
        return self._opened.manifest

    @property
    def lease_seconds(self) -> int:
        """The lease as granted."""
        return self._opened.lease_seconds

    @property
    def weights_shared(self) -> bool:
        """Whether another session's copy of the same weights serves this one."""
        return self._opened.weights_shared

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights on the device, shared or not."""
        return self._opened.weight_bytes

    def run(
        self,
        inputs: Mapping[str, npt.ArrayLike],
        outputs: Sequence[str] = (),
        timeout: float | None = None,
    ) -> Arrays:
        """One run. Arrays must have the dtypes of the manifest; lists and numbers get them. All
        outputs, or those named."""
        request = self.request(inputs, outputs)
        return arrays(self._channel.call(self._stub.Run, request, timeout))

    def stream(self, timeout: float | None = None, *, window: int = WINDOW) -> RunStream:
        """An open stream: cheaper for each run, and up to `window` may be under way. Use `with`."""
        return RunStream(self._stub, self.request, self._channel.deadline(timeout), window)

    def request(
        self, inputs: Mapping[str, npt.ArrayLike], outputs: Sequence[str] = ()
    ) -> sessions_pb2.RunRequest:
        """The message that `run` sends."""
        named = [
            sessions_pb2.NamedTensor(name=name, tensor=to_wire(value, self._dtypes.get(name)))
            for name, value in inputs.items()
        ]
        return sessions_pb2.RunRequest(handle=self.handle, inputs=named, outputs=outputs)

    def keep_alive(self, lease_seconds: int = 0, timeout: float | None = None) -> int:
        """Renews the lease, as long as at open or another time; returns what was granted."""
        request = sessions_pb2.KeepAliveRequest(handle=self.handle, lease_seconds=lease_seconds)
        return self._channel.call(self._stub.KeepAlive, request, timeout).lease_seconds

    def close(self, timeout: float | None = None) -> None:
        """Frees what the session holds; runs under way finish first. Again is no error."""
        with self._lock:
            closed, self._closed = self._closed, True
        if not closed:
            request = sessions_pb2.CloseRequest(handle=self.handle)
            self._channel.call(self._stub.Close, request, timeout)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except errors.RlxError:
            if error is None:  # else the first error is the one to see
                raise


def arrays(response: Any) -> Arrays:
    """The outputs of a RunResponse by name."""
    return {output.name: from_wire(output.tensor) for output in response.outputs}
