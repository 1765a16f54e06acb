// SPDX-License-Identifier: Apache-2.0
#include "clients/rlxctl/explain_page.h"

namespace rlx::ctl {

// Draws what is looked at and nothing else: a folded block has no elements inside.
const std::string_view kPageScript = R"js("use strict";
const D = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const OP = 0, NAME = 1, TYPE = 2, ATTRS = 3, OPERANDS = 4, UNIT = 5, FATE = 6, PASS = 7, RULE = 8, SOURCES = 9;
const KIND = 0, BEFORE = 1, AFTER = 2, APPLIED = 3, MISSED = 4, BLOCK = 5, STEPS = 6;

function el(tag, attrs, ...kids) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attrs || {})) {
    if (k === "class") e.className = v; else if (k.startsWith("on")) e[k] = v; else e.setAttribute(k, v);
  }
  e.append(...kids.filter((k) => k !== "" && k !== null && k !== undefined));
  return e;
}
const plural = (n, one) => n + " " + one + (n === 1 ? "" : one.endsWith("s") || one.endsWith("ch") ? "es" : "s");
function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let u = 0;
  while (n >= 1024 && u < 4) { n /= 1024; ++u; }
  return (u === 0 ? n : n.toFixed(1)) + " " + units[u];
}

// ---- nodes
const users = {mir: null, lir: null};
function usersOf(stage, id) {
  if (!users[stage]) {
    users[stage] = D[stage].map(() => []);
    D[stage].forEach((n, i) => { for (const o of new Set(n[OPERANDS])) users[stage][o].push(i); });
  }
  return users[stage][id];
}
const stepsOf = new Map();
D.steps.forEach((s, i) => { if (s[0] >= 0) { if (!stepsOf.has(s[0])) stepsOf.set(s[0], []); stepsOf.get(s[0]).push(i); } });

function chip(stage, id) {
  const n = D[stage][id];
  const idle = stage === "lir" && D.steps.length > 0 && !stepsOf.has(id);
  return el("span", {class: "node" + (idle ? " idle" : ""), tabindex: 0, "data-node": stage + id,
    title: n[ATTRS] || n[TYPE], onclick: () => detail(stage, id),
    onkeydown: (e) => { if (e.key === "Enter") detail(stage, id); }},
    el("span", {class: "id"}, (stage === "lir" ? "→" : "%") + id), n[OP], n[NAME] ? el("em", {}, n[NAME]) : "",
    el("span", {class: "type"}, n[TYPE]));
}

function detail(stage, id) {
  const n = D[stage][id], box = $("detail"), dl = el("dl");
  const row = (name, ...value) => { if (value.some((v) => v !== "" && v !== null)) dl.append(el("dt", {}, name), el("dd", {}, ...value)); };
  row("type", el("code", {}, n[TYPE]));
  row("attributes", n[ATTRS]);
  row("reads", ...n[OPERANDS].map((o) => chip(stage, o)));
  row("read by", ...usersOf(stage, id).slice(0, 40).map((o) => chip(stage, o)));
  if (n[FATE]) row("became", n[FATE] + (n[PASS] ? " by " + n[PASS] : "") + (n[RULE] ? " (" + n[RULE] + ")" : ""));
  row("from", n[SOURCES]);
  if (stage === "lir") {
    for (const s of stepsOf.get(id) || []) {
      const [, kind, label, what, groups, flops, moved, weights] = D.steps[s];
      row(weights ? "once, when weights are bound" : "step " + s, kind + " " + what + (groups ? ", " + plural(groups, "group") : "") +
        (flops ? ", " + flops.toLocaleString() + " flops" : "") + (moved ? ", " + bytes(moved) : "") + (label ? " · " + label : ""));
    }
  }
  if (n[UNIT] >= 0) row("where", el("button", {class: "more-button", onclick: () => reveal(n[UNIT])}, pathOf(D.units[n[UNIT]][BLOCK]) || "module"));
  box.replaceChildren(el("button", {class: "close", onclick: () => box.classList.remove("on")}, "close"),
    el("h3", {}, (stage === "lir" ? "→" : "%") + id + " " + n[OP] + (n[NAME] ? " " + n[NAME] : "")), dl);
  box.classList.add("on");
}

