# SPDX-License-Identifier: Apache-2.0
"""The steps of the quickstart, each a call or two on the client that a user would make as well."""

import statistics
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

import rlxd
from quickstart import SENTENCES, encoder, fetch_model, reference, tokens
from quickstart.console import Step, megabytes
from quickstart.daemon import Daemon, DaemonError, default_binary

RUNS = 50


class WrongAnswer(RuntimeError):
    """rlxd and the reference do not agree."""


def fetch(step: Step, folder: Path) -> fetch_model.ModelFiles:
    def progress(done: int, total: int) -> None:
        step.progress(done / total, f"{megabytes(done)} of {megabytes(total)}")

    with step:
        files = fetch_model.fetch(folder, progress)
        step.done(f"all-MiniLM-L6-v2, {megabytes(files.weights.stat().st_size)} of weights")
    return files


def tokenize(step: Step, files: fetch_model.ModelFiles) -> tokens.Batch:
    with step:
        batch = tokens.tokenize(files.tokenizer, SENTENCES)
        step.done(f"{len(SENTENCES)} sentences, padded to {batch.ids.shape[1]} tokens")
    return batch


def describe(
    step: Step, files: fetch_model.ModelFiles, batch: tokens.Batch, copy: Path
) -> rlxd.HirModule:
    """The module, and a copy in a file, for rlxctl."""
    with step:
        module = encoder.build(encoder.Config.read(files.config), *batch.ids.shape)
        message = module.build()
        copy.write_bytes(message.SerializeToString())
        step.done(f"an HIR module of {len(message.graphs[0].nodes)} nodes")
    return module


def start(step: Step, stack: ExitStack, cache_dir: Path) -> Daemon:
    """rlxd on free ports, stopped when `stack` closes."""
    with step:
        step.doing("waiting until it is ready")
        daemon = Daemon(default_binary(), cache_dir / "cache", cache_dir / "rlxd.log")
        stack.enter_context(daemon)
        step.done(f"pid {daemon.pid}, gRPC on {daemon.address}")
    return daemon


def stop(step: Step, daemon: Daemon) -> None:
    with step:
        step.doing("finishing what runs")
        if status := daemon.stop():
            raise DaemonError(f"rlxd exited with {status}")
        step.done("finished what ran, exit status 0")


def upload(step: Step, client: rlxd.Client, weights: Path) -> rlxd.WeightFile:
    def progress(done: int, total: int) -> None:
        step.progress(done / total, f"{megabytes(done)} of {megabytes(total)}")

    with step:
        file = rlxd.WeightFile(weights)
        sent = client.upload([file.blob], progress)
        step.done(f"{megabytes(sent)} sent" if sent else "rlxd has them already")
    return file


def compile_module(step: Step, client: rlxd.Client, module: rlxd.HirModule) -> rlxd.Executable:
    def progress(event: rlxd.CompileProgress) -> None:
        step.doing(f"{event.phase} {event.detail}")

    with step:
        executable = client.compile(module, on_progress=progress)
        fusion = executable.fusion
        step.done(f"{executable.cache}: {fusion.nodes_before} nodes became {fusion.nodes_after}")
    return executable


def open_session(
    step: Step, client: rlxd.Client, executable: rlxd.Executable, weights: rlxd.WeightFile
) -> rlxd.Session:
    with step:
        named = {param.name: weights[param.name] for param in executable.manifest.params}
        session = client.open(executable, named)
        step.done(f"{len(named)} weights bound, {megabytes(session.weight_bytes)}")
    return session


def run(step: Step, session: rlxd.Session, batch: tokens.Batch) -> np.ndarray:
    inputs = {"ids": batch.ids, "keep": batch.keep}
    with step:
        embeddings = session.run(inputs)["embeddings"]
        seconds = []
        for done in range(RUNS):
            step.progress(done / RUNS, f"run {done} of {RUNS}")
            start = time.perf_counter()
            session.run(inputs)
            seconds.append(time.perf_counter() - start)
        median = statistics.median(seconds) * 1e3
        step.done(f"{median:.1f} ms a request (median of {RUNS}, over gRPC)")
    return embeddings


def check(step: Step, files: fetch_model.ModelFiles, ids: list, embeddings: np.ndarray) -> None:
    with step:
        step.doing("the same network in float64")
        expected = reference.Encoder(files.config, files.weights).embed(ids)
        difference = np.abs(embeddings - expected).max()
        cosine = (embeddings * expected).sum(axis=1).min()
        if not (difference <= 1e-4 and cosine >= 0.99999):
            raise WrongAnswer(f"the embeddings differ by {difference}, their cosine is {cosine}")
        step.done(f"largest difference {difference:.1e}, smallest cosine {cosine:.7f}")
