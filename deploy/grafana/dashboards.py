#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Grafana's dashboards, from one list of panels.

    deploy/grafana/dashboards.py            writes the *.json beside it
    deploy/grafana/dashboards.py --check    fails where one is not what would be written

A panel names metrics as docs/metrics.md does, and what to do with them; how that is written in
PromQL and in Grafana's JSON is said once. tests/python/test_dashboards.py holds every name to a
live /metrics.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
COLUMNS, HEIGHT = 3, 8  # of panels; Grafana's grid is 24 wide
WINDOW = "$__rate_interval"

Json = dict[str, Any]


@dataclass(frozen=True)
class Line:
    query: str
    legend: str


def selected(metric: str, labels: str = "") -> str:
    """The series of the replicas that are chosen on top of the page."""
    extra = f",{labels}" if labels else ""
    return f'{metric}{{job="$job",instance=~"$instance"{extra}}}'


def named(by: str) -> str:
    return " ".join(f"{{{{{label}}}}}" for label in by.split(",")) if by else "all"


def summed(what: str, by: str) -> Line:
    return Line(f"sum by ({by}) ({what})" if by else f"sum({what})", named(by))


def gauge(metric: str, by: str = "instance", labels: str = "") -> Line:
    return summed(selected(metric, labels), by)


def rate(metric: str, by: str = "", labels: str = "") -> Line:
    return summed(f"rate({selected(metric, labels)}[{WINDOW}])", by)


def quantile(q: float, metric: str, by: str = "", labels: str = "") -> Line:
    also = f",{by}" if by else ""
    buckets = f"sum by (le{also}) (rate({selected(metric + '_bucket', labels)}[{WINDOW}]))"
    legend = f"p{100 * q:g}" + (f" {named(by)}" if by else "")
    return Line(f"histogram_quantile({q:g}, {buckets})", legend)


def mean(metric: str, by: str = "", labels: str = "") -> Line:
    """Of what a histogram observed."""
    total, count = rate(f"{metric}_sum", by, labels), rate(f"{metric}_count", by, labels)
    return ratio(total, count)


def ratio(part: Line, whole: Line) -> Line:
    return Line(f"{part.query} / {whole.query}", part.legend)


def legend(line: Line, text: str) -> Line:
    return Line(line.query, text)


@dataclass(frozen=True)
class Panel:
    title: str
    unit: str  # Grafana's name of it
    lines: tuple[Line, ...]
    says: str

    def json(self, number: int) -> Json:
        width = 24 // COLUMNS
        x, y = number % COLUMNS * width, number // COLUMNS * HEIGHT
        return {
            "id": number + 1,
            "type": "timeseries",
            "title": self.title,
            "description": self.says,
            "datasource": {"type": "prometheus", "uid": "$datasource"},
            "gridPos": {"x": x, "y": y, "w": width, "h": HEIGHT},
            "fieldConfig": {"defaults": {"unit": self.unit, "min": 0}, "overrides": []},
            "options": {"legend": {"displayMode": "list", "placement": "bottom"}},
            "targets": [
                {"refId": chr(ord("A") + i), "expr": line.query, "legendFormat": line.legend}
                for i, line in enumerate(self.lines)
            ],
        }


def panel(title: str, unit: str, says: str, *lines: Line) -> Panel:
    return Panel(title, unit, lines, says)


RPC = "rlxd_rpc_duration_seconds"
INFER = "rlxd_infer_duration_seconds"
ERRORS = 'code=~"INTERNAL|UNKNOWN|DATA_LOSS"'
OF_MODEL = "model,version"

