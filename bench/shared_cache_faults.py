# SPDX-License-Identifier: Apache-2.0
"""What a shared cache that is not well adds to a compile.

    ninja -C build rlxd rlxd_backend_cpu
    PYTHONPATH=scripts:tests/python .venv/bin/python -m bench.shared_cache_faults

One daemon without a shared cache and one for each state of Redis compile the same modules in turn,
no two alike. Prints the median and the greatest time of a compile beyond the first daemon's on the
same module. Redis answers through a relay that takes its time; the timeout is the standard one.
"""

import contextlib
import os
import signal
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from quickstart.daemon import Daemon, default_binary
from redis_process import RedisProcess

import rlxd

MODULES = 60


def module(width: int) -> rlxd.MirModule:
    out = rlxd.MirModule("bench")
    x = out.input("x", [4, 16 + width])
    out.output("y", out.softmax(x * 2.0, axis=1))
    return out


@contextlib.contextmanager
def relay(to: Path, at: Path, delay: float) -> Iterator[None]:
    """Hands on what is said; what the server says comes `delay` seconds later."""

    def pump(source: socket.socket, sink: socket.socket, seconds: float) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                time.sleep(seconds)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def serve(listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(to))
                threading.Thread(target=pump, args=(client, server, 0), daemon=True).start()
                threading.Thread(target=pump, args=(server, client, delay), daemon=True).start()

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(at))
        listening.listen()
        threading.Thread(target=serve, args=(listening,), daemon=True).start()
        yield


def compile_seconds(client: rlxd.Client, made: rlxd.MirModule) -> float:
    began = time.monotonic()
    client.compile(made, timeout=60)
    return time.monotonic() - began


def measure(name: str, folder: Path, url: str, between: Callable[[int], None]) -> None:
    """`between` is called before each module with its number."""
    key = folder / "key"
    key.write_text("k" * 32)
    shared = (f"--shared_cache={url}", f"--shared_cache_key_file={key}")
    with (
        Daemon(default_binary(), folder / "plain", folder / "plain.log") as plain,
        Daemon(default_binary(), folder / "shared", folder / "shared.log", *shared) as sharing,
        rlxd.Client(plain.address) as alone,
        rlxd.Client(sharing.address) as together,
    ):
        beyond = []
        for i in range(MODULES):
            between(i)
            made = module(i)
            callers = [alone, together] if i % 2 == 0 else [together, alone]
            seconds = {caller: compile_seconds(caller, made) for caller in callers}
            beyond.append(1e3 * (seconds[together] - seconds[alone]))
        up = sharing.metrics()["rlxd_shared_cache_up"]
    median, most = statistics.median(beyond), max(beyond)
    print(f"{name:28} {median:7.1f} {most:7.1f}   up at the end: {up:.0f}", flush=True)


def each(name: str, delay: float, act: Callable[[RedisProcess, int], None]) -> None:
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        with RedisProcess(folder) as redis, relay(redis.socket, folder / "relay", delay):
            measure(name, folder, f"unix:{folder / 'relay'}", lambda i: act(redis, i))
            redis.signal(signal.SIGCONT)


def hang(redis: RedisProcess, i: int) -> None:
    """Every tenth module meets a server that has just stopped answering."""
    if i % 10 == 5:
        redis.signal(signal.SIGCONT)
        time.sleep(2.5)  # up again
        redis.signal(signal.SIGSTOP)


def nothing(_redis: RedisProcess, _i: int) -> None:
    return


def main() -> None:
    print(f"milliseconds beyond a daemon without one, {MODULES} modules, {os.cpu_count()} cores")
    print(f"{'Redis':28} {'median':>7} {'most':>7}")
    each("there", 0, nothing)
    each("5 ms away", 0.005, nothing)
    each("15 ms away", 0.015, nothing)
    each("100 ms away: counts as gone", 0.1, nothing)
    each("hangs now and then", 0, hang)
    each("gone", 0, lambda redis, i: redis.stop() if i == 0 else None)


if __name__ == "__main__":
    main()
