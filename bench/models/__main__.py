# SPDX-License-Identifier: Apache-2.0
"""Writes models of the zoo as ONNX files: `python -m bench.models [NAME...] [--folder DIR]`."""

import argparse
from pathlib import Path

from . import zoo


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.models", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(zoo.MODELS))
    parser.add_argument("--folder", type=Path, default=zoo.FOLDER)
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(zoo.MODELS)
    if unknown:
        parser.error(f"no such model: {', '.join(sorted(unknown))}")
    for name in arguments.names or zoo.MODELS:
        path = zoo.file_of(name, arguments.folder)
        print(f"{path}  {path.stat().st_size / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    main()
