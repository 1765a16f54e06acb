# SPDX-License-Identifier: Apache-2.0
"""Tensor ops: what stands in a module of stage MIR, and between the blocks of an HIR module.

Each method is one row of the server's op table (GetCapabilities.ops). Those that need no words of
their own are written by the table itself, in `_ops`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rlxd.dims import Dim, Shape
from rlxd.elementwise import ElementwiseOps
from rlxd.graph import Attrs, Graph, Value, dims

Mask = Literal["none", "causal", "sliding_window", "keep", "bias"]


class MirGraph(ElementwiseOps):
    """A graph of tensor ops."""

    def matmul(self, a: Value, b: Value) -> Value:
        """`[..,M,K]` by `[..,K,N]`; leading dims broadcast."""
        return self.emit("matmul", (a, b))

    def dot_general(
        self,
        lhs: Value,
        rhs: Value,
        lhs_contracting: Sequence[int],
        rhs_contracting: Sequence[int],
        lhs_batch: Sequence[int] = (),
        rhs_batch: Sequence[int] = (),
    ) -> Value:
        """Sums over paired axes; the result has batch, then lhs free, then rhs free dims."""
        attrs: Attrs = {
            "lhs_contracting": lhs_contracting,
            "rhs_contracting": rhs_contracting,
            "lhs_batch": lhs_batch,
            "rhs_batch": rhs_batch,
        }
        return self.emit("dot_general", (lhs, rhs), attrs)

    def conv(
        self,
        x: Value,
        weight: Value,
        bias: Value | None = None,
        *,
        strides: Sequence[int],
        pads: Sequence[int],
        dilations: Sequence[int],
        groups: int = 1,
    ) -> Value:
        """`[N,C,spatial..]` with `[C_out,C/groups,kernel..]`. `pads`: begins, then ends."""
        operands = (x, weight) if bias is None else (x, weight, bias)
        attrs: Attrs = {
            "strides": strides,
            "pads": pads,
            "dilations": dilations,
            "groups": groups,
        }
        return self.emit("conv", operands, attrs)

    def pool(
        self,
        x: Value,
        mode: Literal["max", "mean"],
        *,
        kernel: Sequence[int],
        strides: Sequence[int],
        pads: Sequence[int],
        count_include_pad: bool = False,
    ) -> Value:
        """The maximum or mean of every window of `[N,C,spatial..]`."""
        attrs: Attrs = {
            "mode": mode,
            "kernel": kernel,
            "strides": strides,
            "pads": pads,
            "count_include_pad": count_include_pad,
        }
        return self.emit("pool", (x,), attrs)

    def layer_norm(
        self, x: Value, gamma: Value, beta: Value, eps: float = 1e-5, axis: int = -1
    ) -> Value:
        """(x - mean)/√(variance + eps)·gamma + beta over the axes from `axis` on."""
        return self.emit("layer_norm", (x, gamma, beta), {"axis": axis, "eps": float(eps)})

    def rms_norm(
        self,
        x: Value,
        gamma: Value,
        beta: Value | None = None,
        eps: float = 1e-5,
        axis: int = -1,
    ) -> Value:
        """x/√(mean(x²) + eps)·gamma + beta over the axes from `axis` on."""
        operands = (x, gamma) if beta is None else (x, gamma, beta)
        return self.emit("rms_norm", operands, {"axis": axis, "eps": float(eps)})

    def batch_norm(
        self, x: Value, scale: Value, bias: Value, mean: Value, variance: Value, eps: float = 1e-5
    ) -> Value:
        """(x - mean)/√(variance + eps)·scale + bias for each channel of `[N,C,..]`."""
        return self.emit("batch_norm", (x, scale, bias, mean, variance), {"eps": float(eps)})

    def softmax(self, x: Value, axis: int = -1) -> Value:
        """Sums to one along `axis`."""
        return self.emit("softmax", (x,), {"axis": axis})

    def attention(
        self,
        q: Value,
        k: Value,
        v: Value,
        mask_values: Value | None = None,
        *,
        num_heads: int,
        head_dim: int,
        num_kv_heads: int | None = None,
        mask: Mask = "none",
        window: int | None = None,
        scale: float | None = None,
        softcap: float = 0.0,
    ) -> Value:
        """Softmax(mask(cap(scale·q·kᵀ)))·v. `[B,S,H·D]` or `[B,H,S,D]`; fewer key heads are shared
        by groups of query heads; causal masks align the last rows. Masks "keep" (booleans) and
        "bias" (added) read `mask_values`: `[B,S_k]`, or what broadcasts to `[B,H,S_q,S_k]`."""
        attrs: Attrs = {
            "num_heads": num_heads,
            "num_kv_heads": num_kv_heads,
            "head_dim": head_dim,
            "mask": mask,
            "window": window,
            "scale": None if scale is None else float(scale),
            "softcap": float(softcap),
        }
        operands = (q, k, v) if mask_values is None else (q, k, v, mask_values)
        return self.emit("attention", operands, attrs)

    def rope(
        self,
        x: Value,
        cos: Value,
        sin: Value,
        positions: Value | None = None,
        *,
        head_dim: int,
        n_rot: int | None = None,
    ) -> Value:
        """Rotates the halves of the first `n_rot` dims of each head. Tables are `[P,n_rot/2]`; a
        row is chosen by `positions` (`[S]` or `[B,S]`, integers), else by place in the sequence."""
        operands = (x, cos, sin) if positions is None else (x, cos, sin, positions)
        return self.emit("rope", operands, {"head_dim": head_dim, "n_rot": n_rot})

    def reshape(self, x: Value, shape: Shape) -> Value:
        """The same elements in another shape; one dim may be -1."""
        return self.emit("reshape", (x,), {"shape": dims(shape)})

    def transpose(self, x: Value, perm: Sequence[int]) -> Value:
        """Axis i of the result is axis perm[i] of x."""
        return self.emit("transpose", (x,), {"perm": perm})

    def narrow(self, x: Value, axis: int, start: int, length: int) -> Value:
        """A slice along one axis."""
        return self.emit("narrow", (x,), {"axis": axis, "start": start, "length": length})

    def concat(self, parts: Sequence[Value], axis: int) -> Value:
        """Joined along one axis."""
        return self.emit("concat", tuple(parts), {"axis": axis})

    def expand(self, x: Value, shape: Shape) -> Value:
        """Broadcast to a shape."""
        return self.emit("expand", (x,), {"shape": dims(shape)})

    def gather(
        self,
        table: Value,
        indices: Value,
        axis: int = 0,
        extent: Value | None = None,
        *,
        of: str = "",
    ) -> Value:
        """Rows of `table` along `axis` by integer `indices`, whose dims take the axis's place.

        An index outside the axis, or not below the i64 scalar `extent`, is an error of the run;
        `of` names in its message the op whose indices these are.
        """
        operands = (table, indices) if extent is None else (table, indices, extent)
        return self.emit("gather", operands, {"axis": axis} | ({"of": of} if of else {}))

    def reduce_sum(self, x: Value, axes: Sequence[int], keep_dims: bool = False) -> Value:
        """The sum over axes."""
        return self._reduce("reduce_sum", x, axes, keep_dims)

    def reduce_mean(self, x: Value, axes: Sequence[int], keep_dims: bool = False) -> Value:
        """The mean over axes."""
        return self._reduce("reduce_mean", x, axes, keep_dims)

    def reduce_max(self, x: Value, axes: Sequence[int], keep_dims: bool = False) -> Value:
        """The largest over axes."""
        return self._reduce("reduce_max", x, axes, keep_dims)

    def reduce_min(self, x: Value, axes: Sequence[int], keep_dims: bool = False) -> Value:
        """The smallest over axes."""
        return self._reduce("reduce_min", x, axes, keep_dims)

    def reduce_prod(self, x: Value, axes: Sequence[int], keep_dims: bool = False) -> Value:
        """The product over axes."""
        return self._reduce("reduce_prod", x, axes, keep_dims)

    def cumsum(self, x: Value, axis: int, exclusive: bool = False) -> Value:
        """Running sums along `axis`; exclusive ones leave out the element itself."""
        return self.emit("cumsum", (x,), {"axis": axis, "exclusive": exclusive})

    def topk(self, x: Value, k: int, axis: int = -1) -> tuple[Value, Value]:
        """The k largest along `axis`, falling, and their i64 indices."""
        values = self.emit("topk", (x,), {"k": k, "axis": axis})
        return values, self.result(values, 1)

    def if_(
        self, condition: Value, captures: Sequence[Value], then: Graph, otherwise: Graph
    ) -> tuple[Value, ...]:
        """The outputs of one of two nested graphs (`subgraph`), whose inputs are the captures.
        `condition` is a boolean scalar."""
        operands = (condition, *captures)
        first = self.emit("if", operands, subgraphs=(then, otherwise))
        return tuple(self.result(first, i) for i in range(then.output_count))

    def while_(
        self,
        carries: Sequence[Value],
        condition: Graph,
        body: Graph,
        max_iterations: int,
        captures: Sequence[Value] = (),
        must_end: bool = False,
    ) -> tuple[Value, ...]:
        """The carries after the last step: while `condition`, a boolean scalar, holds, and at most
        `max_iterations` times, they become the outputs of `body`. Both are nested graphs
        (`subgraph`) whose inputs are the carries, then the captures. With `must_end` a run in which
        the condition still holds then fails (`InvalidArgument`)."""
        attributes: Attrs = {
            "carries": len(carries),
            "max_iterations": max_iterations,
            "must_end": must_end,
        }
        first = self.emit("while", (*carries, *captures), attributes, subgraphs=(condition, body))
        return tuple(self.result(first, i) for i in range(len(carries)))

    def scan(
        self,
        carries: Sequence[Value],
        body: Graph,
        length: int | Dim,
        captures: Sequence[Value] = (),
        sequences: Sequence[Value] = (),
    ) -> tuple[Value, ...]:
        """The last carries, then what `body` gives beside them, stacked along a new axis 0. Step t
        gives the nested graph the carries, the captures and slice t of each sequence; `length` is
        the number of steps, and the first extent of the sequences."""
        attributes: Attrs = {
            "carries": len(carries),
            "sequences": len(sequences),
            "length": dims([length]),
        }
        operands = (*carries, *captures, *sequences)
        first = self.emit("scan", operands, attributes, subgraphs=(body,))
        return tuple(self.result(first, i) for i in range(body.output_count))

    def custom(self, body: Graph, *operands: Value) -> tuple[Value, ...]:
        """The outputs of an op or block that the module defines: `body` is a `subgraph`, named like
        the op, whose inputs are the operands. Any number of nodes may have one body; each is
        inlined before fusion."""
        first = self.emit("custom", operands, {"name": body.title}, subgraphs=(body,))
        return tuple(self.result(first, i) for i in range(body.output_count))

    def _reduce(self, op: str, x: Value, axes: Sequence[int], keep_dims: bool) -> Value:
        return self.emit(op, (x,), {"axes": axes, "keep_dims": keep_dims})
