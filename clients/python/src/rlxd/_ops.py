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

    def axial_rope2d(
        self,
        x: Value,
        *,
        end_x: int,
        end_y: int,
        head_dim: int,
        num_heads: int,
        theta: float,
        repeat_factor: int | None = None,
    ) -> Value:
        r"""adjacent pairs (a, b) turn by an angle, (a·cos - b·sin, a·sin + b·cos); those of the first half of a head by its column, the others by its row; pair i of a half has frequency theta^(-4i/head_dim).

        end_x: columns of the grid.

        end_y: rows of the grid.

        head_dim: head width, a multiple of 4.

        num_heads: heads.

        theta: base of the frequencies.

        repeat_factor: tokens that share a position.
        """
        attrs: Attrs = {
            "end_x": end_x,
            "end_y": end_y,
            "head_dim": head_dim,
            "num_heads": num_heads,
            "theta": float(theta),
            "repeat_factor": repeat_factor,
        }
        return self.emit("axial_rope2d", (x,), attrs)

    def batched_dense_solve(self, a: Value, b: Value) -> Value:
        r"""dense_solve for each of m systems."""
        return self.emit("batched_dense_solve", (a, b))

    def complex(self, re: Value, im: Value) -> Value:
        r"""re + i·im, from f32 to c64; broadcasts."""
        return self.emit("complex", (re, im))

    def complex_norm_sq(self, x_c64: Value) -> Value:
        r"""re² + im², f32."""
        return self.emit("complex_norm_sq", (x_c64,))

    def conjugate(self, x_c64: Value) -> Value:
        r"""re - i·im."""
        return self.emit("conjugate", (x_c64,))

    def conv_transpose2d(
        self,
        x: Value,
        weight: Value,
        *,
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        output_padding: Sequence[int],
        bias: Value | None = None,
        groups: int | None = None,
    ) -> Value:
        r"""the transpose of conv; an extent becomes (in - 1)·stride + dilation·(k - 1) + output_padding + 1 - pads.

        strides: two.

        pads: begins, then ends: cut from the result.

        dilations: two.

        output_padding: two: more of the result at the end.

        groups: divides both channel counts.
        """
        attrs: Attrs = {
            "strides": strides,
            "pads": pads,
            "dilations": dilations,
            "output_padding": output_padding,
            "groups": groups,
        }
        return self.emit("conv_transpose2d", _given(x, weight, bias), attrs)

    def dense_solve(self, a: Value, b: Value) -> Value:
        r"""the x with a·x = b; a singular matrix is an error."""
        return self.emit("dense_solve", (a, b))

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

    def dequantize(
        self,
        x: Value,
        *,
        scales: Sequence[float],
        zero_points: Sequence[int],
        to: DType | str,
        axis: int | None = None,
    ) -> Value:
        r"""(x - zero point)·scale.

        axis: the axis that scales differ along; absent: one scale.

        scales: one, or one for each index along `axis`.

        zero_points: as many as scales.

        to: the result's element type, a float.
        """
        attrs: Attrs = {
            "axis": axis,
            "scales": [float(v) for v in scales],
            "zero_points": zero_points,
            "to": DType.of(to),
        }
        return self.emit("dequantize", (x,), attrs)

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

    def fft(
        self,
        x: Value,
        *,
        inverse: bool | None = None,
        norm: Literal["backward", "forward", "ortho"] | None = None,
    ) -> Value:
        r"""the discrete Fourier transform along the last axis: of n complex numbers, for a float x as n real parts followed by n imaginary parts.

        inverse: turns the other way.

        norm: backward: no scaling either way, so that there and back is n·x; forward: 1/n on the inverse; ortho: 1/√n both ways.
        """
        attrs: Attrs = {"inverse": inverse, "norm": norm}
        return self.emit("fft", (x,), attrs)

    def fused_attention_block(
        self,
        x: Value,
        qkv_w: Value,
        out_w: Value,
        *,
        num_heads: int,
        head_dim: int,
        qkv_b: Value | None = None,
        out_b: Value | None = None,
        cos: Value | None = None,
        sin: Value | None = None,
        positions: Value | None = None,
        mask_values: Value | None = None,
        num_kv_heads: int | None = None,
        mask: Literal["none", "causal", "sliding_window", "keep", "bias"] | None = None,
        window: int | None = None,
        scale: float | None = None,
        softcap: float | None = None,
        n_rot: int | None = None,
        has_qkv_bias: bool | None = None,
        has_out_bias: bool | None = None,
        has_rope: bool | None = None,
    ) -> Value:
        r"""attention(rope(q), rope(k), v)·out_w + out_b with q, k, v the parts of x·qkv_w + qkv_b, q of num_heads and k, v of num_kv_heads heads.

        num_heads: query heads.

        num_kv_heads: key and value heads, dividing num_heads; absent: num_heads.

        head_dim: width of a query and key head.

        mask: which keys a query sees; `keep` and `bias` take a mask operand.

        window: with sliding_window: how many keys before its own a query sees.

        scale: of the scores; absent: 1/√head_dim.

        softcap: c > 0 turns a score s into c·tanh(s/c) before masking; 0: none.

        n_rot: leading dims of a head that rotate, even; absent: head_dim.

        has_qkv_bias: qkv_b follows qkv_w.

        has_out_bias: out_b follows out_w.

        has_rope: queries and keys rotate by cos and sin.
        """
        attrs: Attrs = {
            "num_heads": num_heads,
            "num_kv_heads": num_kv_heads,
            "head_dim": head_dim,
            "mask": mask,
            "window": window,
            "scale": None if scale is None else float(scale),
            "softcap": None if softcap is None else float(softcap),
            "n_rot": n_rot,
            "has_qkv_bias": has_qkv_bias,
            "has_out_bias": has_out_bias,
            "has_rope": has_rope,
            "has_positions": positions is not None,
        }
        return self.emit("fused_attention_block", _given(x, qkv_w, qkv_b, out_w, out_b, cos, sin, positions, mask_values), attrs)

    def fused_conv_bias_act(
        self,
        *operands: Value,
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        groups: int | None = None,
        has_bias: bool | None = None,
        has_residual: bool | None = None,
        activation: Literal["none", "relu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh", "hard_swish"] | None = None,
    ) -> Value:
        r"""(x [n,h,w,c_in], weight [c_out,c_in/groups,kernel_h,kernel_w][, bias [c_out]][, residual, as the result]): activation(conv + bias + residual), channels last; the windows of conv.

        strides: one per spatial dim.

        pads: begin of every spatial dim, then end of every one.

        dilations: one per spatial dim.

        groups: divides both channel counts.

        has_bias: a bias operand follows the weight.

        has_residual: a residual operand comes last.

        activation: applied last.
        """
        attrs: Attrs = {
            "strides": strides,
            "pads": pads,
            "dilations": dilations,
            "groups": groups,
            "has_bias": has_bias,
            "has_residual": has_residual,
            "activation": activation,
        }
        return self.emit("fused_conv_bias_act", operands, attrs)

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

    def fused_swiglu(
        self,
        x: Value,
        *,
        gate_first: bool | None = None,
        cast_to: DType | str | None = None,
    ) -> Value:
        r"""x[..,:n]·silu(x[..,n:]), or with gate_first x[..,n:]·silu(x[..,:n]).

        gate_first: the gate is the first half instead of the second.

        cast_to: the result's element type, a float; absent: that of x.
        """
        attrs: Attrs = {
            "gate_first": gate_first,
            "cast_to": None if cast_to is None else DType.of(cast_to),
        }
        return self.emit("fused_swiglu", (x,), attrs)

    def fused_transformer_layer(
        self,
        x: Value,
        qkv_w: Value,
        out_w: Value,
        ln1_g: Value,
        ln1_b: Value,
        fc1_w: Value,
        fc2_w: Value,
        ln2_g: Value,
        ln2_b: Value,
        *,
        num_heads: int,
        head_dim: int,
        qkv_b: Value | None = None,
        out_b: Value | None = None,
        fc1_b: Value | None = None,
        fc2_b: Value | None = None,
        mask_values: Value | None = None,
        num_kv_heads: int | None = None,
        mask: Literal["none", "causal", "sliding_window", "keep", "bias"] | None = None,
        window: int | None = None,
        scale: float | None = None,
        softcap: float | None = None,
        eps1: float | None = None,
        eps2: float | None = None,
        activation: Literal["none", "relu", "gelu", "gelu_tanh", "silu", "sigmoid", "tanh"] | None = None,
        has_bias: bool | None = None,
    ) -> Value:
        r"""y = layer_norm(x + fused_attention_block(x)); layer_norm(y + activation(y·fc1_w + fc1_b)·fc2_w + fc2_b).

        num_heads: query heads.

        num_kv_heads: key and value heads, dividing num_heads; absent: num_heads.

        head_dim: width of a query and key head.

        mask: which keys a query sees; `keep` and `bias` take a mask operand.

        window: with sliding_window: how many keys before its own a query sees.

        scale: of the scores; absent: 1/√head_dim.

        softcap: c > 0 turns a score s into c·tanh(s/c) before masking; 0: none.

        eps1: of the norm after attention.

        eps2: of the last norm.

        activation: applied after the bias.

        has_bias: a bias follows each of the four weights.
        """
        attrs: Attrs = {
            "num_heads": num_heads,
            "num_kv_heads": num_kv_heads,
            "head_dim": head_dim,
            "mask": mask,
            "window": window,
            "scale": None if scale is None else float(scale),
            "softcap": None if softcap is None else float(softcap),
            "eps1": None if eps1 is None else float(eps1),
            "eps2": None if eps2 is None else float(eps2),
            "activation": activation,
            "has_bias": has_bias,
        }
        return self.emit("fused_transformer_layer", _given(x, qkv_w, qkv_b, out_w, out_b, ln1_g, ln1_b, fc1_w, fc1_b, fc2_w, fc2_b, ln2_g, ln2_b, mask_values), attrs)

    def gated_delta_net(
        self,
        q: Value,
        k: Value,
        v: Value,
        g: Value,
        beta: Value,
        *,
        state: Value | None = None,
    ) -> tuple[Value, ...]:
        r"""for each token and head S ← S·exp(g); S ← S + k ⊗ ((v - Sᵀk)·beta); o = Sᵀq/√n; results are o and the last S; the first S is state, or zero."""
        first = self.emit("gated_delta_net", _given(q, k, v, g, beta, state))
        return tuple(self.result(first, i) for i in range(2))

    def group_norm(
        self,
        x: Value,
        gamma: Value,
        beta: Value,
        *,
        num_groups: int,
        eps: float | None = None,
    ) -> Value:
        r"""normalized over each of `num_groups` groups of channels of each image, then scaled by channel.

        num_groups: divides the channels.

        eps: added to the variance or mean square.
        """
        attrs: Attrs = {"num_groups": num_groups, "eps": None if eps is None else float(eps)}
        return self.emit("group_norm", (x, gamma, beta), attrs)

    def grouped_matmul(self, x: Value, w: Value, expert: Value) -> Value:
        r"""out[i] = x[i]·w[expert[i]]; experts are integers."""
        return self.emit("grouped_matmul", (x, w, expert))

    def imag(self, x_c64: Value) -> Value:
        r"""the imaginary part, f32."""
        return self.emit("imag", (x_c64,))

    def layer_norm2d(
        self,
        x: Value,
        gamma: Value,
        beta: Value,
        *,
        eps: float | None = None,
    ) -> Value:
        r"""layer_norm over the channels of each pixel.

        eps: added to the variance or mean square.
        """
        attrs: Attrs = {"eps": None if eps is None else float(eps)}
        return self.emit("layer_norm2d", (x, gamma, beta), attrs)

    def lora_matmul(self, x: Value, w: Value, a: Value, b: Value, *, scale: float) -> Value:
        r"""x·w + scale·(x·a)·b.

        scale: of the low-rank part.
        """
        attrs: Attrs = {"scale": float(scale)}
        return self.emit("lora_matmul", (x, w, a, b), attrs)

    def pool_channels_last(
        self,
        x: Value,
        *,
        mode: Literal["max", "mean"],
        kernel: Sequence[int],
        strides: Sequence[int],
        pads: Sequence[int],
        count_include_pad: bool | None = None,
    ) -> Value:
        r"""pool with channels last.

        mode: what a window yields.

        kernel: one per spatial dim.

        strides: one per spatial dim.

        pads: begin of every spatial dim, then end of every one.

        count_include_pad: mean divides by the whole kernel instead of by what lies inside.
        """
        attrs: Attrs = {
            "mode": mode,
            "kernel": kernel,
            "strides": strides,
            "pads": pads,
            "count_include_pad": count_include_pad,
        }
        return self.emit("pool_channels_last", (x,), attrs)

    def qconv2d(
        self,
        x: Value,
        w: Value,
        bias: Value,
        *,
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        multipliers: Sequence[float],
        groups: int | None = None,
        x_zp: int | None = None,
        w_zp: int | None = None,
        out_zp: int | None = None,
    ) -> Value:
        r"""as qmatmul over the windows of conv.

        strides: two.

        pads: begins, then ends; filled with x_zp.

        dilations: two.

        groups: divides both channel counts.

        x_zp: what zero is in x.

        w_zp: what zero is in w.

        out_zp: what zero is in the result.

        multipliers: scale of x · scale of w / scale of the result: one, or one for each output channel.
        """
        attrs: Attrs = {
            "strides": strides,
            "pads": pads,
            "dilations": dilations,
            "groups": groups,
            "x_zp": x_zp,
            "w_zp": w_zp,
            "out_zp": out_zp,
            "multipliers": [float(v) for v in multipliers],
        }
        return self.emit("qconv2d", (x, w, bias), attrs)

    def qmatmul(
        self,
        x: Value,
        w: Value,
        bias: Value,
        *,
        multipliers: Sequence[float],
        x_zp: int | None = None,
        w_zp: int | None = None,
        out_zp: int | None = None,
    ) -> Value:
        r"""acc = Σ (x - x_zp)·(w - w_zp) + bias in i32; round(acc·multiplier) + out_zp, saturated to i8.

        x_zp: what zero is in x.

        w_zp: what zero is in w.

        out_zp: what zero is in the result.

        multipliers: scale of x · scale of w / scale of the result: one, or one for each output channel.
        """
        attrs: Attrs = {
            "x_zp": x_zp,
            "w_zp": w_zp,
            "out_zp": out_zp,
            "multipliers": [float(v) for v in multipliers],
        }
        return self.emit("qmatmul", (x, w, bias), attrs)

    def quantize(
        self,
        x: Value,
        *,
        scales: Sequence[float],
        zero_points: Sequence[int],
        to: DType | str,
        axis: int | None = None,
    ) -> Value:
        r"""round(x/scale) + zero point, saturated to `to`; halves to the even side, NaN is 0.

        axis: the axis that scales differ along; absent: one scale.

        scales: one, or one for each index along `axis`.

        zero_points: as many as scales.

        to: i8 or u8.
        """
        attrs: Attrs = {
            "axis": axis,
            "scales": [float(v) for v in scales],
            "zero_points": zero_points,
            "to": DType.of(to),
        }
        return self.emit("quantize", (x,), attrs)

    def real(self, x_c64: Value) -> Value:
        r"""the real part, f32."""
        return self.emit("real", (x_c64,))

    def resize_nearest2x(self, x: Value) -> Value:
        r"""every pixel as a square of two by two."""
        return self.emit("resize_nearest2x", (x,))

    def sample(
        self,
        logits: Value,
        *,
        seeds: Value | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        temperature: float | None = None,
        seed: int | None = None,
    ) -> Value:
        r"""for each row an index (i64) drawn from softmax(logits / temperature) after top-k and top-p, by inverting the cumulative sum in index order at one uniform of Philox 4x32-10 (published multipliers): key seeds[row] and counter 0, or key `seed` and counter row.

        top_k: keeps the logits that are not less than the k-th greatest; 0: all.

        top_p: then keeps the fewest greatest whose probabilities reach it.

        temperature: divides the logits; less than 1e-6 counts as that, which picks a greatest.

        seed: Philox key where there is no seeds operand; then the counter is the row.
        """
        attrs: Attrs = {
            "top_k": top_k,
            "top_p": None if top_p is None else float(top_p),
            "temperature": None if temperature is None else float(temperature),
            "seed": seed,
        }
        return self.emit("sample", _given(logits, seeds), attrs)

    def scatter_add(self, updates: Value, indices: Value, *, rows: Shape) -> Value:
        r"""out [rows,..] is zero, then out[indices[i]] += updates[i]; equal indices add up in order; integers wrap.

        rows: one extent: how many rows the result has.
        """
        attrs: Attrs = {"rows": dims(rows)}
        return self.emit("scatter_add", (updates, indices), attrs)

    def selective_scan(
        self,
        x: Value,
        delta: Value,
        a: Value,
        b: Value,
        c: Value,
        *,
        state: Value | None = None,
    ) -> tuple[Value, ...]:
        r"""for each token S ← exp(delta·a)·S + delta·b·x; y = Σ_n c·S; results are y and the last S; the first S is state, or zero."""
        first = self.emit("selective_scan", _given(x, delta, a, b, c, state))
        return tuple(self.result(first, i) for i in range(2))


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

    def gated_delta_net_block(
        self,
        q: Value,
        k: Value,
        v: Value,
        g: Value,
        beta: Value,
        *,
        state: Value | None = None,
    ) -> tuple[Value, ...]:
        r"""gated_delta_net as a block; with a state it goes on where an earlier call left off."""
        first = self.emit("hir.gated_delta_net", _given(q, k, v, g, beta, state))
        return tuple(self.result(first, i) for i in range(2))

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
