# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's perf_analyzer, unmodified, against rlxd."""

import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from quickstart.daemon import Daemon, default_binary

# The last wheel that carries the program, and what the program is linked with.
WHEELS = ("tritonclient==2.41.0", "nvidia-cuda-runtime-cu12==12.9.79")
FOLDER = Path(__file__).resolve().parents[2] / "build" / "models" / "perf_analyzer"
PROGRAM = FOLDER / "tritonclient-2.41.0.data" / "data" / "bin" / "perf_analyzer"

IDENTITY = """mir "identity" {
  symbol batch in [1, 8]
  %0 = input "x" : f32[batch,16]
  output "y" = %0
}
"""
# A model whose sequences it makes by itself: ids, starts and ends.
SUM = """mir "sum" {
  symbol batch in [1, 8]
  %0 = input "x" : f32[batch,16]
  %1 = input "before" : f32[batch,16]
  %2 = add(%0, %1)
  output "y" = %2
  output "after" = %2
}
"""
SUM_CONFIG = """max_batch_size: 8
sequence_batching {
  oldest { max_candidate_sequences: 8 }
  state { input_name: "before" output_name: "after" data_type: TYPE_FP32 dims: 16 }
}
"""


@pytest.fixture(scope="module")
def perf_analyzer() -> Path:
    """Downloaded once per checkout."""
    if not PROGRAM.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--only-binary=:all:", "--dest", str(FOLDER), *WHEELS]
        subprocess.run(command, check=True)
        for wheel in FOLDER.glob("*.whl"):
            zipfile.ZipFile(wheel).extractall(FOLDER)
    PROGRAM.chmod(0o755)
    return PROGRAM


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("perf")
    models = (("identity", IDENTITY, "max_batch_size: 8"), ("sum", SUM, SUM_CONFIG))
    for name, text, config in models:
        version = folder / "models" / name / "1"
        version.mkdir(parents=True)
        (version / "module.txt").write_text(text)
        (version.parent / "config.pbtxt").write_text(config)
    flags = (f"--model_repository={folder / 'models'}", "--system_shared_memory")
    with Daemon(default_binary(), folder / "cache", folder / "rlxd.log", *flags) as running:
        running.wait_ready(60)
        yield running
    assert running.stop() == 0, running.log.read_text()


@pytest.mark.parametrize(
    "flags",
    [
        ("--concurrency-range", "2"),
        ("--concurrency-range", "2", "-b", "4"),
        ("--concurrency-range", "2", "--streaming"),
        ("--concurrency-range", "2", "--async"),
        ("--concurrency-range", "2", "--shared-memory", "system"),
        ("--request-rate-range", "50"),
        ("-m", "sum", "--concurrency-range", "4", "--streaming", "--sequence-length", "5"),
    ],
    ids=" ".join,
)
def test_perf_analyzer(perf_analyzer: Path, server: Daemon, flags: tuple[str, ...]) -> None:
    model = () if "-m" in flags else ("-m", "identity")
    command = [str(perf_analyzer), *model, "-i", "grpc", "-u", server.address]
    # Short windows: it is to work, not to measure. 999 %: any two of them agree.
    command += ["-p", "300", "-s", "999", "-r", "20", *flags]
    libraries = str(FOLDER / "nvidia" / "cuda_runtime" / "lib")
    done = subprocess.run(
        command,
        env={**os.environ, "LD_LIBRARY_PATH": libraries},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    throughput = re.search(r"Throughput: ([\d.]+) infer/sec", done.stdout)
    assert throughput and float(throughput[1]) > 10, done.stdout
    assert "failed" not in done.stdout.lower(), done.stdout
