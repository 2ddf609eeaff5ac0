// @ts-check
// The page of the original transformer: encoder and decoder, and where the decoder looks while it writes a word backwards.

import { byId, cell, el, explained, pattern, percent, put, rgb, said, shade } from "./dom.js";
import { ranked, softmax } from "./numbers.js";

/** @typedef {import("./transformer.js").Transformer} Transformer */
/** @typedef {import("./app.js").Part} Part */

/** A word, what the model makes of it, and what is looked at. */
export class Reversal {
  /** @param {Transformer} model @param {Record<string, Part>} parts */
  constructor(model, parts) {
    this.model = model;
    this.parts = parts;
    this.word = "";
    this.focus = 0; // the letter that is being written
    this.layer = model.config.n_layers - 1;
    this.head = 0;
  }

  /** What is wrong with a word, in a sentence; "" if nothing. @param {string} word */
  problem(word) {
    const { alphabet, longest } = this.model.config, unknown = [...new Set(word)].filter((letter) => !alphabet.includes(letter));
    if (unknown.length > 0) return `The model knows the small letters ${alphabet[0]} to ${alphabet[alphabet.length - 1]}; ${unknown.map((c) => JSON.stringify(c)).join(", ")} is none of them.`;
    if (Array.from(word).length > longest) return `The model has seen words of up to ${longest} letters; this one has ${Array.from(word).length}.`;
    return word === "" ? "Type a word." : "";
  }

  /** @param {string} word */
  read(word) {
    this.problemText = this.problem(word);
    if (this.problemText === "") {
      this.word = word;
      this.focus = 0;
    }
    this.show();
  }

  /** Run the model and show everything. */
  show() {
    byId("problem").textContent = this.problemText ?? "";
    if (this.word === "") return;
    const { first, bos, alphabet } = this.model.config;
    const src = Array.from(this.word, (letter) => first + alphabet.indexOf(letter));
    const { reading, writing, written } = this.model.translate(src);
    const spell = /** @param {number} id */ (id) => (id >= first ? alphabet[id - first] : id === bos ? "BOS" : "EOS");
    const answer = written.map(spell).join("");
    const right = answer === [...this.word].reverse().join("");
    put(byId("answer"), `${this.word} → `, el("b", {}, answer), right ? "  as it should be" : `  (backwards it is ${[...this.word].reverse().join("")})`);
    const said_ = [...written.map(spell), "EOS"].slice(0, writing.ids.length);
    put(byId("tokens"), said_.map((letter, t) => el("button", { type: "button", class: "token", "aria-pressed": String(t === this.focus), "aria-label": `the step that writes ${letter}`, onclick: () => { this.focus = t; this.show(); } }, letter)));
    this.draw(writing, spell, said_);
    this.patterns(reading, writing);
    this.numbers(writing, spell, said_);
  }

  /** Encoder on the left, decoder on the right, and the looks across. @param {import("./transformer.js").Writing} writing @param {(id: number) => string} spell @param {string[]} said_ */
  draw(writing, spell, said_) {
    const canvas = /** @type {HTMLCanvasElement} */ (byId("machine")), width = Math.max(560, canvas.parentElement?.clientWidth ?? 900), ratio = window.devicePixelRatio || 1;
    canvas.width = width * ratio;
    const rows = Math.max(this.word.length, writing.ids.length), lane = 28, tall = 50 + rows * lane;
    canvas.height = tall * ratio;
    canvas.style.height = `${tall}px`;
    const draw = canvas.getContext("2d");
    if (draw === null) return;
    draw.scale(ratio, ratio);
    const letters = [...this.word];
    const y = /** @param {number} t */ (t) => 40 + (t + 0.5) * lane, [ink, attention, thought] = ["--ink", "--attention", "--feed-forward"].map((name) => rgb(name).join());
    draw.textBaseline = "middle";
    draw.font = "13px system-ui, sans-serif";
    draw.fillStyle = `rgb(${ink})`;
    const [e0, e1, d0, d1] = [60, 0.36 * width, 0.64 * width, width - 70];
    draw.fillText("encoder: reads", e0, 16);
    draw.fillText("cross-attention", (e1 + d0) / 2 - 48, 16);
    draw.fillText("decoder: writes", d0, 16);
    draw.font = "14px ui-monospace, monospace";
    const { n_heads: heads } = this.model.config, keys = letters.length, queries = writing.ids.length;
    letters.forEach((letter, s) => {
      draw.fillStyle = `rgb(${ink})`;
      draw.fillText(letter, e0 - 30, y(s));
      draw.fillStyle = `rgba(${thought},0.3)`;
      draw.fillRect(e0, y(s) - lane * 0.3, e1 - e0, lane * 0.6);
    });
    writing.ids.forEach((id, t) => {
      draw.fillStyle = `rgba(${ink},${t === this.focus ? 1 : 0.6})`;
      draw.fillText(spell(id), d0 - 34, y(t));
      draw.fillText(said_[t], d1 + 14, y(t));
      draw.fillStyle = `rgba(${thought},${t === this.focus ? 0.65 : 0.3})`;
      draw.fillRect(d0, y(t) - lane * 0.3, d1 - d0, lane * 0.6);
      const weights = writing.layers[this.layer].cross.weights;
      for (let s = 0; s < keys; s++) {
        const weight = weights[(this.head * queries + t) * keys + s];
        if (weight < 0.05) continue;
        draw.strokeStyle = `rgba(${attention},${t === this.focus ? 0.3 + 0.7 * weight : 0.3 * weight})`;
        draw.lineWidth = t === this.focus ? 1 + 4 * weight : 1;
        draw.beginPath();
        draw.moveTo(e1, y(s));
        draw.bezierCurveTo(e1 + 50, y(s), d0 - 90, y(t), d0 - 40, y(t));
        draw.stroke();
      }
    });
    const row = writing.layers[this.layer].cross.weights.subarray((this.head * queries + this.focus) * keys, (this.head * queries + this.focus + 1) * keys), best = ranked(row)[0];
    canvas.setAttribute("aria-label", `The encoder has read ${this.word}. The decoder writes ${said_.join(" ")}. While it writes ${said_[this.focus]}, head ${this.head + 1} of ${heads} in layer ${this.layer + 1} attends most to letter ${best + 1}, ${letters[best]}, with ${percent(row[best])}.`);
  }

