# SPDX-License-Identifier: Apache-2.0
"""What the quickstart prints once the steps are done."""

from collections.abc import Iterator, Mapping
from typing import Any

from quickstart.console import duration, megabytes

METRICS = (
    "rlxd_compile_requests_total",
    "rlxd_cache_hits_total",
    "rlxd_cache_misses_total",
    "rlxd_fusion_applied_total",
    "rlxd_fusion_rejected_total",
    "rlxd_fusion_kernel_launches_saved_total",
    "rlxd_infer_duration_seconds_count",
    "rlxd_weight_bytes",
    "process_resident_memory_bytes",
)


def fusion_lines(fusion: Any) -> Iterator[str]:
    """A rlx.v1.FusionReport: what was applied by rule, what was missed and why."""
    for rule in fusion.rules:
        missed = f", {rule.missed} missed" if rule.missed else ""
        yield f"  {rule.rule:24}{rule.applied:4} applied{missed}"
    for remark in fusion.remarks:
        if remark.actionable:
            yield f"  missed: {remark.message}. {remark.hint}"
    least = "at least " if fusion.bytes_unknown else ""  # values without a bound are in no number
    saved = f"{fusion.launches_saved} kernel launches and {least}{megabytes(fusion.bytes_saved)}"
    nodes = f"{fusion.nodes_before} nodes became {fusion.nodes_after}"
    yield f"  {nodes}; every run saves {saved} of memory traffic"


def metric_lines(samples: Mapping[str, float]) -> Iterator[str]:
    """Those of METRICS that count something."""
    shown = {n: v for n, v in samples.items() if v and n.partition("{")[0] in METRICS}
    for name, value in shown.items():
        yield f"  {name:{max(map(len, shown))}}{value:>12.10g}"


def time_lines(parts: Mapping[str, float]) -> Iterator[str]:
    """Seconds by part, with a bar for the share of the whole."""
    total = sum(parts.values())
    for name, seconds in parts.items():
        bar = "#" * round(40 * seconds / total)
        yield f"  {name:26}{duration(seconds)}  {bar}".rstrip()
    yield f"  {'all':26}{duration(total)}"