// ---- blocks
function pathOf(b) {
  const parts = [];
  for (; b > 0; b = D.blocks[b][2]) parts.unshift(D.blocks[b][0]);
  return parts.join(".");
}
const quiet = (u) => (u[KIND] === "kept" || u[KIND] === "view" || u[KIND] === "made") && u[MISSED].length === 0;

function missBox(r) {
  const m = D.remarks[r];
  return el("div", {class: "miss" + (m[5] ? " act" : ""), "data-remark": r}, el("b", {}, "missed " + m[1]), " · " + m[2] + " · " + m[3],
    m[4] ? el("div", {class: "hint"}, "hint: " + m[4]) : "");
}
function unitBox(index) {
  const u = D.units[index], same = u[KIND] === "kept" || u[KIND] === "view";
  const box = el("div", {class: "unit " + u[KIND], id: "u" + index},
    el("div", {}, ...u[BEFORE].map((id) => chip("mir", id))),
    el("div", {class: "kind"}, el("i", {}, u[AFTER].length ? "⟶" : ""), u[KIND] === "gone" ? D.mir[u[BEFORE][0]][FATE] : same ? (u[KIND] === "view" ? "address only" : "as it was") : u[KIND]),
    el("div", {}, ...u[AFTER].map((id) => chip("lir", id))));
  const rules = new Map();
  for (const r of u[APPLIED]) {
    const m = D.remarks[r], sum = rules.get(m[1]) || [0, 0, [], false];
    rules.set(m[1], [sum[0] + m[6], sum[1] + m[7], sum[2].concat(m[3]), sum[3] || m[9]]);
  }
  for (const [rule, [launches, known, messages, more]] of rules) {
    const saved = more ? (known ? "at least " + bytes(known) : "an unknown number of bytes") : known ? bytes(known) : "";
    box.append(el("div", {class: "note"}, rule + (launches ? " · saves " + plural(launches, "launch") : "") + (saved ? " · " + saved : "") + " · " + messages.slice(0, 3).join("; ")));
  }
  for (const r of u[MISSED]) box.append(missBox(r));
  return box;
}
function fill(inside, b) {
  if (inside.dataset.full) return;
  inside.dataset.full = 1;
  const hidden = [];
  for (const item of D.blocks[b][3]) {
    if (item < 0) inside.append(blockBox(-1 - item));
    else if (!$("quiet").checked && quiet(D.units[item])) hidden.push(item);
    else inside.append(unitBox(item));
  }
  if (hidden.length) {
    const ops = new Map();
    for (const u of hidden) { const n = D.units[u], op = n[BEFORE].length ? D.mir[n[BEFORE][0]][OP] : D.lir[n[AFTER][0]][OP]; ops.set(op, (ops.get(op) || 0) + 1); }
    const button = el("button", {class: "more-button", onclick: () => button.parentNode.replaceWith(...hidden.map(unitBox))},
      plural(hidden.length, "node") + " as they were");
    inside.append(el("div", {class: "unit"}, el("div", {class: "note"}, button, ": " + [...ops].map(([op, n]) => (n > 1 ? n + " " : "") + op).join(", "))));
  }
}
function blockBox(b) {
  const [name, what, , , before, after, steps, applied, missed, act] = D.blocks[b];
  const inside = el("div", {class: "inside"});
  const box = el("details", {class: "block", id: "b" + b, ontoggle: () => { if (box.open) fill(inside, b); }},
    el("summary", {}, el("span", {class: "name"}, name || "module"), what ? el("span", {class: "what"}, what) : "",
      applied ? el("span", {class: "badge fused"}, plural(applied, "fusion")) : "",
      act ? el("span", {class: "badge missed"}, plural(act, "miss") + " to act on") : missed ? el("span", {class: "badge"}, plural(missed, "miss")) : "",
      el("span", {class: "nums"}, before + " → " + after + " nodes · " + plural(steps, "step"))), inside);
  return box;
}
function openBlock(b) {
  if (b < 0) return;
  const chain = [];
  for (let at = b; at > 0; at = D.blocks[at][2]) chain.unshift(at);
  for (const at of chain) { const box = $("b" + at); if (box) { box.open = true; fill(box.lastChild, at); } }
}
function reveal(u) {
  show("blocks");
  openBlock(D.units[u][BLOCK]);
  if (!$("u" + u)) for (const button of document.querySelectorAll("#tree .more-button")) button.click();
  const box = $("u" + u);
  if (!box) return;
  box.scrollIntoView({block: "center"});
  box.classList.remove("flash"); void box.offsetWidth; box.classList.add("flash");
}
function drawTree() {
  const tree = $("tree");
  tree.replaceChildren();
  const top = el("div", {class: "inside", style: "padding:0"});
  fill(top, 0);
  tree.append(top);
  const boxes = tree.querySelectorAll("details.block");
  if (boxes.length === 1) { boxes[0].open = true; }
}

