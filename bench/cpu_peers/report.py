# SPDX-License-Identifier: Apache-2.0
"""The table and the JSON."""

import json
import math
from dataclasses import asdict

from .compare import TOLERANCE, Outcome
from .engines import ENGINES


def share(outcome: Outcome, engine: str) -> float | None:
    """Its time as a share of the fastest peer's."""
    peers = [f.seconds for name, f in outcome.figures.items() if not ENGINES[name].ours]
    if not peers or engine not in outcome.figures:
        return None
    return outcome.figures[engine].seconds / min(peers)


def differing(outcomes: list[Outcome]) -> list[str]:
    """What computes something else than the first peer: no contest then."""
    return [
        f"{outcome.label}, {outcome.threads} threads: {name} differs by {figures.difference:.1e}"
        for outcome in outcomes
        for name, figures in outcome.figures.items()
        if not figures.difference <= TOLERANCE
    ]


def table(outcomes: list[Outcome], engines: list[str], peak: dict[int, float]) -> str:
    """Milliseconds, and rlxd's share of the fastest peer and of the multiply-add peak."""
    ours = [name for name in engines if ENGINES[name].ours]
    heads = ["model", "threads", *engines, *(f"{name} / peer" for name in ours), "of peak"]
    rows = [heads, ["---"] * len(heads)]
    for outcome in outcomes:
        cells = [outcome.label, str(outcome.threads)]
        for name in engines:
            figures = outcome.figures.get(name)
            cells.append("failed" if figures is None else f"{figures.seconds * 1e3:.2f}")
        for name in ours:
            found = share(outcome, name)
            cells.append("" if found is None else f"{found:.2f}")
        best = outcome.figures.get("rlxd")
        rate = outcome.flops / best.seconds / peak[outcome.threads] if best else 0
        cells.append(f"{rate:.0%}")
        rows.append(cells)
    lines = [f"peak, {count} threads: {rate / 1e9:.0f} GFLOP/s" for count, rate in peak.items()]
    lines += [""] + [f"| {' | '.join(row)} |" for row in rows] + [""]
    return "\n".join(lines + means(outcomes, ours))


def means(outcomes: list[Outcome], ours: list[str]) -> list[str]:
    """Geometric means of the shares, by family and number of threads."""
    lines = []
    groups = sorted({(outcome.family, outcome.threads) for outcome in outcomes})
    for family, threads in groups:
        for name in ours:
            found = [
                value
                for outcome in outcomes
                if (outcome.family, outcome.threads) == (family, threads)
                and (value := share(outcome, name)) is not None
            ]
            if found:
                mean = math.exp(sum(map(math.log, found)) / len(found))
                lines.append(f"{family}, {threads} threads: {name} takes {mean:.2f} of the peer")
    return lines


def document(outcomes: list[Outcome], peak: dict[int, float], versions: dict[str, str]) -> str:
    return json.dumps(
        {
            "peak_flops": {str(k): v for k, v in peak.items()},
            "tolerance": TOLERANCE,
            "versions": versions,
            "outcomes": [asdict(outcome) for outcome in outcomes],
        },
        indent=1,
    )
