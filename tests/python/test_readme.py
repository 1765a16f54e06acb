# SPDX-License-Identifier: Apache-2.0
"""What the README files tell people to type, typed; and help, where people look for it."""

import re
import subprocess
from pathlib import Path

import pytest
from quickstart import encoder
from quickstart.daemon import Daemon, default_binary
from quickstart.fetch_model import ModelFiles

ROOT = Path(__file__).resolve().parents[2]


def blocks(readme: str, language: str) -> list[str]:
    found = re.findall(rf"^```{language}\n(.*?)^```", (ROOT / readme).read_text(), re.M | re.S)
    assert found, f"{readme} has no {language}"
    return found


@pytest.mark.parametrize("readme", ["README.md", "clients/python/README.md"])
def test_the_python_example_runs(readme: str, daemon: Daemon) -> None:
    (example,) = blocks(readme, "python")
    assert "127.0.0.1:8001" in example
    said: dict[str, object] = {}
    exec(example.replace("127.0.0.1:8001", daemon.address), said)
    assert said["y"].shape == (4, 8)  # type: ignore[attr-defined]


def test_the_commands_run(daemon: Daemon, minilm: ModelFiles, tmp_path: Path) -> None:
    """As the quickstart leaves things: the same module in a file, the model in build/models."""
    (block,) = (b for b in blocks("README.md", "sh") if "rlxctl" in b)
    lines = block.replace("\\\n", " ").splitlines()
    assert lines[0].startswith("PATH=") and len(lines) > 10
    module = encoder.build(encoder.Config.read(minilm.config), 5, 16)
    (tmp_path / "minilm.pb").write_bytes(module.build().SerializeToString())
    (tmp_path / "build").symlink_to(ROOT / "build")
    rlxctl = default_binary().with_name("rlxctl")
    given = f'set -eu; model=minilm.pb; rlxctl() {{ "{rlxctl}" --server={daemon.address} "$@"; }}\n'
    for line in lines[1:]:
        command = ["bash", "-c", given + line]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        assert done.stdout, line


PROGRAMS = [
    *sorted((ROOT / "scripts").glob("*.sh")),
    *map(Path, ["rlxd", "rlxctl", "rlx-conformance"]),
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.name)
def test_help_is_printed_and_nothing_done(program: Path, tmp_path: Path) -> None:
    if program.name in ("common.sh", "docker.sh"):
        pytest.skip("sourced by the others")
    path = program if program.is_absolute() else default_binary().with_name(program.name)

    def run(argument: str) -> subprocess.CompletedProcess[str]:
        command = [str(path), argument]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False
        )

    asked = run("--help")
    assert asked.returncode == 0 and program.name in asked.stdout
    assert run("--no-such-thing").returncode != 0
