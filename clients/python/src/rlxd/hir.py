# SPDX-License-Identifier: Apache-2.0
"""Blocks: what a model's author writes."""

from __future__ import annotations

from typing import Literal, TypeAlias

from rlxd._ops import HirOps
from rlxd.graph import Attrs, Value
from rlxd.mir import Mask, MirGraph

#: An rms norm's weight, or its weight and bias.
Norm: TypeAlias = Value | tuple[Value, Value]
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
        q_b: Value | None = None,
        k_b: Value | None = None,
        v_b: Value | None = None,
        q_norm_g: Value | None = None,
        k_norm_g: Value | None = None,
        positions: Value | None = None,
        past_k: Value | None = None,
        past_v: Value | None = None,
        keep_cache: bool = False,
        mask: Mask = "causal",
        mask_values: Value | None = None,
        window: int | None = None,
        scale: float | None = None,
        softcap: float = 0.0,
    ) -> Value:
        """A pre-norm decoder layer over x `[batch,seq,hidden]`: y = x + attention(rope(q), rope(k),
        v)·o_w with q, k, v from rms_norm(x), then y + swiglu(rms_norm(y)). Tables and `positions`
        as in `rope`, masks as in `attention`; both norms have a beta or neither has. Qwen 2 has
        biases on q, k and v, Qwen 3 an rms norm on each head of q and k.

        With `past_k` and `past_v` (`[batch,past,kv_heads·head_dim]`) the tokens also see those,
        and `kv_cache` of the result gives both with the new rows appended; `keep_cache` gives the
        rows of a first call, which has no past."""
        for group, values in (
            ("ln1_b and ln2_b", (ln1_b, ln2_b)),
            ("q_b, k_b and v_b", (q_b, k_b, v_b)),
            ("q_norm_g and k_norm_g", (q_norm_g, k_norm_g)),
            ("past_k and past_v", (past_k, past_v)),
        ):
            if len({value is None for value in values}) > 1:
                raise ValueError(f"llama_decoder_block: {group} come together")
        operands = _given(
            *(x, ln1_g, ln1_b, q_w, k_w, v_w, q_b, k_b, v_b, q_norm_g, k_norm_g, o_w, ln2_g, ln2_b),
            *(gate_w, up_w, down_w, cos, sin, mask_values, positions, past_k, past_v),
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
            "qkv_bias": q_b is not None,
            "qk_norm": q_norm_g is not None,
            "has_positions": positions is not None,
            "cache": "append" if past_k is not None else "start" if keep_cache else "none",
        }
        return self.emit("llama_decoder_block", operands, attrs)

    def kv_cache(self, block: Value) -> tuple[Value, Value]:
        """Keys and values of a `llama_decoder_block` that keeps them: the next call's past."""
        return self.result(block, 1), self.result(block, 2)

    def qwen35_mtp_head(
        self,
        h_pre_norm: Value,
        input_ids: Value,
        last_token_idx: Value,
        *,
        cos: Value,
        sin: Value,
        embed_w: Value,
        hnorm: Norm,
        enorm: Norm,
        eh_w: Value,
        attn_norm: Norm,
        q_gate_w: Value,
        k_w: Value,
        v_w: Value,
        q_norm: Norm,
        k_norm: Norm,
        o_w: Value,
        post_norm: Norm,
        gate_w: Value,
        up_w: Value,
        down_w: Value,
        head_norm: Norm,
        lm_head_w: Value,
        num_heads: int,
        head_dim: int,
        eps: float,
        num_kv_heads: int | None = None,
        n_rot: int | None = None,
        window: int | None = None,
        scale: float | None = None,
        softcap: float = 0.0,
    ) -> tuple[Value, Value]:
        """Logits `[batch,1,vocab]` of the token after next, at row `last_token_idx` of each batch
        element, and the hidden state they came from. A norm is a weight, or a (weight, bias) pair;
        all have a bias or none has."""
        norms = (hnorm, enorm, attn_norm, q_norm, k_norm, post_norm, head_norm)
        biased = {isinstance(norm, tuple) for norm in norms}
        if len(biased) > 1:
            raise ValueError("qwen35_mtp_head: all norms have a bias or none has")
        operands = (
            *(h_pre_norm, input_ids, cos, sin, last_token_idx, embed_w),
            *(*_norm(hnorm), *_norm(enorm), eh_w, *_norm(attn_norm), q_gate_w, k_w, v_w),
            *(*_norm(q_norm), *_norm(k_norm), o_w, *_norm(post_norm), gate_w, up_w, down_w),
            *(*_norm(head_norm), lm_head_w),
        )
        attrs: Attrs = {
            "num_heads": num_heads,
            "num_kv_heads": num_kv_heads,
            "head_dim": head_dim,
            "mask": "causal" if window is None else "sliding_window",
            "window": window,
            "n_rot": n_rot,
            "scale": _float(scale),
            "softcap": float(softcap),
            "eps": float(eps),
            "norm_bias": biased == {True},
        }
        return self._two(self.emit("qwen35_mtp_head", operands, attrs))

    def depthwise_conv1d_causal(
        self, x: Value, w: Value, left_pad: Value | None = None
    ) -> tuple[Value, Value]:
        """A convolution of each channel of `[batch,seq,channels]` with its k taps of w
        `[channels,k]` (ones may stand between), over `left_pad` `[batch,k-1,channels]` (zeros if
        absent) and x; and the next call's `left_pad`."""
        return self._two(self.emit("depthwise_conv1d_causal", _given(x, w, left_pad)))

    def _two(self, first: Value) -> tuple[Value, Value]:
        return first, self.result(first, 1)


def _given(*operands: Value | None) -> tuple[Value, ...]:
    return tuple(value for value in operands if value is not None)


def _norm(norm: Norm) -> tuple[Value, ...]:
    return norm if isinstance(norm, tuple) else (norm,)


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)
