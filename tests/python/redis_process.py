# SPDX-License-Identifier: Apache-2.0
"""A redis-server of the test's own, on a Unix socket, and a few words with it."""

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

Reply = str | int | None | list["Reply"]


class RedisProcess:
    """Runs until `stop`; keeps nothing on disk."""

    @staticmethod
    def installed() -> bool:
        return shutil.which("redis-server") is not None

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "redis"
        command = ["redis-server", "--port", "0", "--unixsocket", str(self.socket)]
        command += ["--save", "", "--dir", str(folder), "--logfile", str(folder / "redis.log")]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not self._answers():
            if time.monotonic() > deadline:
                raise RuntimeError("redis-server does not answer")
            time.sleep(0.01)

    @property
    def url(self) -> str:
        return f"unix:{self.socket}"

    def ask(self, *words: str) -> Reply:
        """One command; texts that are not UTF-8 come as bytes would print."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.socket))
            command = f"*{len(words)}\r\n"
            command += "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
            connection.sendall(command.encode())
            with connection.makefile("rb") as answer:
                return _read(answer)

    def names(self, pattern: str) -> list[str]:
        found = self.ask("KEYS", pattern)
        assert isinstance(found, list)
        return [str(name) for name in found]

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP makes it hang, SIGCONT goes on."""
        self._process.send_signal(number)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def _answers(self) -> bool:
        try:
            return self.ask("PING") == "PONG"
        except OSError:
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def _read(answer: socket.SocketIO) -> Reply:
    line = answer.readline().decode().strip()
    kind, rest = line[:1], line[1:]
    if kind == "+":
        return rest
    if kind == ":":
        return int(rest)
    if kind == "$":
        return None if rest == "-1" else answer.read(int(rest) + 2)[:-2].decode(errors="replace")
    if kind == "*":
        return [_read(answer) for _ in range(int(rest))]
    raise RuntimeError(line)