// ---- misses
function drawMisses() {
  const where = new Map();
  D.units.forEach((u, i) => { for (const r of u[MISSED]) if (!where.has(r)) where.set(r, i); });
  const list = D.remarks.map((m, r) => r).filter((r) => D.remarks[r][0]);
  list.sort((a, b) => D.remarks[b][5] - D.remarks[a][5] || a - b);
  const box = $("misses");
  if (!list.length) { box.append(el("p", {class: "empty"}, "Nothing was missed.")); return; }
  for (const r of list) {
    const u = where.get(r), m = missBox(r);
    if (u !== undefined) m.append(el("div", {}, el("button", {class: "more-button", onclick: () => reveal(u)}, "show in " + (pathOf(D.units[u][BLOCK]) || "module"))));
    m.style.margin = "6px 0";
    box.append(m);
  }
}

// ---- arena
const palette = ["#4e79a7", "#76b7b2", "#8fae6b", "#c9a24e", "#c4785f", "#8a7fb5", "#6d9dc5", "#9c9c94"];
// The ops that hold most of the arena have colors of their own.
const colors = new Map();
{
  const held = new Map();
  for (const s of D.arena.slots) { const op = D.lir[s[0]][OP]; held.set(op, (held.get(op) || 0) + s[3] * (s[5] - s[4] + 1)); }
  [...held].sort((a, b) => b[1] - a[1]).forEach(([op], i) => colors.set(op, palette[Math.min(i, palette.length - 1)]));
}
let rects = [];
function drawArena(hover) {
  const A = D.arena, canvas = $("arena"), live = $("live"), ratio = window.devicePixelRatio || 1;
  const w = canvas.clientWidth, h = 420, lh = 90, left = 74, right = 10;
  const style = getComputedStyle(document.documentElement), ink = style.getPropertyValue("--soft"), line = style.getPropertyValue("--line"), warn = style.getPropertyValue("--warn");
  for (const [c, height] of [[canvas, h], [live, lh]]) { c.width = w * ratio; c.height = height * ratio; c.style.height = height + "px"; }
  const g = canvas.getContext("2d"), l = live.getContext("2d");
  g.scale(ratio, ratio); l.scale(ratio, ratio);
  g.font = l.font = "11px system-ui, sans-serif";
  if (!A.slots.length) { g.fillStyle = ink; g.fillText("no buffers in the arena" + (D.why ? ": " + D.why : ""), left, 30); return; }
  const times = A.steps + 1, top = 16, plot = h - top - 22;
  const x = (t) => left + (w - left - right) * t / times, y = (o) => top + plot * (1 - o / A.size);
  g.fillStyle = ink; g.textAlign = "right";
  for (let i = 0; i <= 4; ++i) {
    const o = A.size * i / 4;
    g.fillText(bytes(o), left - 8, y(o) + 4);
    g.strokeStyle = line; g.beginPath(); g.moveTo(left, y(o)); g.lineTo(w - right, y(o)); g.stroke();
  }
  g.textAlign = "center";
  for (let i = 0; i <= 8; ++i) { const t = Math.round(A.steps * i / 8); g.fillText(i ? t : "node 0", x(t), h - 6); }
  rects = A.slots.map((s, i) => ({i, x: x(s[4]), y: y(s[2] + s[3]), w: Math.max(1, x(s[5] + 1) - x(s[4])), h: Math.max(1, y(s[2]) - y(s[2] + s[3]))}));
  for (const r of rects) {
    g.globalAlpha = hover === undefined || hover === r.i ? .85 : .35;
    g.fillStyle = colors.get(D.lir[A.slots[r.i][0]][OP]);
    g.fillRect(r.x, r.y, r.w, r.h);
    g.globalAlpha = 1;
    if (r.w > 3 && r.h > 3) { g.strokeStyle = style.getPropertyValue("--panel"); g.strokeRect(r.x + .5, r.y + .5, r.w - 1, r.h - 1); }
    if (r.w > 64 && r.h > 13) { g.save(); g.beginPath(); g.rect(r.x, r.y, r.w, r.h); g.clip(); g.fillStyle = "#fff"; g.textAlign = "left"; g.fillText(D.lir[A.slots[r.i][0]][OP], r.x + 5, r.y + 12); g.restore(); }
  }
  // Views: a tick where a node sees another's bytes.
  const place = new Map(A.slots.map((s, i) => [s[0] + "." + s[1], i]));
  g.strokeStyle = "#fff"; g.setLineDash([2, 2]);
  for (const [, root, result, at] of A.views) {
    const i = place.get(root + "." + result);
    if (i === undefined) continue;
    const r = rects[i]; g.beginPath(); g.moveTo(x(at) + .5, r.y + 1); g.lineTo(x(at) + .5, r.y + r.h - 1); g.stroke();
  }
  g.setLineDash([]);
  const delta = new Float64Array(times + 1), sums = new Float64Array(times);
  for (const s of A.slots) { delta[s[4]] += s[3]; delta[s[5] + 1] -= s[3]; }
  let sum = 0, peak = 0, at = 0;
  for (let t = 0; t < times; ++t) { sum += delta[t]; sums[t] = sum; if (sum > peak) { peak = sum; at = t; } }
  const ly = (v) => 8 + (lh - 28) * (1 - v / A.size);
  l.fillStyle = palette[0]; l.globalAlpha = .25; l.beginPath(); l.moveTo(x(0), ly(0));
  for (let t = 0; t < times; ++t) { l.lineTo(x(t), ly(sums[t])); l.lineTo(x(t + 1), ly(sums[t])); }
  l.lineTo(x(times), ly(0)); l.fill(); l.globalAlpha = 1;
  l.strokeStyle = warn; l.beginPath(); l.moveTo(x(at) + .5, 4); l.lineTo(x(at) + .5, lh - 18); l.stroke();
  l.fillStyle = warn; l.textAlign = at > times / 2 ? "right" : "left";
  l.fillText("peak " + bytes(peak) + " live at node " + at + " of an arena of " + bytes(A.size), x(at) + (at > times / 2 ? -6 : 6), 14);
  l.fillStyle = ink; l.textAlign = "right"; l.fillText("live", left - 8, lh - 22);
}
function arenaHover(e) {
  const box = $("arena").getBoundingClientRect(), px = e.clientX - box.left, py = e.clientY - box.top;
  const hit = rects.find((r) => px >= r.x && px < r.x + r.w && py >= r.y && py < r.y + r.h);
  if (!hit) { $("tip").textContent = "Time runs to the right, one node a column; dashed lines are views. Point at a buffer; click for its node."; return null; }
  const s = D.arena.slots[hit.i], n = D.lir[s[0]];
  $("tip").textContent = "→" + s[0] + " " + n[OP] + (n[NAME] ? " " + n[NAME] : "") + " · " + n[TYPE] + " · " + bytes(s[3]) + " at " + s[2] + " · live from " + s[4] + " to " + s[5];
  return hit;
}
function drawStorage() {
  const keys = [...colors].slice(0, palette.length - 1), rest = colors.size - keys.length;
  if (rest > 0) keys.push([plural(rest, "other op"), palette[palette.length - 1]]);
  $("legend").append(...keys.map(([op, c]) => el("span", {}, el("i", {style: "background:" + c}), op)));
  $("storage").append(el("h2", {}, "Where values live"), table(["storage", ">values", ">bytes"], D.arena.storage.map((s) => [s[0], s[1], bytes(s[2])])));
}

