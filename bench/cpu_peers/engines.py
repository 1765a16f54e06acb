# SPDX-License-Identifier: Apache-2.0
"""What runs a model: rlxd in process and over gRPC, and its peers. All in fp32."""

import importlib.util
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import onnx

from ..models.zoo import ROOT

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Job:
    """One model at one size, on a number of threads. `folder` is the job's own."""

    model: Path
    proto: onnx.ModelProto
    sizes: Mapping[str, int]
    feeds: Arrays
    threads: int
    folder: Path


class Running(ABC):
    """A model that is ready. Use `with`."""

    ready_seconds: float  # from the file to a session with its weights

    def __init__(self) -> None:
        self.stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.close()

    @abstractmethod
    def run(self) -> float:
        """Once; returns seconds."""

    @abstractmethod
    def outputs(self) -> Arrays:
        """Of the last run."""


class InProcess(Running):
    """bench_onnx_bench with the model loaded, waiting for a line to run once."""

    BINARY = ROOT / "build/bin/bench/bench_onnx_bench"

    def __init__(self, job: Job, profile: str = "cpu") -> None:
        super().__init__()
        self.job = job
        for name, array in job.feeds.items():
            (job.folder / name.replace("/", "_")).write_bytes(array.tobytes())
        sizes = [f"{name}={extent}" for name, extent in job.sizes.items()]
        self.process = subprocess.Popen(
            [self.BINARY, job.model, job.folder, str(job.threads), profile, *sizes],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.stack.callback(self.process.communicate)
        self.parts = list(map(float, self._ask("").split()))  # read, compile, load, bind
        self.ready_seconds = sum(self.parts)

    def run(self) -> float:
        return float(self._ask("run\n"))

    def outputs(self) -> Arrays:
        names = self._ask("write\n").split()
        types = {info.name: info.type.tensor_type for info in self.job.proto.graph.output}
        out = {}
        for i, name in enumerate(names):
            dtype = onnx.helper.tensor_dtype_to_np_dtype(types[name].elem_type)
            out[name] = np.fromfile(self.job.folder / f"{i}.out", dtype)
        return out

    def _ask(self, line: str) -> str:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.BINARY.name} failed")
        return answer


class OverGrpc(Running):
    """The daemon, with an empty cache, and the Python client."""

    def __init__(self, job: Job, profile: str = "cpu") -> None:
        super().__init__()
        sys.path.insert(0, str(ROOT / "scripts"))
        from quickstart.daemon import Daemon, default_binary

        import rlxd

        flags = (f"--threads={job.threads}", f"--max_message_bytes={1 << 30}")
        cache, log = job.folder / "cache", job.folder / "rlxd.log"
        daemon = self.stack.enter_context(Daemon(default_binary(), cache, log, *flags))
        client = self.stack.enter_context(rlxd.Client(daemon.address))
        model = rlxd.OnnxModel.of_file(job.model)
        client.upload(model.blobs())
        start = time.perf_counter()
        options = rlxd.CompileOptions(dim_binding=dict(job.sizes) or None)
        executable = client.compile(model, profile, options)
        self.session = self.stack.enter_context(client.open(executable, timeout=120))
        self.ready_seconds = time.perf_counter() - start
        self.feeds, self.last = job.feeds, {}

    def run(self) -> float:
        start = time.perf_counter()
        self.last = self.session.run(self.feeds)
        return time.perf_counter() - start

    def outputs(self) -> Arrays:
        return self.last


class OnnxRuntime(Running):
    def __init__(self, job: Job) -> None:
        super().__init__()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = job.threads
        for name, extent in job.sizes.items():
            options.add_free_dimension_override_by_name(name, extent)
        start = time.perf_counter()
        self.session = onnxruntime.InferenceSession(
            job.model, options, providers=["CPUExecutionProvider"]
        )
        self.ready_seconds = time.perf_counter() - start
        self.feeds = dict(job.feeds)
        self.last: list[np.ndarray] = []

    def run(self) -> float:
        start = time.perf_counter()
        self.last = self.session.run(None, self.feeds)
        return time.perf_counter() - start

    def outputs(self) -> Arrays:
        names = (output.name for output in self.session.get_outputs())
        return dict(zip(names, self.last, strict=True))


class OpenVino(Running):
    def __init__(self, job: Job) -> None:
        super().__init__()
        import openvino

        config = {
            "INFERENCE_NUM_THREADS": job.threads,
            "INFERENCE_PRECISION_HINT": "f32",  # else bf16, where the processor has it
            "PERFORMANCE_HINT": "LATENCY",
        }
        start = time.perf_counter()
        core = openvino.Core()
        model = core.read_model(job.model)
        model.reshape({name: list(array.shape) for name, array in job.feeds.items()})
        self.request = core.compile_model(model, "CPU", config).create_infer_request()
        self.ready_seconds = time.perf_counter() - start
        self.names = [output.any_name for output in model.outputs]
        for name, array in job.feeds.items():
            self.request.set_tensor(name, openvino.Tensor(array, shared_memory=True))

    def run(self) -> float:
        start = time.perf_counter()
        self.request.infer()
        return time.perf_counter() - start

    def outputs(self) -> Arrays:
        return {name: self.request.get_tensor(name).data.copy() for name in self.names}


class TorchCompile(Running):
    """The model as onnx2torch reads it."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        import onnx2torch
        import torch

        torch.set_num_threads(job.threads)
        start = time.perf_counter()
        self.run_model = torch.compile(onnx2torch.convert(job.proto).eval())
        self.torch = torch
        self.feeds = [torch.from_numpy(job.feeds[i.name]) for i in job.proto.graph.input]
        self.names = [o.name for o in job.proto.graph.output]
        self.last: Arrays = {}
        self.run()
        self.ready_seconds = time.perf_counter() - start

    def run(self) -> float:
        start = time.perf_counter()
        with self.torch.inference_mode():
            found = self.run_model(*self.feeds)
        seconds = time.perf_counter() - start
        values = found if isinstance(found, (list, tuple)) else [found]
        self.last = {n: v.numpy() for n, v in zip(self.names, values, strict=True)}
        return seconds

    def outputs(self) -> Arrays:
        return self.last


@dataclass(frozen=True)
class Engine:
    start: Callable[..., Running]
    packages: tuple[str, ...]  # without which it is left out
    ours: bool = False

    def missing(self) -> list[str]:
        return [name for name in self.packages if importlib.util.find_spec(name) is None]


ENGINES: Mapping[str, Engine] = {
    "rlxd": Engine(InProcess, (), ours=True),
    "rlxd-grpc": Engine(OverGrpc, ("rlxd",), ours=True),
    "onnxruntime": Engine(OnnxRuntime, ("onnxruntime",)),
    "openvino": Engine(OpenVino, ("openvino",)),
    "torch.compile": Engine(TorchCompile, ("torch", "onnx2torch")),
}
