# SPDX-License-Identifier: Apache-2.0
"""BERT-base's shape on rlxd and on PyTorch, on the same GPU, with the same weights and inputs.

    ninja -C build bench_gpu_bench rlxd_backend_cuda
    python3 -m bench.gpu_peers [--batches 1 8 32] [--precision f16] [--rounds 20]

Every round runs each engine once and in turn, a burst each, from inputs in host memory to outputs
there; times are medians over rounds of the bursts' medians. Outputs are compared with those of
PyTorch's eager mode. Needs PyTorch for CUDA.
"""

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from .encoder import HIDDEN, Encoder, recorded

ROOT = Path(__file__).resolve().parents[2]
SEQ = 128
BURST = 50
TOLERANCE = {"f16": 1e-2, "f32": 1e-4}  # of the outputs' norm

Run = Callable[[], float]  # a burst; milliseconds, its median


class Ours:
    """bench_gpu_bench with the network loaded, waiting for a line to run."""

    def __init__(self, arguments: argparse.Namespace, batch: int, folder: Path) -> None:
        command = [arguments.binary, arguments.plugins, "bert", batch, SEQ, arguments.precision]
        self.folder = folder
        self.process = subprocess.Popen(
            [*map(str, command), "serve", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self.send, self.receive = self.process.stdin, self.process.stdout
        self.ready = self.receive.readline().strip()

    def ask(self, line: str) -> str:
        self.send.write(line + "\n")
        self.send.flush()
        return self.receive.readline().strip()

    def burst(self) -> float:
        return float(self.ask(f"run {BURST}"))

    def outputs(self) -> np.ndarray:
        self.ask("write")
        return np.fromfile(self.folder / "out.bin", np.float32).reshape(-1, HIDDEN)

    def close(self) -> None:
        self.process.communicate()


class Torch:
    """A function of two tensors on the device, between copies from and to page-locked memory."""

    def __init__(self, function: Callable, ids: torch.Tensor, keep: torch.Tensor) -> None:
        self.function, self.device = function, (ids, keep)
        self.host = tuple(t.cpu().pin_memory() for t in self.device)
        self.out = torch.empty(ids.shape[0], HIDDEN, pin_memory=True)
        for _ in range(20):
            self.once()

    def once(self) -> float:
        start = time.perf_counter()
        for to, source in zip(self.device, self.host, strict=True):
            to.copy_(source, non_blocking=True)
        self.out.copy_(self.function(*self.device), non_blocking=True)
        torch.cuda.synchronize()
        return (time.perf_counter() - start) * 1e3

    def burst(self) -> float:
        return statistics.median(self.once() for _ in range(BURST))


def main() -> None:
    arguments = _arguments()
    print(_machine())
    for batch in arguments.batches:
        with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
            _compare(arguments, batch, Path(folder))
    print(_machine())


def _compare(arguments: argparse.Namespace, batch: int, folder: Path) -> None:
    ours = Ours(arguments, batch, folder)
    print(f"b{batch} s{SEQ} {arguments.precision}: rlxd ready, {ours.ready}")
    dtype = {"f16": torch.float16, "f32": torch.float32}[arguments.precision]
    encoder = Encoder(folder, dtype)
    ids = torch.from_numpy(np.fromfile(folder / "ids.bin", np.int64).reshape(batch, SEQ)).cuda()
    keep = torch.from_numpy(np.fromfile(folder / "keep.bin", np.bool_).reshape(batch, SEQ)).cuda()
    start = time.perf_counter()
    reduced = Torch(torch.compile(encoder, mode="reduce-overhead"), ids, keep)
    compile_seconds = time.perf_counter() - start
    peers = {
        "torch.compile, reduce-overhead": reduced,
        "torch.compile in a CUDA graph": Torch(
            recorded(torch.compile(encoder), ids, keep), ids, keep
        ),
        "eager in a CUDA graph": Torch(recorded(encoder, ids, keep), ids, keep),
    }
    eager = Torch(encoder, ids, keep)
    bursts: dict[str, Run] = {"rlxd": ours.burst}
    bursts |= {name: peer.burst for name, peer in peers.items()}
    times: dict[str, list[float]] = {name: [] for name in bursts}
    for turn in range(arguments.rounds + 2):
        for name, burst in bursts.items():
            millis = burst()
            if turn >= 2:
                times[name].append(millis)
    wanted = eager.out.numpy()
    mine = statistics.median(times["rlxd"])
    for name, list_ in times.items():
        got = ours.outputs() if name == "rlxd" else peers[name].out.numpy()
        off = float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))
        assert off < TOLERANCE[arguments.precision], (name, off)
        middle = statistics.median(list_)
        print(
            f"  {name:32} {middle:7.4f} ms (best {min(list_):.4f}), rlxd takes {mine / middle:.3f} "
            f"of it, {off:.1e} from eager"
        )
    print(f"  torch.compile's first calls took {compile_seconds:.1f} s")
    ours.close()


def _machine() -> str:
    fields = "name,driver_version,clocks.sm,clocks.mem,temperature.gpu"
    query = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
    gpu = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    return f"{gpu}; torch {torch.__version__}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python3 -m bench.gpu_peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--precision", choices=TOLERANCE, default="f16")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--binary", type=Path, default=ROOT / "build/bin/bench/bench_gpu_bench")
    parser.add_argument("--plugins", type=Path, default=ROOT / "build/lib/rlxd/backends")
    return parser.parse_args()


if __name__ == "__main__":
    main()
