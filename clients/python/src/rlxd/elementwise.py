# SPDX-License-Identifier: Apache-2.0
"""Elementwise ops."""

from __future__ import annotations

from rlxd._ops import MirOps
from rlxd.dtypes import DType
from rlxd.graph import Value


class ElementwiseOps(MirOps):
    """Ops on each element. Two operands broadcast as in NumPy and must have one dtype."""

    def neg(self, x: Value) -> Value:
        """-x."""
        return self.emit("neg", (x,))

    def abs(self, x: Value) -> Value:
        """|x|."""
        return self.emit("abs", (x,))

    def exp(self, x: Value) -> Value:
        """eˣ."""
        return self.emit("exp", (x,))

    def log(self, x: Value) -> Value:
        """Natural logarithm."""
        return self.emit("log", (x,))

    def sqrt(self, x: Value) -> Value:
        """Square root."""
        return self.emit("sqrt", (x,))

    def rsqrt(self, x: Value) -> Value:
        """1/√x."""
        return self.emit("rsqrt", (x,))

    def sin(self, x: Value) -> Value:
        """Sine."""
        return self.emit("sin", (x,))

    def cos(self, x: Value) -> Value:
        """Cosine."""
        return self.emit("cos", (x,))

    def tan(self, x: Value) -> Value:
        """Tangent."""
        return self.emit("tan", (x,))

    def atan(self, x: Value) -> Value:
        """Arc tangent."""
        return self.emit("atan", (x,))

    def tanh(self, x: Value) -> Value:
        """Hyperbolic tangent."""
        return self.emit("tanh", (x,))

    def erf(self, x: Value) -> Value:
        """Error function."""
        return self.emit("erf", (x,))

    def sigmoid(self, x: Value) -> Value:
        """1/(1 + e⁻ˣ)."""
        return self.emit("sigmoid", (x,))

    def relu(self, x: Value) -> Value:
        """max(x, 0)."""
        return self.emit("relu", (x,))

    def gelu(self, x: Value) -> Value:
        """x·Φ(x), exact."""
        return self.emit("gelu", (x,))

    def gelu_tanh(self, x: Value) -> Value:
        """GELU by its tanh approximation."""
        return self.emit("gelu_tanh", (x,))

    def silu(self, x: Value) -> Value:
        """x·sigmoid(x)."""
        return self.emit("silu", (x,))

    def round(self, x: Value) -> Value:
        """To the nearest integer, halves to even."""
        return self.emit("round", (x,))

    def floor(self, x: Value) -> Value:
        """Towards minus infinity."""
        return self.emit("floor", (x,))

    def ceil(self, x: Value) -> Value:
        """Towards plus infinity."""
        return self.emit("ceil", (x,))

    def logical_not(self, x: Value) -> Value:
        """Of booleans."""
        return self.emit("logical_not", (x,))

    def cast(self, x: Value, to: DType | str) -> Value:
        """Another element type."""
        return self.emit("cast", (x,), {"to": DType.of(to)})

    def add(self, a: Value, b: Value) -> Value:
        """a + b."""
        return self.emit("add", (a, b))

    def sub(self, a: Value, b: Value) -> Value:
        """a - b."""
        return self.emit("sub", (a, b))

    def mul(self, a: Value, b: Value) -> Value:
        """a·b."""
        return self.emit("mul", (a, b))

    def div(self, a: Value, b: Value) -> Value:
        """a/b."""
        return self.emit("div", (a, b))

    def max(self, a: Value, b: Value) -> Value:
        """The larger."""
        return self.emit("max", (a, b))

    def min(self, a: Value, b: Value) -> Value:
        """The smaller."""
        return self.emit("min", (a, b))

    def pow(self, a: Value, b: Value) -> Value:
        """aᵇ."""
        return self.emit("pow", (a, b))

    def logical_and(self, a: Value, b: Value) -> Value:
        """Of booleans."""
        return self.emit("logical_and", (a, b))

    def logical_or(self, a: Value, b: Value) -> Value:
        """Of booleans."""
        return self.emit("logical_or", (a, b))

    def eq(self, a: Value, b: Value) -> Value:
        """a = b, as booleans."""
        return self.emit("eq", (a, b))

    def ne(self, a: Value, b: Value) -> Value:
        """a ≠ b, as booleans."""
        return self.emit("ne", (a, b))

    def lt(self, a: Value, b: Value) -> Value:
        """a < b, as booleans."""
        return self.emit("lt", (a, b))

    def le(self, a: Value, b: Value) -> Value:
        """a ≤ b, as booleans."""
        return self.emit("le", (a, b))

    def gt(self, a: Value, b: Value) -> Value:
        """a > b, as booleans."""
        return self.emit("gt", (a, b))

    def ge(self, a: Value, b: Value) -> Value:
        """a ≥ b, as booleans."""
        return self.emit("ge", (a, b))

    def where(self, condition: Value, a: Value, b: Value) -> Value:
        """`a` where the boolean condition holds, else `b`."""
        return self.emit("where", (condition, a, b))
