# SPDX-License-Identifier: Apache-2.0
"""all-MiniLM-L6-v2 as an HIR module for rlxd, from its config.json.

Params carry the names of the tensors in model.safetensors, as they are stored there: the transposes
that the blocks ask for stand in the graph, where rlxd evaluates them once, when a session binds the
weights. Token ids and a keep mask go in, unit vectors come out.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import rlxd
from rlxd import Dim, HirModule, Value


@dataclass(frozen=True)
class Config:
    """What the network needs to know from config.json."""

    layers: int
    hidden: int
    heads: int
    inner: int
    vocabulary: int
    positions: int
    token_types: int
    eps: float

    @classmethod
    def read(cls, config_json: Path) -> "Config":
        raw = json.loads(config_json.read_text())
        if raw["model_type"] != "bert" or raw["hidden_act"] != "gelu":
            raise ValueError(f"{config_json} is no BERT with exact GELU")
        return cls(
            layers=raw["num_hidden_layers"],
            hidden=raw["hidden_size"],
            heads=raw["num_attention_heads"],
            inner=raw["intermediate_size"],
            vocabulary=raw["vocab_size"],
            positions=raw["max_position_embeddings"],
            token_types=raw["type_vocab_size"],
            eps=raw["layer_norm_eps"],
        )


def build(
    config: Config,
    batch: int | Dim,
    seq: int | Dim,
    fusion_policy: Literal["direct", "fusable"] = "fusable",
) -> HirModule:
    """ids i32 [batch, seq] and keep bool [batch, seq] to embeddings f32 [batch, hidden].

    Extents may be numbers or symbols. "fusable" writes blocks as primitives and leaves fusion to
    the passes, whose report then tells all of it.
    """
    module = HirModule("all-MiniLM-L6-v2", fusion_policy)
    return _Encoder(module, config).build(batch, seq)


class _Encoder:
    def __init__(self, module: HirModule, config: Config) -> None:
        self.m = module
        self.c = config

    def build(self, batch: int | Dim, seq: int | Dim) -> HirModule:
        ids = self.m.input("ids", [batch, seq], rlxd.i32)
        keep = self.m.input("keep", [batch, seq], rlxd.bool_)
        x = self._embed(ids, keep, seq)
        for layer in range(self.c.layers):
            x = self._layer(x, keep, f"encoder.layer.{layer}")
        self.m.output("embeddings", self._pool(x, keep, [batch, seq, 1]))
        return self.m

    def _embed(self, ids: Value, keep: Value, seq: int | Dim) -> Value:
        m, table = self.m, "embeddings.{}_embeddings.weight".format
        word = self._param(table("word"), self.c.vocabulary, self.c.hidden)
        position = self._param(table("position"), self.c.positions, self.c.hidden)
        kind = self._param(table("token_type"), self.c.token_types, self.c.hidden)
        if isinstance(seq, int):
            rows = m.narrow(position, 0, 0, seq)
        else:  # a token's position is the number of tokens before it; padding may stand anywhere
            before = m.cumsum(m.cast(keep, rlxd.i32), axis=1, exclusive=True)
            rows = m.gather(position, before)
        x = m.gather(word, ids) + (rows + m.narrow(kind, 0, 0, 1))
        return self._layer_norm(x, "embeddings.LayerNorm")

    def _layer(self, x: Value, keep: Value, name: str) -> Value:
        attended = self._linear(self._attention(x, keep, name), f"{name}.attention.output.dense")
        x = self._layer_norm(x + attended, f"{name}.attention.output.LayerNorm")
        inner = self._linear(x, f"{name}.intermediate.dense", self.c.hidden, self.c.inner, "gelu")
        outer = self._linear(inner, f"{name}.output.dense", self.c.inner, self.c.hidden)
        return self._layer_norm(x + outer, f"{name}.output.LayerNorm")

    def _attention(self, x: Value, keep: Value, name: str) -> Value:
        parts = ("query", "key", "value")
        q, k, v = (self._linear(x, f"{name}.attention.self.{part}") for part in parts)
        head_dim = self.c.hidden // self.c.heads
        y = self.m.attention(q, k, v, keep, num_heads=self.c.heads, head_dim=head_dim, mask="keep")
        return self.m.name(y, f"{name}.attention")

    def _pool(self, x: Value, keep: Value, column: list[int | Dim]) -> Value:
        """The mean over the tokens that are kept, scaled to length one."""
        m = self.m
        weight = m.cast(keep, rlxd.f32)
        total = m.reduce_sum(x * m.reshape(weight, column), axes=[1])
        mean = total / m.reduce_sum(weight, axes=[1], keep_dims=True)
        return mean / m.sqrt(m.reduce_sum(mean * mean, axes=[1], keep_dims=True))

    def _linear(
        self,
        x: Value,
        name: str,
        rows: int = 0,
        columns: int = 0,
        activation: Literal["none", "gelu"] = "none",
    ) -> Value:
        """activation(x·Wᵀ + b), from hidden to hidden unless said otherwise."""
        rows, columns = rows or self.c.hidden, columns or self.c.hidden
        weight = self.m.transpose(self._param(f"{name}.weight", columns, rows), [1, 0])
        y = self.m.linear(x, weight, self._param(f"{name}.bias", columns), activation)
        return self.m.name(y, name)

    def _layer_norm(self, x: Value, name: str) -> Value:
        gamma, beta = (self._param(f"{name}.{part}", self.c.hidden) for part in ("weight", "bias"))
        return self.m.layer_norm(x, gamma, beta, eps=self.c.eps)

    def _param(self, name: str, *shape: int) -> Value:
        return self.m.param(name, shape)
