# SPDX-License-Identifier: Apache-2.0
import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import rlxd


def module():
    m = rlxd.MirModule("m")
    m.output("y", m.input("x", [2]) * 2)
    return m


def test_compile_reports_progress_and_gives_an_executable(fake, client):
    seen = []
    executable = client.compile(module(), on_progress=seen.append)
    assert [p.phase for p in seen] == ["cache_check", "mir", "done"]
    assert {p.operation for p in seen} == {"op-1"} and seen[1].detail == "dce"
    assert executable.key == b"k" * 32 and executable.cache == "disk"
    assert fake.compiler.requests[0].spec.module.graphs[0].nodes[0].name == "x"
    assert client.wait_compile("op-1").key == executable.key
    with pytest.raises(rlxd.NotFound, match="no such operation"):
        client.wait_compile("other")


def test_a_module_beyond_the_message_limit_travels_as_a_blob(fake, client):
    fake.server.limits.max_message_bytes = 100
    m = module()
    client.compile(m)
    spec = fake.compiler.requests[0].spec
    assert spec.WhichOneof("source") == "module_blob"
    sent = type(m.build()).FromString(fake.blobs.complete[spec.module_blob.sha256])
    assert sent == m.build()


def test_constants_are_uploaded_before_the_compile(fake, client):
    m = module()
    m.constant(np.zeros(100_000, np.float32))
    client.compile(m)
    assert set(fake.blobs.complete) == {b.sha256 for b in m.blobs()}


def test_missed_fusions_come_with_the_error(client):
    with pytest.raises(rlxd.FusionNotClean, match="not clean") as caught:
        client.compile(module(), options=rlxd.CompileOptions(assert_fusion_clean=True))
    assert isinstance(caught.value, rlxd.FailedPrecondition)
    assert [(m.rule, m.reason) for m in caught.value.misses] == [
        ("matmul_bias_act", "multi_consumer")
    ]


def test_sessions_run_arrays_and_close_once(fake, client):
    executable = client.compile(module())
    with client.open(executable, {"w": np.zeros(3, np.float32)}) as session:
        y = session.run({"x": np.float32([1, 2])})["y"]
        assert np.array_equal(y, [2, 4]) and y.dtype == np.float32
        listed = session.run({"x": [1, 2]})["y"]
        assert listed.dtype == np.float32  # the manifest's
    session.close()
    assert len(fake.sessions.closed) == 1
    assert fake.sessions.opened[0].weights[0].param == "w"


def test_an_error_inside_the_block_is_not_hidden_by_close(fake, client):
    with pytest.raises(KeyError), client.open(b"k" * 32):
        fake.stop()
        raise KeyError


def test_weights_above_the_inline_size_are_uploaded_once(fake, client):
    weights = {"w": np.arange(5000, dtype=np.float32)}
    seen = []
    client.open(b"k" * 32, weights, on_upload=lambda done, total: seen.append((done, total)))
    client.open(b"k" * 32, weights)
    assert len(fake.blobs.written) == 1
    assert seen[-1] == (20000, 20000) and seen == sorted(seen)
    assert fake.sessions.opened[1].weights[0].blob.length == 20000


def test_limits_come_with_detail_and_retry(client):
    with pytest.raises(rlxd.ResourceExhausted) as caught:
        for _ in range(10):
            client.open(b"k" * 32)
    assert caught.value.retry_after == 1.5
    assert (caught.value.detail.limit, caught.value.detail.limit_value) == ("max_sessions", 9)


def test_the_default_timeout_is_the_deadline(fake):
    with rlxd.Client(fake.address, timeout=0.3) as client:
        session = client.open(b"k" * 32)
        begin = time.monotonic()
        with pytest.raises(rlxd.DeadlineExceeded):
            session.run({"slow": np.zeros(1)})
        assert time.monotonic() - begin < 3
        assert client._channel.deadline(math.inf) is None


def test_nobody_listening_is_unavailable():
    with rlxd.Client("127.0.0.1:1", timeout=5) as client, pytest.raises(rlxd.Unavailable):
        client.capabilities()


def test_calls_the_server_lacks_are_unimplemented(client):
    with pytest.raises(rlxd.Unimplemented):
        client.admin.cache_stats()


def test_unix_sockets(fake, tmp_path):
    with rlxd.Client(f"unix:{tmp_path}/rlxd.sock") as client:
        assert len(client.devices()) == 12


def test_many_threads_share_a_client(client):
    session = client.open(b"k" * 32)
    wrong = []

    def work(n):
        for _ in range(20):
            if session.run({"x": np.float32([n])})["y"][0] != 2 * n:
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


FORK = """
import os, sys, rlxd
client = rlxd.Client(sys.argv[1], timeout=10)
client.capabilities()
pid = os.fork()
count = len(client.devices())
if pid == 0:
    os._exit(0 if count == 12 else 1)
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status) or count != 12)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_both_sides_of_a_fork_can_call():
    server = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("fake_rlxd.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        address = f"127.0.0.1:{server.stdout.readline().strip()}"
        for _ in range(3):
            done = subprocess.run([sys.executable, "-c", FORK, address], timeout=60)
            assert done.returncode == 0
    finally:
        server.stdin.close()
        server.wait(timeout=30)
