// @ts-check
// The whole machine in one picture: every token a lane, the residual stream running from left to right.

import { byId, el, percent, put, rgb, said } from "./dom.js";
import { ranked, rowNorm } from "./numbers.js";
import { nextTokenProbs } from "./sampling.js";
import { spoken, visible } from "./tokenizer.js";

/** @typedef {import("./app.js").App} App */
/** @typedef {import("./app.js").View} View */
/** @typedef {{key: string, name: string, part: string, from: number, to: number, panel: string, layer?: number, also?: string}} Stage `also` is a part that works inside it; places are shares of the width */

const HEIGHT = 430;
const BARS = 8;

/** The parts of the machine from left to right.
 * @param {number} layers
 * @param {boolean} places whether the positions are added to the embeddings
 * @returns {Stage[]}
 */
export function stages(layers, places) {
  const left = 0.17, right = 0.905, step = (right - left) / layers;
  /** @type {Stage[]} */
  const found = [
    { key: "tokens", name: "Tokens", part: "tokenizer", from: 0, to: 0.075, panel: "embedding" },
    { key: "embedding", name: places ? "Embed + place" : "Embed", part: "embedding", from: 0.075, to: left, panel: "embedding" },
  ];
  for (let layer = 0; layer < layers; layer++) {
    const begin = left + layer * step;
    found.push({ key: `attention-${layer}`, name: `Attention ${layer + 1}`, part: "attention", also: "rotary", from: begin, to: begin + 0.62 * step, panel: "attention", layer });
    found.push({ key: `feed-forward-${layer}`, name: `Feed-forward ${layer + 1}`, part: "feed_forward", from: begin + 0.62 * step, to: begin + step, panel: "feed-forward", layer });
  }
  found.push({ key: "norm", name: "Norm + head", part: "head", from: right, to: 1, panel: "stream" });
  return found;
}

/** Draws the machine, and lets its parts be opened. @implements {View} */
export class Machine {
  /** @param {App} app */
  constructor(app) {
    this.canvas = /** @type {HTMLCanvasElement} */ (byId("machine"));
    this.stages = stages(app.model.config.n_layers, app.model.config.architecture === "gpt");
    this.labels = byId("stages");
    put(this.labels, this.stages.map((stage) => this.label(stage, app)));
    this.bars = byId("bars");
    byId("next-part").textContent = `${app.parts.sampling.exercise} · ${app.parts.sampling.whose}`;
  }

  /** @param {Stage} stage @param {App} app */
  label(stage, app) {
    const part = app.parts[stage.part], inside = app.parts[stage.also ?? ""];
    const label = inside === undefined ? `${part.exercise} · ${part.whose}` : inside.whose === part.whose ? `${inside.exercise}, ${part.exercise} · ${part.whose}` : `${inside.exercise} · ${inside.whose}, ${part.exercise} · ${part.whose}`;
    const button = el("button", { type: "button", class: `stage ${stage.part}`, title: part.idea, "data-stage": stage.key,
      onclick: () => { app.set({ panel: stage.panel, ...(stage.layer === undefined ? {} : { layer: stage.layer }) }); byId("zoom").scrollIntoView({ block: "nearest" }); } },
      el("b", {}, stage.name), el("small", { title: label }, label));
    button.style.setProperty("--from", String(stage.from));
    button.style.setProperty("--to", String(stage.to));
    return button;
  }

  /** @param {App} app */
  show(app) {
    this.draw(app);
    const logits = app.logits(app.now, app.focus), probs = nextTokenProbs(logits, app.knobs), order = ranked(probs).slice(0, BARS);
    put(this.bars, order.map((id) => {
      const bar = el("span", { class: "bar" });
      bar.style.width = `${100 * probs[id]}%`;
      return el("li", {}, el("button", { type: "button", title: "append this token", onclick: () => app.append(id) }, visible(app.piece(id))), el("span", { class: "track" }, bar), el("span", { class: "figure" }, percent(probs[id])));
    }));
    for (const button of this.labels.querySelectorAll("button")) {
      const stage = this.stages.find((each) => each.key === button.dataset.stage);
      button.setAttribute("aria-pressed", String(stage !== undefined && stage.panel === app.panel && (stage.layer === undefined ? stage.panel !== "embedding" || stage.key === "embedding" : stage.layer === app.layer)));
    }
  }

