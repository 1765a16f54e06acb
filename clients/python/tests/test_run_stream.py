# SPDX-License-Identifier: Apache-2.0
import queue
import threading

import numpy as np
import pytest

import rlxd


@pytest.fixture
def session(client):
    return client.open(b"k" * 32)


def one(n):
    return np.float32([n])


def test_results_find_their_futures_in_any_order(session):
    with session.stream() as stream:
        late = [stream.submit({"later": one(n)}) for n in range(5)]
        assert stream.run({"x": one(9)})["y"] == 18
        assert not any(f.done() for f in late)
    assert [f.result(0)["y"][0] for f in late] == [0, 2, 4, 6, 8]


def test_a_failed_run_leaves_the_stream_open(session):
    with session.stream() as stream:
        with pytest.raises(rlxd.InvalidArgument, match="named bad"):
            stream.run({"bad": one(1)})
        assert stream.run({"x": one(1)})["y"] == 2


def test_a_broken_stream_fails_what_is_under_way_and_what_follows(session):
    stream = session.stream()
    waiting = stream.submit({"later": one(1)})
    with pytest.raises(rlxd.Unavailable, match="going away"):
        stream.run({"end": one(1)})
    with pytest.raises(rlxd.Unavailable):
        waiting.result(5)
    with pytest.raises(rlxd.Unavailable):
        stream.submit({"x": one(1)})
    stream.close()


def test_an_exception_in_the_block_cancels(session):
    with pytest.raises(KeyError), session.stream() as stream:
        waiting = stream.submit({"later": one(1)})
        raise KeyError
    with pytest.raises(rlxd.Cancelled):
        waiting.result(5)


def test_a_closed_stream_takes_no_more(session):
    stream = session.stream()
    stream.close()
    with pytest.raises(rlxd.Cancelled, match="closed"):
        stream.submit({"x": one(1)})


def test_submit_waits_for_room_in_the_window(session):
    with session.stream(window=2) as stream:
        for n in range(2):
            stream.submit({"later": one(n)})
        started, refused = threading.Event(), threading.Event()

        def third():
            started.set()
            with pytest.raises(rlxd.Cancelled):
                stream.submit({"x": one(3)})
            refused.set()

        thread = threading.Thread(target=third, daemon=True)
        thread.start()
        assert started.wait(5) and not refused.wait(0.2)
        stream.cancel()  # nothing will come: whoever waits hears of it
        assert refused.wait(5)
        thread.join()
    assert session.stream(window=1).run({"x": one(2)})["y"] == 4


def test_many_more_than_a_window_all_come_through(session):
    with session.stream(window=3) as stream:
        futures = [stream.submit({"x": one(n)}) for n in range(200)]
        assert [f.result(5)["y"][0] for f in futures] == [2 * n for n in range(200)]


def test_a_callback_may_submit(session):
    followed = queue.SimpleQueue()
    with session.stream(window=1) as stream:

        def follow(future):
            followed.put(stream.submit({"x": one(future.result()["y"][0])}))

        for n in range(20):
            stream.submit({"x": one(n)}).add_done_callback(follow)
        second = [followed.get(timeout=5) for _ in range(20)]
    assert sorted(f.result(5)["y"][0] for f in second) == [4 * n for n in range(20)]


def test_a_window_holds_something(session):
    with pytest.raises(ValueError, match="window"):
        session.stream(window=0)
