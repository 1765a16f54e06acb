# SPDX-License-Identifier: Apache-2.0
"""rlxctl against a running rlxd: what it prints, its documents, its exit codes."""

import json
import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from quickstart.daemon import Daemon, default_binary

import rlxd

OK, ERROR, USAGE, UNAVAILABLE, DEADLINE, FUSION_MISSED = range(6)

Result = subprocess.CompletedProcess[str]
Ctl = Callable[..., Result]


def rlxctl(*args: object, stdin: bytes = b"") -> Result:
    command = [str(default_binary().with_name("rlxctl")), *map(str, args)]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=120, check=False)
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


@pytest.fixture
def ctl(daemon: Daemon) -> Ctl:
    return lambda *args, stdin=b"": rlxctl(f"--server={daemon.address}", *args, stdin=stdin)


def document(done: Result) -> Any:
    assert done.returncode == OK, done.stderr
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout)


def mlp() -> rlxd.MirModule:
    module = rlxd.MirModule("mlp")
    x = module.input("x", ["batch", 4])
    w = module.param("fc.weight", [4, 3])
    b = module.param("fc.bias", [3])
    module.output("y", x @ w + b)
    return module


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "mlp.pb"
    path.write_bytes(mlp().build().SerializeToString())
    return path


@pytest.fixture
def fixed(tmp_path: Path) -> Path:
    """Without symbols, with two outputs, one of them named to lead out of a folder."""
    module = rlxd.MirModule("fixed")
    x = module.input("x", [2, 4])
    y = x @ module.param("w", [4, 3])
    module.output("y", y)
    module.output("../z", y * 2.0)
    path = tmp_path / "fixed.pb"
    path.write_bytes(module.build().SerializeToString())
    return path


WEIGHT = np.arange(12, dtype=np.float32).reshape(4, 3)
BIAS = np.array([0.5, -1, 2], np.float32)