  /** All heads of all three kinds of attention. @param {import("./transformer.js").Reading} reading @param {import("./transformer.js").Writing} writing */
  patterns(reading, writing) {
    const { n_layers: layers, n_heads: heads } = this.model.config, keys = this.word.length, queries = writing.ids.length;
    const group = /** @param {string} title @param {string} says @param {(layer: number) => Float32Array} weights @param {number} rows @param {number} columns @param {boolean} chooses */ (title, says, weights, rows, columns, chooses) => {
      const grid = el("div", { class: "maps" });
      grid.style.setProperty("--heads", String(heads));
      for (let layer = 0; layer < layers; layer++) {
        for (let head = 0; head < heads; head++) {
          const canvas = el("canvas", { "aria-hidden": "true" }), all = weights(layer);
          pattern(canvas, rows, columns, (t, s) => Math.sqrt(all[(head * rows + t) * columns + s]));
          const t = Math.min(this.focus, rows - 1), row = all.subarray((head * rows + t) * columns, (head * rows + t + 1) * columns), best = ranked(row)[0];
          const words = `${layer + 1}.${head + 1}: ${title}, layer ${layer + 1}, head ${head + 1}: row ${t + 1} attends most to column ${best + 1}, ${percent(row[best])}`;
          const inside = [canvas, el("small", {}, `${layer + 1}.${head + 1}`)];
          grid.append(chooses ? el("button", { type: "button", class: "map", "aria-label": words, title: words, "aria-pressed": String(layer === this.layer && head === this.head), onclick: () => { this.layer = layer; this.head = head; this.show(); } }, inside)
            : el("div", { class: "map", role: "img", "aria-label": words, title: words }, inside));
        }
      }
      return el("section", {}, el("h3", {}, title), el("p", {}, says), grid);
    };
    put(byId("patterns"),
      group("Encoder", "Every letter looks at every other.", (layer) => reading.layers[layer].weights, keys, keys, false),
      group("Decoder, itself", "Each step sees what is written already.", (layer) => writing.layers[layer].self.weights, queries, queries, false),
      group("Cross-attention", "Rows: letters to be written; columns: letters that were read. A line from the top right to the bottom left is a word read backwards. Choose a head.", (layer) => writing.layers[layer].cross.weights, queries, keys, true));
  }

  /** The weights and the answer of the step that is looked at. @param {import("./transformer.js").Writing} writing @param {(id: number) => string} spell @param {string[]} said_ */
  numbers(writing, spell, said_) {
    const keys = this.word.length, queries = writing.ids.length, t = this.focus, { scores, weights } = writing.layers[this.layer].cross;
    const base = (this.head * queries + t) * keys, row = scores.slice(base, base + keys), most = Math.max(...row);
    const total = row.reduce((sum, score) => sum + Math.exp(score - most), 0);
    const probs = writing.logits.slice(t * writing.vocab, (t + 1) * writing.vocab);
    softmax(probs, 0, probs.length);
    const best = ranked(probs).slice(0, 6);
    put(byId("numbers"),
      explained(`Cross-attention, layer ${this.layer + 1}, head ${this.head + 1}, while it writes ${said_[t]}`, [
        el("tr", {}, ["letter", "score", "exp", "weight"].map((name) => el("th", { scope: "col" }, name))),
        [...this.word].map((letter, s) => el("tr", {}, el("th", { scope: "row" }, letter),
          cell(said(row[s]), `q of this step times k of ${letter}, over the root of their length: ${said(row[s])}`),
          cell(said(Math.exp(row[s] - most)), `exp(${said(row[s])} − ${said(most)}) = ${said(Math.exp(row[s] - most))}`),
          cell(said(weights[base + s]), `${said(weights[base + s])} = ${said(Math.exp(row[s] - most))} / ${said(total)}`, shade(weights[base + s])))),
      ], "sums"),
      explained("Its answer", [el("tr", {}, ["token", "probability"].map((name) => el("th", { scope: "col" }, name))), best.map((id) => el("tr", {}, el("th", { scope: "row" }, spell(id)), cell(percent(probs[id]), `${spell(id)} gets ${percent(probs[id])}`, shade(probs[id], "--above"))))], "sums"));
  }
}
