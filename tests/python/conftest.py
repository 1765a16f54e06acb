# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests that talk to a real rlxd over gRPC.

They need build/bin/rlxd (or $RLXD_BINARY), the packages of requirements.txt here and of
scripts/quickstart, and clients/python installed: scripts/test.sh brings all of it.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from quickstart import fetch_model  # noqa: E402
from quickstart.daemon import Daemon, default_binary  # noqa: E402


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One rlxd for all tests that leave it as they found it."""
    folder = tmp_path_factory.mktemp("rlxd")
    with Daemon(default_binary(), folder / "cache", folder / "rlxd.log") as running:
        yield running
    assert running.stop() == 0, running.log.read_text()


@pytest.fixture
def start_daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """The test's own rlxd, several in turn on one cache: `start_daemon("--flag=1")`."""
    started: list[Daemon] = []

    def start(*flags: str) -> Daemon:
        log = tmp_path / f"rlxd{len(started)}.log"
        started.append(Daemon(default_binary(), tmp_path / "cache", log, *flags))
        started[-1].wait_ready()
        return started[-1]

    yield start
    for running in started:
        running.stop()


@pytest.fixture(scope="session")
def minilm() -> fetch_model.ModelFiles:
    """all-MiniLM-L6-v2, downloaded once per checkout."""
    return fetch_model.fetch(ROOT / "build" / "models" / "all-MiniLM-L6-v2")
