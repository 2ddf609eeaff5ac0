// @ts-check
// The residual stream from block to block: how it grows, and what it would answer already (the logit lens).

import { cell, el, explained, percent, put, said, shade, svg } from "./dom.js";
import { ranked, rowNorm } from "./numbers.js";
import { nextTokenProbs, PLAIN } from "./sampling.js";
import { spoken, visible } from "./tokenizer.js";

/** @typedef {import("./app.js").App} App */


/** @param {HTMLElement} root @param {App} app */
export function showStream(root, app) {
  const { now: trace, focus: t } = app, wide = app.model.config.d_model;
  const layers = app.model.lens(trace, t), final = ranked(app.logits(trace, t))[0];
  const streams = [trace.embedded, ...trace.blocks.flatMap((block) => [block.between, block.after])];
  const lengths = streams.map((stream) => rowNorm(stream, t, wide));
  const rows = layers.map(({ place, logits }, i) => {
    const probs = nextTokenProbs(logits, PLAIN), best = ranked(probs).slice(0, 5);
    return el("tr", {}, el("th", { scope: "row" }, place), cell(said(lengths[i]), `the length of the stream ${place}: ${said(lengths[i])}`),
      best.map((id) => cell([visible(app.piece(id)), " ", el("small", {}, percent(probs[id]))], `${place}, the final norm and the head would give ${spoken(app.piece(id))} ${percent(probs[id])}`, shade(probs[id], id === final ? "--above" : "--attention"))));
  });
  put(root,
    el("p", {}, `What would the model say after ${spoken(app.piece(trace.ids[t]))} if it ended earlier? The final norm and the head read the stream after each sublayer. Its answer in the end, ${spoken(app.piece(final))}, is orange.`),
    el("div", { class: "columns lens" }, explained("The logit lens", [el("tr", {}, ["where", "length", "1st", "2nd", "3rd", "4th", "5th"].map((name) => el("th", { scope: "col" }, name))), rows], "sums"), growth(lengths, layers.map((each) => each.place))));
}

/** The length of the stream as a line. @param {number[]} lengths @param {string[]} places */
function growth(lengths, places) {
  const most = Math.max(...lengths), x = /** @param {number} i */ (i) => 40 + (i * 300) / Math.max(1, lengths.length - 1), y = /** @param {number} v */ (v) => 150 - (120 * v) / most;
  const words = lengths.map((value, i) => `${places[i]} ${said(value)}`).join(", ");
  return el("figure", {}, svg("svg", { viewBox: "0 0 380 190", role: "img", "aria-label": `The length of the residual stream: ${words}` },
    svg("line", { x1: 40, y1: 150, x2: 345, y2: 150, class: "axis" }),
    svg("polyline", { points: lengths.map((value, i) => `${x(i)},${y(value)}`).join(" "), class: "curve" }),
    lengths.map((value, i) => svg("circle", { cx: x(i), cy: y(value), r: 4, class: i % 2 ? "dot attention" : "dot feed_forward" })),
    lengths.map((value, i) => svg("text", { x: x(i), y: y(value) - 9, class: "tick", "text-anchor": "middle" }, said(value))),
    svg("text", { x: 40, y: 175, class: "tick" }, "embedding"), svg("text", { x: 340, y: 175, class: "tick", "text-anchor": "end" }, "last block")),
  el("figcaption", {}, "The stream grows as each sublayer adds to it."));
}
