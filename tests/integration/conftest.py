# SPDX-License-Identifier: Apache-2.0
"""docker/compose.yaml from outside; scripts/integration.sh brings the engine and the images."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
PORT, PROMETHEUS_PORT = 18101, 18190
REPLICAS = ("rlxd-1", "rlxd-2")

# One for each model, all different.
SOFTMAX = """mir "dense" {{
  symbol batch in [1, 64]
  %0 = input "x" : f32[batch,{width}]
  %1 = softmax(%0) {{axis = 1}}
  output "y" = %1
}}
"""


def docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["docker", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


class Stack:
    def __init__(self, folder: Path) -> None:
        self.models = folder / "models"
        self.models.mkdir()
        self.address = f"127.0.0.1:{PORT}"
        self.project = "rlxd-integration"
        self._environment = os.environ | {
            "COMPOSE_PROJECT_NAME": self.project,
            "RLXD_MODELS": str(self.models),
            "RLXD_SECRETS": str(folder / "secrets"),
            "RLXD_PORT": str(PORT),
            "RLXD_PROMETHEUS_PORT": str(PROMETHEUS_PORT),
            "RLXD_RULES": str(self._impatient_rules(folder)),
            "RLXD_CACHE_SIZE": "400m",
            "RLXD_HOST_MEMORY": str(512 << 20),
            "RLXD_MEMORY": "2g",
        }

    @staticmethod
    def _impatient_rules(folder: Path) -> Path:
        """The alerts, which fire after seconds."""
        rules = (ROOT / "deploy" / "prometheus" / "rules.yaml").read_text()
        out = folder / "rules.yaml"
        out.write_text(re.sub(r"for: \d+m", "for: 3s", rules))
        out.chmod(0o644)
        return out

    def write_model(self, name: str, files: Mapping[str, str | bytes]) -> None:
        # Whole or not at all: the replicas look every second.
        hidden = self.models / f".{name}"
        (hidden / "1").mkdir(parents=True)
        for file, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            (hidden / "1" / file).write_bytes(data)
        hidden.rename(self.models / name)

    def write_softmax(self, name: str, width: int) -> None:
        self.write_model(name, {"module.txt": SOFTMAX.format(width=width)})

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            ["scripts/stack.sh", *arguments],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def container(self, service: str) -> str:
        return self.run("ps", "-q", service).strip()

    def health(self, replica: str) -> int:
        """The exit code of the image's own health check."""
        check = ["/opt/rlxd/bin/rlxctl", "health", "--deadline=2"]
        return docker("exec", self.container(replica), *check).returncode

    def wait_healthy(self, replica: str) -> None:
        wait_until(lambda: self.health(replica) == 0, replica)

    def query(self, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        """What Prometheus answers: labels to value."""
        text = urllib.parse.quote(expression)
        url = f"http://127.0.0.1:{PROMETHEUS_PORT}/api/v1/query?query={text}"
        with urllib.request.urlopen(url, timeout=10) as response:
            found = json.load(response)["data"]["result"]
        return {tuple(sorted(one["metric"].items())): float(one["value"][1]) for one in found}

    def number(self, expression: str) -> float:
        """The one value; 0 where there is none."""
        return sum(self.query(expression).values())


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = Stack(tmp_path_factory.mktemp("stack"))
    for i in range(3):
        running.write_softmax(f"soft{i}", 16 + i)
    running.run("up")
    try:
        for replica in REPLICAS:
            running.wait_healthy(replica)
        wait_until(lambda: running.number("sum(rlxd_ready)") == 2, "Prometheus sees both")
        yield running
    finally:
        logs = running.run("logs", "--no-color", "--tail=200")
        (tmp_path_factory.getbasetemp() / "stack.log").write_text(logs)
        running.run("down")
