# SPDX-License-Identifier: Apache-2.0
"""Starts rlxd on free loopback ports, waits until it is ready, stops it by its own process id."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self


class DaemonError(RuntimeError):
    """rlxd did not start, or did not stop in time."""


class Daemon:
    """A running rlxd. `stop` is idempotent, and a context manager calls it."""

    def __init__(self, binary: Path, cache_dir: Path, log: Path, *flags: str) -> None:
        grpc, http = _free_ports(2)
        self.address = f"127.0.0.1:{grpc}"
        self.http = f"http://127.0.0.1:{http}"
        self.log = log
        command = [str(binary), f"--listen={self.address}", f"--metrics_listen=127.0.0.1:{http}"]
        command += [f"--cache_dir={cache_dir}", *flags]
        cache_dir.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            # Its own session: a Ctrl-C meant for us lets us stop it in good order.
            self._process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self, timeout: float = 30.0) -> None:
        deadline = time.monotonic() + timeout
        while not self._is_ready():
            if self._process.poll() is not None:
                raise DaemonError(
                    f"rlxd exited with {self._process.returncode}:\n{self._last_words()}"
                )
            if time.monotonic() > deadline:
                raise DaemonError(
                    f"rlxd was not ready after {timeout:.0f} s:\n{self._last_words()}"
                )
            time.sleep(0.01)

    def stop(self, timeout: float = 20.0) -> int:
        """SIGTERM, then the exit status. SIGKILL, and an error, when that takes too long."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise DaemonError(f"rlxd ignored SIGTERM for {timeout:.0f} s") from None

    def kill(self) -> None:
        """SIGKILL: for tests of what survives a crash."""
        self._process.kill()
        self._process.wait()

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics: `name{label="value"}` to its value."""
        with urllib.request.urlopen(f"{self.http}/metrics", timeout=10) as response:
            lines = response.read().decode().splitlines()
        samples = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.http}/readyz", timeout=1) as response:
                return response.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-10:])

    def __enter__(self) -> Self:
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listened on a moment ago, all different."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def default_binary() -> Path:
    """build/bin/rlxd of this checkout, or $RLXD_BINARY."""
    root = Path(__file__).resolve().parents[2]
    return Path(os.environ.get("RLXD_BINARY", root / "build" / "bin" / "rlxd"))
