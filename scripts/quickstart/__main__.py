# SPDX-License-Identifier: Apache-2.0
"""Plays the story against an rlxd of its own: scripts/quickstart.sh, once everything is built."""

import argparse
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import rlxd
from quickstart import SENTENCES, story
from quickstart.console import Step, heading, similarity_table
from quickstart.daemon import Daemon, DaemonError
from quickstart.fetch_model import FetchError
from quickstart.summary import fusion_lines, metric_lines, time_lines

ROOT = Path(__file__).resolve().parents[2]


class _Steps(list[Step]):
    """Makes the steps and remembers them."""

    def __call__(self, title: str) -> Step:
        self.append(Step(title))
        return self[-1]


@dataclass(frozen=True)
class _Results:
    embeddings: np.ndarray
    first: rlxd.Executable
    second: rlxd.Executable


def main() -> None:
    arguments = _arguments()
    try:
        _play(arguments)
    except (DaemonError, FetchError, rlxd.RlxError, story.WrongAnswer) as error:
        log = arguments.cache_dir / "rlxd.log"
        sys.exit(f"\n{type(error).__name__}: {error}\nThe daemon's log: {log}")
    except KeyboardInterrupt:
        sys.exit("\nstopped")


def _play(arguments: argparse.Namespace) -> None:
    step = _Steps()
    with ExitStack() as stack:
        daemon = story.start(step("Start rlxd"), stack, arguments.cache_dir)
        results = _use(step, daemon, arguments)
        metrics = daemon.metrics()
        if arguments.keep:
            stack.pop_all()
        else:
            story.stop(step("Stop rlxd"), daemon)
    spent = dict(arguments.spent) | {one.title: one.seconds for one in step}
    _print(results, daemon, metrics, spent)
    print(_how_to_go_on(daemon, _copy(arguments)) if arguments.keep else _HOW_TO_KEEP)


def _use(step: _Steps, daemon: Daemon, arguments: argparse.Namespace) -> _Results:
    """What a user of rlxd does."""
    files = story.fetch(step("Fetch the model"), arguments.model_dir)
    batch = story.tokenize(step("Tokenize"), files)
    module = story.describe(step("Describe the network"), files, batch, _copy(arguments))
    with rlxd.Client(daemon.address) as client:
        weights = story.upload(step("Upload the weights"), client, files.weights)
        first = story.compile_module(step("Compile"), client, module)
        with story.open_session(step("Open a session"), client, first, weights) as session:
            embeddings = story.run(step("Run"), session, batch)
        second = story.compile_module(step("Compile again"), client, module)
    story.check(step("Compare with NumPy"), files, batch.unpadded(), embeddings)
    return _Results(embeddings, first, second)


def _print(
    results: _Results, daemon: Daemon, metrics: dict[str, float], spent: dict[str, float]
) -> None:
    heading("How similar the sentences are (cosine)")
    print(*similarity_table(SENTENCES, results.embeddings), sep="\n")
    heading("What fusion did")
    print(*fusion_lines(results.first.fusion), sep="\n")
    heading("Where the compiles came from")
    print(f"  the first: {results.first.cache}\n  the second: {results.second.cache}")
    heading(f"Some of {daemon.http}/metrics")
    print(*metric_lines(metrics), sep="\n")
    heading("Where the time went")
    print(*time_lines(spent), sep="\n")


_HOW_TO_KEEP = (
    "\nNothing is left running. scripts/quickstart.sh --keep leaves rlxd up to play with."
)


def _copy(arguments: argparse.Namespace) -> Path:
    """Where the module is kept for rlxctl."""
    return arguments.cache_dir / "minilm.pb"


def _how_to_go_on(daemon: Daemon, module: Path) -> str:
    return f"""
rlxd goes on running:
  ask it     build/bin/rlxctl devices --server={daemon.address}
             build/bin/rlxctl explain {module} --server={daemon.address}
  metrics    {daemon.http}/metrics
  log        {daemon.log}
  stop it    kill {daemon.pid}"""


def _arguments() -> argparse.Namespace:
    def part(text: str) -> tuple[str, float]:
        name, _, seconds = text.rpartition("=")
        return name, float(seconds)

    parser = argparse.ArgumentParser(prog="scripts/quickstart.sh")
    parser.add_argument("--keep", action="store_true", help="leave rlxd running at the end")
    parser.add_argument("--model_dir", type=Path, default=ROOT / "build/models/all-MiniLM-L6-v2")
    parser.add_argument(
        "--cache_dir", type=Path, default=ROOT / ".cache/quickstart", help="of rlxd, and its log"
    )
    parser.add_argument(
        "--spent", type=part, action="append", default=[], help=argparse.SUPPRESS
    )  # NAME=SECONDS of what quickstart.sh did before
    return parser.parse_args()


if __name__ == "__main__":
    main()
