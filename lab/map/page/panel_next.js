// @ts-check
// The last step under the reader's hands: temperature, top-k and top-p, as exercise 15 defines them.

import { cell, el, explained, percent, put, said, shade } from "./dom.js";
import { ranked } from "./numbers.js";
import { nextTokenProbs, PLAIN } from "./sampling.js";
import { spoken, visible } from "./tokenizer.js";

/** @typedef {import("./app.js").App} App */

const SHOWN = 14;

/** @param {HTMLElement} root @param {App} app */
export function showNext(root, app) {
  const logits = app.logits(app.now, app.focus), plain = nextTokenProbs(logits, PLAIN);
  const probs = nextTokenProbs(logits, app.knobs), order = ranked(logits), kept = Array.from(probs).filter((p) => p > 0).length;
  const { temperature, topK, topP } = app.knobs;
  let sum = 0;
  const rows = order.slice(0, SHOWN).map((id) => {
    const cut = probs[id] === 0, before = sum;
    sum += probs[id];
    return el("tr", { class: cut ? "masked" : null }, el("th", { scope: "row" }, visible(app.piece(id))),
      cell(said(logits[id]), `the logit of ${spoken(app.piece(id))}: row ${id} of ${app.model.maybe("lm_head.weight") === null ? "the token table" : "the head’s own table"} times the normed stream`),
      cell(percent(plain[id]), `softmax without any knob: ${percent(plain[id])}`, shade(plain[id])),
      cell(temperature === 0 ? "–" : said(logits[id] / temperature), temperature === 0 ? "temperature 0: the likeliest token is taken" : `${said(logits[id])} / ${said(temperature)} = ${said(logits[id] / temperature)}`),
      cell(percent(probs[id]), cut ? "cut off" : `after all knobs: ${percent(probs[id])}; the tokens above it have ${percent(before)} together`, shade(probs[id], "--above")));
  });
  put(root, knobs(root, app),
    el("p", {}, temperature === 0 ? "Temperature 0 is greedy: always the likeliest token." : `${kept} of ${logits.length} tokens can be drawn${topK === null ? "" : `, at most ${topK} by top-k`}${topP === null ? "" : `, and of these the fewest that reach ${percent(topP)} together by top-p`}.`),
    explained(`After ${spoken(app.piece(app.now.ids[app.focus]))}: the ${Math.min(SHOWN, order.length)} likeliest tokens`, [el("tr", {}, ["token", "logit", "softmax", "/ temperature", "is drawn with"].map((name) => el("th", { scope: "col" }, name))), rows], "sums"));
}

/** The three knobs; a change is seen at once and keeps the focus where it is. @param {HTMLElement} root @param {App} app */
function knobs(root, app) {
  const { temperature, topK, topP } = app.knobs, vocab = app.model.config.vocab_size;
  const slider = /** @param {string} name @param {string} text @param {number} min @param {number} max @param {number} step @param {number} value @param {(value: number) => Partial<App["knobs"]>} change */ (name, text, min, max, step, value, change) =>
    el("label", { class: "knob" }, el("span", {}, text), el("input", { type: "range", id: `knob-${name}`, min, max, step, value, oninput: (/** @type {Event} */ event) => {
      app.set({ knobs: { ...app.knobs, ...change(Number(/** @type {HTMLInputElement} */ (event.target).value)) } });
      document.getElementById(`knob-${name}`)?.focus();
    } }));
  return el("div", { class: "knobs" },
    slider("temperature", `temperature ${said(temperature)}`, 0, 2, 0.05, temperature, (value) => ({ temperature: value })),
    slider("top-k", `top-k ${topK ?? "off"}`, 1, vocab, 1, topK ?? vocab, (value) => ({ topK: value >= vocab ? null : value })),
    slider("top-p", `top-p ${topP === null ? "off" : said(topP)}`, 0.05, 1, 0.05, topP ?? 1, (value) => ({ topP: value >= 1 ? null : value })));
}
