# SPDX-License-Identifier: Apache-2.0
"""Device names as people write them: "cpu", "cuda:h200"."""

from __future__ import annotations

from typing import Any

from rlxd._proto.rlx.v1 import target_pb2
from rlxd._proto.rlx.v1 import types_pb2 as types

_PREFIX = "DEVICE_"
DEVICES = tuple(n.removeprefix(_PREFIX).lower() for n in types.Device.keys()[1:])


def device_name(device: int) -> str:
    """ "cpu" for DEVICE_CPU."""
    return types.Device.Name(device).removeprefix(_PREFIX).lower()


def parse_target(text: str) -> target_pb2.TargetSpec:
    """Reads KIND or KIND:PROFILE. ValueError for a kind that is none of the twelve."""
    kind, _, profile = text.partition(":")
    if kind not in DEVICES:
        raise ValueError(f"{kind!r} is no device; devices: {', '.join(DEVICES)}")
    device: Any = types.Device.Value(_PREFIX + kind.upper())
    return target_pb2.TargetSpec(device=device, profile=profile)
