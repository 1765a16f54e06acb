# SPDX-License-Identifier: Apache-2.0
"""Engines in turn on one job: medians, and whether they compute the same."""

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from .engines import ENGINES, Arrays, Job, Running

# Engines rest between runs, so that no one's waiting threads spin in another's run: ONNX Runtime's
# go on for tens of milliseconds.
PAUSE = 0.1
WARM_UP = 3
# Outputs may differ by so much of the largest magnitude in them.
TOLERANCE = 1e-3


@dataclass
class Figures:
    seconds: float  # median
    best: float
    ready_seconds: float
    difference: float  # largest, of the largest magnitude, from the first engine


@dataclass
class Outcome:
    label: str
    family: str
    threads: int
    flops: float
    figures: dict[str, Figures] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def compare(
    job: Job, engines: Mapping[str, Mapping[str, str]], outcome: Outcome, rounds: int, budget: float
) -> None:
    """Fills `outcome`. `rounds` at most, and no more than fit into `budget` seconds an engine."""
    with ExitStack() as stack:
        running: dict[str, Running] = {}
        for name, options in engines.items():
            say(f"{outcome.label}, {job.threads} threads: {name} gets ready")
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            try:
                own = replace(job, folder=folder)
                started = ENGINES[name].start(own, **options)
                running[name] = stack.enter_context(started)
                started.run()
            except Exception as error:  # whatever an engine throws, the others go on
                running.pop(name, None)
                outcome.failures[name] = str(error).splitlines()[0][:200] if str(error) else "?"
                say(f"{outcome.label}: {name} failed: {outcome.failures[name]}\n")
        seconds = interleave(running, rounds, budget, outcome)
        first: Arrays | None = None
        for name in sorted(running, key=lambda name: ENGINES[name].ours):
            outputs = running[name].outputs()
            first = outputs if first is None else first
            outcome.figures[name] = Figures(
                seconds=statistics.median(seconds[name]),
                best=min(seconds[name]),
                ready_seconds=running[name].ready_seconds,
                difference=largest_difference(outputs, first),
            )


def interleave(
    running: Mapping[str, Running], rounds: int, budget: float, outcome: Outcome
) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in running}
    start = time.monotonic()
    for turn in range(WARM_UP + rounds):
        say(f"{outcome.label}, {outcome.threads} threads: round {turn + 1}")
        for name, engine in running.items():
            time.sleep(PAUSE)
            seconds[name].append(engine.run())
        if turn > WARM_UP + 3 and time.monotonic() - start > budget * len(running):
            break
    return {name: values[WARM_UP:] for name, values in seconds.items()}


def largest_difference(outputs: Arrays, expected: Arrays) -> float:
    worst = 0.0
    for name, array in expected.items():
        got = np.asarray(outputs[name], np.float64).ravel()
        want = np.asarray(array, np.float64).ravel()
        if got.shape != want.shape or not np.isfinite(got).all():
            return float("inf")
        worst = max(worst, float(np.abs(got - want).max() / max(np.abs(want).max(), 1e-30)))
    return worst


def say(text: str) -> None:
    """Progress: one line of standard error, written over."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text.endswith("\n") or "gets ready" in text:
        print(text.rstrip(), file=sys.stderr, flush=True)
