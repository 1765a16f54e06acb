# SPDX-License-Identifier: Apache-2.0
"""The zoo on rlxd, in process and over gRPC, and on its peers, on the same machine.

    ninja -C build bench_onnx_bench rlxd rlxd_backend_cpu
    .venv/bin/python -m pip install -r bench/requirements.txt
    .venv/bin/python -m bench.cpu_peers [--models bert resnet50] [--threads 1 2] [--json FILE]

Every round runs each engine once and in turn, so that a slow moment of the machine hits all of
them. Times are medians; outputs are compared with the first peer's; the share of peak is of the
multiply-add rate measured here on as many threads.
"""

import argparse
import importlib.metadata
import sys
from pathlib import Path

import onnx

from .. import fma_peak
from ..models import zoo
from .compare import Outcome, compare, say
from .engines import ENGINES, Job
from .flops import count
from .report import differing, document, table


def main() -> None:
    arguments = _arguments()
    engines = _present(arguments.engines)
    peak = fma_peak.measure(arguments.threads)
    outcomes: list[Outcome] = []
    for name in arguments.models:
        path = zoo.file_of(name)
        proto = onnx.load(path)
        for sizes in zoo.MODELS[name].sizes:
            label = zoo.label(name, sizes)
            if arguments.only and not any(text in label for text in arguments.only):
                continue
            feeds = zoo.feeds(proto, sizes)
            flops = count(proto, feeds)
            for threads in arguments.threads:
                outcome = Outcome(label, zoo.MODELS[name].family, threads, flops)
                outcomes.append(outcome)
                job = Job(path, proto, sizes, feeds, threads, Path())
                options = {
                    engine: {"profile": arguments.profile} if ENGINES[engine].ours else {}
                    for engine in engines
                }
                compare(job, options, outcome, arguments.rounds, arguments.budget)
                say(_line(outcome))
    print(table(outcomes, engines, peak))
    if arguments.json:
        arguments.json.write_text(document(outcomes, peak, _versions(engines)))
    if wrong := differing(outcomes):
        sys.exit("\n".join(wrong))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.cpu_peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--models", nargs="+", choices=zoo.MODELS, default=list(zoo.MODELS))
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="sizes whose label has it: b1")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=30, help="at most")
    parser.add_argument("--budget", type=float, default=6, help="seconds of runs an engine")
    parser.add_argument("--profile", default="cpu", help="rlxd's target, e.g. cpu:x86-64-v3")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


def _present(wanted: list[str]) -> list[str]:
    for name in wanted:
        if missing := ENGINES[name].missing():
            say(f"{name} is left out: {' and '.join(missing)} not installed\n")
    return [name for name in wanted if not ENGINES[name].missing()]


def _line(outcome: Outcome) -> str:
    times = (f"{name} {f.seconds * 1e3:.2f} ms" for name, f in outcome.figures.items())
    return f"{outcome.label}, {outcome.threads} threads: {', '.join(times)}\n"


def _versions(engines: list[str]) -> dict[str, str]:
    packages = [package for name in engines for package in ENGINES[name].packages]
    return {package: importlib.metadata.version(package) for package in packages}


if __name__ == "__main__":
    main()
