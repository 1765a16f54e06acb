# SPDX-License-Identifier: Apache-2.0
import json

import ml_dtypes
import numpy as np
import pytest

import rlxd
from rlxd._proto.rlx.v1 import options_pb2
from rlxd.target import DEVICES, parse_target
from rlxd.tensors import from_wire, to_wire
from rlxd.weights import bind


@pytest.mark.parametrize("dtype", rlxd.DType)
def test_tensors_come_back_as_they_went(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype.numpy)
    back = from_wire(to_wire(array))
    assert back.dtype == array.dtype and back.shape == (2, 3)
    assert back.tobytes() == array.tobytes()
    back[0, 0] = 1  # writable


def test_strides_and_byte_order_do_not_show():
    array = np.arange(6, dtype=">f4").reshape(2, 3).T
    assert np.array_equal(from_wire(to_wire(array)), array)


def test_lists_take_the_dtype_asked_for_and_arrays_keep_theirs():
    assert rlxd.DType(to_wire([1, 2], rlxd.f32).dtype) is rlxd.f32
    assert rlxd.DType(to_wire(np.float64(1), rlxd.f32).dtype) is rlxd.f64
    assert list(to_wire(np.float32(1)).shape) == []


def test_types_without_a_counterpart_are_refused():
    with pytest.raises(TypeError, match="complex128"):
        to_wire(np.zeros(1, np.complex128))
    assert rlxd.DType.of("float32") is rlxd.DType.of("f32") is rlxd.f32
    assert rlxd.DType.of(ml_dtypes.bfloat16) is rlxd.bf16
    assert rlxd.DType.of(ml_dtypes.float8_e4m3fn) is rlxd.DType.of("fp8e4m3") is rlxd.fp8e4m3
    assert rlxd.DType.of(ml_dtypes.float8_e5m2) is rlxd.fp8e5m2


def test_options_hold_only_what_was_given():
    assert rlxd.CompileOptions().to_wire() == options_pb2.CompileOptions()
    wire = rlxd.CompileOptions(dce=False, supported_ops=[]).to_wire()
    assert wire.HasField("dce") and not wire.dce
    assert wire.HasField("supported_ops") and not wire.supported_ops.names
    assert not wire.HasField("dim_binding") and not wire.HasField("fusion_opts")


def test_every_option_reaches_its_field():
    wire = rlxd.CompileOptions(
        precision="bf16",
        policy={"compute": "f16"},
        dce=True,
        constant_folding=False,
        verbose=True,
        fusion_target="wgpu",
        skip_fusion=True,
        unfuse_elementwise_regions=False,
        fusion_limits=(32, 16),
        arena_alignment=128,
        assert_fusion_clean=True,
        supported_ops=["MatMul"],
        dim_binding={"batch": 4},
        kernel_dispatch="force_common",
        force_common_kinds=["GroupNorm"],
        force_native_kinds=[],
        disabled_passes=["dce"],
        dump=("mir", "lir"),
        salt=b"s",
    ).to_wire()
    assert {f.name for f, _ in wire.ListFields()} == {f.name for f in wire.DESCRIPTOR.fields}
    assert wire.policy.kind == options_pb2.PrecisionPolicy.KIND_CUSTOM
    assert wire.policy.custom == {"compute": options_pb2.PRECISION_F16}
    assert wire.kernel_dispatch.HasField("force_native_kinds")
    assert wire.fusion_opts.limits.max_elementwise_inputs == 16


def test_unknown_words_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'f8' is none of: f32, f16, bf16"):
        rlxd.CompileOptions(precision="f8").to_wire()
    with pytest.raises(TypeError, match="not one name"):
        rlxd.CompileOptions(supported_ops="MatMul").to_wire()
    with pytest.raises(ValueError, match="devices: cpu, metal"):
        parse_target("gpux")


def test_targets():
    assert len(DEVICES) == 12 and DEVICES[0] == "cpu" and DEVICES[-1] == "webgpu"
    spec = parse_target("cuda:h200")
    assert (spec.device, spec.profile) == (5, "h200")


def safetensors(path, tensors):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in tensors.items():
        header[name] = {
            "dtype": "F32",
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + array.nbytes],
        }
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_weight_files_name_slices_of_one_blob(tmp_path):
    arrays = {"a": np.arange(6, dtype="f4").reshape(2, 3), "b": np.full(4, 7, "f4")}
    safetensors(tmp_path / "w.safetensors", arrays)
    file = rlxd.WeightFile(tmp_path / "w.safetensors")
    assert set(file) == {"a", "b"} and file["a"].shape == (2, 3)
    raw = (tmp_path / "w.safetensors").read_bytes()
    for name, array in arrays.items():
        part = file[name]
        assert raw[part.offset : part.offset + part.length] == array.tobytes()
        assert np.array_equal(file.array(name), array)
    bindings = bind(file, inline_budget=0)
    assert {b.sha256 for b in bindings.blobs} == {file.blob.sha256}


@pytest.mark.parametrize("damage", ["short", "offsets", "type"])
def test_damaged_weight_files_are_refused(tmp_path, damage):
    path = tmp_path / "w.safetensors"
    safetensors(path, {"a": np.zeros(4, "f4")})
    data = path.read_bytes()
    path.write_bytes(
        {
            "short": data[:20],
            "offsets": data.replace(b"[0, 16]", b"[0, 12]"),
            "type": data.replace(b'"F32"', b'"F8X"'),
        }[damage]
    )
    with pytest.raises(ValueError, match="w.safetensors"):
        rlxd.WeightFile(path)


def test_small_weights_travel_inline_as_long_as_they_may():
    small = np.zeros(256, "f4")  # 1 KiB
    weights = {"a": small, "b": small, "c": small, "big": np.zeros(4096, "f4")}
    bindings = bind(weights, inline_budget=2048)
    assert [b.WhichOneof("source") for b in bindings.wire] == ["inline", "inline", "blob", "blob"]
    assert [b.size for b in bindings.blobs] == [1024, 16384]
