# SPDX-License-Identifier: Apache-2.0
import pytest

import rlxd
from fake_rlxd import FakeRlxd


@pytest.fixture
def fake(tmp_path):
    server = FakeRlxd(f"unix:{tmp_path}/rlxd.sock")
    yield server
    server.stop()


@pytest.fixture
def client(fake):
    with rlxd.Client(fake.address, timeout=10) as client:
        yield client
