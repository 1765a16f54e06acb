# SPDX-License-Identifier: Apache-2.0
"""How soon rlxd is ready, and what it holds with no model: an empty cache folder every time.

    ninja -C build rlxd rlxd_backend_cpu
    PYTHONPATH=scripts .venv/bin/python -m bench.daemon_start [STARTS]

Prints the median seconds from the start of the process to the first 200 of /readyz, asked for every
10 ms, and the median resident memory two seconds later.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from quickstart.daemon import Daemon, default_binary

SETTLED_SECONDS = 2.0


def start_once(folder: Path) -> tuple[float, float]:
    """Seconds and bytes of one daemon."""
    began = time.monotonic()
    with Daemon(default_binary(), folder / "cache", folder / "log") as daemon:
        seconds = time.monotonic() - began
        time.sleep(SETTLED_SECONDS)
        return seconds, daemon.metrics()["process_resident_memory_bytes"]


def main() -> None:
    starts = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    taken = []
    for _ in range(starts):
        with tempfile.TemporaryDirectory() as folder:
            taken.append(start_once(Path(folder)))
    seconds, resident = (statistics.median(column) for column in zip(*taken, strict=True))
    print(f"{starts} starts: ready after {1e3 * seconds:.0f} ms, {resident / 1e6:.0f} MB resident")


if __name__ == "__main__":
    main()
