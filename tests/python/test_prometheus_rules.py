# SPDX-License-Identifier: Apache-2.0
"""deploy/prometheus: every alert has its test, and every metric is one that rlxd has."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
RULES = (FOLDER / "rules.yaml").read_text()
TESTS = (FOLDER / "rules_test.yaml").read_text()

# What Prometheus itself says of a target.
OF_PROMETHEUS = {"up"}


def documented() -> set[str]:
    """The metrics of docs/metrics.md, which a test of the daemon holds to what it serves."""
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) ", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE
    )
    names = {name for name, _ in rows}
    for name, kind in rows:
        if kind == "histogram":
            names |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    return names


def metrics_in(text: str) -> set[str]:
    return set(re.findall(r"\b(?:rlxd|process)_\w+(?=[{\[\s)]|$)", text))


def test_every_metric_is_documented() -> None:
    ends = r"(?=\n +\w+:|\n\n|\n +- )"
    expressions = " ".join(re.findall(rf"expr: (?:>-\n)?((?:.|\n)*?){ends}", RULES))
    named = metrics_in(expressions)
    assert len(named) > 8
    assert named - documented() == set()
    series = metrics_in(" ".join(re.findall(r"series: '(.*?)'", TESTS)))
    assert series - documented() == set()


def test_every_alert_has_a_test_in_which_it_fires_and_words_for_operators() -> None:
    alerts = set(re.findall(r"alert: (\w+)", RULES))
    fires = set(re.findall(r"alertname: (\w+)\n\s+exp_alerts:\n", TESTS))
    assert alerts and alerts == fires
    operations = (ROOT / "docs" / "operations.md").read_text()
    assert [alert for alert in sorted(alerts) if f"`{alert}`" not in operations] == []


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed: apt-get install prometheus"
)
def test_rules_hold() -> None:
    for command in (["check", "rules", "rules.yaml"], ["test", "rules", "rules_test.yaml"]):
        done = subprocess.run(
            ["promtool", *command], cwd=FOLDER, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
