# SPDX-License-Identifier: Apache-2.0
"""Runs the `onnx` package's backend node tests against rlxd and holds the outcome to a table.

    .venv/bin/python tests/onnx/node_tests.py [--only REGEX] [--every N] [--list]

tests/onnx/expected_failures.txt names the tests that do not pass, with the reason of each. A test
that fails and is not there, or is there and passes, is an error; so is a server that dies.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import re
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import node_cases  # noqa: E402
import numpy as np  # noqa: E402
from quickstart.daemon import Daemon, default_binary  # noqa: E402

import rlxd  # noqa: E402

TABLE = Path(__file__).resolve().parent / "expected_failures.txt"
MAX_ROUNDS = 6  # of asking for another operand to be known


@dataclass
class Outcome:
    """What became of one test: `problem` is empty when it passed."""

    name: str
    problem: str = ""
    known: int = 0  # inputs that had to be initializers


def run_case(client: rlxd.Client, case: node_cases.Case) -> Outcome:
    """One test, all its data sets."""
    # One without elements tells its shape alone.
    known = {
        value.name
        for value, array in zip(case.model.graph.input, case.data_sets[0][0], strict=False)
        if array.size == 0
    }
    for inputs, outputs in case.data_sets:
        try:
            problem = run_set(client, case, inputs, outputs, known)
        except rlxd.Unavailable as error:
            return Outcome(case.name, f"THE SERVER IS GONE: {error}", len(known))
        except (rlxd.RlxError, TypeError, ValueError) as error:
            problem = str(error).splitlines()[0]
        if problem:
            return Outcome(case.name, problem, len(known))
    return Outcome(case.name, known=len(known))


def run_set(
    client: rlxd.Client,
    case: node_cases.Case,
    inputs: list[node_cases.Array],
    outputs: list[node_cases.Array],
    known: set[str],
) -> str:
    """What is wrong with the outputs for one set of inputs. Adds to `known` what has to be."""
    for _ in range(MAX_ROUNDS):
        model, arrays = node_cases.with_known(case.model, inputs, known)
        onnx_model = rlxd.OnnxModel.of_bytes(model.SerializeToString())
        try:
            executable = client.compile(onnx_model, do_not_cache=True)
            break
        except rlxd.RlxError as error:
            more = node_cases.needed(str(error), case.model, known)
            if not more:
                raise
            known |= more
    else:
        return "asks for ever more operands to be known"
    with client.open(executable) as session:
        feeds = {name: node_cases.carried(array) for name, array in arrays.items()}
        got = session.run(feeds)
    for value, want in zip(case.model.graph.output, outputs, strict=True):
        if not value.name:
            continue
        problem = node_cases.difference(case, counted(got, value.name), want)
        if problem:
            return f"{value.name}: {problem}"
    return ""


def counted(got: dict[str, node_cases.Array], name: str) -> node_cases.Array:
    """An output; where a run decides its shape, what of the room for it counts."""
    array = np.asarray(got[name])
    shape = got.get(f"{name}.shape")
    return array if shape is None else array[tuple(slice(int(extent)) for extent in shape)]


def read_table(path: Path) -> dict[str, str]:
    """Name → reason."""
    table = {}
    for line in path.read_text().splitlines():
        line = line.strip()
        if line and not line.startswith("#"):
            name, _, reason = line.partition(": ")
            table[name] = reason
    return table


def judge(outcomes: list[Outcome], expected: dict[str, str], whole: bool) -> list[str]:
    """What breaks the run."""
    wrong = []
    for outcome in outcomes:
        if outcome.problem and outcome.name not in expected:
            wrong.append(f"{outcome.name} fails: {outcome.problem}")
        elif not outcome.problem and outcome.name in expected:
            wrong.append(f"{outcome.name} passes, and the table says it does not")
    if whole:
        names = {outcome.name for outcome in outcomes}
        wrong += [
            f"{name} is in the table and is no test" for name in expected if name not in names
        ]
    return wrong


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="tests whose name the expression finds")
    parser.add_argument("--every", type=int, default=1, help="only every Nth test")
    parser.add_argument("--list", action="store_true", help="print each failure with its problem")
    parser.add_argument("--binary", type=Path, default=None)
    arguments = parser.parse_args()
    chosen = [c for c in node_cases.cases() if re.search(arguments.only, c.name)]
    chosen = chosen[:: arguments.every]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rlxd-onnx-") as folder:
        binary = arguments.binary or default_binary()
        with Daemon(binary, Path(folder) / "cache", Path(folder) / "rlxd.log") as daemon:
            daemon.wait_ready()
            with (
                rlxd.Client(daemon.address, timeout=60) as client,
                concurrent.futures.ThreadPoolExecutor(2) as pool,
            ):
                outcomes = list(pool.map(lambda case: run_case(client, case), chosen))
            ended = daemon.stop()
    failures = [o for o in outcomes if o.problem]
    if arguments.list:
        for outcome in failures:
            print(f"{outcome.name}: {outcome.problem}")
    wrong = judge(outcomes, read_table(TABLE), whole=not arguments.only and arguments.every == 1)
    if ended != 0:
        wrong.append(f"rlxd ended with {ended}")
    passed = len(outcomes) - len(failures)
    share = 100 * passed / max(1, len(outcomes))
    fixed = sum(1 for o in outcomes if o.known and not o.problem)
    print(
        f"{passed} of {len(outcomes)} node tests pass ({share:.1f} %), {fixed} of them with "
        f"operands as initializers; {time.monotonic() - began:.0f} s"
    )
    reasons = collections.Counter(read_table(TABLE).values())
    for reason, count in reasons.most_common():
        print(f"  expected to fail: {count:3} {reason}")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
