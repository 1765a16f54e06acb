# SPDX-License-Identifier: Apache-2.0
"""A server that speaks the protocol and knows one program: y = 2·x for every input.

For what is about the wire (resuming, ordering, status details, deadlines); what rlxd computes is
tested against rlxd. `python3 fake_rlxd.py` serves until its stdin closes, and prints its port.
"""

from __future__ import annotations

import hashlib
import sys
import time
from concurrent import futures

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from rlxd._proto.rlx.v1 import (
    blobs_pb2,
    blobs_pb2_grpc,
    capabilities_pb2,
    capabilities_pb2_grpc,
    compiler_pb2,
    compiler_pb2_grpc,
    devices_pb2,
    devices_pb2_grpc,
    error_pb2,
    sessions_pb2,
    sessions_pb2_grpc,
    types_pb2,
)
from rlxd.tensors import from_wire, to_wire

CHUNK = 1000


def packed(message):
    detail = any_pb2.Any()
    detail.Pack(message)
    return detail


def fail(context, code, message, *details):
    status = status_pb2.Status(
        code=code.value[0], message=message, details=[packed(d) for d in details]
    )
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, message)


class FakeServer(capabilities_pb2_grpc.ServerServicer, devices_pb2_grpc.DevicesServicer):
    def __init__(self):
        self.limits = capabilities_pb2.Limits(
            max_message_bytes=1 << 20,
            max_inline_weight_bytes=1 << 16,
            preferred_chunk_bytes=CHUNK,
        )

    def GetCapabilities(self, request, context):
        return capabilities_pb2.GetCapabilitiesResponse(version="fake", limits=self.limits)

    def List(self, request, context):
        infos = [
            devices_pb2.DeviceInfo(device=number) for number in types_pb2.Device.values() if number
        ]
        return devices_pb2.ListDevicesResponse(devices=infos)


class FakeBlobs(blobs_pb2_grpc.BlobsServicer):
    def __init__(self):
        self.partial: dict[bytes, bytes] = {}
        self.complete: dict[bytes, bytes] = {}
        self.break_after: list[int] = []  # bytes after which the next Write fails
        self.written: list[tuple[int, int]] = []  # (offset, bytes) of every Write

    def FindMissing(self, request, context):
        return blobs_pb2.FindMissingResponse(
            missing=[b for b in request.blobs if b.sha256 not in self.complete]
        )

    def QueryWrite(self, request, context):
        name = request.blob.sha256
        if name in self.complete:
            return blobs_pb2.QueryWriteResponse(
                committed_size=len(self.complete[name]), complete=True
            )
        return blobs_pb2.QueryWriteResponse(committed_size=len(self.partial.get(name, b"")))

    def Write(self, requests, context):
        limit = self.break_after.pop(0) if self.break_after else None
        got, name = 0, b""
        for i, request in enumerate(requests):
            if i == 0:
                name, size, offset = request.blob.sha256, request.blob.size, request.offset
                if offset != len(self.partial.get(name, b"")):
                    fail(context, grpc.StatusCode.OUT_OF_RANGE, "wrong offset")
            self.partial[name] = self.partial.get(name, b"") + request.data
            got += len(request.data)
            if limit is not None and got >= limit:
                self.written.append((offset, got))
                fail(context, grpc.StatusCode.UNAVAILABLE, "going away")
        self.written.append((offset, got))
        data = self.partial[name]
        if len(data) == size:
            self.partial.pop(name)
            if hashlib.sha256(data).digest() != name:
                fail(context, grpc.StatusCode.INVALID_ARGUMENT, "the digest lies")
            self.complete[name] = data
        return blobs_pb2.WriteResponse(committed_size=len(data), complete=name in self.complete)

    def Read(self, request, context):
        data = self.complete.get(request.blob.sha256)
        if data is None:
            fail(context, grpc.StatusCode.NOT_FOUND, "no such blob")
        data = data[request.offset :]
        data = data[: request.length or len(data)]
        for start in range(0, len(data), CHUNK):
            yield blobs_pb2.ReadResponse(data=data[start : start + CHUNK])


