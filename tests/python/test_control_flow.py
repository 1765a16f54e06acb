# SPDX-License-Identifier: Apache-2.0
"""Loops and branches through the daemon, against NumPy in float64."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from quickstart.daemon import Daemon

import rlxd

Array = npt.NDArray[Any]
HIDDEN, LENGTH = 16, 4096


@pytest.fixture(scope="module")
def client(daemon: Daemon) -> Iterator[rlxd.Client]:
    with rlxd.Client(daemon.address) as client:
        yield client


def run(
    client: rlxd.Client, module: rlxd.MirModule, inputs: dict[str, Any], **weights: Array
) -> dict[str, Array]:
    with client.open(client.compile(module), weights) as session:
        return session.run(inputs)


def newton(must_end: bool) -> rlxd.MirModule:
    """The square root of `a` to within `eps`, and how many steps it took."""
    m = rlxd.MirModule("newton")
    a, eps = m.input("a", []), m.input("eps", [])
    holds, body = m.subgraph("holds"), m.subgraph("body")
    for graph in (holds, body):
        x, count = graph.input("x", []), graph.input("count", [], rlxd.i64)
        a_in, eps_in = graph.input("a", []), graph.input("eps", [])
        if graph is holds:
            graph.output("on", graph.gt(graph.abs(graph.sub(graph.mul(x, x), a_in)), eps_in))
        else:
            half = graph.constant(np.float32(0.5))
            graph.output("x", graph.mul(half, graph.add(x, graph.div(a_in, x))))
            graph.output("count", graph.add(count, graph.constant(np.int64(1))))
    start = (a, m.constant(np.int64(0)))
    root, count = m.while_(
        start, holds, body, max_iterations=50_000, captures=(a, eps), must_end=must_end
    )
    m.output("root", root)
    m.output("count", count)
    return m


def newton_in_numpy(a: float, eps: float) -> tuple[float, int]:
    x, count = np.float32(a), 0
    while abs(x * x - np.float32(a)) > eps:
        x, count = np.float32(0.5) * (x + np.float32(a) / x), count + 1
    return float(x), count


@pytest.mark.parametrize("a", [2.0, 1.0, 123456.0])
def test_a_while_ends_where_its_data_says(client: rlxd.Client, a: float) -> None:
    eps = a * 1e-5
    inputs = {"a": np.float32(a), "eps": np.float32(eps)}
    got = run(client, newton(must_end=True), inputs)
    root, count = newton_in_numpy(a, eps)
    assert int(got["count"]) == count
    np.testing.assert_allclose(got["root"], root, rtol=1e-6)


def test_a_while_that_must_end_and_does_not_fails_the_run(client: rlxd.Client) -> None:
    never = {"a": np.float32(2), "eps": np.float32(-1)}
    with pytest.raises(rlxd.InvalidArgument, match="still holds after 50000 iterations"):
        run(client, newton(must_end=True), never)
    assert int(run(client, newton(must_end=False), never)["count"]) == 50_000


def cell(length: int | rlxd.Dim, module: rlxd.MirModule) -> None:
    """A recurrent cell over a sequence: the last state, and every state squared."""
    h = module.input("h", [1, HIDDEN])
    xs = module.input("xs", [length, 1, HIDDEN])
    w = module.param("w", [HIDDEN, HIDDEN])
    body = module.subgraph("cell")
    before, weight = body.input("h", [1, HIDDEN]), body.input("w", [HIDDEN, HIDDEN])
    x = body.input("x", [1, HIDDEN])
    after = body.tanh(body.add(body.matmul(before, weight), x))
    body.output("h", after)
    body.output("y", body.mul(after, after))
    last, squares = module.scan((h,), body, length, captures=(w,), sequences=(xs,))
    module.output("last", last)
    module.output("squares", squares)


def cell_in_numpy(h: Array, xs: Array, w: Array) -> tuple[Array, Array]:
    h, squares = h.astype(np.float64), []
    for x in xs.astype(np.float64):
        h = np.tanh(h @ w.astype(np.float64) + x)
        squares.append(h * h)
    return h, np.array(squares)


def draw(length: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(5)
    h, xs = rng.standard_normal((1, HIDDEN)), rng.standard_normal((length, 1, HIDDEN))
    w = rng.standard_normal((HIDDEN, HIDDEN)) / (2 * np.sqrt(HIDDEN))
    return h.astype(np.float32), xs.astype(np.float32), w.astype(np.float32)


def test_a_scan_of_thousands_of_steps(client: rlxd.Client) -> None:
    module = rlxd.MirModule("rnn")
    cell(LENGTH, module)
    h, xs, w = draw(LENGTH)
    got = run(client, module, {"h": h, "xs": xs}, w=w)
    last, squares = cell_in_numpy(h, xs, w)
    np.testing.assert_allclose(got["last"], last, atol=2e-5)
    np.testing.assert_allclose(got["squares"], squares, atol=2e-5)


def test_a_scan_of_any_length(client: rlxd.Client) -> None:
    module = rlxd.MirModule("rnn")
    cell(module.symbol("seq", max=256), module)
    _, _, w = draw(1)
    with client.open(client.compile(module), {"w": w}) as session:
        for length in (256, 100, 33, 1, 200):
            h, xs, _ = draw(length)
            got = session.run({"h": h, "xs": xs})
            last, squares = cell_in_numpy(h, xs, w)
            np.testing.assert_allclose(got["last"], last, atol=2e-5)
            np.testing.assert_allclose(got["squares"], squares, atol=2e-5)


def test_an_if_leaves_the_other_branch_alone(client: rlxd.Client) -> None:
    m = rlxd.MirModule("either")
    p = m.input("p", [], rlxd.bool_)
    table, index = m.input("table", [4, 3]), m.input("index", [2], rlxd.i64)
    graphs = [m.subgraph("row"), m.subgraph("nothing")]
    for graph in graphs:
        rows, at = graph.input("table", [4, 3]), graph.input("index", [2], rlxd.i64)
        zero = graph.constant(np.zeros((2, 3), np.float32))
        graph.output("y", graph.gather(rows, at) if graph is graphs[0] else zero)
    (y,) = m.if_(p, (table, index), *graphs)
    m.output("y", y)
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    with client.open(client.compile(m), {}) as session:

        def pick(yes: bool, index: list[int]) -> Array:
            return session.run({"p": np.bool_(yes), "table": rows, "index": np.array(index)})["y"]

        np.testing.assert_array_equal(pick(True, [1, 3]), rows[[1, 3]])
        np.testing.assert_array_equal(pick(False, [1, 9]), np.zeros((2, 3)))
        with pytest.raises(rlxd.InvalidArgument):
            pick(True, [1, 9])