  /** @param {App} app */
  draw(app) {
    const { now: trace, focus, canvas } = { now: app.now, focus: app.focus, canvas: this.canvas };
    const width = Math.max(560, canvas.parentElement?.clientWidth ?? 900), ratio = window.devicePixelRatio || 1;
    canvas.width = width * ratio;
    canvas.height = HEIGHT * ratio;
    canvas.style.height = `${HEIGHT}px`;
    const draw = canvas.getContext("2d");
    if (draw === null) return;
    draw.scale(ratio, ratio);
    const [ink, attention, thought, place] = ["--ink", "--attention", "--feed-forward", "--embedding"].map((name) => rgb(name).join());
    const rows = trace.ids.length, lane = Math.min(26, (HEIGHT - 20) / rows);
    const y = /** @param {number} t */ (t) => (HEIGHT - lane * rows) / 2 + (t + 0.5) * lane;
    const wide = app.model.config.d_model, heads = app.model.config.n_heads;
    const streams = [trace.embedded, ...trace.blocks.flatMap((block) => [block.between, block.after])];
    const most = Math.max(...streams.map((stream) => Math.max(...Array.from({ length: rows }, (_, t) => rowNorm(stream, t, wide)))));
    const thick = /** @param {Float32Array} stream @param {number} t */ (stream, t) => 0.5 + Math.min(9, lane * 0.55) * Math.sqrt(rowNorm(stream, t, wide) / most);

    draw.textBaseline = "middle";
    draw.font = `${Math.max(8, Math.min(14, lane * 0.8))}px ui-monospace, monospace`;
    for (let t = 0; t < rows; t++) {
      draw.fillStyle = `rgba(${ink},${t === focus ? 1 : 0.62})`;
      draw.fillText(visible(app.piece(trace.ids[t])).slice(0, 6), 8, y(t));
      const x0 = 0.075 * width, x1 = 0.17 * width;
      line(draw, `rgba(${place},${t === focus ? 0.9 : 0.4})`, thick(trace.embedded, t), x0, y(t), x1, y(t));
    }
    trace.blocks.forEach((block, layer) => {
      const look = this.stages.find((each) => each.key === `attention-${layer}`), think = this.stages.find((each) => each.key === `feed-forward-${layer}`);
      if (look === undefined || think === undefined) return;
      const [a0, a1, f1] = [look.from * width, look.to * width, think.to * width];
      const before = layer === 0 ? trace.embedded : trace.blocks[layer - 1].after;
      const chosen = layer === app.layer ? [app.head] : Array.from({ length: heads }, (_, head) => head);
      for (let t = 0; t < rows; t++) {
        const own = t === focus;
        line(draw, `rgba(${ink},${own ? 0.75 : 0.25})`, thick(before, t), a0, y(t), a1, y(t));
        for (let s = 0; s < rows; s++) {
          let weight = 0;
          for (const head of chosen) weight += block.weights[(head * rows + t) * rows + s] / chosen.length;
          if (s === t || weight < (own ? 0.01 : 0.12)) continue;
          draw.strokeStyle = `rgba(${attention},${own ? Math.min(1, 0.2 + weight) : 0.25 * weight})`;
          draw.lineWidth = own ? 0.6 + 4 * weight : 0.8;
          draw.beginPath();
          draw.moveTo(a0 + 4, y(s));
          draw.bezierCurveTo(a0 + 0.55 * (a1 - a0), y(s), a0 + 0.45 * (a1 - a0), y(t), a1 - 4, y(t));
          draw.stroke();
        }
        line(draw, `rgba(${ink},${own ? 0.75 : 0.25})`, thick(block.between, t), a1, y(t), f1, y(t));
        const size = rowNorm(block.thought, t, wide) / Math.max(1e-9, rowNorm(block.between, t, wide));
        draw.fillStyle = `rgba(${thought},${own ? 0.95 : 0.45})`;
        draw.beginPath();
        draw.arc((a1 + f1) / 2, y(t), Math.min(lane * 0.48, 1 + lane * 0.4 * Math.min(1.2, size)), 0, 2 * Math.PI);
        draw.fill();
      }
    });
    const last = trace.blocks.at(-1)?.after ?? trace.embedded;
    for (let t = 0; t < rows; t++) line(draw, `rgba(${ink},${t === focus ? 0.75 : 0.25})`, thick(last, t), 0.905 * width, y(t), width, y(t));
    canvas.setAttribute("aria-label", told(app));
  }
}

/** The picture in words, with its figures. @param {App} app */
export function told(app) {
  const trace = app.now, wide = app.model.config.d_model, rows = trace.ids.length, t = app.focus;
  const lengths = [trace.embedded, ...trace.blocks.map((block) => block.after)].map((stream) => said(rowNorm(stream, t, wide)));
  const looks = trace.blocks.map((block, layer) => {
    const sums = Array.from({ length: rows }, (_, s) => {
      let sum = 0;
      for (let head = 0; head < app.model.config.n_heads; head++) sum += block.weights[(head * rows + t) * rows + s];
      return sum / app.model.config.n_heads;
    });
    const best = ranked(sums)[0];
    return `in block ${layer + 1} it attends most to ${spoken(app.piece(trace.ids[best]))} at position ${best + app.hidden} (${percent(sums[best])} on average over the heads)`;
  });
  const probs = nextTokenProbs(app.logits(trace, t), app.knobs), best = ranked(probs)[0];
  return `${rows} tokens as lanes. Token ${spoken(app.piece(trace.ids[t]))} at position ${t + app.hidden} is followed: ${looks.join("; ")}. The length of its stream grows like this: ${lengths.join(", ")}. The likeliest next token is ${spoken(app.piece(best))}, ${percent(probs[best])}.`;
}

/** @param {CanvasRenderingContext2D} draw @param {string} colour @param {number} thick @param {number} x0 @param {number} y0 @param {number} x1 @param {number} y1 */
function line(draw, colour, thick, x0, y0, x1, y1) {
  draw.strokeStyle = colour;
  draw.lineWidth = thick;
  draw.beginPath();
  draw.moveTo(x0, y0);
  draw.lineTo(x1, y1);
  draw.stroke();
}
