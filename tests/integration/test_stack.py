# SPDX-License-Identifier: Apache-2.0
"""Two replicas behind nginx that share a cache: what clients see when parts of it go."""

import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import tritonclient.grpc as triton
from conftest import REPLICAS, ROOT, Stack, docker, wait_until
from quickstart import SENTENCES, encoder, fetch_model, reference, tokens
from tritonclient.utils import np_to_triton_dtype

COMPILED = 'sum(rlxd_compile_requests_total{result="compiled"})'
# KServe v2 keeps nothing between calls, so that a client may try again where nobody took the call.
RETRY = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}


def client(stack: Stack) -> triton.InferenceServerClient:
    options = [("grpc.service_config", json.dumps(RETRY)), ("grpc.enable_retries", 1)]
    return triton.InferenceServerClient(stack.address, channel_args=options)


def ask(
    caller: triton.InferenceServerClient, model: str, output: str, **inputs: np.ndarray
) -> np.ndarray:
    tensors = []
    for name, value in inputs.items():
        tensors.append(triton.InferInput(name, value.shape, np_to_triton_dtype(value.dtype)))
        tensors[-1].set_data_from_numpy(value)
    return caller.infer(model, tensors, client_timeout=30).as_numpy(output)


def infer(caller: triton.InferenceServerClient, model: int) -> None:
    x = np.random.default_rng(model).standard_normal((2, 16 + model), dtype=np.float32)
    y = ask(caller, f"soft{model}", "y", x=x)
    e = np.exp(x - x.max(axis=1, keepdims=True))
    np.testing.assert_allclose(y, e / e.sum(axis=1, keepdims=True), rtol=1e-5, atol=1e-6)