class FakeCompiler(compiler_pb2_grpc.CompilerServicer):
    def __init__(self):
        self.requests: list[compiler_pb2.CompileRequest] = []

    def Compile(self, request, context):
        self.requests.append(request)
        if request.spec.options.assert_fusion_clean:
            misses = error_pb2.FusionMisses(summary="missed_mm_act=1")
            misses.missed.add(rule="matmul_bias_act", reason="multi_consumer", actionable=True)
            fail(context, grpc.StatusCode.FAILED_PRECONDITION, "fusion is not clean", misses)
        yield from self._events()

    def WaitCompile(self, request, context):
        if request.operation != "op-1":
            fail(context, grpc.StatusCode.NOT_FOUND, "no such operation")
        yield from self._events()

    def _events(self):
        for phase in ("CACHE_CHECK", "MIR", "DONE"):
            number = compiler_pb2.CompilePhase.Value(f"COMPILE_PHASE_{phase}")
            progress = compiler_pb2.CompileEvent.Progress(phase=number, detail="dce")
            yield compiler_pb2.CompileEvent(operation="op-1", progress=progress)
        result = compiler_pb2.CompileResult(key=b"k" * 32, cache=compiler_pb2.CACHE_RESULT_DISK)
        yield compiler_pb2.CompileEvent(operation="op-1", result=result)


class FakeSessions(sessions_pb2_grpc.SessionsServicer):
    def __init__(self):
        self.opened: list[sessions_pb2.OpenRequest] = []
        self.closed: list[bytes] = []

    def Open(self, request, context):
        self.opened.append(request)
        if len(self.opened) > 9:
            fail(
                context,
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "too many sessions",
                error_pb2.ErrorDetail(reason="limit_exceeded", limit="max_sessions", limit_value=9),
                retry_info(1.5),
            )
        answer = sessions_pb2.OpenResponse(handle=bytes(16), lease_seconds=60)
        answer.manifest.inputs.add(name="x").type.dtype = types_pb2.DTYPE_F32
        return answer

    def Run(self, request, context):
        if request.inputs[0].name == "slow":
            time.sleep(5)
        return self._run(request)

    def RunStream(self, requests, context):
        done: list[sessions_pb2.RunStreamResponse] = []
        for request in requests:
            name = request.run.inputs[0].name
            if name == "end":
                fail(context, grpc.StatusCode.UNAVAILABLE, "going away")
            answer = sessions_pb2.RunStreamResponse(id=request.id)
            if name == "bad":
                answer.status.code = grpc.StatusCode.INVALID_ARGUMENT.value[0]
                answer.status.message = "no input is named bad"
            else:
                answer.run.CopyFrom(self._run(request.run))
            if name == "later":
                done.append(answer)
            else:
                yield answer
        yield from reversed(done)

    def Close(self, request, context):
        self.closed.append(request.handle)
        return sessions_pb2.CloseResponse()

    def _run(self, request):
        answer = sessions_pb2.RunResponse()
        for entry in request.inputs:
            answer.outputs.add(name="y", tensor=to_wire(2 * from_wire(entry.tensor)))
        return answer


def retry_info(seconds):
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromNanoseconds(int(seconds * 1e9))
    return info


class FakeRlxd:
    def __init__(self, *addresses):
        self.server, self.blobs = FakeServer(), FakeBlobs()
        self.compiler, self.sessions = FakeCompiler(), FakeSessions()
        self._grpc = grpc.server(futures.ThreadPoolExecutor(8))
        capabilities_pb2_grpc.add_ServerServicer_to_server(self.server, self._grpc)
        devices_pb2_grpc.add_DevicesServicer_to_server(self.server, self._grpc)
        blobs_pb2_grpc.add_BlobsServicer_to_server(self.blobs, self._grpc)
        compiler_pb2_grpc.add_CompilerServicer_to_server(self.compiler, self._grpc)
        sessions_pb2_grpc.add_SessionsServicer_to_server(self.sessions, self._grpc)
        self.port = self._grpc.add_insecure_port("127.0.0.1:0")
        for address in addresses:
            self._grpc.add_insecure_port(address)
        self._grpc.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def stop(self):
        self._grpc.stop(0).wait()


if __name__ == "__main__":
    fake = FakeRlxd()
    print(fake.port, flush=True)
    sys.stdin.read()
    fake.stop()
