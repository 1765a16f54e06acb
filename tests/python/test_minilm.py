# SPDX-License-Identifier: Apache-2.0
"""all-MiniLM-L6-v2, its real weights, as a graph module over gRPC, against NumPy in float64."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from quickstart import SENTENCES, encoder, reference, tokens
from quickstart.daemon import Daemon
from quickstart.fetch_model import ModelFiles

import rlxd


@pytest.fixture(scope="module")
def batch(minilm: ModelFiles) -> tokens.Batch:
    return tokens.tokenize(minilm.tokenizer, SENTENCES)


@pytest.fixture(scope="module")
def expected(minilm: ModelFiles, batch: tokens.Batch) -> np.ndarray:
    return reference.Encoder(minilm.config, minilm.weights).embed(batch.unpadded())


@pytest.fixture(scope="module")
def client(daemon: Daemon) -> Iterator[rlxd.Client]:
    with rlxd.Client(daemon.address) as client:
        yield client


def open_session(
    client: rlxd.Client, executable: rlxd.Executable, files: ModelFiles
) -> rlxd.Session:
    weights = rlxd.WeightFile(files.weights)
    named = {param.name: weights[param.name] for param in executable.manifest.params}
    return client.open(executable, named)


def assert_agree(embeddings: np.ndarray, expected: np.ndarray) -> None:
    assert embeddings.dtype == np.float32 and embeddings.shape == expected.shape
    assert np.abs(embeddings - expected).max() <= 1e-4
    lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(expected, axis=1)
    assert ((embeddings * expected).sum(axis=1) / lengths).min() >= 0.99999


@pytest.mark.parametrize("policy", ["direct", "fusable"])
def test_embeddings_agree_with_float64(
    policy: str,
    client: rlxd.Client,
    minilm: ModelFiles,
    batch: tokens.Batch,
    expected: np.ndarray,
) -> None:
    module = encoder.build(encoder.Config.read(minilm.config), *batch.ids.shape, policy)
    with open_session(client, client.compile(module), minilm) as session:
        embeddings = session.run({"ids": batch.ids, "keep": batch.keep})["embeddings"]
    assert_agree(embeddings, expected)


def test_padding_changes_nothing(
    client: rlxd.Client, minilm: ModelFiles, expected: np.ndarray
) -> None:
    """The same sentences in a wider batch, with ids in the padding that a leak would show."""
    wide = tokens.tokenize(minilm.tokenizer, SENTENCES, multiple_of=64)
    ids = np.where(wide.keep, wide.ids, 2000)
    module = encoder.build(encoder.Config.read(minilm.config), *ids.shape)
    with open_session(client, client.compile(module), minilm) as session:
        embeddings = session.run({"ids": ids, "keep": wide.keep})["embeddings"]
    assert_agree(embeddings, expected)


def test_symbolic_extents_bound_at_compile(
    client: rlxd.Client, minilm: ModelFiles, batch: tokens.Batch, expected: np.ndarray
) -> None:
    symbols = rlxd.Dim.symbol("batch"), rlxd.Dim.symbol("seq")
    module = encoder.build(encoder.Config.read(minilm.config), *symbols)
    binding = dict(zip(("batch", "seq"), batch.ids.shape, strict=True))
    executable = client.compile(module, options=rlxd.CompileOptions(dim_binding=binding))
    with open_session(client, executable, minilm) as session:
        embeddings = session.run({"ids": batch.ids, "keep": batch.keep})["embeddings"]
    assert_agree(embeddings, expected)


def test_one_session_serves_every_batch_and_length(
    client: rlxd.Client,
    daemon: Daemon,
    minilm: ModelFiles,
    batch: tokens.Batch,
    expected: np.ndarray,
) -> None:
    """A symbolic module, run at the sizes that come: padded to a bucket, to the same embeddings."""
    symbols = rlxd.Dim.symbol("batch"), rlxd.Dim.symbol("seq")
    module = encoder.build(encoder.Config.read(minilm.config), *symbols)
    with open_session(client, client.compile(module), minilm) as session:
        for first, count in ((0, 5), (1, 3), (4, 1), (2, 2)):
            rows = slice(first, first + count)
            longest = int(batch.keep[rows].sum(axis=1).max())
            ids, keep = batch.ids[rows, :longest], batch.keep[rows, :longest]
            embeddings = session.run({"ids": ids, "keep": keep})["embeddings"]
            assert_agree(embeddings, expected[rows])
    assert daemon.metrics()['rlxd_variant_runs_total{fit="exact"}'] == 0


def test_fusion_leaves_one_node_a_linear(
    client: rlxd.Client, minilm: ModelFiles, batch: tokens.Batch
) -> None:
    config = encoder.Config.read(minilm.config)
    fusion = client.compile(encoder.build(config, *batch.ids.shape)).fusion
    applied = {rule.rule: rule.applied for rule in fusion.rules}
    after = {count.op: count.after for count in fusion.ops}
    assert fusion.clean, [remark.message for remark in fusion.remarks if remark.actionable]
    assert applied["residual_layer_norm"] == 2 * config.layers
    assert after.get("matmul", 0) == 0 and after.get("gelu", 0) == 0
    assert fusion.nodes_after < fusion.nodes_before


def test_second_compile_and_restart_hit_the_cache(
    start_daemon: Callable[..., Daemon], minilm: ModelFiles, batch: tokens.Batch
) -> None:
    module = encoder.build(encoder.Config.read(minilm.config), *batch.ids.shape)

    def compile_twice(daemon: Daemon) -> list[str]:
        with rlxd.Client(daemon.address) as client:
            return [client.compile(module).cache for _ in range(2)]

    daemon = start_daemon()
    assert compile_twice(daemon) == ["compiled", "memory"]
    assert daemon.stop() == 0
    assert compile_twice(start_daemon()) == ["disk", "memory"]
