# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's own client, unmodified, against rlxd."""

import asyncio
import queue
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
import tritonclient.utils.shared_memory as shared_memory
from quickstart.daemon import Daemon, default_binary
from safetensors.numpy import save_file
from tritonclient.utils import InferenceServerException

DENSE = """mir "dense" {
  symbol batch in [1, 64]
  %0 = input "x" : f32[batch,4]
  %1 = param "w" : f32[4,3]
  %2 = matmul(%0, %1)
  output "y" = %2
}
"""
SAME = """mir "same" {{
  %0 = input "x" : {0}[2,3]
  output "y" = %0
}}
"""
TYPES = {
    "BOOL": ("bool", np.bool_),
    "UINT8": ("u8", np.uint8),
    "INT8": ("i8", np.int8),
    "INT16": ("i16", np.int16),
    "UINT32": ("u32", np.uint32),
    "INT32": ("i32", np.int32),
    "INT64": ("i64", np.int64),
    "FP16": ("f16", np.float16),
    "FP32": ("f32", np.float32),
    "FP64": ("f64", np.float64),
}
# The sum of what a sequence has said so far, from 100 on at its start.
SUM = """mir "sum" {
  symbol batch in [1, 8]
  %0 = input "x" : f32[batch,1]
  %1 = input "start" : f32[batch,1]
  %2 = input "before" : f32[batch,1]
  %3 = add(%0, %2)
  %4 = add(%3, %1)
  output "y" = %4
  output "after" = %4
}
"""
SUM_CONFIG = """max_batch_size: 8
sequence_batching {
  max_sequence_idle_microseconds: 60000000
  oldest { max_candidate_sequences: 4 }
  control_input {
    name: "start"
    control { kind: CONTROL_SEQUENCE_START fp32_false_true: [0, 100] }
  }
  state { input_name: "before" output_name: "after" data_type: TYPE_FP32 dims: 1 }
}
"""
WEIGHTS = np.arange(12, dtype=np.float32).reshape(4, 3)


def write(root: Path, model: str, text: str, config: str = "") -> None:
    version = root / model / "1"
    version.mkdir(parents=True)
    (version / "module.txt").write_text(text)
    if config:
        (root / model / "config.pbtxt").write_text(config)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("triton")
    root = folder / "models"
    write(root, "dense", DENSE, 'max_batch_size: 8 input { name: "x" dims: 4 }')
    save_file({"w": WEIGHTS}, root / "dense/1/weights.safetensors")
    write(root, "sum", SUM, SUM_CONFIG)
    for name, _ in TYPES.values():
        write(root, f"same-{name}", SAME.format(name))
    write(root, "same-bf16", SAME.format("bf16"))
    flags = (
        f"--model_repository={root}",
        "--model_control_mode=explicit",
        "--load_model=*",
        "--system_shared_memory",
    )
    with Daemon(default_binary(), folder / "cache", folder / "rlxd.log", *flags) as running:
        running.wait_ready(60)
        yield running
    assert running.stop() == 0, running.log.read_text()


@pytest.fixture
def client(server: Daemon) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.address) as connected:
        yield connected


def dense_input(x: np.ndarray) -> list[triton.InferInput]:
    tensor = triton.InferInput("x", x.shape, "FP32")
    tensor.set_data_from_numpy(x)
    return [tensor]


