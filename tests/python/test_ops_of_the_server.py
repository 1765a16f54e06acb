# SPDX-License-Identifier: Apache-2.0
"""The Python builders against the op table of the rlxd that was built."""

import inspect
import keyword

import pytest
from quickstart.daemon import Daemon

import rlxd

MADE_BY_PASSES = {"elementwise_region"}


def python_name(op: str) -> str:
    if op.startswith("hir."):
        return op.removeprefix("hir.") + "_block"
    return op + "_" if keyword.iskeyword(op) else op


def test_every_op_has_a_method(daemon: Daemon) -> None:
    with rlxd.Client(daemon.address) as client:
        ops = client.capabilities().ops
    assert len(ops) > 60
    lacking = [
        op.name
        for op in ops
        if op.name not in MADE_BY_PASSES and not hasattr(rlxd.HirModule, python_name(op.name))
    ]
    assert lacking == []


def test_methods_take_the_attributes_of_their_op(daemon: Daemon) -> None:
    """Those written from the table do by construction; this is for those that people write."""
    with rlxd.Client(daemon.address) as client:
        ops = client.capabilities().ops
    for op in ops:
        method = getattr(rlxd.HirModule, python_name(op.name), None)
        if method is None or op.name in {"input", "param", "constant"}:
            continue
        source = inspect.getsource(method)
        helper = inspect.getsource(rlxd.MirModule._reduce) if "self._reduce" in source else ""
        for attribute in op.attributes:
            assert f'"{attribute.name}"' in source + helper, f"{op.name}: {attribute.name}"


def test_what_a_key_names_and_what_its_kernels_are(daemon: Daemon) -> None:
    module = rlxd.MirModule("sum")
    module.output("y", module.input("x", [16]) + 1.0)
    with rlxd.Client(daemon.address) as client:
        compiled = client.compile(module)
        found = client.inspect(compiled.key)
        assert [b.name for b in found.manifest.inputs] == ["x"]
        assert found.key == compiled.key
        kernels = client.export_source(module, languages=["kernel-ir"])
        assert kernels and all(k.language == "kernel-ir" and k.text for k in kernels)
        assert client.explain(module, nodes=True).lir
        with pytest.raises(rlxd.NotFound):
            client.inspect(bytes(32))
