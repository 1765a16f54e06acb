# SPDX-License-Identifier: Apache-2.0
"""Makes `rlxd._proto` from the .proto files while the wheel is built.

The files lie in the repository's proto/ folder, or in the sdist's own copy of it. Generated code is
moved under `rlxd._proto`, so that no top-level `rlx` package appears in site-packages. google.rpc
comes from googleapis-common-protos: the same file names may be registered only once in a process.
"""

import re
import shutil
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "rlxd._proto"
IMPORT = re.compile(r"^from rlx\.v1 import", re.MULTILINE)


class ProtoHook(BuildHookInterface):
    """Adds the generated package to the wheel; an editable install gets it in the source tree."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects files."""
        root = Path(self.root)
        self._scratch = Path(tempfile.mkdtemp(prefix="rlxd-proto-"))
        generate(find_protos(root), self._scratch)
        if version == "editable":
            shutil.copytree(self._scratch, root / "src/rlxd/_proto", dirs_exist_ok=True)
        else:
            build_data["force_include"][str(self._scratch)] = "rlxd/_proto"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called by hatchling when the wheel is written."""
        shutil.rmtree(self._scratch, ignore_errors=True)


def find_protos(root: Path) -> Path:
    """The folder that holds rlx/v1."""
    for folder in (root / "proto", root.parent.parent / "proto"):
        if (folder / "rlx/v1").is_dir():
            return folder
    raise FileNotFoundError(f"no rlx/v1/*.proto under {root}/proto or {root.parent.parent}/proto")


def generate(protos: Path, out: Path) -> None:
    """Writes messages, stubs and type hints below `out`, importable as rlxd._proto."""
    from grpc_tools import protoc

    files = sorted(str(p.relative_to(protos)) for p in protos.glob("rlx/v1/*.proto"))
    well_known = resources.files("grpc_tools") / "_proto"
    outputs = [f"--{kind}_out={out}" for kind in ("python", "pyi", "grpc_python")]
    if protoc.main(["protoc", f"-I{protos}", f"-I{well_known}", *outputs, *files]) != 0:
        raise RuntimeError("protoc failed; its messages are above")
    for folder in (out, out / "rlx", out / "rlx/v1"):
        (folder / "__init__.py").touch()
    for path in out.rglob("*.py*"):
        path.write_text(IMPORT.sub(f"from {PACKAGE}.rlx.v1 import", path.read_text()))


if __name__ == "__main__":  # for tests from the source tree: python3 hatch_build.py
    here = Path(__file__).resolve().parent
    target = here / "src/rlxd/_proto"
    target.mkdir(exist_ok=True)
    generate(find_protos(here), target)
