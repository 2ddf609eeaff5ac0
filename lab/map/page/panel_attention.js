// @ts-check
// One attention head down to its numbers: q, k, v, scores, the mask, the softmax, the weighted sum; and all heads as small maps.

import { cell, el, explained, pattern, percent, put, said, shade, strip } from "./dom.js";
import { groupOf, readersOf } from "./language_model.js";
import { ranked } from "./numbers.js";
import { spoken, visible } from "./tokenizer.js";

/** @typedef {import("./app.js").App} App */

/** @param {HTMLElement} root @param {App} app */
export function showAttention(root, app) {
  put(root, el("div", { class: "columns" }, maps(app), oneHead(app)));
}

/** The pattern of every head. @param {App} app */
function maps(app) {
  const { n_layers: layers, n_heads: heads, n_kv_heads: kvHeads } = app.model.config, rows = app.now.ids.length;
  const grid = el("div", { class: "maps" });
  grid.style.setProperty("--heads", String(heads));
  for (let layer = 0; layer < layers; layer++) {
    for (let head = 0; head < heads; head++) {
      const canvas = el("canvas", { "aria-hidden": "true" }), weights = app.now.blocks[layer].weights;
      pattern(canvas, rows, rows, (t, s) => Math.sqrt(weights[(head * rows + t) * rows + s]));
      const row = weights.subarray((head * rows + app.focus) * rows, (head * rows + app.focus + 1) * rows), best = ranked(row)[0];
      const name = `${layer + 1}.${head + 1}${kvHeads === heads ? "" : ` · kv ${1 + groupOf(head, app.model.config)}`}`;
      const words = `${name}: in block ${layer + 1}, head ${head + 1}, position ${app.focus + app.hidden} attends most to ${spoken(app.piece(app.now.ids[best]))} at ${best + app.hidden}, ${percent(row[best])}`;
      grid.append(el("button", { type: "button", class: "map", "aria-label": words, title: words, "aria-pressed": String(layer === app.layer && head === app.head),
        onclick: () => app.set({ layer, head }) }, canvas, el("small", {}, name)));
    }
  }
  return el("section", {}, el("h3", {}, "Every head"), el("p", {}, "Each square is a head: row = the token that looks, column = the token that is looked at, darker = more weight. Above the diagonal lies the future, and it is empty. Choose one."), grid, kvHeads === heads ? null : shared(app));
}

/** What it means that heads share keys and values. @param {App} app */
function shared(app) {
  const { d_model: wide, n_heads: heads, n_kv_heads: kvHeads, n_layers: layers } = app.model.config, d = wide / heads;
  const numbers = /** @param {number} count */ (count) => (2 * layers * count * d).toLocaleString("en");
  return el("p", {}, `${heads} heads ask; ${kvHeads === 1 ? "all" : `every ${heads / kvHeads}`} of them share one head of keys and values (kv). So a cache (exercise 17) keeps ${numbers(kvHeads)} numbers for each token, in all blocks together, instead of ${numbers(heads)}. The cache itself is not shown: this page keeps what it has computed in a way of its own.`);
}

