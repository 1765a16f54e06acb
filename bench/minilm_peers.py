# SPDX-License-Identifier: Apache-2.0
"""all-MiniLM-L6-v2, batch 1, 128 tokens, on ONNX Runtime: the peer that rlxd is held against.

    python3 bench/minilm_peers.py [--threads 1 2] [--rounds 100] [--model_dir DIR] [--json]

Every round runs each contender once and in turn, so that a slow moment of the machine hits all of
them. Times are medians; the share is of the multiply-add rate measured here on as many threads.
Needs g++, and from PyPI numpy, onnx, onnxruntime, safetensors and tokenizers.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

import fma_peak  # noqa: E402
import minilm_onnx  # noqa: E402
from quickstart import SENTENCES, fetch_model, reference, tokens  # noqa: E402

SEQ = 128


def flops(config: dict, seq: int) -> float:
    """Multiplications and additions of the matrix products; the rest is not counted."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    linear = 2 * seq * (4 * hidden * hidden + 2 * hidden * inner)
    attention = 2 * 2 * seq * seq * hidden
    return config["num_hidden_layers"] * (linear + attention)


def session(model: bytes, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def check(model: bytes, files: fetch_model.ModelFiles) -> None:
    """A peer that computes something else is no peer."""
    batch = tokens.tokenize(files.tokenizer, SENTENCES)
    expected = reference.Encoder(files.config, files.weights).embed(batch.unpadded())
    feed = {"ids": batch.ids.astype(np.int64), "mask": batch.keep.astype(np.int64)}
    difference = np.abs(session(model, 1).run(None, feed)[0] - expected).max()
    if not difference < 1e-4:
        sys.exit(f"the ONNX model is wrong: it differs from the reference by {difference}")


def interleave(contenders: dict[int, Callable[[], object]], rounds: int) -> dict[int, float]:
    """Median seconds of each."""
    for run in contenders.values():
        for _ in range(5):
            run()
    seconds: dict[int, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="MiniLM on ONNX Runtime, batch 1, 128 tokens")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--model_dir", type=Path, default=ROOT / "build/models/all-MiniLM-L6-v2")
    parser.add_argument("--json", action="store_true", help="one JSON object, seconds and ratios")
    arguments = parser.parse_args()

    files = fetch_model.fetch(arguments.model_dir)
    model = minilm_onnx.build(files.config, files.weights).SerializeToString()
    check(model, files)
    peak = fma_peak.measure(arguments.threads)
    work = flops(json.loads(files.config.read_text()), SEQ)

    rng = np.random.default_rng(0)
    feed = {"ids": rng.integers(1000, 30000, (1, SEQ)), "mask": np.ones((1, SEQ), np.int64)}
    contenders: dict[int, Callable[[], object]] = {}
    for threads in arguments.threads:
        runner = session(model, threads)
        contenders[threads] = partial(runner.run, None, feed)
    seconds = interleave(contenders, arguments.rounds)

    rows = [
        {
            "engine": f"onnxruntime {onnxruntime.__version__}",
            "threads": threads,
            "seconds": seconds[threads],
            "flops_per_second": work / seconds[threads],
            "peak_flops_per_second": peak[threads],
            "share_of_peak": work / seconds[threads] / peak[threads],
        }
        for threads in arguments.threads
    ]
    print(json.dumps(rows) if arguments.json else table(rows))


def table(rows: list[dict]) -> str:
    lines = [f"{'engine':24}{'threads':>8}{'median':>12}{'GFLOP/s':>10}{'peak':>8}{'share':>8}"]
    for row in rows:
        lines.append(
            f"{row['engine']:24}{row['threads']:8}{row['seconds'] * 1e3:9.2f} ms"
            f"{row['flops_per_second'] / 1e9:10.0f}{row['peak_flops_per_second'] / 1e9:8.0f}"
            f"{row['share_of_peak']:8.0%}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
