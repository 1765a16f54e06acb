# SPDX-License-Identifier: Apache-2.0
"""What the world does to a daemon: kills it, fills its disk, gives its folder to another one."""

import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from quickstart.daemon import Daemon, default_binary

import rlxd

Start = Callable[..., Daemon]


def module(width: int) -> rlxd.MirModule:
    built = rlxd.MirModule(f"product{width}")
    x = built.input("x", [2, 8])
    built.output("y", (x @ built.param("w", [8, width])) * 2.0)
    return built


def check(client: rlxd.Client, width: int) -> str:
    """Compiles, runs, compares; where the executable came from."""
    executable = client.compile(module(width))
    weight = np.random.default_rng(width).standard_normal((8, width), np.float32)
    x = np.ones((2, 8), np.float32)
    with client.open(executable, {"w": weight}) as session:
        np.testing.assert_allclose(session.run({"x": x})["y"], x @ weight * 2, rtol=1e-4)
    return executable.cache


def blob(n: int) -> rlxd.Blob:
    return rlxd.Blob.of_bytes(bytes([n % 251]) * (n * 1000 + 100_000))


def test_sigkill_in_the_middle_of_writes_leaves_a_cache_that_serves(start_daemon: Start) -> None:
    for turn in range(3):
        daemon = start_daemon()

        def work(first: int, address: str = daemon.address) -> None:
            with rlxd.Client(address, timeout=10) as client:
                try:
                    for n in range(first, first + 1000):
                        client.compile(module(n), skip_cache_lookup=True)
                        client.upload([blob(n)])
                except rlxd.RlxError:
                    return  # it was killed

        workers = [threading.Thread(target=work, args=(1 + 7 * i,)) for i in range(3)]
        for worker in workers:
            worker.start()
        time.sleep(0.4 + 0.15 * turn)
        daemon.kill()
        for worker in workers:
            worker.join()
    daemon = start_daemon()
    with rlxd.Client(daemon.address) as client:
        assert check(client, 1) == "disk"
        for n in range(1, 9):
            check(client, n)
            client.upload([blob(n)])
            assert client.blobs.read(blob(n).sha256) == blob(n).data
    assert daemon.metrics()['rlxd_cache_corrupt_total{tier="disk"}'] == 0
    assert daemon.stop() == 0


def test_a_full_disk_costs_the_cache_alone(tmp_path: Path, start_daemon: Start) -> None:
    """A limit on the size of files stands in for the disk: it binds root, too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        daemon = start_daemon()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with rlxd.Client(daemon.address) as client:
        check(client, 3)
        assert check(client, 3) == "memory"
        with pytest.raises(rlxd.ResourceExhausted):
            client.upload([blob(1)])
        assert any("disk cache" in w for w in client.capabilities().warnings)
        assert not list((tmp_path / "cache" / "artifacts").glob("tmp-*"))
    assert daemon.metrics()['rlxd_cache_errors_total{tier="disk"}'] > 0
    assert daemon.stop() == 0


def test_two_daemons_work_on_one_folder(start_daemon: Start) -> None:
    one, two = start_daemon(), start_daemon()
    failures: list[Exception] = []

    def work(address: str) -> None:
        try:
            with rlxd.Client(address) as client:
                for n in range(1, 20):
                    check(client, n)
                    client.upload([blob(n)])
                    assert client.blobs.read(blob(n).sha256) == blob(n).data
        except (rlxd.RlxError, AssertionError) as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(d.address,)) for d in (one, two, one, two)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    assert one.stop() == 0
    with rlxd.Client(two.address) as client:
        client.compile(module(40))
    third = start_daemon()
    with rlxd.Client(third.address) as client:
        assert check(client, 40) == "disk"
    assert two.stop() == 0 and third.stop() == 0


def test_sigterm_under_load_ends_well(start_daemon: Start) -> None:
    daemon = start_daemon()
    with rlxd.Client(daemon.address) as client:
        key = client.compile(module(4)).key
    codes: set[str] = set()
    started = threading.Barrier(5)

    def work() -> None:
        weight = np.ones((8, 4), np.float32)
        with rlxd.Client(daemon.address, timeout=10) as client:
            session = client.open(key, {"w": weight})
            started.wait()
            while True:
                try:
                    session.run({"x": np.ones((2, 8), np.float32)})
                except rlxd.RlxError as error:
                    codes.add(type(error).__name__)
                    return

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    started.wait()
    time.sleep(0.2)
    began = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - began < 1.5
    for worker in workers:
        worker.join()
    assert codes == {"Unavailable"}


def test_a_long_run_that_meets_sigterm_is_answered(start_daemon: Start) -> None:
    daemon = start_daemon()
    built = rlxd.MirModule("long")
    x = built.input("x", [768, 768])
    y = x
    for _ in range(60):
        y = y @ x
    built.output("y", y)
    outputs: dict[str, np.ndarray] = {}
    with rlxd.Client(daemon.address) as client:
        session = client.open(client.compile(built))
        identity = np.eye(768, dtype=np.float32)

        def work() -> None:
            outputs.update(session.run({"x": identity}))

        worker = threading.Thread(target=work)
        worker.start()
        while daemon.metrics()["rlxd_infer_inflight"] == 0:
            time.sleep(0.001)
        assert not outputs
        assert daemon.stop(60) == 0  # an instrumented build takes some seconds
        worker.join()
    np.testing.assert_array_equal(outputs["y"], identity)


def test_a_daemon_that_cannot_start_says_why(tmp_path: Path) -> None:
    def start(*flags: str) -> subprocess.CompletedProcess[str]:
        command = [str(default_binary()), "--metrics_listen=", *flags]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    for flag, says in [
        ("--listen=127.0.0.1:70000", 'rlxd: --listen: "127.0.0.1:70000": the port 70000 is above'),
        (f"--config={tmp_path}/none", f"rlxd: --config {tmp_path}/none: "),
        ("--colour=red", "rlxd: unknown flag --colour"),
    ]:
        done = start(flag)
        assert done.returncode == 1
        assert done.stderr.startswith(says)


def test_without_back_ends_it_warns(tmp_path: Path, start_daemon: Start) -> None:
    (tmp_path / "empty").mkdir()
    daemon = start_daemon(f"--backend_dir={tmp_path}/empty")
    ctl = default_binary().with_name("rlxctl")
    for command in ("devices", "capabilities"):
        done = subprocess.run(
            [str(ctl), f"--server={daemon.address}", command],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        assert "warning: no back end is loaded" in done.stdout
    assert "no back end is loaded" in daemon.log.read_text()
    os.kill(daemon.pid, signal.SIGTERM)