/** The selected head for the position that is looked at. @param {App} app */
function oneHead(app) {
  const { layer, head, focus: t } = app, { d_model: wide, n_heads: heads, n_kv_heads: kvHeads } = app.model.config, d = wide / heads;
  const trace = app.now, block = trace.blocks[layer], rows = trace.ids.length, base = (head * rows + t) * rows;
  const group = groupOf(head, app.model.config), readers = readersOf(group, app.model.config), turned = block.turnedQ !== block.q;
  const part = /** @param {Float32Array} x @param {number} row */ (x, row) => x.subarray(row * kvHeads * d + group * d, row * kvHeads * d + (group + 1) * d);
  const q = block.turnedQ.subarray(t * wide + head * d, t * wide + (head + 1) * d), scale = app.without.scale ? 1 : Math.sqrt(d);
  const seen = app.without.mask ? rows : t + 1;
  const scores = Array.from({ length: rows }, (_, s) => scoreOf(q, part(block.turnedK, s)) / scale);
  const most = Math.max(...scores.slice(0, seen));
  const total = scores.slice(0, seen).reduce((sum, score) => sum + Math.exp(score - most), 0);
  const shown = Array.from({ length: rows }, (_, s) => s);
  const head_ = el("tr", {}, ["token", "q · k", scale === 1 ? "unscaled" : `/ √${d}`, "mask", "exp", "weight"].map((name) => el("th", { scope: "col" }, name)));
  const body = shown.map((s) => {
    const hidden = s >= seen, weight = block.weights[base + s], e = Math.exp(scores[s] - most);
    const name = spoken(app.piece(trace.ids[s]));
    return el("tr", { class: hidden ? "masked" : null },
      el("th", { scope: "row" }, `${visible(app.piece(trace.ids[s]))} `, el("small", {}, s + app.hidden)),
      cell(said(scores[s] * scale), `q of position ${t + app.hidden} times k of ${name}, ${d} products added: ${said(scores[s] * scale)}`),
      cell(said(scores[s]), scale === 1 ? "the scale is switched off" : `${said(scores[s])} = ${said(scores[s] * scale)} / ${said(scale)}`),
      cell(hidden ? "−∞" : "sees", hidden ? `${name} at ${s + app.hidden} comes later than ${t + app.hidden}: its score becomes −∞` : `${name} at ${s + app.hidden} is not in the future`),
      cell(hidden ? "0" : said(e), hidden ? "exp(−∞) = 0" : `exp(${said(scores[s])} − ${said(most)}) = ${said(e)}; the largest score is taken off first, so that nothing overflows`),
      cell(said(weight), hidden ? "0: it can't be seen" : `${said(weight)} = ${said(e)} / ${said(total)}, the sum of the column before`, shade(weight)));
  });
  const mixed = Float32Array.from({ length: d }, (_, i) => shown.reduce((sum, s) => sum + block.weights[base + s] * part(block.v, s)[i], 0));
  const best = ranked(block.weights.subarray(base, base + rows)).slice(0, 2);
  const terms = /** @param {number} i */ (i) => best.map((s) => `${said(block.weights[base + s])} × ${said(part(block.v, s)[i])}`).join(" + ");
  const off = app.without.heads.has(`${layer}.${head}`);
  return el("section", {},
    el("h3", {}, `Block ${layer + 1}, head ${head + 1}: what position ${t + app.hidden} (${spoken(app.piece(trace.ids[t]))}) looks at`),
    off ? el("p", { class: "notice" }, "This head is switched off: what it gathers is replaced by zeros.") : null,
    readers.length === 1 ? null : el("p", {}, `Keys and values are those of kv ${group + 1}, which heads ${readers.map((each) => `${layer + 1}.${each + 1}`).join(", ")} share.`),
    turned ? el("p", {}, "q and k are shown as they are compared: turned by their positions.") : null,
    el("div", { class: "one-head" }, explained("From scores to weights", [head_, body], "sums"),
    explained("What it asks, what it offers, and what it takes home", [
      strip("q, asks", q, (i) => `q[${i}] = ${said(q[i])}: row ${head * d + i} of W_q times the normed stream at this position${turned ? turnedWith(i, d) : ""}`),
      strip("k, offers", part(block.turnedK, t), (i) => `k[${i}] = ${said(part(block.turnedK, t)[i])}: row ${group * d + i} of W_k times the normed stream${turned ? turnedWith(i, d) : ""}`),
      strip("v, carries", part(block.v, t), (i) => `v[${i}] = ${said(part(block.v, t)[i])}: row ${group * d + i} of W_v times the normed stream`),
      strip("Σ weight · v", mixed, (i) => `${said(mixed[i])} = ${terms(i)}${rows > 2 ? " + the rest" : ""}`),
    ], "strip")));
}

/** With which number the positions have turned one. @param {number} i @param {number} d */
function turnedWith(i, d) {
  return `, then turned as a pair with number ${(i + d / 2) % d}`;
}

/** The dot product of a query and a key. @param {Float32Array} q @param {Float32Array} k */
export function scoreOf(q, k) {
  let sum = 0;
  for (let i = 0; i < q.length; i++) sum += q[i] * k[i];
  return sum;
}
