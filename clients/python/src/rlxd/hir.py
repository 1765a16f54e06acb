# SPDX-License-Identifier: Apache-2.0
"""Blocks: what a model's author writes."""

from __future__ import annotations

from typing import Literal

from rlxd._ops import HirOps
from rlxd.graph import Attrs, Value
from rlxd.mir import Mask, MirGraph

Activation = Literal["none", "relu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh"]


class HirGraph(HirOps, MirGraph):
    """A graph of blocks and tensor ops. Weights of products are `[in, out]`."""

    def linear(
        self, x: Value, w: Value, bias: Value | None = None, activation: Activation = "none"
    ) -> Value:
        """activation(x·w + bias)."""
        return self.emit("linear", _given(x, w, bias), {"activation": activation})

    def linear_fused(
        self, x: Value, w: Value, bias: Value, activation: Activation = "none"
    ) -> Value:
        """`linear` as one fused op, whatever the module's fusion policy."""
        return self.emit("linear_fused", (x, w, bias), {"activation": activation})

    def shared_linear_pair(self, x: Value, first: Value, second: Value) -> tuple[Value, Value]:
        """x·first and x·second."""
        return self._two(self.emit("shared_linear_pair", (x, first, second)))

    def swiglu(self, x: Value, up_w: Value, gate_w: Value, down_w: Value) -> Value:
        """((x·up_w)·silu(x·gate_w))·down_w."""
        return self.emit("swiglu", (x, up_w, gate_w, down_w))

    def residual_layer_norm(
        self, x: Value, residual: Value, gamma: Value, beta: Value, eps: float = 1e-5
    ) -> tuple[Value, Value]:
        """layer_norm(x + residual) and x + residual."""
        operands = (x, residual, gamma, beta)
        return self._two(self.emit("residual_layer_norm", operands, {"eps": float(eps)}))

    def residual_rms_norm(
        self,
        x: Value,
        residual: Value,
        gamma: Value,
        beta: Value | None = None,
        eps: float = 1e-5,
    ) -> tuple[Value, Value]:
        """rms_norm(x + residual) and x + residual."""
        operands = _given(x, residual, gamma, beta)
        return self._two(self.emit("residual_rms_norm", operands, {"eps": float(eps)}))

    def bert_encoder_block(
        self,
        x: Value,
        *,
        q_w: Value,
        q_b: Value,
        k_w: Value,
        k_b: Value,
        v_w: Value,
        v_b: Value,
        o_w: Value,
        o_b: Value,
        ln1_g: Value,
        ln1_b: Value,
        ffn1_w: Value,
        ffn1_b: Value,
        ffn2_w: Value,
        ffn2_b: Value,
        ln2_g: Value,
        ln2_b: Value,
        num_heads: int,
        head_dim: int,
        eps: float,
        mask: Literal["none", "keep", "bias"] = "none",
        mask_values: Value | None = None,
        scale: float | None = None,
        softcap: float = 0.0,
        activation: Activation = "gelu",
    ) -> Value:
        """A post-norm encoder layer over x `[batch,seq,hidden]`: y = layer_norm(x + attention·o_w +
        o_b), then layer_norm(y + activation(y·ffn1_w + ffn1_b)·ffn2_w + ffn2_b). Masks as in
        `attention`."""
        weights = (
            *(q_w, q_b, k_w, k_b, v_w, v_b, o_w, o_b, ln1_g, ln1_b),
            *(ffn1_w, ffn1_b, ffn2_w, ffn2_b, ln2_g, ln2_b),
        )
        attrs: Attrs = {
            "num_heads": num_heads,
            "head_dim": head_dim,
            "mask": mask,
            "scale": _float(scale),
            "softcap": float(softcap),
            "eps": float(eps),
            "activation": activation,
        }
        return self.emit("bert_encoder_block", _given(x, mask_values, *weights), attrs)

    def llama_decoder_block(
        self,
        x: Value,
        *,
        ln1_g: Value,
        q_w: Value,
        k_w: Value,
        v_w: Value,
        o_w: Value,
        ln2_g: Value,
        gate_w: Value,
        up_w: Value,
        down_w: Value,
        cos: Value,
        sin: Value,
        num_heads: int,
        head_dim: int,
        eps: float,
        num_kv_heads: int | None = None,
        n_rot: int | None = None,
        ln1_b: Value | None = None,
        ln2_b: Value | None = None,
        positions: Value | None = None,
        mask: Mask = "causal",
        mask_values: Value | None = None,
        window: int | None = None,
        scale: float | None = None,
        softcap: float = 0.0,
    ) -> Value:
        """A pre-norm decoder layer over x `[batch,seq,hidden]`: y = x + attention(rope(q), rope(k),
        v)·o_w with q, k, v from rms_norm(x), then y + swiglu(rms_norm(y)). Tables and `positions`
        as in `rope`, masks as in `attention`; both norms have a beta or neither has."""
        if (ln1_b is None) != (ln2_b is None):
            raise ValueError("llama_decoder_block: ln1_b and ln2_b come together")
        operands = _given(
            *(x, ln1_g, ln1_b, q_w, k_w, v_w, o_w, ln2_g, ln2_b),
            *(gate_w, up_w, down_w, cos, sin, mask_values, positions),
        )
        attrs: Attrs = {
            "num_heads": num_heads,
            "num_kv_heads": num_kv_heads,
            "head_dim": head_dim,
            "mask": mask,
            "window": window,
            "scale": _float(scale),
            "softcap": float(softcap),
            "n_rot": n_rot,
            "eps": float(eps),
            "norm_bias": ln1_b is not None,
            "has_positions": positions is not None,
        }
        return self.emit("llama_decoder_block", operands, attrs)

    def _two(self, first: Value) -> tuple[Value, Value]:
        return first, self.result(first, 1)


def _given(*operands: Value | None) -> tuple[Value, ...]:
    return tuple(value for value in operands if value is not None)


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