class Load:
    """Callers that never stop asking: how long they waited, and what went wrong."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.failures: list[str] = []

    def p99(self, since: int = 0) -> str:
        return (
            f"{1e3 * np.percentile(self.seconds[since:], 99):.0f} ms of {len(self.seconds[since:])}"
        )


@contextmanager
def load(stack: Stack, callers: int = 8) -> Iterator[Load]:
    out, ending = Load(), threading.Event()

    def call(first: int) -> None:
        caller = client(stack)
        for i in itertools.count(first):
            if ending.is_set():
                return
            began = time.monotonic()
            try:
                infer(caller, i % 3)
                out.seconds.append(time.monotonic() - began)
            except Exception as error:  # counted
                out.failures.append(str(error))

    threads = [threading.Thread(target=call, args=(i,)) for i in range(callers)]
    for thread in threads:
        thread.start()
    try:
        yield out
    finally:
        ending.set()
        for thread in threads:
            thread.join()


def test_models_are_served_through_the_balancer(stack: Stack) -> None:
    caller = client(stack)
    assert caller.is_server_ready()
    for model in range(3):
        infer(caller, model)


def test_minilm_is_served_by_both_and_compiled_by_one(stack: Stack) -> None:
    files = fetch_model.fetch(ROOT / "build" / "models" / "all-MiniLM-L6-v2")
    batch = tokens.tokenize(files.tokenizer, SENTENCES)
    module = encoder.build(encoder.Config.read(files.config), *batch.ids.shape, "fusable")
    made = stack.number(COMPILED)
    weights = files.weights.read_bytes()
    stack.write_model(
        "minilm",
        {"module.rlx.pb": module.build().SerializeToString(), "weights.safetensors": weights},
    )
    wait_until(lambda: stack.number('sum(rlxd_model_ready{model="minilm"})') == 2, "on both")
    caller = client(stack)
    expected = reference.Encoder(files.config, files.weights).embed(batch.unpadded())
    for _ in range(4):
        embeddings = ask(caller, "minilm", "embeddings", ids=batch.ids, keep=batch.keep)
        np.testing.assert_allclose(embeddings, expected, atol=1e-4)
    assert stack.number(COMPILED) == made + 1


def test_both_replicas_take_part_and_compile_each_model_once(stack: Stack) -> None:
    before = stack.number('sum(rlxd_model_infer_total{result="ok",model="soft0"})')
    caller = client(stack)
    for i in range(42):
        infer(caller, i % 3)
    answered = 'sum by (instance) (rlxd_model_infer_total{result="ok",model="soft0"})'
    wait_until(lambda: sum(stack.query(answered).values()) == before + 14, "14 of each")
    assert all(count > 0 for count in stack.query(answered).values())
    # One compile of each model, and none of what the other had made.
    keys = stack.number('max(rlxd_cache_entries{tier="disk"})')
    assert keys >= 3
    assert stack.number("sum(rlxd_shared_cache_up)") == 2
    assert stack.number(COMPILED) <= keys
    taken = stack.number('sum(rlxd_shared_cache_turns_total{result="taken"})')
    assert taken <= keys, "each key was made once in the fleet"


def test_a_replica_that_starts_anew_compiles_nothing(stack: Stack) -> None:
    stack.run("rm", "--stop", "--force", "rlxd-2")  # its own cache goes with it
    stack.run("up")
    stack.wait_healthy("rlxd-2")
    wait_until(lambda: stack.number('rlxd_ready{instance="rlxd-2:8002"}') == 1, "scraped")
    wait_until(
        lambda: stack.number('rlxd_cache_hits_total{instance="rlxd-2:8002",tier="remote"}') >= 3,
        "what the other made",
    )
    made = 'rlxd_compile_requests_total{instance="rlxd-2:8002",result="compiled"}'
    assert stack.number(made) == 0


def test_a_replica_killed_under_load_fails_nobody(stack: Stack) -> None:
    with load(stack) as seen:
        time.sleep(2)
        stack.run("kill", "-s", "SIGKILL", "rlxd-1")
        down = 'ALERTS{alertname="RlxdDown",alertstate="firing"}'
        wait_until(lambda: stack.number(down) == 1, "the alert")
        stack.run("up")
        stack.wait_healthy("rlxd-1")
        wait_until(lambda: stack.number(down) == 0, "the alert is over")
    assert seen.failures == []
    assert len(seen.seconds) > 100


def test_a_rolling_restart_under_load_fails_nobody(stack: Stack) -> None:
    with load(stack, 32) as seen:
        time.sleep(5)
        steady, answered = seen.p99(), len(seen.seconds)
        for replica in REPLICAS:
            stack.run("restart", "--timeout", "40", replica)
            stack.wait_healthy(replica)
            time.sleep(2)
    print(
        f"32 callers: p99 {steady} while nothing happens, {seen.p99(answered)} during the restart"
    )
    assert seen.failures == []
    assert answered > 100


def test_a_replica_cut_off_under_load_fails_nobody(stack: Stack) -> None:
    network, lost = f"{stack.project}_stack", stack.container("rlxd-2")
    address = ["--ip", "172.31.87.12", "--alias", "rlxd-2"]
    with load(stack) as seen:
        time.sleep(2)
        assert docker("network", "disconnect", network, lost).returncode == 0
        before = len(seen.seconds)
        wait_until(lambda: len(seen.seconds) > before + 100, "the other answers")
        done = docker("network", "connect", *address, network, lost)
        assert done.returncode == 0, done.stderr
        wait_until(lambda: stack.number("sum(rlxd_ready)") == 2, "both are there")
    assert seen.failures == []


def test_redis_slow_gone_and_back(stack: Stack) -> None:
    firing = 'ALERTS{alertname="RlxdSharedCacheDown",alertstate="firing"}'
    caller = client(stack)
    redis = stack.container("redis")
    for width, hurt, heal in (
        (19, ("pause", redis), ("unpause", redis)),  # hangs, and says nothing
        (20, ("stop", redis), ("start", redis)),
    ):
        assert docker(*hurt).returncode == 0
        wait_until(lambda: stack.number("sum(rlxd_shared_cache_up)") == 0, "both have noticed")
        stack.write_softmax(f"soft{width - 16}", width)
        ready = f'sum(rlxd_model_ready{{model="soft{width - 16}"}})'
        wait_until(lambda ready=ready: stack.number(ready) == 2, "on both")
        infer(caller, width - 16)
        assert stack.number('sum(rlxd_shared_cache_turns_total{result="alone"})') > 0
        wait_until(lambda: stack.number(firing) == 2, "the alert")
        assert docker(*heal).returncode == 0
        wait_until(lambda: stack.number("sum(rlxd_shared_cache_up)") == 2, "both are back")
        wait_until(lambda: stack.number(firing) == 0, "the alert is over")
