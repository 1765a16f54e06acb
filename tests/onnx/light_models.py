# SPDX-License-Identifier: Apache-2.0
"""Runs the light real models of the `onnx` package and compares them with the outputs beside them.

    .venv/bin/python tests/onnx/light_models.py [--only REGEX]

Networks of known makes whose weights are nodes, so that their files are small.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import numpy as np  # noqa: E402
import onnx  # noqa: E402
from quickstart.daemon import Daemon, default_binary  # noqa: E402

import rlxd  # noqa: E402

FOLDER = Path(onnx.__file__).parent / "backend/test/data/light"


def feeds(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """What the published outputs were computed from: 0, 1/n, 2/n …"""
    given = {tensor.name for tensor in model.graph.initializer}
    out = {}
    for value in model.graph.input:
        if value.name not in given:
            shape = [dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim]
            size = int(np.prod(shape))
            out[value.name] = (np.arange(size).reshape(shape) / size).astype(np.float32)
    return out


def wanted(path: Path) -> np.ndarray:
    """The first output, as published."""
    tensor = onnx.TensorProto()
    tensor.ParseFromString(path.with_name(f"{path.stem}_output_0.pb").read_bytes())
    return onnx.numpy_helper.to_array(tensor)


def run(client: rlxd.Client, path: Path) -> str:
    """What is wrong with a model; empty when nothing is."""
    model = onnx.load(path)
    try:
        executable = client.compile(rlxd.OnnxModel.of_file(path), do_not_cache=True)
        with client.open(executable) as session:
            got = session.run(feeds(model))[model.graph.output[0].name]
    except rlxd.RlxError as error:
        return str(error).splitlines()[0]
    want = wanted(path)
    if got.shape != want.shape:
        return f"shape is {got.shape}, not {want.shape}"
    if np.allclose(got, want, rtol=1e-3, atol=1e-7):
        return ""
    return f"differs by up to {np.abs(got - want).max():.3g}"


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="models whose name the expression finds")
    arguments = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="rlxd-onnx-") as folder:
        with Daemon(default_binary(), Path(folder) / "cache", Path(folder) / "rlxd.log") as daemon:
            daemon.wait_ready()
            with rlxd.Client(daemon.address, timeout=300) as client:
                for path in sorted(FOLDER.glob("*.onnx")):
                    if not re.search(arguments.only, path.stem):
                        continue
                    began = time.monotonic()
                    problem = run(client, path)
                    failed += bool(problem)
                    spent = time.monotonic() - began
                    print(f"{path.stem:24} {spent:6.1f} s  {problem or 'agrees'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
