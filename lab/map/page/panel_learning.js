// @ts-check
// How the model came to be: the loss curve beside what counting letters reaches, and what it wrote on the way.

import { el, put, said, svg } from "./dom.js";

/** @typedef {{history: {step: number, train_loss: number, val_loss: number}[], levels: Record<string, number>, unit: string, samples: {step: number, text: string}[]}} Learned */

/** @param {HTMLElement} root @param {Learned} learned */
export function showLearning(root, { history, levels, unit, samples }) {
  if (history.length === 0) {
    put(root, el("p", {}, "This run has kept no history."));
    return;
  }
  const wide = 780, high = 260, left = 44, last = history[history.length - 1].step;
  const values = [...history.flatMap((row) => [row.train_loss, row.val_loss]), ...Object.values(levels)].filter(Number.isFinite);
  const [least, most] = [Math.min(...values) - 0.1, Math.max(...values) + 0.1];
  const x = /** @param {number} step */ (step) => left + ((wide - left - 180) * step) / last, y = /** @param {number} loss */ (loss) => 10 + ((high - 40) * (most - loss)) / (most - least);
  const words = `Held-out loss: ${history.map((row) => `step ${row.step}: ${said(row.val_loss)}`).join(", ")}. Levels: ${Object.entries(levels).map(([name, loss]) => `${name} ${said(loss)}`).join(", ")}.`;
  const picture = svg("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": words },
    Object.entries(levels).map(([name, loss]) => [svg("line", { x1: left, x2: wide - 175, y1: y(loss), y2: y(loss), class: "level" }), svg("text", { x: wide - 170, y: y(loss) + 4, class: "tick" }, `${name} ${said(loss)}`)]),
    svg("polyline", { class: "curve train", points: history.map((row) => `${x(row.step)},${y(row.train_loss)}`).join(" ") }),
    svg("polyline", { class: "curve", points: history.map((row) => `${x(row.step)},${y(row.val_loss)}`).join(" ") }),
    history.map((row) => svg("circle", { cx: x(row.step), cy: y(row.val_loss), r: 3, class: "dot attention" })),
    svg("line", { class: "axis", x1: left, x2: wide - 180, y1: high - 28, y2: high - 28 }),
    svg("text", { class: "tick", x: left, y: high - 10 }, "step 0"), svg("text", { class: "tick", x: wide - 180, y: high - 10, "text-anchor": "end" }, `step ${last}`),
    [Math.ceil(least * 2) / 2, Math.floor(most * 2) / 2].map((loss) => svg("text", { class: "tick", x: left - 6, y: y(loss) + 4, "text-anchor": "end" }, said(loss))));
  put(root, el("figure", {}, picture, el("figcaption", {}, `Loss in nats per ${unit}: blue on text that was held out, grey on each batch. Dashed: levels to compare with.`)), samples.length > 0 ? slider(samples) : null);
}

/** What the model wrote at each evaluation. @param {{step: number, text: string}[]} samples */
function slider(samples) {
  const text = el("pre", {}), caption = el("figcaption", { "aria-live": "polite" });
  const show = /** @param {number} i */ (i) => {
    text.textContent = samples[i].text;
    caption.textContent = `After ${samples[i].step} steps it wrote:`;
  };
  show(samples.length - 1);
  return el("figure", {}, el("label", { class: "knob" }, el("span", {}, "evaluation"), el("input", { type: "range", min: 0, max: samples.length - 1, value: samples.length - 1, oninput: (/** @type {Event} */ event) => show(Number(/** @type {HTMLInputElement} */ (event.target).value)) })), caption, text);
}
