# SPDX-License-Identifier: Apache-2.0
"""Graph modules under construction.

Nodes are appended in order, then the module is compiled:

    m = HirModule("mlp")
    x = m.input("x", ["batch", 384])
    w = m.param("w", [384, 1536])
    b = m.param("b", [1536])
    m.output("y", m.linear(x, w, b, activation="gelu"))
"""

from __future__ import annotations

from typing import Any, ClassVar, Generic, Literal, TypeVar

from rlxd._proto.rlx.v1 import module_pb2
from rlxd.blobs import Blob
from rlxd.dims import Dim, DimLike
from rlxd.graph import Value
from rlxd.hir import HirGraph
from rlxd.mir import MirGraph

G = TypeVar("G", bound=MirGraph)


class _Module(Generic[G]):
    """What belongs to a module beside its main graph. Mixed into the graph class of its stage."""

    _stage: ClassVar[Any]
    _graph_class: type[G]
    _module: module_pb2.GraphModule
    _blobs: dict[bytes, bytes]

    def _start(self, name: str) -> module_pb2.Graph:
        self._module = module_pb2.GraphModule(name=name, stage=self._stage)
        self._blobs = {}
        return self._module.graphs.add(name="main")

    def symbol(self, name: str, min: int = 1, max: int | None = None) -> Dim:
        """Declares a symbolic dim. `max` is the capacity that memory is planned for."""
        self._module.symbols.add(name=name, min=min, max=max)
        return Dim.symbol(name)

    def require_equal(self, left: DimLike, right: DimLike) -> None:
        """Demands of every run that the two dims agree."""
        self._module.constraints.add(left=Dim.of(left).to_wire(), right=Dim.of(right).to_wire())

    def alias(self, input: Value, output: str) -> None:
        """Lets the output overwrite the input's buffer when a caller gives that away."""
        main = self._module.graphs[0]
        inputs = [i for i, node in enumerate(main.nodes) if node.op == "input"]
        outputs = [o.name for o in main.outputs]
        self._module.aliases.add(input=inputs.index(input.node), output=outputs.index(output))

    def subgraph(self, name: str) -> G:
        """A nested graph, to be owned by one node. Its inputs bind by position to what that node
        passes in."""
        number = len(self._module.graphs)
        return self._graph_class(self._module.graphs.add(name=name), self._blobs, number)

    def build(self) -> module_pb2.GraphModule:
        """A copy of the module as it stands."""
        copy = module_pb2.GraphModule()
        copy.CopyFrom(self._module)
        return copy

    def blobs(self) -> list[Blob]:
        """Constants that must be uploaded before the module is compiled."""
        return [Blob(digest, len(data), data=data) for digest, data in self._blobs.items()]


class MirModule(_Module[MirGraph], MirGraph):
    """A module of tensor ops."""

    _stage = module_pb2.STAGE_MIR
    _graph_class = MirGraph

    def __init__(self, name: str) -> None:
        super().__init__(self._start(name), self._blobs)


class HirModule(_Module[HirGraph], HirGraph):
    """A module of blocks, with tensor ops among them.

    `fusion_policy` "direct" lowers blocks to fused ops at once; "fusable" lowers them to primitives
    and leaves fusion to the passes, which is the choice for dynamic dims.
    """

    _stage = module_pb2.STAGE_HIR
    _graph_class = HirGraph

    def __init__(self, name: str, fusion_policy: Literal["direct", "fusable"] = "direct") -> None:
        super().__init__(self._start(name), self._blobs)
        policy: Any = module_pb2.FusionPolicy.Value(f"FUSION_POLICY_{fusion_policy.upper()}")
        self._module.fusion_policy = policy
