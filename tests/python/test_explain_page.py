# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 (the page's script stands in strings)
"""The page that `rlxctl explain --html` writes, opened in a browser and clicked on."""

import html
import json
import re
import shutil
import subprocess
import warnings
from pathlib import Path
from typing import Any

import pytest
from quickstart.daemon import Daemon, default_binary

import rlxd

# Runs after the page's own script: `steps` clicks, then the findings are left where they are dumped.
DRIVER = """
<script>
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const click = (e) => { e.click(); return wait(50); };
const shown = (e) => e !== null && e.getClientRects().length > 0;
(async () => {
  const found = {};
  try { await (async () => { STEPS })(); } catch (error) { found.error = String(error); }
  const out = document.createElement("div");
  out.id = "findings";
  out.textContent = JSON.stringify(found);
  document.body.append(out);
})();
</script></body>"""


def chromium() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    why = "SKIPPED, the page is not tested: no chromium here (apt-get install chromium)"
    warnings.warn(why, stacklevel=2)
    pytest.skip(why)


def drive(page: Path, steps: str) -> Any:
    """What `steps` left in `found`, after the page was opened without a network."""
    driven = page.with_name(f"driven-{page.name}")
    text = page.read_text()
    assert text.count("</body>") == 1
    driven.write_text(text.replace("</body>", DRIVER.replace("STEPS", steps)))
    command = [chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={page.parent}/profile"]
    command += ["--virtual-time-budget=20000", "--dump-dom", driven.as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=240, check=True)
    findings = re.search(r'<div id="findings">(.*?)</div>', done.stdout.decode(), re.DOTALL)
    assert findings, done.stderr.decode()[-2000:]
    found = json.loads(html.unescape(findings[1]))
    assert "error" not in found, found["error"]
    return found


def write_page(daemon: Daemon, module: rlxd.HirModule | rlxd.MirModule, folder: Path) -> Path:
    path, page = folder / "module.pb", folder / "page.html"
    path.write_bytes(module.build().SerializeToString())
    command = [str(default_binary().with_name("rlxctl")), f"--server={daemon.address}"]
    done = subprocess.run(
        [*command, "explain", str(path), f"--html={page}"],
        capture_output=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert f"{page}: " in done.stdout.decode()
    return page


def layers(count: int) -> rlxd.MirModule:
    """Named layers of an MLP; the product of every tenth is read twice, which keeps its bias out."""
    module = rlxd.MirModule("<layers> & more")
    x = module.input("x", [2, 16])
    extra = x
    for i in range(count):
        w, b = module.param(f"w{i}", [16, 16]), module.param(f"b{i}", [16])
        name = f"layer.{i}"
        product = module.emit("matmul", (x, w), name=f"{name}.ffn.up")
        if i % 10 == 3:
            extra = module.emit("tanh", (product,), name=f"{name}.gauge.read")
        x = module.emit("add", (product, b), name=f"{name}.ffn.shift")
        x = module.emit("relu", (x,), name=f"{name}.ffn.act")
        x = module.emit("softmax", (x,), {"axis": 1}, name=f"{name}.norm.scale")
    module.output("y", x)
    module.output("extra", extra)
    return module


def test_unfolds_a_block_and_finds_a_miss(daemon: Daemon, tmp_path: Path) -> None:
    page = write_page(daemon, layers(12), tmp_path)
    text = page.read_text()
    assert not re.search(r'(src|href)="|https?://|@import|url\(', text)
    found = drive(
        page,
        """
        found.title = document.getElementById("title").textContent;
        found.tiles = document.querySelectorAll(".tile").length;
        let box = document.querySelector("details.block");
        if (!box.open) await click(box.querySelector("summary"));
        const layer = [...box.querySelectorAll("details.block")].find((d) => d.querySelector(".name").textContent === "3");
        found.before = layer.querySelectorAll(".unit").length;
        await click(layer.querySelector("summary"));
        for (const inner of layer.querySelectorAll("details.block")) await click(inner.querySelector("summary"));
        found.units = layer.querySelectorAll(".unit").length;
        const miss = layer.querySelector(".miss.act");
        found.shown = shown(miss);
        found.miss = miss.textContent;
        found.node = miss.closest(".unit").querySelector(".node").textContent;
        await click(miss.closest(".unit").querySelector(".node"));
        found.detail = document.getElementById("detail").textContent;
        """,
    )
    assert found["title"].startswith("<layers> & more") and found["tiles"] == 6
    assert found["before"] == 0 and found["units"] >= 2
    assert found["shown"] and "matmul_bias_act" in found["miss"]
    assert "multi_consumer" in found["miss"] and "hint: " in found["miss"]
    assert "matmul" in found["node"] and "layer.3.ffn.up" in found["detail"]


def test_shows_misses_arena_kernels_and_passes(daemon: Daemon, tmp_path: Path) -> None:
    page = write_page(daemon, layers(12), tmp_path)
    found = drive(
        page,
        """
        const tab = (name) => click([...document.querySelectorAll("nav button")].find((b) => b.textContent === name));
        await tab("Misses");
        const misses = document.querySelectorAll("#misses .miss.act");
        found.misses = misses.length;
        await click(misses[0].querySelector("button"));
        found.led = shown(document.querySelector("#tree .unit .miss.act"));
        await tab("Arena");
        const canvas = document.getElementById("arena");
        const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        found.colors = new Set(Array.from({length: pixels.length / 4}, (_, i) => pixels.slice(4 * i, 4 * i + 4).join())).size;
        const at = canvas.getBoundingClientRect(), r = rects[0];
        canvas.dispatchEvent(new MouseEvent("mousemove", {clientX: at.x + r.x + r.w / 2, clientY: at.y + r.y + r.h / 2}));
        found.tip = document.getElementById("tip").textContent;
        await tab("Kernels");
        const kernel = document.querySelector("details.kernel");
        await click(kernel.querySelector("summary"));
        found.languages = [...kernel.querySelectorAll(".tools")].map((e) => e.textContent);
        found.source = kernel.querySelector("pre").textContent;
        await tab("Passes");
        found.passes = document.getElementById("facts").textContent;
        const search = document.querySelector("nav input");
        search.value = "layer.7 softmax"; search.oninput({target: search}); await wait(50);
        found.hits = [...document.querySelectorAll("#found .node")].map((e) => e.textContent);
        """,
    )
    assert found["misses"] == 1 and found["led"]
    assert found["colors"] > 3 and "live from" in found["tip"]
    assert found["languages"] == ["kernel-ir", "llvm-ir", "x86-64-assembly"]
    assert found["source"].startswith("kernel k0 local ")
    assert "fuse_matmul_bias_act" in found["passes"] and "arena_alignment" in found["passes"]
    assert len(found["hits"]) == 2 and all("softmax" in hit for hit in found["hits"])


def test_stays_small_at_five_thousand_nodes(daemon: Daemon, tmp_path: Path) -> None:
    """What is folded has no elements: the page is as quick as what is looked at."""
    module = layers(840)
    page = write_page(daemon, module, tmp_path)
    found = drive(
        page,
        """
        found.nodes = D.mir.length;
        found.elements = document.querySelectorAll("*").length;
        const last = D.remarks.map((m, r) => [m, r]).filter(([m]) => m[0] && m[5]).pop()[1];
        reveal(D.units.findIndex((u) => u[MISSED].includes(last)));
        found.led = shown(document.querySelector(`.miss[data-remark="${last}"]`));
        found.path = pathOf(D.units.find((u) => u[MISSED].includes(last))[BLOCK]);
        """,
    )
    assert found["nodes"] > 5000
    assert found["elements"] < 20000 and found["led"]
    assert found["path"] == "layer.833.ffn"
