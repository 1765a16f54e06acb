# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import rlxd
from rlxd import blobs


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(blobs.time, "sleep", lambda seconds: None)


DATA = np.random.default_rng(0).bytes(10_500)


def test_a_file_travels_in_chunks_and_only_once(fake, client, tmp_path):
    (tmp_path / "f").write_bytes(DATA)
    blob = rlxd.Blob.of_file(tmp_path / "f")
    assert blob == rlxd.Blob.of_bytes(DATA)
    assert client.upload([blob, blob]) == len(DATA)
    assert client.upload([blob]) == 0
    assert fake.blobs.complete[blob.sha256] == DATA
    assert client.blobs.read(blob.sha256) == DATA
    assert client.blobs.read(blob.sha256, offset=10, length=2000) == DATA[10:2010]


def test_a_broken_upload_goes_on_where_it_stopped(fake, client):
    fake.blobs.break_after = [3000, 4000]
    seen = []
    client.upload([rlxd.Blob.of_bytes(DATA)], lambda done, total: seen.append(done))
    assert [offset for offset, _ in fake.blobs.written] == [0, 3000, 7000]
    assert sum(size for _, size in fake.blobs.written) == len(DATA)  # nothing sent twice
    assert seen[-1] == len(DATA)


def test_an_upload_that_makes_no_progress_gives_up(fake, client, monkeypatch):
    fake.blobs.break_after = [0] * 100
    monkeypatch.setattr(fake.blobs, "partial", Forgetful())
    with pytest.raises(rlxd.Unavailable, match="going away"):
        client.upload([rlxd.Blob.of_bytes(DATA)])
    assert len(fake.blobs.break_after) >= 90


class Forgetful(dict):
    def __setitem__(self, key, value):
        pass


def test_bytes_that_are_not_what_they_say_are_refused(client):
    lie = rlxd.Blob(sha256=bytes(32), size=len(DATA), data=DATA)
    with pytest.raises(rlxd.InvalidArgument, match="digest lies"):
        client.upload([lie])


def test_what_is_not_there_cannot_be_read(client):
    with pytest.raises(rlxd.NotFound):
        client.blobs.read(bytes(32))


def test_progress_counts_all_blobs_of_an_upload(client):
    seen = []
    parts = [rlxd.Blob.of_bytes(DATA[:4000]), rlxd.Blob.of_bytes(DATA[4000:])]
    client.upload(parts, lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen) and seen[-1] == (len(DATA), len(DATA))
