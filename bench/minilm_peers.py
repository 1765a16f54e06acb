# SPDX-License-Identifier: Apache-2.0
"""all-MiniLM-L6-v2 on rlxd, in process, and on its peer ONNX Runtime, on the same machine.

    ninja -C build bench_module_bench
    .venv/bin/python -m pip install onnx onnxruntime
    .venv/bin/python bench/minilm_peers.py [--shapes 1x16 1x128 8x128] [--threads 1 2] [--json]

Every round runs each contender once and in turn, so that a slow moment of the machine hits all of
them, with a pause between, so that no one's waiting threads spin in another's run. Times are
medians; the share is of the multiply-add rate measured here on as many threads.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnxruntime

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import fma_peak  # noqa: E402
import minilm_onnx  # noqa: E402
from quickstart import SENTENCES, encoder, fetch_model, reference, tokens  # noqa: E402

import rlxd  # noqa: E402

PAUSE = 0.1  # ONNX Runtime's threads go on spinning for tens of milliseconds after a run
WARM_UP = 5

Run = Callable[[], float]  # once; returns seconds


@dataclass(frozen=True)
class Row:
    engine: str
    shape: str
    threads: int
    seconds: float
    flops_per_second: float
    share_of_peak: float


class Rlxd:
    """The module bench with MiniLM loaded, waiting for a line to run once."""

    def __init__(self, binary: Path, folder: Path, threads: int) -> None:
        self.process = subprocess.Popen(
            [binary, folder / "module", folder / "weights", str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.compile, self.load, self.bind = map(float, self._line().split())

    def __enter__(self) -> Run:
        return self.run

    def __exit__(self, *error: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def run(self) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.process.args[0]} failed")  # type: ignore[index]
        return line


def write_inputs(folder: Path, files: fetch_model.ModelFiles, ids: np.ndarray) -> None:
    """What bench_module_bench reads: the module, and where each tensor's bytes are."""
    module = encoder.build(encoder.Config.read(files.config), *ids.shape).build()
    (folder / "module").write_bytes(module.SerializeToString())
    lines = [
        f"{name} {files.weights} {part.offset} {part.length}"
        for name, part in rlxd.WeightFile(files.weights).items()
    ]
    for name, array in ("ids", ids.astype(np.int32)), ("keep", np.ones(ids.shape, np.bool_)):
        (folder / name).write_bytes(array.tobytes())
        lines.append(f"{name} {folder / name} 0 {array.nbytes}")
    (folder / "weights").write_text("\n".join(lines))


def onnx_session(model: bytes, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def onnx_run(model: bytes, threads: int, ids: np.ndarray) -> Run:
    session = onnx_session(model, threads)
    feed = {"ids": ids, "mask": np.ones(ids.shape, np.int64)}

    def run() -> float:
        start = time.perf_counter()
        session.run(None, feed)
        return time.perf_counter() - start

    return run


def check(model: bytes, files: fetch_model.ModelFiles) -> None:
    """A peer that computes something else is no peer. (Tests hold rlxd to the same reference.)"""
    batch = tokens.tokenize(files.tokenizer, SENTENCES)
    expected = reference.Encoder(files.config, files.weights).embed(batch.unpadded())
    feed = {"ids": batch.ids.astype(np.int64), "mask": batch.keep.astype(np.int64)}
    difference = np.abs(onnx_session(model, 1).run(None, feed)[0] - expected).max()
    if not difference < 1e-4:
        sys.exit(f"the ONNX model is wrong: it differs from the reference by {difference}")


def flops(config: encoder.Config, batch: int, seq: int) -> float:
    """Multiplications and additions of the matrix products; the rest is not counted."""
    linear = 2 * seq * (4 * config.hidden**2 + 2 * config.hidden * config.inner)
    attention = 2 * 2 * seq * seq * config.hidden
    return batch * config.layers * (linear + attention)


def interleave(contenders: dict[str, Run], rounds: int) -> dict[str, float]:
    """Median seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(WARM_UP + rounds):
        for name, run in contenders.items():
            seconds[name].append(run())
            time.sleep(PAUSE)
    return {name: statistics.median(values[WARM_UP:]) for name, values in seconds.items()}


def compare(
    binary: Path,
    files: fetch_model.ModelFiles,
    model: bytes,
    ids: np.ndarray,
    threads: int,
    rounds: int,
) -> dict[str, float]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_inputs(folder, files, ids)
        contenders = {
            "rlxd": stack.enter_context(Rlxd(binary, folder, threads)),
            f"onnxruntime {onnxruntime.__version__}": onnx_run(model, threads, ids),
        }
        return interleave(contenders, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description="MiniLM on rlxd and on ONNX Runtime")
    parser.add_argument("--shapes", nargs="+", default=["1x16", "1x128", "8x128"])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--model_dir", type=Path, default=ROOT / "build/models/all-MiniLM-L6-v2")
    parser.add_argument("--rlxd", type=Path, default=ROOT / "build/bin/bench/bench_module_bench")
    parser.add_argument("--json", action="store_true", help="a list of objects, times in seconds")
    arguments = parser.parse_args()

    files = fetch_model.fetch(arguments.model_dir)
    model = minilm_onnx.build(files.config, files.weights).SerializeToString()
    check(model, files)
    config, peak = encoder.Config.read(files.config), fma_peak.measure(arguments.threads)
    rows = []
    for shape in arguments.shapes:
        batch, seq = map(int, shape.split("x"))
        ids = np.random.default_rng(0).integers(1000, 30000, (batch, seq))
        for threads in arguments.threads:
            found = compare(arguments.rlxd, files, model, ids, threads, arguments.rounds)
            for engine, seconds in found.items():
                rate = flops(config, batch, seq) / seconds
                rows.append(Row(engine, shape, threads, seconds, rate, rate / peak[threads]))
    print(json.dumps([asdict(row) for row in rows]) if arguments.json else table(rows, peak))


def table(rows: list[Row], peak: dict[int, float]) -> str:
    lines = [f"peak, {count} threads: {rate / 1e9:.0f} GFLOP/s" for count, rate in peak.items()]
    lines.append(
        f"{'shape':8}{'threads':>8}  {'engine':22}{'median':>11}{'GFLOP/s':>9}{'share':>7}"
    )
    for row in rows:
        lines.append(
            f"{row.shape:8}{row.threads:8}  {row.engine:22}{row.seconds * 1e3:8.2f} ms"
            f"{row.flops_per_second / 1e9:9.0f}{row.share_of_peak:7.0%}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