def save_safetensors(path: Path, tensors: dict[str, np.ndarray]) -> Path:
    header: dict[str, object] = {"__metadata__": {"format": "np"}}
    data = b""
    for name, array in tensors.items():
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": offsets}
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The weights of `module`, and one that it does not have."""
    tensors = {"fc.weight": WEIGHT, "fc.bias": BIAS, "unused": np.zeros(1, np.float32)}
    return save_safetensors(tmp_path / "model.safetensors", tensors)


# --- the server


def test_lists_all_devices(ctl: Ctl) -> None:
    devices = document(ctl("devices", "--json"))["devices"]
    assert len(devices) == 12
    assert devices[0]["device"] == "cpu" and devices[0]["state"] == "available"
    assert all(d["reason"] for d in devices if d["state"] == "unavailable")
    text = ctl("devices").stdout
    assert text.startswith("device ") and "webgpu" in text


def test_tells_all_of_one_device(ctl: Ctl) -> None:
    cuda, cpu = document(ctl("devices", "--json", "cuda", "cpu"))["devices"]
    assert (cuda["device"], cuda["fusion_target"], cpu["device"]) == ("cuda", "cuda", "cpu")
    assert "TopK" not in cuda["claims"] and "TopK" in cpu["claims"]
    assert "FusedMatMulBiasAct" in cuda["fusion_claims"] and "Softmax" in cuda["full_claims"]
    assert "FusedSwiGLU" not in cuda["full_claims"]
    text = ctl("devices", "cuda").stdout
    assert "unavailable: " in text and "32 ops, 16 inputs" in text
    assert ctl("devices", "abacus").returncode == USAGE


def test_tells_capabilities(ctl: Ctl) -> None:
    found = document(ctl("--json", "capabilities"))
    assert found["limits"]["max_rank"] == 64 and len(found["devices"]) == 12
    assert "fuse_matmul_bias_act" in found["passes"]
    assert "max_blob_bytes" in ctl("capabilities").stdout
    assert "matmul" in ctl("capabilities", "--ops").stdout


def test_health(ctl: Ctl) -> None:
    assert ctl("health").stdout == "serving\n"
    assert ctl("health", "--service=rlx.v1.Compiler").stdout == "serving\n"
    assert document(ctl("health", "--json")) == {"status": "serving"}
    assert ctl("health", "--service=nope").returncode == ERROR


def test_says_that_nobody_is_there(tmp_path: Path) -> None:
    for server in ("127.0.0.1:1", f"unix:{tmp_path}/none.sock"):
        done = rlxctl("--server", server, "devices", "--json")
        assert done.returncode == UNAVAILABLE
        assert done.stderr.startswith(f"rlxctl: unavailable: {server}: ")
        assert json.loads(done.stdout)["error"]["code"] == "unavailable"
        assert rlxctl("--server", server, "health").returncode == UNAVAILABLE


# --- compiling


def test_compiles_then_finds_it_in_the_cache(ctl: Ctl, module: Path) -> None:
    salt = "--salt=of this test"
    first = document(ctl("compile", module, salt, "--json"))
    assert first["cache"] == "compiled" and len(first["key"]) == 64
    assert [p["name"] for p in first["manifest"]["params"]] == ["fc.weight", "fc.bias"]
    assert first["options"]["salt"] == b"of this test".hex()
    second = document(ctl("compile", module, salt, "--json"))
    assert (second["cache"], second["key"]) == ("memory", first["key"])
    again = document(ctl("compile", module, salt, "--skip-cache-lookup", "--json"))
    assert again["cache"] == "compiled"
    text = ctl("compile", module, salt).stdout
    assert first["key"] in text and "x: f32[batch,4]" in text and "memory hit in" in text


def test_compiles_for_a_gpu_that_is_not_here(ctl: Ctl, module: Path) -> None:
    (cuda,) = document(ctl("devices", "--json", "cuda"))["devices"]
    if not cuda.get("profiles"):
        pytest.skip(f"nothing compiles for CUDA here: {cuda['reason']}")
    flags = [module, "--bind=batch=2", "--target=cuda:h200", "--json"]
    compiled = document(ctl("compile", *flags))
    assert compiled["target"]["arch"] == "sm_90" and compiled["cache"] == "compiled"
    assert document(ctl("compile", *flags))["cache"] == "memory"
    assert ctl("compile", module, "--target=cuda:abacus").returncode != 0


def test_reads_modules_in_every_form(ctl: Ctl, module: Path) -> None:
    key = document(ctl("compile", module, "--json"))["key"]
    text = text_format.MessageToString(mlp().build())
    written = module.with_suffix(".pbtxt")
    written.write_text(text)
    assert document(ctl("compile", written, "--json"))["key"] == key
    assert document(ctl("compile", "-", "--json", stdin=text.encode()))["key"] == key
    assert document(ctl("compile", "-", "--json", stdin=module.read_bytes()))["key"] == key


IR = """// The same module as the IR's text.
mir "mlp" {
  symbol batch in [1, 2147483648]
  %0 = input "x" : f32[batch,4]
  %1 = param "fc.weight" : f32[4,3]
  %2 = param "fc.bias" : f32[3]
  %3 = matmul(%0, %1)
  %4 = add(%3, %2)
  output "y" = %4
}
"""


@pytest.mark.parametrize("name", ["mlp.txt", "mlp.rlx", "mlp", "-"])
def test_every_command_reads_the_ir_as_text(
    ctl: Ctl, module: Path, weights: Path, tmp_path: Path, name: str
) -> None:
    path = name if name == "-" else tmp_path / name
    if name != "-":
        Path(path).write_text(IR)

    def same(command: str, *flags: object) -> str:
        done = ctl(command, path, "--bind=batch=2", *flags, stdin=IR.encode())
        assert done.returncode == OK, done.stderr
        return done.stdout

    key = json.loads(same("compile", "--json"))["key"]
    assert key == document(ctl("compile", module, "--bind=batch=2", "--json"))["key"]
    assert key == json.loads(same("explain-key", "--json"))["key"]
    assert 'output "y"' in same("lower", "--stage=lir")
    assert "matmul" in same("explain")
    assert json.loads(same("export", "--json"))
    run = json.loads(same("run", f"--weights={weights}", "--input=x=ones", "--json"))
    assert [output["name"] for output in run["outputs"]] == ["y"]


def test_what_lower_prints_is_read_again(ctl: Ctl, module: Path, tmp_path: Path) -> None:
    text = ctl("lower", module, "--stage=lir", "--bind=batch=2").stdout
    path = tmp_path / "lowered.txt"
    path.write_text(text)
    assert ctl("lower", path, "--stage=lir").stdout == text


def test_passes_options_on(ctl: Ctl, module: Path) -> None:
    flags = ["--bind=batch=2", "--arena-alignment=128", "--disable-pass=fuse_matmul_bias_act"]
    flags += ["--max-elementwise-steps=8", "--max-elementwise-inputs=4", "--dce=false"]
    options = document(ctl("compile", module, *flags, "--json"))["options"]
    assert options["dim_binding"]["values"] == {"batch": 2}
    assert options["arena_alignment"] == 128 and options["dce"] is False
    assert options["disabled_passes"]["names"] == ["fuse_matmul_bias_act"]
    assert options["fusion_opts"]["limits"]["max_elementwise_steps"] == 8


def test_an_empty_list_of_supported_ops_differs_from_none(ctl: Ctl, module: Path) -> None:
    def key(*flags: str) -> str:
        return document(ctl("explain-key", module, "--json", *flags))["key"]

    assert key("--supported-ops=") != key()


def test_tells_progress_when_asked(ctl: Ctl, module: Path) -> None:
    done = ctl("compile", module, "--skip-cache-lookup", "--progress")
    assert "compiling: done" in done.stderr  # who joins late hears the rest
    assert ctl("compile", module, "--skip-cache-lookup").stderr == ""


def test_tells_progress_of_uploads(ctl: Ctl, module: Path, tmp_path: Path) -> None:
    of_its_own = {"fc.weight": WEIGHT, "fc.bias": BIAS, "progress": np.arange(99, dtype=np.float32)}
    weights = save_safetensors(tmp_path / "own.safetensors", of_its_own)
    done = ctl("run", module, f"--weights={weights}", "--progress")
    assert re.search(r"^uploading .* of .* \(100 %\)$", done.stderr, re.MULTILINE), done.stderr
    again = ctl("run", module, f"--weights={weights}", "--progress")
    assert "uploading" not in again.stderr  # it is there


def test_dumps_stages(ctl: Ctl, module: Path) -> None:
    done = ctl("compile", module, "--dump=mir", "--dump=lir")
    assert '--- mir\nmir "mlp" {' in done.stdout and '--- lir\nlir "mlp" {' in done.stdout


def test_lowers_to_text_and_to_a_module(ctl: Ctl, module: Path, tmp_path: Path) -> None:
    assert ctl("lower", module, "--stage=mir").stdout.startswith('mir "mlp" {')
    lowered = tmp_path / "lir.pb"
    done = ctl("lower", module, "--stage=lir", f"--output={lowered}")
    assert "fused_matmul_bias_act" in done.stdout
    assert document(ctl("compile", lowered, "--json"))["fusion"]["nodes_before"] == 4
    assert ctl("lower", module, "--stage=hir").returncode == ERROR
    assert ctl("lower", module, "--stage=asm").returncode == USAGE


def test_explains_fusion_and_dispatch(ctl: Ctl, module: Path) -> None:
    text = ctl("explain", module).stdout
    assert text.startswith("module    mlp, ") and "fusion    clean, 1 applied" in text
    assert "%3 matmul + %4 add  => fused_matmul_bias_act f32[batch,3]  [matmul_bias_act" in text
    assert "dispatch  cpu, native 1" in text and "batch is unbound" in text
    found = document(ctl("explain", module, "--json"))
    assert found["fusion"]["clean"] and found["dispatch"]["compile_ready"]
    assert [node["fate"] for node in found["mir"]] == ["kept", "kept", "kept", "fused", "fused"]
    assert found["lir"][3]["made_from"] == [3, 4]


def blocks() -> rlxd.HirModule:
    """Four equal layers, and a product that two nodes read."""
    module = rlxd.HirModule("blocks")
    x = module.input("x", [2, 8])
    for i in range(4):
        w, b = module.param(f"w{i}", [8, 8]), module.param(f"b{i}", [8])
        x = module.emit("linear", (x, w, b), {"activation": "relu"}, name=f"layer.{i}.ffn")
    product = x @ module.param("w", [8, 8])
    module.output("y", product + module.param("b", [8]))
    module.output("z", product * 2.0)
    return module


def test_explains_blocks_as_a_tree(ctl: Ctl, tmp_path: Path) -> None:
    path = tmp_path / "blocks.pb"
    path.write_bytes(blocks().build().SerializeToString())
    text = ctl("explain", path).stdout
    assert "layer  " in text or "layer." in text
    assert "! missed matmul_bias_act (multi_consumer): " in text and "hint: " in text
    listed = ctl("explain", path, "--all").stdout
    assert len(listed) > len(text) and "multi_consumer" in listed


def test_compares_two_sets_of_options(ctl: Ctl, module: Path, fixed: Path) -> None:
    one = ["explain", "--diff", module, "--bind=batch=2"]
    text = ctl(*one, "--other=--bind batch=2 --skip-fusion").stdout
    assert "fusion_opts.skip_fusion  false  true" in text
    assert "- matmul + add => fused_matmul_bias_act" in text and "+ matmul\n" in text
    found = document(ctl(*one, "--other=--bind batch=4", "--json"))
    assert not found["same"] and not found["blocks"]
    assert [row["what"] for row in found["options"]] == ["dim_binding.values"]
    assert ctl(*one, module).stdout.endswith("the same\n")
    assert not document(ctl("explain", "--diff", module, fixed, "--json"))["same"]
    assert ctl("explain", "--diff", module).returncode == USAGE
    assert ctl("explain", module, fixed).returncode == USAGE
    assert ctl(*one, "--other=--nope").returncode == USAGE


def test_compares_two_modules(ctl: Ctl, tmp_path: Path) -> None:
    def variant(name: str, eps: float = 1e-5, rows: int = 2, dtype: str = "f32") -> Path:
        module = rlxd.MirModule("norm")
        x, gamma = module.input("x", [rows, 8], dtype), module.param("g", [8], dtype)
        module.output("y", module.emit("rms_norm", (x, gamma), {"eps": eps}, name="norm"))
        path = tmp_path / name
        path.write_bytes(module.build().SerializeToString())
        return path

    plain, same = variant("a.pb"), variant("same.pb")
    assert ctl("explain", "--diff", plain, same).stdout.endswith("the same\n")
    changes = {
        variant("b.pb", eps=1e-6): '%2 "norm" (rms_norm) eps: 1e-05 -> 1e-06',
        variant("c.pb", rows=3): '%0 "x" (input) type: f32[2,8] -> f32[3,8]',
        variant("d.pb", dtype="f64"): '%0 "x" (input) type: f32[2,8] -> f64[2,8]',
    }
    for other, change in changes.items():
        text = ctl("explain", "--diff", plain, other).stdout
        assert f"module\n  {change}\n" in text and not text.endswith("the same\n")
        assert f"module differs\n  {change}\n" in ctl("explain-key", plain, other).stdout
        found = document(ctl("explain", "--diff", plain, other, "--json"))
        assert not found["same"] and found["module"]


def test_explains_keys(ctl: Ctl, module: Path, fixed: Path) -> None:
    one = document(ctl("explain-key", module, "--json"))
    assert one["key"] == document(ctl("compile", module, "--json"))["key"]
    assert {"module", "target", "options", "build"} <= {c["name"] for c in one["components"]}
    two = document(ctl("explain-key", module, fixed, "--json"))
    assert two["differing"] == ["module"]
    text = ctl("explain-key", module, fixed).stdout
    assert "\nmodule differs\n  " in text and '%0 "x" (input) type: f32[batch,4] -> f32[' in text
    assert ctl("explain-key", module, module).stdout.endswith("equal\n")
    other = ctl("explain-key", module, "--other-target=cuda").stdout
    assert "  device: cpu -> cuda\n" in other


def test_an_unclean_fusion_has_its_own_exit_code(ctl: Ctl, tmp_path: Path) -> None:
    module = rlxd.MirModule("shared")
    product = module.input("x", [2, 4]) @ module.param("w", [4, 3])
    module.output("sum", product + module.param("b", [3]))
    module.output("double", product * 2.0)
    path = tmp_path / "shared.pb"
    path.write_bytes(module.build().SerializeToString())
    stages = [["lower", f"--stage={stage}"] for stage in ("mir", "lir")]
    for command in (["compile"], *stages, ["explain"], ["explain", "--diff", path], ["export"]):
        assert ctl(*command, path).returncode == OK
        done = ctl(*command, path, "--assert-fusion-clean", "--json")
        assert done.returncode == FUSION_MISSED, command
        assert "missed: matmul_bias_act: " in done.stderr
        misses = json.loads(done.stdout)["error"]["fusion_misses"]["missed"]
        assert misses[0]["rule"] == "matmul_bias_act" and misses[0]["actionable"]


# --- running


def test_runs_with_weights_and_inputs_from_files(
    ctl: Ctl, module: Path, weights: Path, tmp_path: Path
) -> None:
    x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
    np.save(tmp_path / "x.npy", np.asfortranarray(x))
    out = tmp_path / "out"
    before = document(ctl("sessions", "--json"))
    flags = [f"--weights={weights}", f"--input=x={tmp_path}/x.npy", f"--output={out}"]
    done = ctl("run", module, *flags, "--bind=batch=2", "--repeat=3", "--json")
    found = document(done)
    np.testing.assert_allclose(np.load(out / "y.npy"), x @ WEIGHT + BIAS, rtol=1e-5)
    assert found["outputs"][0]["shape"] == [2, 3]
    np.testing.assert_allclose(
        found["outputs"][0]["values"], (x @ WEIGHT + BIAS).ravel(), rtol=1e-5
    )
    assert len(found["timing"]["round_trip_seconds"]) == 3
    assert document(ctl("sessions", "--json")) == before

    exact = {"fc.weight": WEIGHT, "fc.bias": BIAS}
    flags[0] = f"--weights={save_safetensors(tmp_path / 'exact.safetensors', exact)}"
    by_key = document(ctl("run", f"--key={found['key']}", *flags, "--json"))
    assert by_key["outputs"] == found["outputs"] and "cache" not in by_key
    made_up = [f"--key={found['key']}", "--random-weights=1", "--input=x=random", "--json"]
    assert document(ctl("run", *made_up))["outputs"][0]["shape"] == [2, 3]
    unknown = ctl("run", f"--key={'0' * 64}", "--random-weights=1", "--input=x=random")
    assert unknown.returncode == ERROR and "not found" in unknown.stderr


def test_uploads_weights_once(ctl: Ctl, module: Path, weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[:-4] + b"once")  # bytes that no other test uploads
    flags = ["--bind=batch=2", f"--weights={weights}", "--input=*=random", "--json"]
    first, second = (document(ctl("run", module, *flags)) for _ in range(2))
    assert first["uploaded_bytes"] == weights.stat().st_size
    assert second["uploaded_bytes"] == 0
    assert second["outputs"] == first["outputs"]


def test_follows_links_to_weights(ctl: Ctl, module: Path, weights: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.safetensors"
    link.symlink_to(weights)
    done = ctl("run", module, "--bind=batch=2", f"--weights={link}", "--input=x=ones")
    assert done.returncode == OK, done.stderr
    values = WEIGHT.sum(axis=0) + BIAS
    assert f"{values[0]:g} {values[1]:g} {values[2]:g}" in done.stdout


def test_makes_up_weights_and_inputs(ctl: Ctl, fixed: Path, tmp_path: Path) -> None:
    def run(seed: int) -> Any:
        return document(ctl("run", fixed, f"--random-weights={seed}", "--input=x=random", "--json"))

    assert run(1)["outputs"] == run(1)["outputs"] != run(2)["outputs"]
    out = tmp_path / "deep" / "out"
    done = ctl("run", fixed, "--random-weights=1", "--input=x=zeros", f"--output={out}")
    assert done.returncode == OK, done.stderr
    assert sorted(p.name for p in out.iterdir()) == ["_.._z.npy", "y.npy"]
    assert not np.load(out / "y.npy").any()


def test_says_what_is_missing(ctl: Ctl, module: Path, fixed: Path, weights: Path) -> None:
    bound = ["run", module, "--bind=batch=2"]
    none = ctl(*bound, "--input=x=zeros")
    assert none.returncode == ERROR and "fc.weight" in none.stderr
    wrong = ctl("run", fixed, f"--weights={weights}", "--input=x=zeros")
    assert wrong.returncode == ERROR and "no tensor for params: w" in wrong.stderr
    no_input = ctl(*bound, f"--weights={weights}")
    assert (
        no_input.returncode == USAGE and 'no --input for "x", which is f32[2,4]' in no_input.stderr
    )
    unknown = ctl(*bound, f"--weights={weights}", "--input=nope=zeros", "--input=x=zeros")
    assert unknown.returncode == ERROR and 'no input "nope"' in unknown.stderr


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.safetensors", b"", "is no safetensors file"),
        ("w.safetensors", b"\xff" * 64, "is no safetensors file"),
        ("w.safetensors", struct.pack("<Q", 2) + b"[]", "is no JSON object"),
        ("x.npy", b"", "is no .npy file"),
        ("x.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4'}", "the header is no dict"),
    ],
)
def test_a_damaged_file_is_a_clear_error(
    ctl: Ctl, module: Path, weights: Path, tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    bad = tmp_path / name
    bad.write_bytes(content)
    source = bad if name.endswith("safetensors") else weights
    given = bad if name.endswith("npy") else "zeros"
    done = ctl("run", module, "--bind=batch=2", f"--weights={source}", f"--input=x={given}")
    assert done.returncode == ERROR
    assert done.stderr.startswith("rlxctl: invalid argument: ")
    assert str(bad) in done.stderr and message in done.stderr


# --- refusals


def test_a_refusal_keeps_its_details(ctl: Ctl, module: Path) -> None:
    done = ctl("compile", module, "--arena-alignment=48", "--json")
    assert done.returncode == ERROR
    assert done.stderr.startswith("rlxctl: invalid argument: options.arena_alignment: 48 is not")
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "invalid_argument" and error["detail"]["reason"]
    gone = ctl("run", f"--key={'0' * 64}")
    assert gone.returncode == ERROR and gone.stderr.startswith("rlxctl: not found: ")


def test_a_module_that_is_none(ctl: Ctl, tmp_path: Path) -> None:
    bad = tmp_path / "bad.pb"
    bad.write_bytes(b"\xff\xff")
    assert "is no serialized GraphModule" in ctl("compile", bad).stderr
    assert ctl("compile", tmp_path / "absent.pb").returncode == ERROR
    text = tmp_path / "bad.pbtxt"
    text.write_text("name: 'm'\nnope: 1\n")
    assert f"{text}:2:" in ctl("compile", text).stderr
    ir = tmp_path / "bad.txt"
    ir.write_text('mir "m" {\n  %0 = input "x" : f33[2]\n}\n')
    assert f"invalid argument: {ir}: line 2, column " in ctl("compile", ir).stderr
    ir.write_text('mir "m" {\n  %0 = input "x" : f32[2]\n  %1 = matmul(%0)\n}\n')
    assert "matmul" in ctl("compile", ir).stderr


def test_the_deadline_is_for_the_whole_command(ctl: Ctl, module: Path) -> None:
    assert ctl("compile", module, "--deadline=0.000001").returncode == DEADLINE


@pytest.mark.parametrize(
    "args",
    [
        ["nope"],
        ["compile"],
        ["compile", "a", "b"],
        ["devices", "--nope"],
        ["devices", "--deadline=soon"],
        ["compile", "{module}", "--target=abacus"],
        ["compile", "{module}", "--precision=f99"],
        ["run"],
        ["run", "{module}", "--key=00"],
        ["run", "--key=00"],
        ["cache", "burn"],
        ["explain", "{module}", "{module}", "--diff", "--html=page.html"],
        ["help", "nope"],
    ],
)
def test_a_wrong_command_line(ctl: Ctl, module: Path, args: list[str]) -> None:
    done = ctl(*(arg.format(module=module) for arg in args))
    assert done.returncode == USAGE and done.stdout == ""
    assert done.stderr.startswith("rlxctl: ")


def test_help_names_every_command_and_exit_code() -> None:
    text = rlxctl("help").stdout
    for word in ("devices", "explain-key", "cache ls|stats|clear", "exit codes", "--json"):
        assert word in text
    assert "--supported-ops" in rlxctl("help", "compile").stdout
    assert rlxctl("compile", "--help").stdout == rlxctl("help", "compile").stdout


def test_help_is_a_document_too() -> None:
    whole = json.loads(rlxctl("help", "--json").stdout)
    assert "server" in [flag["name"] for flag in whole["flags_of_all"]]
    assert {"devices", "explain-key", "cache"} <= {command["name"] for command in whole["commands"]}
    (one,) = json.loads(rlxctl("help", "compile", "--json").stdout)["commands"]
    assert one["operands"] == "MODULE"
    assert "supported-ops" in [flag["name"] for flag in one["flags"]]


# --- the cache


def test_shows_and_clears_the_cache(start_daemon: Callable[..., Daemon], module: Path) -> None:
    server = f"--server={start_daemon().address}"
    assert rlxctl(server, "cache", "ls").stdout == "0 of 0 entries\n"
    key = document(rlxctl(server, "compile", module, "--json"))["key"]
    entries = document(rlxctl(server, "cache", "ls", "--json"))
    assert [e["key"] for e in entries["entries"]] == [key] and entries["total"] == 1
    tiers = document(rlxctl(server, "cache", "stats", "--json"))["tiers"]
    assert {"memory", "disk"} <= {t["tier"] for t in tiers}
    assert rlxctl(server, "cache", "clear", "nowhere").returncode == ERROR
    assert document(rlxctl(server, "cache", "clear", "--json"))["entries"] >= 1
    assert document(rlxctl(server, "compile", module, "--json"))["cache"] == "compiled"
