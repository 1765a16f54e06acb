# SPDX-License-Identifier: Apache-2.0
"""deploy/grafana: the dashboards are as written by their source, and ask for what rlxd serves."""

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from quickstart.daemon import Daemon, default_binary
from redis_process import RedisProcess
from tritonclient.utils import InferenceServerException

import rlxd

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "grafana"
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}

SOFTMAX = """mir "softmax" {
  symbol batch in [1, 64]
  %0 = input "x" : f32[batch,16]
  %1 = softmax(%0) {axis = 1}
  output "y" = %1
}
"""
Json = dict[str, Any]


def queries(dashboard: Json) -> Iterator[str]:
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


def families(text: str) -> set[str]:
    """The metrics in a query, as /metrics declares them."""
    names = set(re.findall(r"\b((?:rlxd|process)_\w+)\{", text))
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}


def test_they_are_as_their_source_writes_them() -> None:
    check = [sys.executable, str(FOLDER / "dashboards.py"), "--check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(DASHBOARDS) == {"fleet", "model", "compile", "cache", "device"}


@pytest.mark.parametrize("name", DASHBOARDS)
def test_grafana_can_show_them(name: str) -> None:
    dashboard = DASHBOARDS[name]
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    cells = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        covered = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & covered, panel["title"]
        cells |= covered
        assert panel["fieldConfig"]["defaults"]["unit"]
        refs = [target["refId"] for target in panel["targets"]]
        assert refs and len(set(refs)) == len(refs)
    for query in queries(dashboard):
        used = set(re.findall(r"\$(\w+)", query)) - {"__rate_interval"}
        assert used == {"job", "instance"} <= variables, query
        assert query.count("(") == query.count(")") and query.count("{") == query.count("}")
        # A counter means something by its rate alone, and a gauge only by itself.
        for counter in re.findall(r"(\w*\(?)rlxd_\w+_total\{", query):
            assert counter.endswith("rate("), query
        assert all(label in query for label in legends(dashboard, query)), query


def legends(dashboard: Json, query: str) -> set[str]:
    """The labels that a query's legend shows."""
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            if target["expr"] == query:
                return set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
    raise AssertionError(query)


def write_models(root: Path) -> None:
    batches = "max_batch_size: 8 dynamic_batching { %s }"
    # Waits for seven more than there will be, and so until its time is up.
    late = batches % (
        "preferred_batch_size: 8 max_queue_delay_microseconds: 60000000 "
        "default_queue_policy { default_timeout_microseconds: 1000 }"
    )
    for name, config in {"plain": "", "batched": batches % "", "late": late}.items():
        (root / name / "1").mkdir(parents=True)
        (root / name / "1" / "module.txt").write_text(SOFTMAX)
        if config:
            (root / name / "config.pbtxt").write_text(config)
    (root / "broken" / "1").mkdir(parents=True)
    (root / "broken" / "1" / "module.txt").write_text("nothing")


def slow() -> rlxd.MirModule:
    module = rlxd.MirModule("slow")
    x = module.input("x", [1024, 1024])
    for _ in range(60):
        x = module.matmul(x, x)
    module.output("y", x)
    return module


def exercise(daemon: Daemon) -> None:
    """Some of everything that a dashboard shows."""
    caller = triton.InferenceServerClient(daemon.address)
    x = np.ones((2, 16), np.float32)
    for model in ("plain", "batched"):
        tensor = triton.InferInput("x", x.shape, "FP32")
        tensor.set_data_from_numpy(x)
        caller.infer(model, [tensor])
        wrong = triton.InferInput("x", (2, 15), "FP32")
        wrong.set_data_from_numpy(np.ones((2, 15), np.float32))
        with pytest.raises(InferenceServerException):
            caller.infer(model, [wrong])
    tensor = triton.InferInput("x", x.shape, "FP32")
    tensor.set_data_from_numpy(x)
    with pytest.raises(InferenceServerException, match="DEADLINE_EXCEEDED"):
        caller.infer("late", [tensor])
    with rlxd.Client(daemon.address) as client:
        large = rlxd.MirModule("large")
        y = large.input("x", [2])
        for _ in range(100):
            y = -y
        large.output("y", y)
        with pytest.raises(rlxd.RlxError):
            client.compile(large)
        module = rlxd.MirModule("missed")
        y = module.matmul(module.input("x", [8, 16]), module.param("w", [16, 32]))
        module.output("y", y + module.param("b", [32]))
        module.output("z", -y)
        client.compile(module)
        client.compile(module)
        fused = rlxd.MirModule("fused")
        y = fused.matmul(fused.input("x", [8, 16]), fused.param("w", [16, 32]))
        fused.output("y", fused.gelu(y + fused.param("b", [32])))
        client.compile(fused)
        with pytest.raises(rlxd.RlxError):
            client.compile(fused, options=rlxd.CompileOptions(supported_ops=["softmax"]))
        with client.open(client.compile(slow())) as session, pytest.raises(rlxd.RlxError):
            session.run({"x": np.zeros((1024, 1024), np.float32)}, timeout=0.25)


@pytest.mark.skipif(
    not RedisProcess.installed(), reason="redis-server is not installed: scripts/setup.sh"
)
def test_every_metric_is_on_a_live_page(tmp_path: Path) -> None:
    write_models(tmp_path / "models")
    (tmp_path / "key").write_text("k" * 32)
    with RedisProcess(tmp_path) as redis:
        flags = [f"--shared_cache={redis.url}", f"--shared_cache_key_file={tmp_path / 'key'}"]
        flags += [f"--model_repository={tmp_path / 'models'}", "--nostrict_readiness"]
        flags += ["--max_nodes=64"]
        with Daemon(default_binary(), tmp_path / "cache", tmp_path / "log", *flags) as daemon:
            exercise(daemon)
            with urllib.request.urlopen(f"{daemon.http}/metrics", timeout=10) as page:
                served = set(re.findall(r"^# TYPE (\w+) ", page.read().decode(), re.MULTILINE))
    for name, dashboard in DASHBOARDS.items():
        wanted = set().union(*(families(query) for query in queries(dashboard)))
        assert wanted - served == set(), name
