# SPDX-License-Identifier: Apache-2.0
"""Symbolic dimensions.

A dim is an int, a symbol's name, or an expression over symbols:

    seq = Dim.symbol("seq")
    m.input("x", ["batch", 2 * seq + 1, 384])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from rlxd._proto.rlx.v1 import types_pb2 as types
from rlxd.dtypes import DType

_Op = types.DimExpr.Op
_Term = types.DimExpr.Term


class Dim:
    """An expression over symbols: + - * // with ints and dims, `minimum`, `maximum`. Immutable."""

    __slots__ = ("_terms",)

    def __init__(self, terms: tuple[_Term, ...]) -> None:
        self._terms = terms

    @classmethod
    def symbol(cls, name: str) -> Dim:
        """The symbol of that name."""
        return cls((_Term(symbol=name),))

    @classmethod
    def of(cls, value: DimLike) -> Dim:
        """A dim from an int, a symbol's name, or a dim."""
        if isinstance(value, Dim):
            return value
        return cls.symbol(value) if isinstance(value, str) else cls((_Term(constant=int(value)),))

    def _with(self, other: DimLike, op: _Op) -> Dim:
        return Dim((*self._terms, *Dim.of(other)._terms, _Term(op=op)))

    def __add__(self, other: DimLike) -> Dim:
        return self._with(other, _Op.OP_ADD)

    def __sub__(self, other: DimLike) -> Dim:
        return self + Dim.of(other) * -1

    def __mul__(self, other: DimLike) -> Dim:
        return self._with(other, _Op.OP_MUL)

    def __floordiv__(self, other: DimLike) -> Dim:
        return self._with(other, _Op.OP_FLOOR_DIV)

    def __radd__(self, other: DimLike) -> Dim:
        return Dim.of(other) + self

    def __rsub__(self, other: DimLike) -> Dim:
        return Dim.of(other) - self

    def __rmul__(self, other: DimLike) -> Dim:
        return Dim.of(other) * self

    def __rfloordiv__(self, other: DimLike) -> Dim:
        return Dim.of(other) // self

    def minimum(self, other: DimLike) -> Dim:
        """The smaller of the two."""
        return self._with(other, _Op.OP_MIN)

    def maximum(self, other: DimLike) -> Dim:
        """The larger of the two."""
        return self._with(other, _Op.OP_MAX)

    def to_wire(self) -> types.Dim:
        """The shortest form the wire has."""
        if len(self._terms) == 1:
            term = self._terms[0]
            if term.HasField("symbol"):
                return types.Dim(symbol=term.symbol)
            return types.Dim(value=term.constant)
        return types.Dim(expr=types.DimExpr(terms=self._terms))

    def __repr__(self) -> str:
        return dim_text(self.to_wire())


DimLike: TypeAlias = int | str | Dim
Shape: TypeAlias = Sequence[DimLike]

_SPELLING = {
    _Op.OP_ADD: "({} + {})",
    _Op.OP_MUL: "({} * {})",
    _Op.OP_FLOOR_DIV: "floordiv({}, {})",
    _Op.OP_MIN: "min({}, {})",
    _Op.OP_MAX: "max({}, {})",
}


def dim_text(dim: types.Dim) -> str:
    """`16`, `seq`, `((2 * seq) + 1)`."""
    kind = dim.WhichOneof("kind")
    if kind != "expr":
        return str(getattr(dim, kind)) if kind else "?"
    stack: list[str] = []
    for term in dim.expr.terms:
        part = term.WhichOneof("kind")
        if part == "op":
            right, left = stack.pop(), stack.pop()
            stack.append(_SPELLING[term.op].format(left, right))
        else:
            stack.append(str(getattr(term, part)))
    return stack.pop()


def tensor_type(dtype: DType | str, shape: Shape) -> types.TensorType:
    """A type on the wire."""
    dims = [Dim.of(d).to_wire() for d in shape]
    return types.TensorType(dtype=DType.of(dtype).wire, dims=dims)


def type_text(type_: types.TensorType) -> str:
    """`f32[batch,384]`."""
    return f"{DType(type_.dtype)}[{','.join(map(dim_text, type_.dims))}]"
