// @ts-check
// The feed-forward network at one position: which units answer, and how much that adds to the stream. In a SwiGLU a gate decides how far
// each unit is heard, and a unit can answer below zero as loudly as above.

import { cell, el, explained, put, said, shade } from "./dom.js";
import { activations, ranked, rowNorm } from "./numbers.js";
import { spoken, visible } from "./tokenizer.js";

/** @typedef {import("./app.js").App} App */

const UNITS = 12;

/** @param {HTMLElement} root @param {App} app */
export function showFeedForward(root, app) {
  const { layer, focus: t } = app, { d_ff: inside, d_model: wide, vocab_size: vocab, activation } = app.model.config;
  const trace = app.now, block = trace.blocks[layer], rows = trace.ids.length;
  const hidden = block.hidden.subarray(t * inside, (t + 1) * inside), inner = block.inner.subarray(t * inside, (t + 1) * inside);
  const size = Array.from(hidden, Math.abs), order = ranked(size).slice(0, UNITS), most = size[order[0]];
  const gate = block.gate?.subarray(t * inside, (t + 1) * inside) ?? null, loud = gate === null ? (/** @type {number} */ value) => value : Math.abs;
  const active = Array.from(hidden).filter((value) => loud(value) > 0.1).length;
  const table = app.model.headTable, down = app.model.values(`blocks.${layer}.feed_forward.down.weight`);
  const wants = /** @param {number} unit */ (unit) => {
    const push = new Float32Array(vocab);
    for (let id = 0; id < vocab; id++) for (let i = 0; i < wide; i++) push[id] += table[id * wide + i] * down[i * inside + unit] * Math.sign(hidden[unit]);
    return ranked(push).slice(0, 4).map((id) => visible(app.piece(id))).join(" ");
  };
  const fires = /** @param {number} unit */ (unit) => ranked(Array.from({ length: rows }, (_, s) => loud(block.hidden[s * inside + unit]))).slice(0, 3).map((s) => visible(app.piece(trace.ids[s]))).join(" ");
  const answers = /** @param {number} unit */ (unit) => {
    const colour = shade(size[unit] / most, "--feed-forward"), [up, answer] = [said(inner[unit]), said(hidden[unit])];
    if (gate === null) {
      return [cell(up, `row ${unit} of the matrix \`up\` times the normed stream, plus the bias: ${up}`), cell(answer, `${activation}(${up}) = ${answer}`, colour)];
    }
    const asked = said(gate[unit]), open = said(activations[activation](gate[unit]));
    return [
      cell(asked, `row ${unit} of the matrix \`gate\` times the normed stream: ${asked}`),
      cell(app.without.gate ? "–" : open, app.without.gate ? "the gate is switched off" : `${activation}(${asked}) = ${asked} × sigmoid(${asked}) = ${open}`),
      cell(up, `row ${unit} of the matrix \`up\` times the normed stream: ${up}`),
      cell(answer, app.without.gate ? `${answer}: without the gate, what \`up\` says` : `${answer} = ${open} × ${up}`, colour),
    ];
  };
  const [before, added] = [rowNorm(block.between, t, wide), rowNorm(block.thought, t, wide)];
  put(root,
    el("p", {}, `Block ${layer + 1}: ${inside} units look at the stream of ${spoken(app.piece(trace.ids[t]))}, one position at a time. ${active} of them answer with more than 0.1${gate === null ? "" : ", above zero or below"}. Together they add a vector of length ${said(added)} to a stream of length ${said(before)}.`),
    app.without.feedForward.has(layer) ? el("p", { class: "notice" }, "This network is switched off: it adds nothing.") : null,
    explained(`The ${UNITS} most active units`, [
      el("tr", {}, ["unit", ...(gate === null ? ["before", activation] : ["gate", `${activation}(gate)`, "up", "product"]), "fires most here at", "pushes towards"].map((name) => el("th", { scope: "col" }, name))),
      order.map((unit) => el("tr", {}, el("th", { scope: "row" }, unit),
        answers(unit),
        cell(fires(unit), `of all tokens of this text, unit ${unit} is ${gate === null ? "largest" : "furthest from zero"} at these`),
        cell(wants(unit), `column ${unit} of the matrix \`down\`, read by the head alone, favours these tokens`))),
    ], "sums"));
}
