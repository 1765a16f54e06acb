# SPDX-License-Identifier: Apache-2.0
"""ONNX models as they lie in their files: through the Python client and rlxctl."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from quickstart import SENTENCES, reference, tokens
from quickstart.daemon import Daemon, default_binary
from quickstart.fetch_model import ModelFiles

import rlxd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.models import encoders  # noqa: E402


@pytest.fixture(scope="module")
def client(daemon: Daemon) -> Iterator[rlxd.Client]:
    with rlxd.Client(daemon.address) as client:
        yield client


@pytest.fixture(scope="module")
def minilm_model(minilm: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("minilm") / "model.onnx"
    onnx.save(encoders.minilm(minilm.config, minilm.weights), path)
    return path


def test_minilm_agrees_with_float64(
    client: rlxd.Client, minilm: ModelFiles, minilm_model: Path
) -> None:
    batch = tokens.tokenize(minilm.tokenizer, SENTENCES)
    expected = reference.Encoder(minilm.config, minilm.weights).embed(batch.unpadded())
    executable = client.compile(rlxd.OnnxModel.of_file(minilm_model))
    feeds = {
        "input_ids": batch.ids.astype(np.int64),
        "attention_mask": batch.keep.astype(np.int64),
        "token_type_ids": np.zeros(batch.ids.shape, np.int64),
    }
    with client.open(executable) as session:
        got = session.run(feeds)["embeddings"]
        assert np.abs(got - expected).max() <= 1e-4
        one = session.run({name: rows[:1] for name, rows in feeds.items()})["embeddings"]
    np.testing.assert_allclose(one, got[:1], atol=1e-5)
    # No weight travels with the module, and none is copied: each is a slice of the file.
    weights = executable.result.weights
    assert {w.blob.sha256 for w in weights} == {rlxd.Blob.of_file(minilm_model).sha256}
    assert {w.param for w in weights} == {p.name for p in executable.manifest.params}


def matmul_model(folder: Path, external: str | None) -> tuple[Path, np.ndarray]:
    weight = np.arange(64, dtype=np.float32).reshape(8, 8)
    tensor = numpy_helper.from_array(weight, "w")
    if external is not None:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", external), ("offset", "64"), ("length", "256")):
            tensor.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8])],
        [tensor],
    )
    path = folder / "model.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path, weight


def rlxctl(daemon: Daemon, *args: object) -> subprocess.CompletedProcess[str]:
    command = [str(default_binary().with_name("rlxctl")), f"--server={daemon.address}"]
    return subprocess.run(
        [*command, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("external", [None, "weights.bin", "sub/weights.bin"])
def test_rlxctl_runs_a_model(daemon: Daemon, tmp_path: Path, external: str | None) -> None:
    path, weight = matmul_model(tmp_path, external)
    if external is not None:
        (tmp_path / external).parent.mkdir(exist_ok=True)
        (tmp_path / external).write_bytes(bytes(64) + weight.tobytes())
    done = rlxctl(daemon, "--json", "run", path, "--input=x=ones", "--extent=n=2")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["outputs"][0]["name"] == "y"
    np.testing.assert_allclose(document["outputs"][0]["values"], weight.sum(axis=0))


@pytest.mark.parametrize("location", ["../secret.bin", "link.bin", "/etc/hostname"])
def test_rlxctl_stays_in_the_models_folder(daemon: Daemon, tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(320))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    path, _ = matmul_model(folder, location)
    done = rlxctl(daemon, "run", path, "--input=x=ones", "--extent=n=2")
    assert done.returncode != 0
    assert "outside of the model's folder" in done.stderr


def test_the_server_reads_no_file_of_its_own(client: rlxd.Client, tmp_path: Path) -> None:
    path, _ = matmul_model(tmp_path, "/etc/hostname")
    with pytest.raises(rlxd.NotFound, match=r"no spec.onnx.external is \"/etc/hostname\""):
        client.compile(rlxd.OnnxModel.of_file(path))


def one_node(node: onnx.NodeProto, element: int, shape: list[int | None]) -> rlxd.OnnxModel:
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [4])],
        [helper.make_tensor_value_info("y", element, shape)],
        [numpy_helper.from_array(np.float64(2), "two")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return rlxd.OnnxModel.of_bytes(model.SerializeToString())


def test_a_run_says_how_much_of_an_output_counts(client: rlxd.Client) -> None:
    model = one_node(helper.make_node("NonZero", ["x"], ["y"]), TensorProto.INT64, [1, None])
    with client.open(client.compile(model)) as session:
        for x in ([0.0, 1, 0, 2], [0.0, 0, 0, 0], [1.0, 2, 3, 4]):
            got = session.run({"x": np.array(x)})
            counted = got["y"][tuple(map(slice, got["y.shape"]))]
            np.testing.assert_array_equal(counted, np.stack(np.nonzero(x)))


def test_powers_of_two(client: rlxd.Client) -> None:
    model = one_node(helper.make_node("Pow", ["two", "x"], ["y"]), TensorProto.DOUBLE, [4])
    x = np.array([-3.0, 0, 10, 62])
    with client.open(client.compile(model)) as session:
        np.testing.assert_array_equal(session.run({"x": x})["y"], 2.0**x)


def test_refusals_name_the_node(client: rlxd.Client) -> None:
    graph = helper.make_graph(
        [helper.make_node("ImageDecoder", ["x"], ["y"], name="where")],
        "refused",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [4])],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, [None, None, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=8)
    with pytest.raises(rlxd.Unimplemented, match='node 0 ImageDecoder "where"'):
        client.compile(rlxd.OnnxModel.of_bytes(model.SerializeToString()))
    with pytest.raises(rlxd.InvalidArgument, match="onnx model"):
        client.compile(rlxd.OnnxModel.of_bytes(b"not a model"))