// ---- kernels, facts
function table(heads, rows, off) {
  const cls = heads.map((h) => h.startsWith(">") ? "n" : "");
  return el("table", {}, el("thead", {}, el("tr", {}, ...heads.map((h, i) => el("th", {class: cls[i]}, h.replace(">", ""))))),
    el("tbody", {}, ...rows.map((r, at) => el("tr", {class: off && off(at) ? "off" : ""}, ...r.map((c, i) => el("td", {class: cls[i]}, c instanceof Node ? c : String(c)))))));
}
function drawCode() {
  const box = $("code"), count = new Map();
  for (const s of D.steps) if (s[1] === "launch") count.set(s[3], (count.get(s[3]) || 0) + 1);
  box.append(el("h2", {}, plural(D.kernels.length, "kernel")));
  if (!D.kernels.length) box.append(el("p", {class: "empty"}, D.why || "This module runs on routines of the back end alone."));
  for (const [name, label, texts] of D.kernels) {
    const inside = el("div", {class: "inside"});
    const item = el("details", {class: "block kernel", ontoggle: () => {
      if (!item.open || inside.dataset.full) return;
      inside.dataset.full = 1;
      for (const [language, text] of texts) inside.append(el("div", {class: "tools", style: "margin:8px 0 0"}, language), el("pre", {}, text));
    }}, el("summary", {}, el("span", {class: "name"}, name), el("span", {class: "what"}, label), el("span", {class: "nums"}, plural(count.get(name) || 0, "step"))), inside);
    box.append(item);
  }
  box.append(el("h2", {}, plural(D.steps.length, "step")));
  const rows = D.steps.map((s) => [s[7] ? "once" : "run", "· ".repeat(s[8]) + s[1], s[9] ? "≤ " + s[9].toLocaleString() + " turns" : s[3], s[2], s[4] || "", s[5] ? s[5].toLocaleString() : "", s[6] ? bytes(s[6]) : "", s[0] < 0 ? "" : el("button", {class: "more-button", onclick: () => detail("lir", s[0])}, "→" + s[0])]);
  paged(box, ["when", "kind", "what", "computes", ">groups", ">flops", ">bytes", "node"], rows);
}
function paged(box, heads, rows) {
  const t = table(heads, rows.slice(0, 300));
  box.append(t);
  if (rows.length > 300) {
    const more = el("button", {class: "more-button", onclick: () => { t.replaceWith(table(heads, rows)); more.remove(); }}, "all " + rows.length);
    box.append(more);
  }
}
function drawFacts() {
  const one = el("div", {}, el("h2", {}, "Passes"), table(["pass", ">time", ">nodes after", ""], D.passes.map((p) => p.slice(0, 4)), (i) => D.passes[i][4]),
    el("h2", {}, "Options as resolved"), el("pre", {}, D.options));
  const two = el("div", {}, el("h2", {}, "Ops"), table(["op", ">before", ">after"], D.ops),
    el("h2", {}, "How ops run"), table(["kind", ">nodes", ">after", "path", "how"], D.dispatch));
  $("facts").append(el("div", {class: "cols"}, one, two));
}

