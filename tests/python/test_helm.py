# SPDX-License-Identifier: Apache-2.0
"""deploy/helm: the chart lints, renders what Kubernetes takes, and asks of rlxd what it can do."""

import contextlib
import re
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from quickstart.daemon import Daemon, default_binary
from redis_process import RedisProcess

import rlxd

ROOT = Path(__file__).resolve().parents[2]
HELM = Path(sys.executable).parent / "helm"
CHART = ROOT / "deploy" / "helm" / "rlxd"
EXAMPLES = sorted((ROOT / "deploy" / "helm" / "examples").glob("*.yaml"))
KUBERNETES = ["1.29", "1.37"]
# Of the Prometheus operator, whose schemas Kubernetes does not have: what stands in each.
CUSTOM = {
    "ServiceMonitor": {"selector", "endpoints"},
    "PodMonitor": {"selector", "podMetricsEndpoints"},
}

COMPILED = 'rlxd_compile_requests_total{result="compiled",target="cpu"}'

Object = dict[str, Any]


def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [str(HELM), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def render(*arguments: str | Path) -> list[Object]:
    done = helm("template", "rlxd", CHART, "--namespace", "rlxd", *arguments)
    assert done.returncode == 0, done.stderr
    return [found for found in yaml.safe_load_all(done.stdout) if found]


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [found for found in objects if found["kind"] in kinds]


def pods(objects: list[Object]) -> Iterator[Object]:
    for found in of_kind(objects, "Deployment", "StatefulSet", "Job"):
        yield found["spec"]["template"]["spec"]


def containers(objects: list[Object]) -> Iterator[Object]:
    for pod in pods(objects):
        yield from pod.get("initContainers", [])
        yield from pod["containers"]


def workload(objects: list[Object]) -> Object:
    (found,) = of_kind(objects, "Deployment", "StatefulSet")
    return found


@pytest.fixture(params=EXAMPLES, ids=lambda path: path.stem)
def rendered(request: pytest.FixtureRequest) -> list[Object]:
    return render("--values", request.param)


@pytest.mark.parametrize("values", EXAMPLES, ids=lambda path: path.stem)
def test_it_lints(values: Path) -> None:
    done = helm("lint", "--strict", CHART, "--values", values)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("version", KUBERNETES)
def test_every_object_is_what_kubernetes_takes(rendered: list[Object], version: str) -> None:
    for found in rendered:
        if found["kind"] in CUSTOM:
            assert set(found["spec"]) == CUSTOM[found["kind"]]
        else:
            kubernetes_validate.validate(found, version, strict=True)


def test_a_field_that_is_none_would_be_found() -> None:
    (service, *_) = of_kind(render(), "Service")
    service["spec"]["prots"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(service, KUBERNETES[0], strict=True)


def test_plain_manifests_are_as_rendered() -> None:
    check = ["scripts/manifests.sh", "--check"]
    done = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (ROOT / "deploy" / "kubernetes").glob("*.yaml")}
    assert names == {path.name for path in EXAMPLES}


@pytest.mark.parametrize(
    "wrong",
    [
        "replicas=-1",
        "replica=3",
        "kind=DaemonSet",
        "flags.listen=0.0.0.0:1",
        "flags.threads=3",
        "sharedCache.url=redis://a",  # and no secret
        "sharedCache.url=http://a,sharedCache.secretName=s",
        "cache.size=10Gi",
        "cache.kind=persistent",  # and no StatefulSet
        "resources.memoryGiB=0",
        "warmup.enabled=true",  # and no shared cache
        "serviceMonitor.enabled=true,podMonitor.enabled=true",
        "modelRepository.controlMode=sometimes",
    ],
)
def test_values_that_mean_nothing_are_refused(wrong: str) -> None:
    assert helm("template", CHART, "--set", wrong).returncode != 0


def test_objects_find_each_other(rendered: list[Object]) -> None:
    labels = workload(rendered)["spec"]["template"]["metadata"]["labels"].items()
    selectors = [found["spec"]["selector"] for found in of_kind(rendered, "Service")]
    for found in of_kind(rendered, "Deployment", "StatefulSet", "PodDisruptionBudget"):
        selectors.append(found["spec"]["selector"]["matchLabels"])
    for policy in of_kind(rendered, "NetworkPolicy"):
        selectors.append(policy["spec"]["podSelector"]["matchLabels"])
    assert all(selector.items() <= labels for selector in selectors)
    # Calls do not go to the warm-up's pods.
    for job in of_kind(rendered, "Job"):
        warming = job["spec"]["template"]["metadata"]["labels"].items()
        for service in of_kind(rendered, "Service"):
            assert not service["spec"]["selector"].items() <= warming
    for monitor in of_kind(rendered, "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        matching = [
            service
            for service in of_kind(rendered, "Service")
            if wanted <= service["metadata"]["labels"].items()
        ]
        assert len(matching) == 1  # each replica once
        assert "http" in {port["name"] for port in matching[0]["spec"]["ports"]}
    names = {found["metadata"]["name"] for found in of_kind(rendered, "Service")}
    if workload(rendered)["kind"] == "StatefulSet":
        assert workload(rendered)["spec"]["serviceName"] in names
    for scaler in of_kind(rendered, "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        assert target["kind"] == workload(rendered)["kind"]
        assert target["name"] == workload(rendered)["metadata"]["name"]
        assert "replicas" not in workload(rendered)["spec"]
    for pod in pods(rendered):
        own = workload(rendered)["spec"].get("volumeClaimTemplates", [])
        volumes = {volume["name"] for volume in pod.get("volumes", [])}
        volumes |= {claim["metadata"]["name"] for claim in own}
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            assert mounted <= volumes


def test_pods_are_restricted(rendered: list[Object]) -> None:
    """What the pod security standard "restricted" asks for, and a read-only root."""
    for pod in pods(rendered):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        kinds = {kind for volume in pod.get("volumes", []) for kind in volume if kind != "name"}
        assert kinds <= {"emptyDir", "persistentVolumeClaim", "secret"}
    for container in containers(rendered):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_the_drain_ends_before_the_pod_does(rendered: list[Object]) -> None:
    pod = workload(rendered)["spec"]["template"]["spec"]
    flags = dict(arg.removeprefix("--").split("=", 1) for arg in pod["containers"][0]["args"])
    drain = float(flags["drain_delay_seconds"]) + float(flags["drain_timeout_seconds"])
    assert pod["terminationGracePeriodSeconds"] > drain
    # The delay is longer than a replica that is not ready stays in its Service.
    probe = pod["containers"][0]["readinessProbe"]
    assert float(flags["drain_delay_seconds"]) > probe["periodSeconds"] * probe["failureThreshold"]


def test_metrics_that_scale_are_the_adapters(rendered: list[Object]) -> None:
    adapter = yaml.safe_load((ROOT / "deploy" / "prometheus" / "adapter.yaml").read_text())
    given = {rule["name"]["as"] for rule in adapter["rules"]}
    for scaler in of_kind(rendered, "HorizontalPodAutoscaler"):
        assert {metric["pods"]["metric"]["name"] for metric in scaler["spec"]["metrics"]} == given
    documented = (ROOT / "docs" / "metrics.md").read_text()
    for rule in adapter["rules"]:
        for name in re.findall(r"rlxd_\w+", rule["seriesQuery"] + rule["metricsQuery"]):
            assert f"`{re.sub('_(bucket|sum|count)$', '', name)}`" in documented


def local(word: str, folder: Path, redis: RedisProcess) -> str:
    """A word of a pod's command line as it is here, where Redis has no TLS and no password."""
    word = re.sub(r"^--shared_cache=.*", f"--shared_cache={redis.url}", word)
    word = word.replace("/run/secrets/rlxd", str(folder)).replace("/models", f"{folder}/models")
    return word.replace("/opt/rlxd/bin", str(default_binary().parent))


def wait_for_probe(daemon: Daemon, probe: Object) -> None:
    assert probe["httpGet"]["port"] == "http"  # 8002 in the pod, as docker/rlxd.conf has it
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError):
            path = daemon.http + probe["httpGet"]["path"]
            if urllib.request.urlopen(path, timeout=5).status == 200:
                return
        assert time.monotonic() < deadline, daemon.log.read_text()
        time.sleep(0.05)


@pytest.mark.skipif(
    not RedisProcess.installed(), reason="redis-server is not installed: scripts/setup.sh"
)
def test_the_fleet_runs_as_it_is_rendered(tmp_path: Path) -> None:
    """The pods' own commands and probes, as processes: the warm-up, then a replica, to its end."""
    objects = render("--values", ROOT / "deploy" / "helm" / "examples" / "fleet.yaml")
    (job,) = of_kind(objects, "Job")
    warming, compiling = job["spec"]["template"]["spec"]["initContainers"]
    (check,) = job["spec"]["template"]["spec"]["containers"]
    (serving,) = workload(objects)["spec"]["template"]["spec"]["containers"]
    (tmp_path / "key").write_text("k" * 32)
    ranker = tmp_path / "models" / "ranker" / "1"
    ranker.mkdir(parents=True)
    module = rlxd.MirModule("ranker")
    x = module.input("x", [4, 16])
    module.output("y", module.softmax(x * 2.0, axis=1))
    (ranker / "module.rlx.pb").write_bytes(module.build().SerializeToString())

    with RedisProcess(tmp_path) as redis:

        def start(name: str, container: Object) -> Daemon:
            flags = [local(flag, tmp_path, redis) for flag in container["args"]]
            flags = [flag for flag in flags if not re.match("--shared_cache_(password|ca)", flag)]
            # What a busy machine keeps, and no balancer that has to notice the end.
            flags += ["--shared_cache_timeout_seconds=5", "--drain_delay_seconds=0"]
            return Daemon(default_binary(), tmp_path / name, tmp_path / f"{name}.log", *flags)

        with start("warm-up", warming) as sidecar:
            wait_for_probe(sidecar, warming["startupProbe"])
            for container in (compiling, check):
                words = [local(word, tmp_path, redis) for word in container["command"]]
                run = [*words, f"--server={sidecar.address}"]
                done = subprocess.run(run, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stderr
            assert sidecar.metrics()[COMPILED] >= 2  # for this processor, and for the other
            assert sidecar.stop() == 0  # with what it compiled written
        with start("replica", serving) as replica:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                wait_for_probe(replica, serving[probe])
            samples = replica.metrics()
            assert samples.get(COMPILED, 0) == 0
            assert samples['rlxd_cache_hits_total{tier="remote"}'] >= 1
            assert replica.stop() == 0


def test_the_commands_of_the_docs_work() -> None:
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    commands = [
        line
        for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
    ]
    assert commands
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "helm"
        done = subprocess.run(
            [str(HELM), *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, command + "\n" + done.stderr
