# SPDX-License-Identifier: Apache-2.0
"""The client: one connection to one rlxd."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import TypeAlias

from rlxd._proto.rlx.v1 import (
    capabilities_pb2,
    capabilities_pb2_grpc,
    compiler_pb2,
    compiler_pb2_grpc,
    devices_pb2,
    devices_pb2_grpc,
    module_pb2,
    sessions_pb2,
    sessions_pb2_grpc,
)
from rlxd.admin import Admin
from rlxd.blobs import Blob, Blobs, Progress
from rlxd.channel import Channel
from rlxd.executable import CompileProgress, Executable, OnProgress, phase_name
from rlxd.module import HirModule, MirModule
from rlxd.onnx_model import OnnxModel
from rlxd.options import CompileOptions, Stage, stage_number
from rlxd.session import Session
from rlxd.target import parse_target
from rlxd.weights import Weight, bind

Module: TypeAlias = HirModule | MirModule | OnnxModel | module_pb2.GraphModule

DEFAULT_TARGET = "127.0.0.1:8001"
DEFAULT_TIMEOUT = 30.0
COMPILE_TIMEOUT = 600.0

_HEADROOM = 64 * 1024  # of a message, for what stands beside the module


class Client:
    """A connection to rlxd at "HOST:PORT" or "unix:PATH", opened on first use.

    Thread safe, and usable on both sides of a fork. `timeout` is the deadline, in seconds, of every
    call that is given none; math.inf means no deadline. Every failed call raises an RlxError.
    """

    def __init__(self, server: str = DEFAULT_TARGET, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        self._channel = Channel(server, timeout)
        self._lock = threading.Lock()
        self._capabilities: capabilities_pb2.GetCapabilitiesResponse | None = None
        self.blobs = Blobs(self._channel, lambda: self.limits.preferred_chunk_bytes or 1 << 20)
        self.admin = Admin(self._channel)

    @property
    def server(self) -> str:
        """The address."""
        return self._channel.target

    def capabilities(
        self, timeout: float | None = None
    ) -> capabilities_pb2.GetCapabilitiesResponse:
        """Versions, limits, devices, ops and passes of the server."""
        stub = self._channel.stub(capabilities_pb2_grpc.ServerStub)
        request = capabilities_pb2.GetCapabilitiesRequest()
        found = self._channel.call(stub.GetCapabilities, request, timeout)
        with self._lock:
            self._capabilities = found
        return found

    @property
    def limits(self) -> capabilities_pb2.Limits:
        """The server's limits, asked for once."""
        with self._lock:
            known = self._capabilities
        return (known or self.capabilities()).limits

    def devices(self, timeout: float | None = None) -> list[devices_pb2.DeviceInfo]:
        """All twelve device kinds, each with its state and, when it is not here, the reason."""
        stub = self._channel.stub(devices_pb2_grpc.DevicesStub)
        return list(
            self._channel.call(stub.List, devices_pb2.ListDevicesRequest(), timeout).devices
        )

    def upload(
        self, blobs: list[Blob], progress: Progress | None = None, timeout: float | None = None
    ) -> int:
        """Makes the server have the blobs; returns the bytes that had to travel."""
        return self.blobs.upload(blobs, progress, timeout) if blobs else 0

    def compile(
        self,
        module: Module,
        target: str = "cpu",
        options: CompileOptions | None = None,
        *,
        on_progress: OnProgress | None = None,
        skip_cache_lookup: bool = False,
        do_not_cache: bool = False,
        timeout: float = COMPILE_TIMEOUT,
    ) -> Executable:
        """Compiles for "cpu", "cuda:h200", ...; or takes it from the server's cache."""
        request = compiler_pb2.CompileRequest(
            spec=self._spec(module, target, options),
            skip_cache_lookup=skip_cache_lookup,
            do_not_cache=do_not_cache,
        )
        stub = self._channel.stub(compiler_pb2_grpc.CompilerStub)
        return _follow(self._channel.stream(stub.Compile, request, timeout), on_progress)

    def wait_compile(
        self,
        operation: str,
        *,
        on_progress: OnProgress | None = None,
        timeout: float = COMPILE_TIMEOUT,
    ) -> Executable:
        """Attaches again to a compile whose progress told `operation`."""
        request = compiler_pb2.WaitCompileRequest(operation=operation)
        stub = self._channel.stub(compiler_pb2_grpc.CompilerStub)
        return _follow(self._channel.stream(stub.WaitCompile, request, timeout), on_progress)

    def inspect(self, key: bytes, timeout: float | None = None) -> Executable:
        """What a key names, as its compile answered; NotFound when no cache has it any more."""
        request = compiler_pb2.InspectRequest(key=key)
        stub = self._channel.stub(compiler_pb2_grpc.CompilerStub)
        return Executable(self._channel.call(stub.Inspect, request, timeout))

    def open(
        self,
        executable: Executable | bytes,
        weights: Mapping[str, Weight] | None = None,
        *,
        lease_seconds: int = 0,
        on_upload: Progress | None = None,
        timeout: float | None = None,
    ) -> Session:
        """Opens a session on an executable or its key, uploading what the server lacks. `weights`
        has an array or a FileSlice for every param of the manifest; one that was compiled from an
        ONNX model has those that are left out of itself."""
        bindings = bind(weights or {}, self.limits.max_inline_weight_bytes if weights else 0)
        self.upload(bindings.blobs, on_upload)
        wire, key = list(bindings.wire), executable
        if isinstance(executable, Executable):
            key = executable.key
            wire += [own for own in executable.result.weights if own.param not in (weights or {})]
        request = sessions_pb2.OpenRequest(key=key, weights=wire, lease_seconds=lease_seconds)
        stub = self._channel.stub(sessions_pb2_grpc.SessionsStub)
        return Session(self._channel, self._channel.call(stub.Open, request, timeout))

    def sessions(self, timeout: float | None = None) -> list[sessions_pb2.SessionInfo]:
        """The caller's open sessions."""
        stub = self._channel.stub(sessions_pb2_grpc.SessionsStub)
        request = sessions_pb2.ListSessionsRequest()
        return list(self._channel.call(stub.List, request, timeout).sessions)

    def lower(
        self,
        module: Module,
        stage: Stage,
        target: str = "cpu",
        options: CompileOptions | None = None,
        timeout: float = COMPILE_TIMEOUT,
    ) -> compiler_pb2.LowerResponse:
        """The module at a stage: `.text` for people, `.module` to compile on from there."""
        request = compiler_pb2.LowerRequest(
            spec=self._spec(module, target, options), stage=stage_number(stage)
        )
        stub = self._channel.stub(compiler_pb2_grpc.CompilerStub)
        return self._channel.call(stub.Lower, request, timeout)

    def explain(
        self,
        module: Module,
        target: str = "cpu",
        options: CompileOptions | None = None,
        *,
        nodes: bool = False,
        kernels: bool = False,
        timeout: float = COMPILE_TIMEOUT,
    ) -> compiler_pb2.ExplainResponse:
        """What would be fused, what is missed and why: `.text`, `.fusion`, `.dispatch`. With
        `nodes` also what became of each node and the steps of a run; with `kernels` their IR."""
        request = compiler_pb2.ExplainRequest(
            spec=self._spec(module, target, options), nodes=nodes, kernels=kernels
        )
        stub = self._channel.stub(compiler_pb2_grpc.CompilerStub)
        return self._channel.call(stub.Explain, request, timeout)

    def export_source(
        self,
        module: Module,
        target: str = "cpu",
        options: CompileOptions | None = None,
        *,
        languages: Sequence[str] = (),
        timeout: float = COMPILE_TIMEOUT,
    ) -> list[compiler_pb2.KernelSource]:
        """The kernels as text, in the languages asked for or all that the target has:
        "kernel-ir", "llvm-ir", "x86-64-assembly"."""
        request = compiler_pb2.ExportSourceRequest(
            spec=self._spec(module, target, options), languages=languages
        )
        stub = self._channel.stub(compiler_pb2_grpc.CompilerStub)
        return list(self._channel.call(stub.ExportSource, request, timeout).kernels)

    def explain_key(
        self,
        module: Module,
        target: str = "cpu",
        options: CompileOptions | None = None,
        other: tuple[Module, str, CompileOptions | None] | None = None,
        timeout: float | None = None,
    ) -> compiler_pb2.ExplainKeyResponse:
        """What the compile key is made of and, with `other`, what differs."""
        request = compiler_pb2.ExplainKeyRequest(spec=self._spec(module, target, options))
        if other is not None:
            request.other.CopyFrom(self._spec(*other))
        stub = self._channel.stub(compiler_pb2_grpc.CompilerStub)
        return self._channel.call(stub.ExplainKey, request, timeout)

    def _spec(
        self, module: Module, target: str, options: CompileOptions | None
    ) -> compiler_pb2.CompileSpec:
        spec = compiler_pb2.CompileSpec(
            target=parse_target(target), options=(options or CompileOptions()).to_wire()
        )
        if isinstance(module, OnnxModel):
            self.upload(module.blobs())
            spec.onnx.CopyFrom(module.to_wire())
            return spec
        if not isinstance(module, module_pb2.GraphModule):
            self.upload(module.blobs())
            module = module.build()
        if module.ByteSize() + _HEADROOM > self.limits.max_message_bytes:
            blob = Blob.of_bytes(module.SerializeToString(deterministic=True))
            self.upload([blob])
            spec.module_blob.CopyFrom(blob.ref)
        else:
            spec.module.CopyFrom(module)
        return spec

    def close(self) -> None:
        """Closes the connection. Sessions stay open on the server until closed or expired."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _follow(
    events: Iterator[compiler_pb2.CompileEvent], on_progress: OnProgress | None
) -> Executable:
    result = None
    for event in events:
        if event.HasField("result"):
            result = event.result
        elif on_progress is not None:
            progress = event.progress
            on_progress(
                CompileProgress(
                    phase_name(progress.phase),
                    progress.detail,
                    progress.seconds,
                    event.operation,
                )
            )
    if result is None:
        raise RuntimeError("the server ended a compile with neither result nor error")
    return Executable(result)