// ---- search
function search(text) {
  if (!text) { show(last); return; }
  const words = text.toLowerCase().split(/\s+/).filter(Boolean), hits = [];
  for (const stage of ["mir", "lir"]) {
    for (let id = 0; id < D[stage].length && hits.length < 400; ++id) {
      const n = D[stage][id], hay = ((stage === "lir" ? "→" : "%") + id + " " + n[OP] + " " + n[NAME] + " " + n[TYPE] + " " + n[RULE] + " " + n[SOURCES]).toLowerCase();
      if (words.every((w) => hay.includes(w))) hits.push(chip(stage, id));
    }
  }
  $("found").replaceChildren(el("p", {class: "empty"}, hits.length ? plural(hits.length, "node") + (hits.length >= 400 ? ", the first" : "") : "Nothing is called so."), ...hits);
  show("found");
}

// ---- tabs
const tabs = [["blocks", "Blocks"], ["misses", "Misses"], ["memory", "Arena"], ["code", "Kernels"], ["facts", "Passes"]];
const drawn = {}, draw = {misses: drawMisses, memory: drawStorage, code: drawCode, facts: drawFacts};
let last = "blocks";
function show(tab) {
  if (tab !== "found") last = tab;
  for (const s of document.querySelectorAll("section")) s.classList.toggle("on", s.id === tab);
  for (const b of document.querySelectorAll("nav button")) b.setAttribute("aria-selected", b.dataset.tab === tab);
  if (draw[tab] && !drawn[tab]) { drawn[tab] = true; draw[tab](); }
  if (tab === "memory") drawArena();
}
$("title").append(D.title || "module", el("small", {}, "for " + D.target));
for (const [name, value, more, tone] of D.tiles) $("tiles").append(el("div", {class: "tile " + tone}, el("span", {}, name), el("b", {}, value), el("span", {class: "more"}, more)));
for (const [id, name] of tabs) $("tabs").append(el("button", {"data-tab": id, role: "tab", onclick: () => show(id)}, name));
$("tabs").append(el("input", {type: "search", placeholder: "find a node: op, name, type", oninput: (e) => search(e.target.value)}));
$("open-all").onclick = () => { for (let left = 400, again = true; again && left > 0;) { again = false; for (const d of $("tree").querySelectorAll("details:not([open])")) { if (left-- <= 0) break; d.open = true; fill(d.lastChild, +d.id.slice(1)); again = true; } } };
$("close-all").onclick = () => { for (const d of $("tree").querySelectorAll("details[open]")) d.open = false; };
$("quiet").onchange = drawTree;
$("arena").onmousemove = (e) => { const hit = arenaHover(e); drawArena(hit ? hit.i : undefined); };
$("arena").onclick = (e) => { const hit = arenaHover(e); if (hit) detail("lir", D.arena.slots[hit.i][0]); };
addEventListener("resize", () => { if ($("memory").classList.contains("on")) drawArena(); });
addEventListener("keydown", (e) => { if (e.key === "Escape") $("detail").classList.remove("on"); });
drawTree();
const wanted = location.hash.slice(1).split("/");  // tab/memory, miss/3, unit/17
show(wanted[0] === "tab" && tabs.some((t) => t[0] === wanted[1]) ? wanted[1] : "blocks");
arenaHover({clientX: -1, clientY: -1});
if (wanted[0] === "miss") { const u = D.units.findIndex((x) => x[MISSED].includes(+wanted[1])); if (u >= 0) reveal(u); }
if (wanted[0] === "unit") reveal(+wanted[1]);
document.body.dataset.ready = 1;
)js";

}  // namespace rlx::ctl