DASHBOARDS: dict[str, tuple[str, tuple[Panel, ...]]] = {
    "fleet": (
        "rlxd: fleet",
        (
            panel("Ready", "short", "1: takes work.", gauge("rlxd_ready")),
            panel(
                "Calls",
                "reqps",
                "Answered, by service.",
                rate("rlxd_rpc_requests_total", "service"),
            ),
            panel(
                "Calls that failed",
                "reqps",
                "By code; INTERNAL, UNKNOWN and DATA_LOSS are rlxd's own fault.",
                rate("rlxd_rpc_requests_total", "code", 'code!="OK"'),
            ),
            panel(
                "Failed through rlxd's fault",
                "percentunit",
                "The alert RlxdErrors fires at 1 %.",
                ratio(
                    rate("rlxd_rpc_requests_total", "service", ERRORS),
                    rate("rlxd_rpc_requests_total", "service"),
                ),
            ),
            panel("Slowest calls", "s", "From receipt to answer.", quantile(0.99, RPC, "method")),
            panel("Calls in flight", "short", "Being answered.", gauge("rlxd_rpc_inflight")),
            panel(
                "Refused",
                "reqps",
                "Before they began, and by a limit or budget.",
                rate("rlxd_admission_rejections_total", "reason"),
                rate("rlxd_limit_rejections_total", "limit"),
            ),
            panel(
                "Processor", "short", "Cores in use.", rate("process_cpu_seconds_total", "instance")
            ),
            panel("Memory", "bytes", "Resident.", gauge("process_resident_memory_bytes")),
            panel(
                "Sessions",
                "short",
                "Open ones, and those of models.",
                gauge("rlxd_sessions", "state"),
            ),
            panel("Ending", "short", "1: finishes what runs.", gauge("rlxd_draining")),
            panel(
                "Versions",
                "short",
                "Replicas by build.",
                Line(
                    f"count by (version,build_id) ({selected('rlxd_build_info')})",
                    named("version,build_id"),
                ),
            ),
        ),
    ),
    "model": (
        "rlxd: models",
        (
            panel("Requests", "reqps", "Answered.", rate("rlxd_model_infer_total", OF_MODEL)),
            panel(
                "Requests that failed",
                "reqps",
                "By version.",
                rate("rlxd_model_infer_total", OF_MODEL, 'result="error"'),
            ),
            panel(
                "Time of a request",
                "s",
                "Mean of each phase, of those that succeeded.",
                ratio(
                    rate("rlxd_model_infer_seconds_total", "phase"),
                    Line(
                        "scalar(" + rate("rlxd_model_infer_total", "", 'result="ok"').query + ")",
                        "",
                    ),
                ),
            ),
            panel("Waiting", "short", "Requests in queues.", gauge("rlxd_model_pending", OF_MODEL)),
            panel(
                "Time in the queue",
                "s",
                "Of models that have one.",
                quantile(0.5, "rlxd_infer_queue_seconds", "model"),
                quantile(0.99, "rlxd_infer_queue_seconds", "model"),
            ),
            panel(
                "Rows of a batch",
                "short",
                "Mean, of models that have a queue.",
                mean("rlxd_infer_batch_size", "model"),
            ),
            panel(
                "Ready versions",
                "short",
                "Replicas that serve it.",
                gauge("rlxd_model_ready", OF_MODEL),
            ),
            panel("Versions by state", "short", "All replicas.", gauge("rlxd_models", "state")),
            panel("Loads", "ops", "Of versions.", rate("rlxd_model_loads_total", "result")),
            panel(
                "Time of a load",
                "s",
                "Reading, compiling, opening, warming up.",
                quantile(0.99, "rlxd_model_load_duration_seconds", "result"),
            ),
        ),
    ),
    "compile": (
        "rlxd: compiles and fusion",
        (
            panel(
                "Compile requests",
                "reqps",
                "By where the result came from.",
                rate("rlxd_compile_requests_total", "result"),
            ),
            panel(
                "Time of a request",
                "s",
                "Waiting included.",
                quantile(0.99, "rlxd_compile_request_duration_seconds", "result"),
            ),
            panel(
                "Time of a phase",
                "s",
                "Mean.",
                mean("rlxd_compile_duration_seconds", "phase"),
            ),
            panel(
                "Compiles now",
                "short",
                "That run, and that wait for a thread.",
                legend(gauge("rlxd_compile_inflight"), "{{instance}} runs"),
                legend(gauge("rlxd_compile_queue_length"), "{{instance}} waits"),
            ),
            panel("Wait for a thread", "s", "", quantile(0.99, "rlxd_compile_queue_seconds")),
            panel(
                "Failed compiles",
                "ops",
                "By phase and code.",
                rate("rlxd_compile_errors_total", "phase,code"),
            ),
            panel("Fusions", "ops", "Applied, by rule.", rate("rlxd_fusion_applied_total", "rule")),
            panel(
                "Fusions missed",
                "ops",
                "That the author can bring about.",
                rate("rlxd_fusion_rejected_total", "rule,reason"),
            ),
            panel(
                "Nodes of a module",
                "short",
                "Mean, before and after the passes.",
                legend(mean("rlxd_fusion_ops_before"), "before"),
                legend(mean("rlxd_fusion_ops_after"), "after"),
            ),
            panel(
                "Nodes by path",
                "ops",
                "How they are run.",
                rate("rlxd_dispatch_nodes_total", "path"),
            ),
            panel(
                "Launches saved",
                "ops",
                "A run, summed over compiles.",
                rate("rlxd_fusion_kernel_launches_saved_total"),
            ),
            panel(
                "Bytes saved",
                "Bps",
                "A run, summed over compiles.",
                rate("rlxd_fusion_bytes_saved_total"),
            ),
        ),
    ),
    "cache": (
        "rlxd: caches",
        (
            panel(
                "Hits",
                "percentunit",
                "Of lookups in each tier.",
                Line(
                    f"{rate('rlxd_cache_hits_total', 'tier').query} / "
                    f"({rate('rlxd_cache_hits_total', 'tier').query}"
                    f" + {rate('rlxd_cache_misses_total', 'tier').query})",
                    "{{tier}}",
                ),
            ),
            panel(
                "Fill",
                "percentunit",
                "Of each tier's budget.",
                ratio(
                    gauge("rlxd_cache_size_bytes", "instance,tier"),
                    gauge("rlxd_cache_limit_bytes", "instance,tier"),
                ),
            ),
            panel(
                "Entries", "short", "In each tier.", gauge("rlxd_cache_entries", "instance,tier")
            ),
            panel("Written", "ops", "By tier.", rate("rlxd_cache_puts_total", "tier")),
            panel(
                "Evicted", "Bps", "To make room.", rate("rlxd_cache_evicted_bytes_total", "tier")
            ),
            panel(
                "Refused and failed",
                "ops",
                "Entries that failed a check; reads and writes that failed.",
                legend(rate("rlxd_cache_corrupt_total", "tier"), "{{tier}} corrupt"),
                legend(rate("rlxd_cache_errors_total", "tier"), "{{tier}} failed"),
            ),
            panel(
                "Time of an operation", "s", "", quantile(0.99, "rlxd_cache_op_seconds", "tier,op")
            ),
            panel(
                "Shared cache answers",
                "short",
                "1: in time. The alert RlxdSharedCacheDown fires after 2 minutes of 0.",
                gauge("rlxd_shared_cache_up"),
            ),
            panel(
                "Turns",
                "ops",
                "Compiles by whose turn they were: all but `found` are made here.",
                rate("rlxd_shared_cache_turns_total", "result"),
            ),
            panel(
                "Blobs",
                "bytes",
                "Uploaded, unfinished ones included, and their budget.",
                legend(gauge("rlxd_blob_size_bytes"), "{{instance}}"),
                legend(gauge("rlxd_blob_limit_bytes"), "{{instance}} budget"),
            ),
        ),
    ),
    "device": (
        "rlxd: devices",
        (
            panel("Healthy", "short", "1: works.", gauge("rlxd_device_healthy", "instance,device")),
            panel(
                "Runs at a time",
                "short",
                "Mean.",
                rate(f"{INFER}_sum", "instance", 'phase="compute"'),
            ),
            panel(
                "Runs",
                "ops",
                "That succeeded.",
                rate(f"{INFER}_count", "device", 'phase="compute"'),
            ),
            panel(
                "Time of a run",
                "s",
                "On the device.",
                quantile(0.99, INFER, "device", 'phase="compute"'),
            ),
            panel(
                "Wait for a place",
                "s",
                "For an execution context. The alert RlxdQueueing fires at 0.5 s.",
                quantile(0.99, INFER, "device", 'phase="queue"'),
            ),
            panel(
                "Runs now",
                "short",
                "On a device, and waiting for a context.",
                legend(gauge("rlxd_infer_inflight"), "{{instance}} runs"),
                legend(gauge("rlxd_infer_pending"), "{{instance}} waits"),
            ),
            panel("Failed runs", "ops", "By code.", rate("rlxd_infer_failures_total", "reason")),
            panel(
                "Cancelled runs",
                "ops",
                "Their caller had gone, or their time was over.",
                rate("rlxd_infer_cancelled_total", "stage"),
            ),
            panel(
                "Device memory",
                "bytes",
                "What rlxd holds, and what there is.",
                legend(
                    gauge("rlxd_device_memory_used_bytes", "instance,device"),
                    "{{instance}} {{device}}",
                ),
                legend(
                    gauge("rlxd_device_memory_total_bytes", "instance,device"),
                    "{{instance}} {{device}} has",
                ),
            ),
            panel("Weights", "bytes", "Bound, by use.", gauge("rlxd_weight_bytes", "state")),
            panel(
                "Budget of weights and arenas", "bytes", "", gauge("rlxd_host_memory_limit_bytes")
            ),
            panel("Arenas", "bytes", "Of execution contexts.", gauge("rlxd_exec_context_bytes")),
        ),
    ),
}


