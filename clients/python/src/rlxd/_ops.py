# SPDX-License-Identifier: Apache-2.0
# fmt: off
# ruff: noqa
"""Ops as methods, written from the server's op table by the test `OpDocs.PythonBuildersAreComplete`.

Change the rows in `runtime/ir/ops`, then run that test with `RLX_UPDATE_DOCS=1`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from rlxd.dims import Shape
from rlxd.dtypes import DType
from rlxd.graph import Attrs, Graph, Value, dims
from rlxd.tensors import to_wire


def _given(*operands: Value | None) -> tuple[Value, ...]:
    return tuple(value for value in operands if value is not None)


class MirOps(Graph):
    """Tensor ops."""

    def dequantize_blocks(
        self,
        w: Value,
        *,
        scheme: Literal["int8", "int8a", "int4", "fp8e4m3", "fp8e5m2", "nvfp4", "gguf_q4_0", "gguf_q8_0", "gguf_q2_k", "gguf_q3_k", "gguf_q4_k", "gguf_q5_k", "gguf_q6_k", "gguf_q8_k"],
        to: DType | str,
        scale: Value | None = None,
        zero_point: Value | None = None,
        block: int | None = None,
    ) -> Value:
        r"""packed weights as floats: [k,n], or for blocks [..,n,bytes] → [..,n,k].

        scheme: how the weights are packed: quant_scheme.h.

        block: int8, int8a, int4: rows that share a scale; divides k. Other schemes ignore it.

        to: the result's element type, a float.
        """
        attrs: Attrs = {"scheme": scheme, "block": block, "to": DType.of(to)}
        return self.emit("dequantize_blocks", _given(w, scale, zero_point), attrs)

    def dequant_matmul(
        self,
        x: Value,
        w: Value,
        *,
        scheme: Literal["int8", "int8a", "int4", "fp8e4m3", "fp8e5m2", "nvfp4", "gguf_q4_0", "gguf_q8_0", "gguf_q2_k", "gguf_q3_k", "gguf_q4_k", "gguf_q5_k", "gguf_q6_k", "gguf_q8_k"],
        scale: Value | None = None,
        zero_point: Value | None = None,
        block: int | None = None,
    ) -> Value:
        r"""x·W, W [k,n] as dequantize_blocks has it; int8: i8 [k,n], scale [k/block,n], int8a with a zero point like it; int4: u8 [k,n/2], an even column in the low nibble, its zero point optional; fp8: u8 [k,n], scale [n]; nvfp4: u8 [k,n/2], scale u8 [(k+15)/16,n] of E4M3, global scale [1]; gguf: u8 [n,bytes], a row of blocks for each column.

        scheme: how the weights are packed: quant_scheme.h.

        block: int8, int8a, int4: rows that share a scale; divides k. Other schemes ignore it.
        """
        attrs: Attrs = {"scheme": scheme, "block": block}
        return self.emit("dequant_matmul", _given(x, w, scale, zero_point), attrs)

    def dequant_moe_weights(
        self,
        w: Value,
        *,
        scheme: Literal["gguf_q4_0", "gguf_q8_0", "gguf_q2_k", "gguf_q3_k", "gguf_q4_k", "gguf_q5_k", "gguf_q6_k", "gguf_q8_k"],
        to: DType | str,
        block: int | None = None,
    ) -> Value:
        r"""the blocks of every expert as floats [e,k,n].

        scheme: how the weights are packed, in self-contained blocks.

        block: int8, int8a, int4: rows that share a scale; divides k. Other schemes ignore it.

        to: the result's element type, a float.
        """
        attrs: Attrs = {"scheme": scheme, "block": block, "to": DType.of(to)}
        return self.emit("dequant_moe_weights", (w,), attrs)

    def dequant_grouped_matmul(
        self,
        x: Value,
        w: Value,
        expert: Value,
        *,
        scheme: Literal["gguf_q4_0", "gguf_q8_0", "gguf_q2_k", "gguf_q3_k", "gguf_q4_k", "gguf_q5_k", "gguf_q6_k", "gguf_q8_k"],
        block: int | None = None,
    ) -> Value:
        r"""out[i] = x[i]·W[expert[i]].

        scheme: how the weights are packed, in self-contained blocks.

        block: int8, int8a, int4: rows that share a scale; divides k. Other schemes ignore it.
        """
        attrs: Attrs = {"scheme": scheme, "block": block}
        return self.emit("dequant_grouped_matmul", (x, w, expert), attrs)

    def fused_matmul_bias_act(
        self,
        x: Value,
        w: Value,
        *,
        bias: Value | None = None,
        residual: Value | None = None,
        activation: Literal["none", "relu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh"] | None = None,
    ) -> Value:
        r"""activation(x·w + bias) + residual.

        activation: applied after the bias.
        """
        attrs: Attrs = {
            "has_bias": bias is not None,
            "has_residual": residual is not None,
            "activation": activation,
        }
        return self.emit("fused_matmul_bias_act", _given(x, w, bias, residual), attrs)

    def fused_residual_layer_norm(
        self,
        x: Value,
        residual: Value,
        gamma: Value,
        beta: Value,
        *,
        bias: Value | None = None,
        eps: float | None = None,
    ) -> tuple[Value, ...]:
        r"""sum = x + residual + bias; results are layer_norm(sum) over the last axis, and sum.

        eps: added to the variance or mean square.
        """
        attrs: Attrs = {"has_bias": bias is not None, "eps": None if eps is None else float(eps)}
        first = self.emit("fused_residual_layer_norm", _given(x, residual, bias, gamma, beta), attrs)
        return tuple(self.result(first, i) for i in range(2))

    def fused_residual_rms_norm(
        self,
        x: Value,
        residual: Value,
        gamma: Value,
        *,
        bias: Value | None = None,
        beta: Value | None = None,
        eps: float | None = None,
    ) -> tuple[Value, ...]:
        r"""sum = x + residual + bias; results are rms_norm(sum) over the last axis, and sum.

        eps: added to the variance or mean square.
        """
        attrs: Attrs = {"has_bias": bias is not None, "eps": None if eps is None else float(eps)}
        first = self.emit("fused_residual_rms_norm", _given(x, residual, bias, gamma, beta), attrs)
        return tuple(self.result(first, i) for i in range(2))

    def fused_swiglu(self, x: Value, *, gate_first: bool | None = None) -> Value:
        r"""x[..,:n]·silu(x[..,n:]), or with gate_first x[..,n:]·silu(x[..,:n]).

        gate_first: the gate is the first half instead of the second.
        """
        attrs: Attrs = {"gate_first": gate_first}
        return self.emit("fused_swiglu", (x,), attrs)


class HirOps(Graph):
    """Blocks."""

    def attention_block(
        self,
        q: Value,
        k: Value,
        v: Value,
        *,
        num_heads: int,
        head_dim: int,
        mask_values: Value | None = None,
        num_kv_heads: int | None = None,
        mask: Literal["none", "causal", "sliding_window", "keep", "bias"] | None = None,
        window: int | None = None,
        scale: float | None = None,
        softcap: float | None = None,
    ) -> Value:
        r"""attention as a block.

        num_heads: query heads.

        num_kv_heads: key and value heads, dividing num_heads; absent: num_heads.

        head_dim: width of a query and key head.

        mask: which keys a query sees; `keep` and `bias` take a mask operand.

        window: with sliding_window: how many keys before its own a query sees.

        scale: of the scores; absent: 1/√head_dim.

        softcap: c > 0 turns a score s into c·tanh(s/c) before masking; 0: none.
        """
        attrs: Attrs = {
            "num_heads": num_heads,
            "num_kv_heads": num_kv_heads,
            "head_dim": head_dim,
            "mask": mask,
            "window": window,
            "scale": None if scale is None else float(scale),
            "softcap": None if softcap is None else float(softcap),
        }
        return self.emit("hir.attention", _given(q, k, v, mask_values), attrs)

    def rope_block(
        self,
        x: Value,
        cos: Value,
        sin: Value,
        *,
        head_dim: int,
        positions: Value | None = None,
        n_rot: int | None = None,
    ) -> Value:
        r"""rope as a block.

        head_dim: head width.

        n_rot: leading dims of a head that rotate, even; absent: head_dim.
        """
        attrs: Attrs = {"head_dim": head_dim, "n_rot": n_rot}
        return self.emit("hir.rope", _given(x, cos, sin, positions), attrs)

    def rms_norm_block(
        self,
        x: Value,
        gamma: Value,
        *,
        beta: Value | None = None,
        axis: int | None = None,
        eps: float | None = None,
    ) -> Value:
        r"""rms_norm as a block.

        axis: first of the axes normalised together; they run to the last.

        eps: added to the variance or mean square.
        """
        attrs: Attrs = {"axis": axis, "eps": None if eps is None else float(eps)}
        return self.emit("hir.rms_norm", _given(x, gamma, beta), attrs)

    def layer_norm_block(
        self,
        x: Value,
        gamma: Value,
        beta: Value,
        *,
        axis: int | None = None,
        eps: float | None = None,
    ) -> Value:
        r"""layer_norm as a block.

        axis: first of the axes normalised together; they run to the last.

        eps: added to the variance or mean square.
        """
        attrs: Attrs = {"axis": axis, "eps": None if eps is None else float(eps)}
        return self.emit("hir.layer_norm", (x, gamma, beta), attrs)

    def dequant_matmul_block(
        self,
        x: Value,
        w: Value,
        *,
        scheme: Literal["int8", "int8a", "int4", "fp8e4m3", "fp8e5m2", "nvfp4", "gguf_q4_0", "gguf_q8_0", "gguf_q2_k", "gguf_q3_k", "gguf_q4_k", "gguf_q5_k", "gguf_q6_k", "gguf_q8_k"],
        scale: Value | None = None,
        zero_point: Value | None = None,
        block: int | None = None,
    ) -> Value:
        r"""dequant_matmul as a block.

        scheme: how the weights are packed: quant_scheme.h.

        block: int8, int8a, int4: rows that share a scale; divides k. Other schemes ignore it.
        """
        attrs: Attrs = {"scheme": scheme, "block": block}
        return self.emit("hir.dequant_matmul", _given(x, w, scale, zero_point), attrs)
