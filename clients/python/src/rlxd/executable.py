# SPDX-License-Identifier: Apache-2.0
"""What a compile gives, and what it tells while it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rlxd._proto.rlx.v1 import compiler_pb2, options_pb2, plan_pb2, report_pb2
from rlxd.dims import type_text
from rlxd.target import device_name


@dataclass(frozen=True)
class CompileProgress:
    """A compile went on: `phase` is cache_check, queued, parse, hir, mir, lir, codegen, load."""

    phase: str
    detail: str  # in mir: the pass that starts
    seconds: float  # since the compile began
    operation: str


OnProgress = Callable[[CompileProgress], None]


@dataclass(frozen=True)
class Executable:
    """A compiled module, held by the server under `key`. Messages: compiler.proto."""

    result: compiler_pb2.CompileResult

    @property
    def key(self) -> bytes:
        """32 bytes that name it: equal for equal module, target, options and server build."""
        return self.result.key

    @property
    def cache(self) -> str:
        """Where it came from: memory, disk, remote, follower, compiled."""
        name = compiler_pb2.CacheResult.Name(self.result.cache)
        return name.removeprefix("CACHE_RESULT_").lower()

    @property
    def target(self) -> str:
        """What it runs on: "cpu"."""
        return self.result.target.profile or device_name(self.result.target.device)

    @property
    def manifest(self) -> plan_pb2.Manifest:
        """Inputs, params and outputs, by name."""
        return self.result.manifest

    @property
    def fusion(self) -> report_pb2.FusionReport:
        """What was fused, what was missed and why."""
        return self.result.fusion

    @property
    def dispatch(self) -> report_pb2.DispatchReport:
        """How each kind of op runs."""
        return self.result.dispatch

    @property
    def options(self) -> options_pb2.CompileOptions:
        """The options as resolved."""
        return self.result.options

    @property
    def phase_seconds(self) -> dict[str, float]:
        """Seconds by phase of this request."""
        return {phase_name(p.phase): p.seconds for p in self.result.phases}

    def __str__(self) -> str:
        def named(bindings: Iterable[plan_pb2.Binding]) -> str:
            return ", ".join(f"{b.name}: {type_text(b.type)}" for b in bindings)

        head = f"{self.key.hex()[:16]} ({self.cache}, {self.target})"
        return f"{head}: ({named(self.manifest.inputs)}) -> ({named(self.manifest.outputs)})"


def phase_name(phase: int) -> str:
    """ "codegen" for COMPILE_PHASE_CODEGEN."""
    return compiler_pb2.CompilePhase.Name(phase).removeprefix("COMPILE_PHASE_").lower()