def test_the_server_and_its_models_are_described(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("dense") and client.is_model_ready("dense", "1")
    assert not client.is_model_ready("nothing")
    assert client.get_server_metadata(as_json=True)["name"] == "rlxd"
    metadata = client.get_model_metadata("dense", as_json=True)
    assert metadata["versions"] == ["1"] and metadata["platform"] == "rlx"
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": ["-1", "4"]}]
    assert metadata["outputs"] == [{"name": "y", "datatype": "FP32", "shape": ["-1", "3"]}]
    config = client.get_model_config("dense").config
    assert config.max_batch_size == 8 and config.backend == "rlx"
    assert list(config.input[0].dims) == [4] and list(config.output[0].dims) == [3]


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_infer(client: triton.InferenceServerClient, batch: int) -> None:
    x = np.random.default_rng(batch).standard_normal((batch, 4), dtype=np.float32)
    outputs = [triton.InferRequestedOutput("y")]
    result = client.infer("dense", dense_input(x), outputs=outputs, request_id="mine")
    np.testing.assert_allclose(result.as_numpy("y"), x @ WEIGHTS, rtol=1e-5, atol=1e-5)
    assert result.get_response().id == "mine" and result.get_response().model_version == "1"


def test_infer_without_waiting(client: triton.InferenceServerClient) -> None:
    answers: queue.Queue = queue.Queue()
    batches = [np.full((1, 4), i, dtype=np.float32) for i in range(16)]
    for i, x in enumerate(batches):
        client.async_infer(
            "dense",
            dense_input(x),
            callback=lambda result, error: answers.put((result, error)),
            request_id=str(i),
        )
    for _ in batches:
        result, error = answers.get(timeout=60)
        assert error is None
        x = batches[int(result.get_response().id)]
        np.testing.assert_allclose(result.as_numpy("y"), x @ WEIGHTS, rtol=1e-5)


def test_asyncio(server: Daemon) -> None:
    async def ask() -> np.ndarray:
        async with triton_aio.InferenceServerClient(server.address) as client:
            assert await client.is_model_ready("dense")
            results = await asyncio.gather(
                *(client.infer("dense", dense_input(np.eye(4, dtype=np.float32))) for _ in range(8))
            )
        return np.stack([result.as_numpy("y") for result in results])

    np.testing.assert_allclose(asyncio.run(ask()), np.stack([WEIGHTS] * 8))


def test_streams(client: triton.InferenceServerClient) -> None:
    answers: queue.Queue = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    for i in range(32):
        x = np.full((1, 4), i, dtype=np.float32)
        client.async_stream_infer("dense", dense_input(x), request_id=str(i))
    client.async_stream_infer("nothing", dense_input(x), request_id="bad")
    seen, errors = {}, []
    for _ in range(33):
        result, error = answers.get(timeout=60)
        if error is not None:
            errors.append(error)
        else:
            seen[int(result.get_response().id)] = result.as_numpy("y")
    client.stop_stream()
    assert len(errors) == 1 and "'nothing' is not found" in str(errors[0])
    for i, y in seen.items():
        np.testing.assert_allclose(y, np.full((1, 4), i) @ WEIGHTS, rtol=1e-5)
    assert sorted(seen) == list(range(32))


def test_streams_of_asyncio(server: Daemon) -> None:
    async def ask() -> list[float]:
        async def requests() -> AsyncIterator[dict]:
            for i in range(8):
                yield {
                    "model_name": "dense",
                    "inputs": dense_input(np.full((1, 4), i, dtype=np.float32)),
                    "request_id": str(i),
                }

        found = {}
        async with triton_aio.InferenceServerClient(server.address) as client:
            async for result, error in client.stream_infer(requests()):
                assert error is None
                found[int(result.get_response().id)] = float(result.as_numpy("y")[0, 0])
        return [found[i] for i in range(8)]

    assert asyncio.run(ask()) == [18.0 * i for i in range(8)]


def test_system_shared_memory(client: triton.InferenceServerClient) -> None:
    x = np.arange(8, dtype=np.float32).reshape(2, 4)
    given = shared_memory.create_shared_memory_region("given", "/rlxd-test-given", x.nbytes)
    taken = shared_memory.create_shared_memory_region("taken", "/rlxd-test-taken", 24)
    try:
        shared_memory.set_shared_memory_region(given, [x])
        client.register_system_shared_memory("given", "/rlxd-test-given", x.nbytes)
        client.register_system_shared_memory("taken", "/rlxd-test-taken", 24)
        regions = client.get_system_shared_memory_status(as_json=True)["regions"]
        assert sorted(regions) == ["given", "taken"]
        tensor = triton.InferInput("x", x.shape, "FP32")
        tensor.set_shared_memory("given", x.nbytes)
        output = triton.InferRequestedOutput("y")
        output.set_shared_memory("taken", 24)
        client.infer("dense", [tensor], outputs=[output])
        y = shared_memory.get_contents_as_numpy(taken, np.float32, [2, 3])
        np.testing.assert_allclose(y, x @ WEIGHTS)
        client.unregister_system_shared_memory()
        with pytest.raises(InferenceServerException, match="Unable to find shared memory"):
            client.infer("dense", [tensor], outputs=[output])
    finally:
        shared_memory.destroy_shared_memory_region(given)
        shared_memory.destroy_shared_memory_region(taken)


def sum_input(x: float) -> list[triton.InferInput]:
    return dense_input(np.array([[x]], dtype=np.float32))


def test_sequences(client: triton.InferenceServerClient) -> None:
    assert [i.name for i in client.get_model_metadata("sum").inputs] == ["x"]
    for sequence in (5, 2**62 + 5, "five", "5"):
        for step, total in ((1, 101), (2, 103), (3, 106)):
            result = client.infer(
                "sum",
                sum_input(step),
                sequence_id=sequence,
                sequence_start=step == 1,
                sequence_end=step == 3,
            )
            assert result.as_numpy("y").item() == total
        with pytest.raises(InferenceServerException, match="must specify the START flag"):
            client.infer("sum", sum_input(4), sequence_id=sequence)


def test_sequences_of_a_stream(client: triton.InferenceServerClient) -> None:
    answers: queue.Queue = queue.Queue()
    client.start_stream(callback=lambda result, error: answers.put((result, error)))
    steps = 10
    for step in range(steps):
        for sequence in range(1, 7):  # two more than run side by side
            client.async_stream_infer(
                "sum",
                sum_input(sequence),
                request_id=str(sequence),
                sequence_id=sequence,
                sequence_start=step == 0,
                sequence_end=step == steps - 1,
            )
    sums: dict[int, list[float]] = {}
    for _ in range(6 * steps):
        result, error = answers.get(timeout=30)
        assert error is None
        sums.setdefault(int(result.get_response().id), []).append(result.as_numpy("y").item())
    client.stop_stream()
    for sequence, said in sums.items():
        assert said == [100 + sequence * (step + 1) for step in range(steps)]


def test_models_are_brought(client: triton.InferenceServerClient) -> None:
    files = {"file:3/module.txt": SAME.format("f32").encode()}
    client.load_model("brought", config='{"parameters": {"a": {"stringValue": "b"}}}', files=files)
    assert client.get_model_metadata("brought").versions == ["3"]
    assert client.get_model_config("brought").config.parameters["a"].string_value == "b"
    client.unload_model("brought")
    with pytest.raises(InferenceServerException, match="no such model in the repository"):
        client.load_model("brought")


def test_statistics(client: triton.InferenceServerClient) -> None:
    def count() -> int:
        stats = client.get_inference_statistics("same-i64", as_json=True)["model_stats"]
        return int(stats[0]["inference_stats"]["success"].get("count", 0))

    before = count()
    tensor = triton.InferInput("x", [2, 3], "INT64")
    tensor.set_data_from_numpy(np.ones((2, 3), dtype=np.int64))
    for _ in range(3):
        client.infer("same-i64", [tensor])
    assert count() == before + 3


@pytest.mark.parametrize("datatype", TYPES)
def test_every_element_type(client: triton.InferenceServerClient, datatype: str) -> None:
    name, dtype = TYPES[datatype]
    x = np.array([[0, 1, 1], [1, 0, 1]], dtype=dtype)
    tensor = triton.InferInput("x", x.shape, datatype)
    tensor.set_data_from_numpy(x)
    y = client.infer(f"same-{name}", [tensor]).as_numpy("y")
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, x)


