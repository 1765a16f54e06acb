# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, one exception class a gRPC status."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from rlxd._proto.rlx.v1 import error_pb2, report_pb2

_DETAILS_KEY = "grpc-status-details-bin"


class RlxError(Exception):
    """A call that failed. `detail` says what was wrong with the request, when it said."""

    code: grpc.StatusCode = grpc.StatusCode.UNKNOWN

    def __init__(self, message: str, details: Iterable[any_pb2.Any] = ()) -> None:
        super().__init__(message)
        self.message = message
        details = list(details)
        self.detail: error_pb2.ErrorDetail | None = _unpack(details, error_pb2.ErrorDetail)
        retry = _unpack(details, error_details_pb2.RetryInfo)
        #: Seconds after which another try can help; None when the server does not say.
        self.retry_after: float | None = (
            retry.retry_delay.seconds + retry.retry_delay.nanos * 1e-9 if retry else None
        )


class Cancelled(RlxError):
    """The call was cancelled by the caller."""

    code = grpc.StatusCode.CANCELLED


class InvalidArgument(RlxError):
    """The request is wrong whatever state the server is in."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class DeadlineExceeded(RlxError):
    """The call's timeout passed."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class NotFound(RlxError):
    """No such executable, blob, session, operation or profile, or not the caller's."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(RlxError):
    """It is there already."""

    code = grpc.StatusCode.ALREADY_EXISTS


class PermissionDenied(RlxError):
    """The caller may not do that."""

    code = grpc.StatusCode.PERMISSION_DENIED


class Unauthenticated(RlxError):
    """The server does not know the caller."""

    code = grpc.StatusCode.UNAUTHENTICATED


class ResourceExhausted(RlxError):
    """Over a limit, or the server is full: see `retry_after` and `detail.limit`."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class FailedPrecondition(RlxError):
    """The request is right, the state is not: for example no such device is present."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class FusionNotClean(FailedPrecondition):
    """`assert_fusion_clean` was set and fusions were missed."""

    def __init__(self, message: str, details: Iterable[any_pb2.Any] = ()) -> None:
        details = list(details)
        super().__init__(message, details)
        found = _unpack(details, error_pb2.FusionMisses)
        #: The misses somebody can act on, each with rule, reason, message and hint.
        self.misses: list[report_pb2.Remark] = list(found.missed) if found else []
        self.summary: str = found.summary if found else ""


class Aborted(RlxError):
    """Somebody else was doing the same at the same time."""

    code = grpc.StatusCode.ABORTED


class OutOfRange(RlxError):
    """An offset or range that is not there."""

    code = grpc.StatusCode.OUT_OF_RANGE


class Unimplemented(RlxError):
    """The server cannot do that."""

    code = grpc.StatusCode.UNIMPLEMENTED


class Internal(RlxError):
    """A defect of the server."""

    code = grpc.StatusCode.INTERNAL


class Unavailable(RlxError):
    """The server cannot be reached, or is going away."""

    code = grpc.StatusCode.UNAVAILABLE


class DataLoss(RlxError):
    """Bytes were lost or damaged."""

    code = grpc.StatusCode.DATA_LOSS


_BY_CODE: dict[int, type[RlxError]] = {cls.code.value[0]: cls for cls in RlxError.__subclasses__()}


def from_status(status: status_pb2.Status) -> RlxError:
    """The exception for a status with details."""
    if _unpack(status.details, error_pb2.FusionMisses) is not None:
        return FusionNotClean(status.message, status.details)
    return _BY_CODE.get(status.code, RlxError)(status.message, status.details)


def from_rpc(error: grpc.RpcError) -> RlxError:
    """The exception for what gRPC raised."""
    call: Any = error  # every error of a call is also a grpc.Call
    for key, value in call.trailing_metadata() or ():
        if key == _DETAILS_KEY:
            status = status_pb2.Status.FromString(value)
            if status.code == call.code().value[0]:
                return from_status(status)
    return from_status(status_pb2.Status(code=call.code().value[0], message=call.details() or ""))


def _unpack(details: Iterable[any_pb2.Any], kind: Any) -> Any:
    for detail in details:
        if detail.Is(kind.DESCRIPTOR):
            message = kind()
            detail.Unpack(message)
            return message
    return None
