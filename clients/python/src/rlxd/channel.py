# SPDX-License-Identifier: Apache-2.0
"""One connection: shared by threads, made anew in a forked child."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

# gRPC reads this when it is imported. Without it a child of fork() hangs in its first call.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "1")

import grpc  # noqa: E402

from rlxd import errors  # noqa: E402

T = TypeVar("T")

_OPTIONS = (
    ("grpc.max_receive_message_length", -1),  # the server's limits are the limits
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 60_000),
)
_live: weakref.WeakSet[Channel] = weakref.WeakSet()
_orphans: list[grpc.Channel] = []  # a parent's channels: the child must not even close them


class Channel:
    """A gRPC channel, opened on first use. Thread safe."""

    def __init__(self, target: str, timeout: float) -> None:
        self.target = target
        self.timeout = timeout
        self._reset()
        _live.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._stubs: dict[type, Any] = {}

    def _after_fork(self) -> None:
        if self._channel is not None:
            _orphans.append(self._channel)
        self._reset()

    def stub(self, cls: Callable[[grpc.Channel], T]) -> T:
        """The service stub of that class."""
        with self._lock:
            if cls not in self._stubs:
                if self._channel is None:
                    self._channel = grpc.insecure_channel(self.target, options=_OPTIONS)
                self._stubs[cls] = cls(self._channel)  # type: ignore[index]
            return self._stubs[cls]  # type: ignore[index]

    def deadline(self, timeout: float | None) -> float | None:
        """What gRPC is told: None means the default, infinity means no deadline."""
        timeout = self.timeout if timeout is None else timeout
        return None if math.isinf(timeout) else timeout

    def call(self, method: Callable[..., T], request: Any, timeout: float | None = None) -> T:
        """One unary or client-streaming call."""
        with translated():
            return method(request, timeout=self.deadline(timeout))

    def stream(
        self, method: Callable[..., Iterator[T]], request: Any, timeout: float | None = None
    ) -> Iterator[T]:
        """A server-streaming call, cancelled when the iterator is dropped."""
        with translated():
            call: Any = method(request, timeout=self.deadline(timeout))
            try:
                yield from call
            finally:
                call.cancel()

    def close(self) -> None:
        """Closes the connection; the next call opens another."""
        with self._lock:
            channel, self._channel = self._channel, None
            self._stubs.clear()
        if channel is not None:
            channel.close()


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Raises gRPC's errors as ours."""
    try:
        yield
    except grpc.RpcError as error:
        raise errors.from_rpc(error) from None


def _reset_all() -> None:
    for channel in list(_live):
        channel._after_fork()


os.register_at_fork(after_in_child=_reset_all)
