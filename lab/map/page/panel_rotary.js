// @ts-check
// Rotary positions: how the query of a head is turned, pair by pair, and why only the distance between two tokens counts.

import { cell, el, explained, put, said, shade, svg } from "./dom.js";
import { groupOf } from "./language_model.js";
import { ranked, rotate, speed } from "./numbers.js";
import { scoreOf } from "./panel_attention.js";
import { spoken } from "./tokenizer.js";

/** @typedef {import("./app.js").App} App */

const LATER = 10; // positions by which query and key are moved on together

/** @param {HTMLElement} root @param {App} app */
export function showRotary(root, app) {
  const { layer, head, focus: t } = app, { d_model: wide, n_heads: heads, n_kv_heads: kvHeads, rope_base: base = 1 } = app.model.config;
  const d = wide / heads, half = d / 2, trace = app.now, block = trace.blocks[layer], rows = trace.ids.length, name = spoken(app.piece(trace.ids[t]));
  const q = block.q.subarray(t * wide + head * d, t * wide + (head + 1) * d), after = turn(q, t, base);
  const size = Array.from({ length: half }, (_, i) => Math.hypot(q[i], q[i + half])), most = Math.max(...size);
  const angles = Array.from({ length: half }, (_, i) => t * speed(i, d, base));
  const pair = /** @param {ArrayLike<number>} x @param {number} i */ (x, i) => `(${said(x[i])}, ${said(x[i + half])})`;
  const table = angles.map((angle, i) => el("tr", {}, el("th", { scope: "row" }, i),
    cell(degrees(speed(i, d, base)), `pair ${i}: ${base} to the power of −${2 * i}/${d} = ${said(speed(i, d, base))} radians, or ${degrees(speed(i, d, base))}, for each step, from one position to the next`),
    cell(degrees(angle), `${t} × ${degrees(speed(i, d, base))} = ${degrees(angle)}, ${said(angle / (2 * Math.PI))} full turns`),
    cell(pair(q, i), `number ${i} and number ${i + half} of the query, a and b, before they are turned`),
    cell(pair(after, i), `(a cos − b sin, a sin + b cos) with cos ${said(Math.cos(angle))} and sin ${said(Math.sin(angle))}: ${pair(after, i)}; the pair is as long as before, ${said(size[i])}`, shade(size[i] / most))));
  const weights = block.weights.subarray((head * rows + t) * rows, (head * rows + t) * rows + rows), s = ranked(weights).find((each) => each !== t) ?? t;
  const group = groupOf(head, app.model.config), k = block.k.subarray((s * kvHeads + group) * d, (s * kvHeads + group + 1) * d);
  put(root,
    el("p", {}, `Block ${layer + 1}, head ${head + 1}: the query of ${name} has ${d} numbers, ${half} pairs, number i with number i + ${half}. At position ${t} each pair is turned by ${t} times its own angle, the first the fastest. Keys are turned in the same way, values not at all. Another head can be chosen under Attention.${app.hidden > 0 ? " Positions are counted from the first token that the model sees." : ""}`),
    app.without.positions ? el("p", { class: "notice" }, "The positions are switched off: nothing is turned. This shows what would be.") : null,
    el("div", { class: "columns" },
      el("figure", {}, dials(q, after, angles, most), el("figcaption", {}, "Each circle is a pair: grey as it was asked, blue as it was turned. A longer hand is a larger pair.")),
      el("section", {},
        explained(`The query of ${name} at position ${t}, pair by pair`, [el("tr", {}, ["pair", "a step", `at ${t}`, "q before", "q turned"].map((title) => el("th", { scope: "col" }, title))), table], "sums"),
        distance(app, { q, k, t, s, base }))));
}

/** A query or key of one head, turned by a position. @param {Float32Array} x @param {number} position @param {number} base */
function turn(x, position, base) {
  const out = new Float32Array(x.length);
  rotate(out, x, 1, position, base);
  return out;
}

/** @param {number} radians */
function degrees(radians) {
  return `${said((180 * radians) / Math.PI)}°`;
}

/** The pairs of a query as hands of clocks, before and after. @param {Float32Array} q @param {Float32Array} after @param {number[]} angles @param {number} most */
function dials(q, after, angles, most) {
  const half = angles.length, words = angles.map((angle, i) => `pair ${i} by ${degrees(angle)}, from (${said(q[i])}, ${said(q[i + half])}) to (${said(after[i])}, ${said(after[i + half])})`).join("; ");
  const hand = /** @param {ArrayLike<number>} x @param {number} i @param {string} kind */ (x, i, kind) =>
    svg("line", { x1: 0, y1: 0, x2: (20 * x[i]) / most, y2: (-20 * x[i + half]) / most, class: kind });
  return el("div", { class: half > 16 ? "dials many" : "dials", role: "img", "aria-label": `Turned are ${words}.` },
    angles.map((_, i) => svg("svg", { viewBox: "-24 -24 48 61", "aria-hidden": "true" },
      svg("circle", { r: 22, class: "dial" }), hand(q, i, "hand before"), hand(after, i, "hand"), svg("text", { y: 34, class: "tick", "text-anchor": "middle" }, i))));
}

/** The score of a query and a key, when both are moved together, and when one of them is moved alone.
 * @param {App} app @param {{q: Float32Array, k: Float32Array, t: number, s: number, base: number}} what
 */
function distance(app, { q, k, t, s, base }) {
  const rows = [["not", t, s], ["both + 1", t + 1, s + 1], [`both + ${LATER}`, t + LATER, s + LATER], ["query + 1", t + 1, s], ["key + 1", t, s + 1]];
  const score = /** @param {number} a @param {number} b */ (a, b) => scoreOf(turn(q, a, base), turn(k, b, base));
  const own = score(t, s), other = spoken(app.piece(app.now.ids[s])), most = Math.max(1e-9, ...rows.map(([, a, b]) => Math.abs(score(Number(a), Number(b)) - own)));
  return explained(`Only the distance counts: the query of ${spoken(app.piece(app.now.ids[t]))} at ${t}, and the key of ${other} at ${s}${s === t ? "" : ", the token that this head attends to most apart from itself"}`, [
    el("tr", {}, ["moved", "query at", "key at", "distance", "q · k"].map((title) => el("th", { scope: "col" }, title))),
    rows.map(([title, a, b]) => {
      const [at, to] = [Number(a), Number(b)], value = score(at, to), gap = value - own;
      return el("tr", {}, el("th", { scope: "row" }, String(title)), cell(at, `the query is turned as at position ${at}`), cell(to, `the key is turned as at position ${to}`), cell(at - to, `${at} − ${to} = ${at - to}`),
        cell(said(value), at - to === t - s ? `${said(value)}: the distance is ${t - s} as before, and so is the score` : `${said(value)}: another distance, ${at - to}, and the score changes by ${said(gap)}`, shade(Math.abs(gap) / most, "--above")));
    }),
  ], "sums");
}
