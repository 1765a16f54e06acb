# SPDX-License-Identifier: Apache-2.0
"""The sentence encoder in plain NumPy, float64: what rlxd's answers are held against.

It shares nothing with the daemon and nothing with `encoder`: it reads config.json and the weights
itself, and takes one unpadded sentence at a time. A mistake in a mask, in padding or in batching
therefore shows as a difference and cannot be made here as well.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

_erf = np.frompyfunc(math.erf, 1, 1)


class Encoder:
    """BERT (post-norm, exact GELU) with mean pooling and L2 normalisation."""

    def __init__(self, config_json: Path, safetensors: Path) -> None:
        self.config = json.loads(config_json.read_text())
        assert self.config["model_type"] == "bert" and self.config["hidden_act"] == "gelu"
        floats = {k: v for k, v in load_file(safetensors).items() if v.dtype == np.float32}
        self.weights: Mapping[str, np.ndarray] = {
            k: v.astype(np.float64) for k, v in floats.items()
        }

    def embed(self, sentences: Sequence[np.ndarray]) -> np.ndarray:
        """Token ids of each sentence, without padding, to unit vectors [len(sentences), hidden]."""
        return np.stack([self._pool(self._encode(ids)) for ids in sentences])

    def _encode(self, ids: np.ndarray) -> np.ndarray:
        table = "embeddings.{}_embeddings.weight".format
        x = self.weights[table("word")][ids]
        x = x + self.weights[table("position")][: len(ids)] + self.weights[table("token_type")][0]
        x = self._layer_norm(x, "embeddings.LayerNorm")
        for layer in range(self.config["num_hidden_layers"]):
            x = self._layer(x, f"encoder.layer.{layer}")
        return x

    def _layer(self, x: np.ndarray, name: str) -> np.ndarray:
        attended = self._linear(self._attention(x, name), f"{name}.attention.output.dense")
        x = self._layer_norm(x + attended, f"{name}.attention.output.LayerNorm")
        inner = _gelu(self._linear(x, f"{name}.intermediate.dense"))
        return self._layer_norm(
            x + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm"
        )

    def _attention(self, x: np.ndarray, name: str) -> np.ndarray:
        heads = self.config["num_attention_heads"]
        query, key, value = (
            self._linear(x, f"{name}.attention.self.{part}")
            .reshape(len(x), heads, -1)
            .swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(1, 2) / math.sqrt(query.shape[-1])
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = scores / scores.sum(axis=-1, keepdims=True) @ value
        return mixed.swapaxes(0, 1).reshape(x.shape)

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _layer_norm(self, x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt(variance + self.config["layer_norm_eps"])
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    @staticmethod
    def _pool(x: np.ndarray) -> np.ndarray:
        mean = x.mean(axis=0)
        return mean / np.linalg.norm(mean)


def _gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1.0 + np.asarray(_erf(x / math.sqrt(2.0)), np.float64))
