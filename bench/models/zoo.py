# SPDX-License-Identifier: Apache-2.0
"""The zoo: which models there are, at which sizes they run, and on what."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from . import convnets, encoders, llama, patterns, recurrent

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "models" / "zoo"

Sizes = Mapping[str, int]


@dataclass(frozen=True)
class Model:
    family: str  # transformer, convolution, recurrent, pattern
    build: Callable[[], onnx.ModelProto]
    sizes: tuple[Sizes, ...]  # of the dims that the model leaves open


def _minilm() -> onnx.ModelProto:
    sys.path.insert(0, str(ROOT / "scripts"))
    from quickstart import fetch_model

    files = fetch_model.fetch(ROOT / "build" / "models" / "all-MiniLM-L6-v2")
    return encoders.minilm(files.config, files.weights)


_TEXT = tuple({"batch": b, "seq": s} for b, s in ((1, 16), (1, 128), (8, 128)))
_IMAGES = ({"batch": 1}, {"batch": 8})

MODELS: Mapping[str, Model] = {
    "mlp": Model("pattern", patterns.mlp, ({"rows": 128},)),
    "layernorm": Model("pattern", patterns.layernorm, ({"batch": 8, "seq": 128},)),
    "attention": Model("pattern", patterns.attention, ({"batch": 1, "seq": 128},)),
    "minilm": Model("transformer", _minilm, _TEXT),
    "bert": Model("transformer", encoders.bert, _TEXT),
    "vit": Model("transformer", encoders.vit, _IMAGES),
    "llama-prefill": Model("transformer", llama.prefill, ({"batch": 1, "seq": 128},)),
    "llama-decode": Model(
        "transformer",
        llama.decode,
        tuple({"batch": b, "seq": 1, "past": 256, "total": 257} for b in (1, 8)),
    ),
    "resnet50": Model("convolution", convnets.resnet50, _IMAGES),
    "mobilenet": Model("convolution", convnets.mobilenet_v3_large, _IMAGES),
    "efficientnet": Model("convolution", convnets.efficientnet_b0, _IMAGES),
    "lstm": Model(
        "recurrent",
        recurrent.lstm_tagger,
        ({"batch": 1, "seq": 64}, {"batch": 8, "seq": 64}),
    ),
}

# Integer inputs, by name; all others are normal around 0.
_INTEGERS: Mapping[str, Callable[[np.random.Generator, tuple[int, ...], Sizes], np.ndarray]] = {
    "input_ids": lambda random, dims, sizes: random.integers(1000, 10000, dims),
    "attention_mask": lambda random, dims, sizes: np.ones(dims),
    "token_type_ids": lambda random, dims, sizes: np.zeros(dims),
    "position_ids": lambda random, dims, sizes: np.broadcast_to(
        np.arange(dims[1]) + sizes.get("past", 0), dims
    ),
}


def file_of(name: str, folder: Path = FOLDER) -> Path:
    """The model's file, written if it is not there yet or older than this folder."""
    path = folder / f"{name}.onnx"
    newest = max(source.stat().st_mtime for source in Path(__file__).parent.glob("*.py"))
    if not path.exists() or path.stat().st_mtime < newest:
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        onnx.save(MODELS[name].build(), part)
        part.replace(path)
    return path


def feeds(model: onnx.ModelProto, sizes: Sizes, seed: int = 0) -> dict[str, np.ndarray]:
    """An array for every input, always the same ones."""
    random, out = np.random.default_rng(seed), {}
    for info in model.graph.input:
        dims = tuple(
            sizes[dim.dim_param] if dim.dim_param else dim.dim_value
            for dim in info.type.tensor_type.shape.dim
        )
        if info.name in _INTEGERS:
            out[info.name] = np.array(_INTEGERS[info.name](random, dims, sizes), np.int64)
        else:
            out[info.name] = random.standard_normal(dims, np.float32)
    return out


def label(name: str, sizes: Sizes) -> str:
    """`bert b1 s128`."""
    letters = {"batch": "b", "seq": "s", "rows": "r", "past": "p"}
    return " ".join([name, *(f"{letters[k]}{v}" for k, v in sizes.items() if k in letters)])
