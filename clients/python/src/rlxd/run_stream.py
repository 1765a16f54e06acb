# SPDX-License-Identifier: Apache-2.0
"""Many runs on one gRPC stream."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt

from rlxd import errors
from rlxd._proto.rlx.v1 import sessions_pb2, sessions_pb2_grpc
from rlxd.tensors import from_wire

Result = dict[str, npt.NDArray[np.generic]]
MakeRequest = Callable[[Mapping[str, npt.ArrayLike], Sequence[str]], sessions_pb2.RunRequest]


#: Runs under way on one stream, by default: what rlxd takes before it stops reading.
WINDOW = 64


class RunStream:
    """Submits runs and hands out futures; results may come in another order. Thread safe.

    At most `window` runs are under way: beyond that `submit` waits for an answer, so that a
    producer faster than the server costs no more memory than that. Leaving the `with` block waits
    for what was submitted.
    """

    def __init__(
        self,
        stub: sessions_pb2_grpc.SessionsStub,
        make_request: MakeRequest,
        timeout: float | None,
        window: int = WINDOW,
    ) -> None:
        if window < 1:
            raise ValueError(f"window: {window} is not positive")
        self._make_request = make_request
        self._window = window
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)  # fewer than a window wait, or the end
        self._waiting: dict[int, Future[Result]] = {}
        self._next = 0
        self._ended: BaseException | None = None
        self._outbox: queue.SimpleQueue[sessions_pb2.RunStreamRequest | None] = queue.SimpleQueue()
        self._call: Any = stub.RunStream(self._requests(), timeout=timeout)
        self._reader = threading.Thread(target=self._read, name="rlxd-run-stream", daemon=True)
        self._reader.start()

    def submit(
        self, inputs: Mapping[str, npt.ArrayLike], outputs: Sequence[str] = ()
    ) -> Future[Result]:
        """Starts a run, when there is room in the window. The future raises the run's error, or
        the stream's. In a callback of a future it never waits: answers come on that thread."""
        run = self._make_request(inputs, outputs)
        future: Future[Result] = Future()
        with self._lock:
            if threading.current_thread() is not self._reader:
                self._room.wait_for(
                    lambda: self._ended is not None or len(self._waiting) < self._window
                )
            if self._ended is not None:
                raise self._ended
            self._next += 1
            self._waiting[self._next] = future
            self._outbox.put(sessions_pb2.RunStreamRequest(id=self._next, run=run))
        return future

    def run(self, inputs: Mapping[str, npt.ArrayLike], outputs: Sequence[str] = ()) -> Result:
        """Submits and waits."""
        return self.submit(inputs, outputs).result()

    def close(self) -> None:
        """Submits no more and waits for what is under way."""
        self._finish(errors.Cancelled("the stream is closed"), drop=False)
        self._reader.join()

    def cancel(self) -> None:
        """Ends the stream now; what is under way fails with Cancelled."""
        self._call.cancel()
        self._reader.join()

    def __enter__(self) -> RunStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.cancel()

    def _requests(self) -> Iterator[sessions_pb2.RunStreamRequest]:
        while (request := self._outbox.get()) is not None:
            yield request

    def _read(self) -> None:
        reason: BaseException = errors.Unavailable("the server ended the stream")
        try:
            for response in self._call:
                self._settle(response)
        except grpc.RpcError as error:
            reason = errors.from_rpc(error)
        finally:
            self._finish(reason, drop=True)

    def _settle(self, response: sessions_pb2.RunStreamResponse) -> None:
        with self._lock:
            future = self._waiting.pop(response.id, None)
            self._room.notify()
        if future is None or not future.set_running_or_notify_cancel():
            return
        if response.status.code != 0:
            future.set_exception(errors.from_status(response.status))
        else:
            future.set_result({o.name: from_wire(o.tensor) for o in response.run.outputs})

    def _finish(self, reason: BaseException, drop: bool) -> None:
        """Lets no run in any more, and ends the request side; with `drop` fails those waiting."""
        with self._lock:
            if self._ended is None:
                self._ended = reason
                self._outbox.put(None)
                self._room.notify_all()
            waiting = list(self._waiting.values()) if drop else []
            if drop:
                self._waiting.clear()
        for future in waiting:
            if future.set_running_or_notify_cancel():
                future.set_exception(reason)
