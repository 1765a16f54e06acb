# SPDX-License-Identifier: Apache-2.0
"""What the wire has, the client has: these fail when something is added to one alone."""

from pathlib import Path

import grpc

import rlxd
from rlxd import errors
from rlxd._proto.rlx.v1 import (
    admin_pb2,
    blobs_pb2,
    capabilities_pb2,
    compiler_pb2,
    devices_pb2,
    options_pb2,
    sessions_pb2,
)

WIRE = [admin_pb2, blobs_pb2, capabilities_pb2, compiler_pb2, devices_pb2, sessions_pb2]


def test_every_call_is_made_somewhere():
    source = "".join(path.read_text() for path in Path(rlxd.__file__).parent.glob("*.py"))
    calls = [
        method.name
        for module in WIRE
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]
    assert len(calls) > 15
    assert [name for name in calls if f"stub.{name}" not in source] == []


def test_every_option_can_be_given():
    given = rlxd.CompileOptions(
        precision="f32",
        policy={"compute": "f16"},
        dce=True,
        constant_folding=True,
        verbose=True,
        fusion_target="cpu",
        skip_fusion=False,
        unfuse_elementwise_regions=False,
        fusion_limits=(32, 16),
        arena_alignment=64,
        assert_fusion_clean=False,
        supported_ops=[],
        dim_binding={"batch": 1},
        kernel_dispatch="prefer_native",
        force_common_kinds=["MatMul"],
        force_native_kinds=["MatMul"],
        disabled_passes=[],
        dump=("mir",),
        salt=b"",
    ).to_wire()

    def missing(message):
        names = set(message.DESCRIPTOR.fields_by_name)
        return names - {field.name for field, _ in message.ListFields()}

    assert missing(given) == set()
    assert missing(given.fusion_opts) == set()
    assert missing(given.kernel_dispatch) == set()
    assert missing(given.policy) == set()
    kinds = options_pb2.PrecisionPolicy.Kind
    for name in set(kinds.keys()) - {"KIND_UNSPECIFIED", "KIND_CUSTOM"}:
        word = name.removeprefix("KIND_").lower()
        policy = rlxd.CompileOptions(policy=word).to_wire().policy  # type: ignore[arg-type]
        assert policy.kind == kinds.Value(name)


def test_every_status_is_an_exception():
    codes = set(grpc.StatusCode) - {grpc.StatusCode.OK, grpc.StatusCode.UNKNOWN}
    assert {kind.code for kind in errors.RlxError.__subclasses__()} == codes
