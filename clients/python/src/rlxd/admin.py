# SPDX-License-Identifier: Apache-2.0
"""Calls for those who run the server."""

from __future__ import annotations

from collections.abc import Sequence

from rlxd._proto.rlx.v1 import admin_pb2, admin_pb2_grpc
from rlxd.channel import Channel


class Admin:
    """The Admin service. Messages are those of admin.proto. Thread safe."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    @property
    def _stub(self) -> admin_pb2_grpc.AdminStub:
        return self._channel.stub(admin_pb2_grpc.AdminStub)

    def drain(self, timeout: float | None = None) -> int:
        """Makes the server not ready and waits for running calls; returns how many are left."""
        return self._channel.call(self._stub.Drain, admin_pb2.DrainRequest(), timeout).in_flight

    def cache_stats(self, timeout: float | None = None) -> list[admin_pb2.CacheTier]:
        """Counters of each cache tier, fastest first."""
        answer = self._channel.call(self._stub.CacheStats, admin_pb2.CacheStatsRequest(), timeout)
        return list(answer.tiers)

    def cache_list(
        self, limit: int = 0, timeout: float | None = None
    ) -> list[admin_pb2.CacheEntry]:
        """Entries, most recently used first."""
        request = admin_pb2.CacheListRequest(limit=limit)
        return list(self._channel.call(self._stub.CacheList, request, timeout).entries)

    def cache_clear(
        self, tiers: Sequence[str] = (), timeout: float | None = None
    ) -> admin_pb2.CacheClearResponse:
        """Empties the tiers named, or all; says how many entries and bytes went."""
        request = admin_pb2.CacheClearRequest(tiers=tiers)
        return self._channel.call(self._stub.CacheClear, request, timeout)
