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
from conftest import REPLICAS, Stack, wait_until

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


def infer(caller: triton.InferenceServerClient, model: int) -> None:
    x = np.random.default_rng(model).standard_normal((2, 16 + model), dtype=np.float32)
    tensor = triton.InferInput("x", x.shape, "FP32")
    tensor.set_data_from_numpy(x)
    y = caller.infer(f"soft{model}", [tensor], client_timeout=30).as_numpy("y")
    e = np.exp(x - x.max(axis=1, keepdims=True))
    np.testing.assert_allclose(y, e / e.sum(axis=1, keepdims=True), rtol=1e-5, atol=1e-6)


class Load:
    """Callers that never stop asking; what went wrong."""

    def __init__(self) -> None:
        self.answered = 0
        self.failures: list[str] = []


@contextmanager
def load(stack: Stack, callers: int = 8) -> Iterator[Load]:
    out, ending = Load(), threading.Event()

    def ask(first: int) -> None:
        caller = client(stack)
        for i in itertools.count(first):
            if ending.is_set():
                return
            try:
                infer(caller, i % 3)
                out.answered += 1
            except Exception as error:  # counted
                out.failures.append(str(error))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(callers)]
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


def test_both_replicas_take_part_and_compile_each_model_once(stack: Stack) -> None:
    caller = client(stack)
    for i in range(40):
        infer(caller, i % 3)
    answered = 'sum by (instance) (rlxd_model_infer_total{result="ok"})'
    wait_until(lambda: len(stack.query(answered)) == 2, "both answer")
    assert all(count > 0 for count in stack.query(answered).values())
    # One compile of each model, and none of what the other had made.
    keys = stack.number('max(rlxd_cache_entries{tier="disk"})')
    assert keys >= 3
    assert stack.number("sum(rlxd_shared_cache_up)") == 2
    assert stack.number(COMPILED) <= 3
    taken = stack.number('sum(rlxd_shared_cache_turns_total{result="taken"})')
    assert taken <= keys, "each key was made once in the fleet"


def test_a_replica_that_starts_anew_compiles_nothing(stack: Stack) -> None:
    stack.run("rm", "--stop", "--force", "rlxd-2")  # its own cache goes with it
    stack.run("up")
    wait_until(lambda: stack.health("rlxd-2") == 0, "rlxd-2")
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
        time.sleep(3)
        stack.run("up")
        wait_until(lambda: stack.health("rlxd-1") == 0, "rlxd-1")
        time.sleep(2)
    assert seen.failures == []
    assert seen.answered > 100


def test_a_rolling_restart_under_load_fails_nobody(stack: Stack) -> None:
    with load(stack) as seen:
        for replica in REPLICAS:
            time.sleep(2)
            stack.run("restart", "--timeout", "40", replica)
            wait_until(lambda replica=replica: stack.health(replica) == 0, replica)
        time.sleep(2)
    assert seen.failures == []
    assert seen.answered > 100


def test_without_redis_new_models_are_served_all_the_same(stack: Stack) -> None:
    stack.run("stop", "redis")
    wait_until(lambda: stack.number("sum(rlxd_shared_cache_up)") == 0, "both have noticed")
    stack.write_model("soft3", 19)
    caller = client(stack)
    wait_until(lambda: caller.is_model_ready("soft3"), "soft3")
    wait_until(lambda: stack.number('sum(rlxd_model_ready{model="soft3"})') == 2, "on both")
    infer(caller, 3)
    assert stack.number('sum(rlxd_shared_cache_turns_total{result="alone"})') > 0
    pending = 'ALERTS{alertname="RlxdSharedCacheDown"}'
    wait_until(lambda: len(stack.query(pending)) == 2, "the alert is on its way")
    stack.run("up")
    wait_until(lambda: stack.number("sum(rlxd_shared_cache_up)") == 2, "both are back")
    wait_until(lambda: len(stack.query(pending)) == 0, "the alert is over")


def test_an_emptied_cache_and_garbage_in_it_cost_compiles_and_no_more(stack: Stack) -> None:
    container = "redis"
    password = (stack.models.parent / "secrets" / "redis_password").read_text().strip()
    cli = ["exec", "-T", "-e", f"REDISCLI_AUTH={password}", container, "redis-cli"]
    names = stack.run(*cli, "--raw", "KEYS", "rlx1:*:h:*").split()
    assert len(names) >= 3
    for name in names:
        stack.run(*cli, "SET", name, "garbage")
    stack.run("rm", "--stop", "--force", "rlxd-2")
    stack.run("up")
    wait_until(lambda: stack.health("rlxd-2") == 0, "rlxd-2")
    corrupt = 'rlxd_cache_corrupt_total{instance="rlxd-2:8002",tier="remote"}'
    wait_until(lambda: stack.number(corrupt) >= 3, "refused")
    stack.run(*cli, "FLUSHALL")
    caller = client(stack)
    for model in range(3):
        infer(caller, model)