def test_bf16(client: triton.InferenceServerClient) -> None:
    x = np.array([[1.5, -2, 0], [256, 3, -0.125]], dtype=ml_dtypes.bfloat16)
    tensor = triton.InferInput("x", x.shape, "BF16")
    tensor.set_data_from_numpy(x)
    y = client.infer("same-bf16", [tensor]).as_numpy("y")
    np.testing.assert_array_equal(y, x)


def test_errors_have_tritons_codes(client: triton.InferenceServerClient) -> None:
    x = np.zeros((1, 4), dtype=np.float32)
    cases = [
        ("nothing", dense_input(x), "NOT_FOUND", "unknown model: 'nothing' is not found"),
        ("dense", dense_input(np.zeros((9, 4), np.float32)), "INVALID_ARGUMENT", "batch-size"),
        ("dense", dense_input(np.zeros((1, 5), np.float32)), "INVALID_ARGUMENT", "shape"),
        ("dense", [], "INVALID_ARGUMENT", "expected 1 inputs but got 0"),
    ]
    for model, inputs, code, words in cases:
        with pytest.raises(InferenceServerException, match=words) as failure:
            client.infer(model, inputs)
        assert failure.value.status() == f"StatusCode.{code}"


def test_models_are_loaded_and_unloaded(client: triton.InferenceServerClient) -> None:
    def state() -> str:
        index = client.get_model_repository_index().models
        return next(model.state for model in index if model.name == "same-i8")

    assert state() == "READY"
    client.unload_model("same-i8")
    assert state() == "UNAVAILABLE" and not client.is_model_ready("same-i8")
    client.load_model("same-i8")
    assert state() == "READY" and client.is_model_ready("same-i8")
    with pytest.raises(InferenceServerException, match="no such model"):
        client.load_model("nothing")
