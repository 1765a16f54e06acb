# SPDX-License-Identifier: Apache-2.0
import hashlib

import numpy as np
import pytest

import rlxd
from rlxd._proto.rlx.v1 import module_pb2
from rlxd._proto.rlx.v1 import types_pb2 as types
from rlxd.dims import Dim, dim_text


def only(graph, op):
    (node,) = [n for n in graph.nodes if n.op == op]
    return node


def test_nodes_refer_to_earlier_nodes_by_index():
    m = rlxd.MirModule("m")
    x = m.input("x", ["batch", 4])
    w = m.param("w", [4, 3])
    m.output("y", m.name(m.matmul(x, w), "projection"))
    main = m.build().graphs[0]
    assert [n.op for n in main.nodes] == ["input", "param", "matmul"]
    assert [(v.node, v.result) for v in main.nodes[2].operands] == [(0, 0), (1, 0)]
    assert (main.nodes[0].name, main.nodes[2].name) == ("x", "projection")
    assert main.nodes[0].results[0].dims[0].symbol == "batch"
    assert main.nodes[0].results[0].dtype == types.DTYPE_F32
    assert (main.outputs[0].name, main.outputs[0].value.node) == ("y", 2)


def test_attributes_take_the_type_of_their_value():
    m = rlxd.MirModule("m")
    m.emit(
        "any",
        attrs={
            "i": 3,
            "b": True,
            "f": 0.5,
            "s": "gelu",
            "d": rlxd.f16,
            "ints": (1, 2),
            "none": (),
            "floats": [1.0, 2.0],
            "absent": None,
        },
    )
    found = {a.name: a.WhichOneof("value") for a in m.build().graphs[0].nodes[0].attributes}
    assert found == {
        "i": "i", "b": "b", "f": "f", "s": "s", "d": "dtype", "ints": "ints", "none": "ints",
        "floats": "floats",
    }  # fmt: skip


def test_operators_emit_nodes_and_numbers_become_constants():
    m = rlxd.MirModule("m")
    x = m.input("x", [2])
    m.output("y", 1 - x * x)
    main = m.build().graphs[0]
    assert [n.op for n in main.nodes] == ["input", "mul", "constant", "sub"]
    assert [v.node for v in main.nodes[3].operands] == [2, 1]
    literal = main.nodes[2].attributes[0].tensor
    assert np.frombuffer(literal.data, "<f4") == 1 and not literal.shape


def test_a_value_of_another_graph_is_refused():
    a, b = rlxd.MirModule("a"), rlxd.MirModule("b")
    with pytest.raises(ValueError, match="another graph"):
        a.exp(b.input("x", [1]))
    with pytest.raises(ValueError, match="another graph"):
        a.output("y", b.input("z", [1]))


def test_large_constants_become_blobs():
    m = rlxd.MirModule("m")
    table = np.arange(10_000, dtype=np.int64)
    m.constant(table)
    node = only(m.build().graphs[0], "constant")
    (blob,) = m.blobs()
    assert node.attributes[0].blob.sha256 == hashlib.sha256(table.tobytes()).digest() == blob.sha256
    assert node.attributes[0].blob.length == table.nbytes == blob.size
    assert node.results[0].dtype == types.DTYPE_I64


def test_python_floats_are_f32_and_arrays_keep_their_type():
    m = rlxd.MirModule("m")
    for value in (0.5, [1.0, 2.0], np.float64(1), np.arange(2, dtype=np.int8), True, 7):
        m.constant(value)
    kinds = [rlxd.DType(n.results[0].dtype) for n in m.build().graphs[0].nodes]
    assert kinds == [rlxd.f32, rlxd.f32, rlxd.f64, rlxd.i8, rlxd.bool_, rlxd.i64]


@pytest.mark.parametrize(
    ("dim", "value"),
    [
        (2 * Dim.symbol("seq") + 1, 15),
        (1 - Dim.symbol("seq"), -6),
        (Dim.symbol("seq") // 2, 3),
        (15 // Dim.symbol("seq"), 2),
        (Dim.symbol("seq").minimum(4).maximum("batch"), 5),
    ],
)
def test_dim_expressions_are_postfix(dim, value):
    stack = []
    for term in dim.to_wire().expr.terms:
        kind = term.WhichOneof("kind")
        if kind == "constant":
            stack.append(term.constant)
        elif kind == "symbol":
            stack.append({"seq": 7, "batch": 5}[term.symbol])
        else:
            right, left = stack.pop(), stack.pop()
            stack.append(
                {1: left + right, 2: left * right, 3: left // right,
                 4: min(left, right), 5: max(left, right)}[term.op]
            )  # fmt: skip
    assert stack == [value]


def test_dims_print_like_the_text_form():
    assert repr(2 * Dim.symbol("seq") + 1) == "((2 * seq) + 1)"
    assert dim_text(Dim.of(7).to_wire()) == "7"


def test_modules_declare_symbols_constraints_and_aliases():
    m = rlxd.HirModule("m", fusion_policy="fusable")
    batch = m.symbol("batch", max=8)
    cache = m.input("cache", [batch, 16])
    m.input("x", ["n"])
    m.require_equal("n", batch)
    m.output("y", cache)
    m.output("cache", cache)
    m.alias(cache, "cache")
    wire = m.build()
    assert (wire.symbols[0].name, wire.symbols[0].min, wire.symbols[0].max) == ("batch", 1, 8)
    assert (wire.aliases[0].input, wire.aliases[0].output) == (0, 1)
    assert wire.constraints[0].left.symbol == "n"
    assert wire.fusion_policy == module_pb2.FUSION_POLICY_FUSABLE
    assert wire.stage == module_pb2.STAGE_HIR


def test_nested_graphs_are_numbered_not_nested():
    m = rlxd.MirModule("m")
    branches = [m.subgraph("then"), m.subgraph("else")]
    for branch in branches:
        x = branch.input("x", [1])
        branch.output("y", branch.exp(x))
        branch.output("z", x)
    y, z = m.if_(m.input("p", [], rlxd.bool_), [m.input("x", [1])], *branches)
    wire = m.build()
    assert [g.name for g in wire.graphs] == ["main", "then", "else"]
    node = only(wire.graphs[0], "if")
    assert list(node.subgraphs) == [1, 2] and [v.node for v in node.operands] == [0, 1]
    assert (y.node, y.result, z.node, z.result) == (2, 0, 2, 1)


def test_build_is_a_copy():
    m = rlxd.MirModule("m")
    before = m.build()
    m.input("x", [1])
    assert len(before.graphs[0].nodes) == 0


def test_ops_written_from_the_table_leave_out_what_was_not_given():
    m = rlxd.MirModule("m")
    x, w, bias = m.input("x", [2, 3]), m.param("w", [3, 4]), m.param("b", [4])
    m.fused_matmul_bias_act(x, w, activation="relu")
    m.fused_matmul_bias_act(x, w, bias=bias)
    plain, biased = m.build().graphs[0].nodes[3:]
    assert [a.name for a in plain.attributes] == ["has_bias", "has_residual", "activation"]
    assert len(plain.operands) == 2 and not plain.attributes[0].b
    assert [o.node for o in biased.operands] == [0, 1, 2] and biased.attributes[0].b


def test_ops_with_several_results_give_them_all():
    m = rlxd.MirModule("m")
    x, g = m.input("x", [2, 3]), m.param("g", [3])
    y, total = m.fused_residual_layer_norm(x, x, g, g, eps=1)
    assert (y.node, y.result, total.result) == (2, 0, 1)
    assert m.build().graphs[0].nodes[2].attributes[1].f == 1.0