def variable(name: str, label: str, query: str, *, many: bool) -> Json:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "$datasource"},
        "query": query,
        "refresh": 2,
        "multi": many,
        "includeAll": many,
        "allValue": ".*" if many else None,
    }


def dashboard(name: str) -> Json:
    title, panels = DASHBOARDS[name]
    return {
        "uid": f"rlxd-{name}",
        "title": title,
        "tags": ["rlxd"],
        "schemaVersion": 39,
        "editable": False,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [{"type": "dashboards", "title": "rlxd", "tags": ["rlxd"], "keepTime": True}],
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                },
                variable("job", "job", "label_values(rlxd_ready, job)", many=False),
                variable(
                    "instance",
                    "replica",
                    'label_values(rlxd_ready{job="$job"}, instance)',
                    many=True,
                ),
            ]
        },
        "panels": [one.json(i) for i, one in enumerate(panels)],
    }


def main() -> int:
    stale = []
    for name in DASHBOARDS:
        path, text = FOLDER / f"{name}.json", json.dumps(dashboard(name), indent=1) + "\n"
        if sys.argv[1:] != ["--check"]:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(path.name)
    if stale:
        print(
            f"not as written: {', '.join(stale)}: run deploy/grafana/dashboards.py", file=sys.stderr
        )
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
