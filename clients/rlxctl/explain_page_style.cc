// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/explain_page.h"

namespace rlx::ctl {

const std::string_view kPageStyle = R"css(
:root {
  color-scheme: light dark;
  --bg: #fbfbfa; --panel: #ffffff; --ink: #1c2024; --soft: #60646c; --faint: #8b8d98;
  --line: #e3e3e0; --hover: #f2f2ef; --accent: #1d5fae; --good: #2b7a4b; --warn: #a35a00;
  --warn-bg: #fdf3e3; --chip: #f3f4f6; --fused: #e7f2ea;
}
@media (prefers-color-scheme: dark) {
  :root {
    --bg: #141618; --panel: #1b1e21; --ink: #e6e8ea; --soft: #a2a8b0; --faint: #737a83;
    --line: #2c3034; --hover: #22262a; --accent: #7db4f0; --good: #74c08e; --warn: #e5ab57;
    --warn-bg: #2d2416; --chip: #262a2f; --fused: #1d2f25;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink);
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
code, pre, .id, .type { font-family: ui-monospace, SFMono-Regular, Menlo, "DejaVu Sans Mono", monospace; }
header { padding: 22px 28px 0; max-width: 1400px; margin: 0 auto; }
h1 { font-size: 20px; font-weight: 600; margin: 0; letter-spacing: -.01em; }
h1 small { font-size: 13px; font-weight: 400; color: var(--soft); margin-left: 10px; letter-spacing: 0; }
h2 { font-size: 15px; font-weight: 600; margin: 26px 0 10px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); gap: 10px; margin: 18px 0; }
.tile { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: 10px 14px; }
.tile b { display: block; font-size: 19px; font-weight: 600; font-variant-numeric: tabular-nums; }
.tile span { font-size: 12px; color: var(--soft); }
.tile .more { display: block; color: var(--faint); }
.tile.warn b { color: var(--warn); } .tile.good b { color: var(--good); }
nav { position: sticky; top: 0; z-index: 5; background: var(--bg); border-bottom: 1px solid var(--line); }
nav div { max-width: 1400px; margin: 0 auto; padding: 0 28px; display: flex; gap: 4px; align-items: center; }
nav button { font: inherit; color: var(--soft); background: none; border: 0; padding: 10px 12px;
  border-bottom: 2px solid transparent; cursor: pointer; }
nav button[aria-selected=true] { color: var(--ink); border-color: var(--accent); font-weight: 600; }
nav input { margin-left: auto; width: 260px; font: inherit; padding: 5px 10px; color: var(--ink);
  background: var(--panel); border: 1px solid var(--line); border-radius: 6px; }
main { max-width: 1400px; margin: 0 auto; padding: 16px 28px 80px; }
section { display: none; } section.on { display: block; }
.tools { display: flex; gap: 14px; align-items: center; color: var(--soft); font-size: 13px; margin-bottom: 10px; }
.tools button, .more-button { font: inherit; color: var(--accent); background: none; border: 0; padding: 0; cursor: pointer; }
details.block { border: 1px solid var(--line); border-radius: 8px; background: var(--panel); margin: 6px 0; }
details.block > summary { list-style: none; cursor: pointer; padding: 7px 12px; display: flex; gap: 12px; align-items: baseline; border-radius: 8px; }
details.block > summary::-webkit-details-marker { display: none; }
details.block > summary::before { content: "▸"; color: var(--faint); width: 10px; }
details.block[open] > summary::before { content: "▾"; }
details.block > summary:hover { background: var(--hover); }
summary .name { font-weight: 600; } summary .what { color: var(--soft); }
summary .nums { margin-left: auto; color: var(--soft); font-size: 13px; font-variant-numeric: tabular-nums; white-space: nowrap; }
.inside { padding: 2px 12px 10px 22px; }
.badge { font-size: 12px; border-radius: 9px; padding: 0 8px; background: var(--chip); color: var(--soft); white-space: nowrap; }
.badge.fused { background: var(--fused); color: var(--good); } .badge.missed { background: var(--warn-bg); color: var(--warn); }
.unit { display: grid; grid-template-columns: minmax(0, 1fr) 104px minmax(0, 1fr); gap: 4px 14px; padding: 6px 0; border-top: 1px solid var(--line); align-items: center; }
.unit:first-child { border-top: 0; }
.unit .kind { text-align: center; font-size: 12px; color: var(--soft); }
.unit .kind i { display: block; font-style: normal; color: var(--faint); line-height: .8; }
.unit.fused .kind { color: var(--good); } .unit.gone .kind, .unit.folded .kind { color: var(--faint); }
.unit .note { grid-column: 1 / -1; font-size: 13px; color: var(--soft); padding-left: 2px; }
.miss { grid-column: 1 / -1; border-left: 3px solid var(--faint); padding: 3px 10px; font-size: 13px; color: var(--soft); }
.miss.act { border-color: var(--warn); background: var(--warn-bg); color: var(--ink); border-radius: 0 6px 6px 0; }
.miss .hint { color: var(--soft); } .miss b { font-weight: 600; }
.flash { animation: flash 1.6s; } @keyframes flash { 0%, 40% { background: var(--fused); } }
.node { display: block; padding: 1px 7px; margin: 2px 0; border-radius: 5px; background: var(--chip); cursor: pointer; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.node:hover, .node:focus-visible { outline: 1px solid var(--accent); }
.node .id { color: var(--faint); font-size: 12px; margin-right: 6px; } .node .type { color: var(--soft); font-size: 12px; margin-left: 8px; }
.node em { font-style: normal; color: var(--accent); margin-left: 6px; } .node.idle { opacity: .72; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th { text-align: left; font-weight: 600; color: var(--soft); border-bottom: 1px solid var(--line); padding: 4px 10px 4px 0; }
td { border-bottom: 1px solid var(--line); padding: 4px 10px 4px 0; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; } tr.off td { color: var(--faint); }
.cols { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 0 34px; }
pre { font-size: 12px; line-height: 1.4; background: var(--chip); padding: 10px 12px; border-radius: 6px; overflow: auto; max-height: 460px; margin: 6px 0; }
canvas { width: 100%; display: block; } .plot { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: 12px; }
#legend { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 10px 2px 0; font-size: 13px; color: var(--soft); }
#legend i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 6px; }
#tip { min-height: 21px; color: var(--soft); font-size: 13px; margin: 8px 2px; }
aside { position: fixed; right: 0; top: 0; bottom: 0; width: 380px; max-width: 90vw; background: var(--panel); border-left: 1px solid var(--line);
  padding: 18px 20px; overflow: auto; z-index: 9; display: none; box-shadow: -6px 0 24px rgb(0 0 0 / .12); }
aside.on { display: block; } aside h3 { margin: 0 30px 8px 0; font-size: 15px; }
aside dl { margin: 0; font-size: 13px; } aside dt { color: var(--soft); margin-top: 9px; } aside dd { margin: 0; overflow-wrap: anywhere; }
aside .close { position: absolute; right: 14px; top: 14px; font: inherit; border: 0; background: none; color: var(--soft); cursor: pointer; }
.empty { color: var(--soft); padding: 14px 0; }
)css";

const std::string_view kPageBody = R"html(<body>
<header><h1 id="title"></h1><div class="tiles" id="tiles"></div></header>
<nav><div role="tablist" id="tabs"></div></nav>
<main>
<section id="blocks"><div class="tools"><button id="open-all">unfold all</button><button id="close-all">fold all</button>
<label><input type="checkbox" id="quiet"> nodes that stay as they are</label><span>% as the passes found it, → as it runs; pale: no step of its own</span></div><div id="tree"></div></section>
<section id="misses"></section>
<section id="memory"><div class="plot"><canvas id="arena" height="420"></canvas><canvas id="live" height="90"></canvas></div>
<div id="legend"></div><div id="tip"></div><div id="storage"></div></section>
<section id="code"></section>
<section id="facts"></section>
<section id="found"></section>
</main>
<aside id="detail"></aside>
)html";

}  // namespace rlx::ctl
