# SPDX-License-Identifier: Apache-2.0
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
