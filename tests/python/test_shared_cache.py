# SPDX-License-Identifier: Apache-2.0
"""Replicas, as processes, that share a cache in Redis: what a death in a compile does."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from quickstart.daemon import Daemon, default_binary
from redis_process import RedisProcess

import rlxd

pytestmark = pytest.mark.skipif(
    not RedisProcess.installed(), reason="redis-server is not installed: scripts/setup.sh"
)


@pytest.fixture(autouse=True, scope="module")
def _needs_shared_cache() -> None:
    told = subprocess.run([default_binary(), "--help"], capture_output=True, text=True, check=True)
    if "--shared_cache" not in told.stdout:
        pytest.skip("rlxd was built without hiredis")


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    with RedisProcess(tmp_path) as running:
        yield running


@pytest.fixture
def replica(tmp_path: Path, redis: RedisProcess) -> Iterator[Callable[[str], Daemon]]:
    started: list[Daemon] = []
    key = tmp_path / "key"
    key.write_text("k" * 32)

    def start(name: str) -> Daemon:
        flags = [f"--shared_cache={redis.url}", f"--shared_cache_key_file={key}"]
        # Patience that a busy machine keeps, and a lease that is soon over.
        flags += ["--shared_cache_timeout_seconds=5", "--shared_cache_lease_seconds=1"]
        folder, log = tmp_path / name, tmp_path / f"{name}.log"
        started.append(Daemon(default_binary(), folder, log, *flags))
        started[-1].wait_ready()
        return started[-1]

    yield start
    for running in started:
        running.kill()


class Callers:
    """That many compiles of one module in the background: what they came from, and the errors."""

    def __init__(self, daemon: Daemon, module: rlxd.MirModule, count: int = 1) -> None:
        self.caches: list[str] = []
        self.errors: list[Exception] = []
        self._client, self._module = rlxd.Client(daemon.address), module
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        try:
            self.caches.append(self._client.compile(self._module, timeout=120).cache)
        except Exception as error:  # the test looks at it
            self.errors.append(error)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(120)
        self._client.close()


def slow_module(kernels: int) -> rlxd.MirModule:
    """No two kernels alike: a compile that takes a while."""
    module = rlxd.MirModule("slow")
    total = None
    for i in range(kernels):
        x = module.softmax(module.input(f"x{i}", [4, 16 + i]), axis=1)
        y = module.reduce_sum(x * float(i + 2), axes=[0, 1])
        total = y if total is None else total + y
    module.output("y", total)
    return module


def stop_in_the_middle(
    leader: Daemon, redis: RedisProcess, callers: int = 1
) -> tuple[rlxd.MirModule, Callers]:
    """Has the leader begin a compile, and stops the process before it is done."""
    for kernels in (40, 160, 320):
        module = slow_module(kernels)
        redis.ask("FLUSHALL")
        waiting = Callers(leader, module, callers)
        deadline = time.monotonic() + 60
        while not redis.names("rlx1:*:l:*"):
            assert time.monotonic() < deadline and not redis.names("rlx1:*:h:*")
            time.sleep(0.001)
        os.kill(leader.pid, signal.SIGSTOP)
        if not redis.names("rlx1:*:h:*"):
            return module, waiting
        os.kill(leader.pid, signal.SIGCONT)  # it was done already: a larger one
        waiting.join()
    raise AssertionError("no compile was slow enough to be stopped in the middle")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def turns(daemon: Daemon, result: str) -> float:
    return daemon.metrics()[f'rlxd_shared_cache_turns_total{{result="{result}"}}']


def test_another_takes_over_from_a_leader_that_is_killed(
    replica: Callable[[str], Daemon], redis: RedisProcess
) -> None:
    leader, follower = replica("leader"), replica("follower")
    module, killed = stop_in_the_middle(leader, redis, 100)
    waiting = Callers(follower, module, 100)
    leader.kill()
    killed.join()
    assert [type(error) for error in killed.errors] == [rlxd.Unavailable] * 100
    waiting.join()
    assert waiting.errors == []
    assert waiting.caches.count("compiled") == 1
    assert len(waiting.caches) == 100
    wait_until(lambda: bool(redis.names("rlx1:*:h:*")), "the entry")
    assert turns(follower, "taken") == 1
    with rlxd.Client(replica("third").address) as client:
        assert client.compile(module).cache == "remote"


def test_a_leader_that_slept_does_not_overwrite_who_took_over(
    replica: Callable[[str], Daemon], redis: RedisProcess
) -> None:
    leader, follower = replica("leader"), replica("follower")
    module, slept = stop_in_the_middle(leader, redis)
    with rlxd.Client(follower.address) as client:
        assert client.compile(module).cache == "compiled"
    wait_until(lambda: bool(redis.names("rlx1:*:h:*")), "the entry")
    name = redis.names("rlx1:*:h:*")[0]
    redis.ask("SET", name, "in its place")  # to see whether it is written again
    os.kill(leader.pid, signal.SIGCONT)
    slept.join()
    assert slept.errors == []
    assert slept.caches.count("compiled") == 1
    wait_until(lambda: turns(leader, "lost") == 1, "the refused write")
    assert redis.ask("GET", name) == "in its place"


def test_a_compile_goes_on_when_redis_ends(
    replica: Callable[[str], Daemon], redis: RedisProcess
) -> None:
    leader, follower = replica("leader"), replica("follower")
    module, slept = stop_in_the_middle(leader, redis)
    waiting = Callers(follower, module)
    redis.stop()
    waiting.join()
    assert waiting.errors == []
    assert waiting.caches.count("compiled") == 1
    os.kill(leader.pid, signal.SIGCONT)
    slept.join()
    assert slept.errors == []
    assert slept.caches.count("compiled") == 1
    assert follower.metrics()["rlxd_shared_cache_up"] == 0
