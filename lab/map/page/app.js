// @ts-check
// What the page knows at a moment: the text, what is looked at, and the forward pass that both give.

import { whole } from "./language_model.js";

/** @typedef {import("./language_model.js").LanguageModel} LanguageModel */
/** @typedef {import("./language_model.js").Trace} Trace */
/** @typedef {import("./language_model.js").Without} Without */
/** @typedef {import("./tokenizer.js").Tokenizer} Tokenizer */
/** @typedef {import("./sampling.js").Knobs} Knobs */
/** @typedef {{name: string, exercise: string, title: string, idea: string, whose: string}} Part */
/** @typedef {{show: (app: App) => void}} View */

/** The state of the page and everybody who shows it. */
export class App {
  /**
   * @param {LanguageModel} model
   * @param {Tokenizer} tokenizer
   * @param {Record<string, Part>} parts
   * @param {any} data all that was packed
   */
  constructor(model, tokenizer, parts, data) {
    this.model = model;
    this.tokenizer = tokenizer;
    this.parts = parts;
    this.data = data;
    this.text = "";
    /** @type {number[]} every token of the text */
    this.all = [];
    this.problem = "";
    this.focus = 0; // the position that is looked at
    this.pinned = false; // whether it was chosen, and is not just the last
    this.layer = 0;
    this.head = 0;
    this.panel = "attention";
    /** @type {Without} */
    this.without = whole();
    /** @type {Knobs} */
    this.knobs = { temperature: 0.8, topK: null, topP: null };
    this.seed = 0;
    /** @type {Trace | null} */
    this.trace = null;
    /** @type {View[]} */
    this.views = [];
  }

  /** The tokens that the model sees. */
  get ids() {
    return this.all.slice(-this.model.config.context_length);
  }

  /** How many tokens lie before those. */
  get hidden() {
    return Math.max(0, this.all.length - this.model.config.context_length);
  }

  /** The forward pass of what is seen now. @returns {Trace} */
  get now() {
    if (this.trace === null) throw new Error("nothing was computed yet");
    return this.trace;
  }

  /** The logits at a position. @param {Trace} trace @param {number} position */
  logits(trace, position) {
    const vocab = this.model.config.vocab_size;
    return trace.logits.subarray(position * vocab, (position + 1) * vocab);
  }

  /** A token as text. @param {number} id */
  piece(id) {
    return this.tokenizer.piece(id);
  }

  /** Take another text. What can't be read is said, and the last text that could be read stays.
   * @param {string} text
   */
  write(text) {
    const unknown = this.tokenizer.unknown(text);
    if (unknown.length > 0) {
      this.problem = `The model has never seen ${unknown.slice(0, 8).map((c) => JSON.stringify(c)).join(", ")}${unknown.length > 8 ? " and more" : ""}: its tokenizer has no id for it. The pictures show the text without.`;
      text = Array.from(text).filter((character) => !unknown.includes(character)).join("");
    } else this.problem = "";
    this.text = text;
    this.all = text === "" ? [] : this.tokenizer.encode(text);
    if (this.all.length === 0) {
      this.all = this.tokenizer.encode(this.data.start);
      this.problem ||= "A model needs something to go on with. For an empty text it reads what stands before a new paragraph.";
    }
    this.compute();
  }

  /** Append one token. @param {number} id */
  append(id) {
    this.all = [...this.all, id];
    this.text = this.tokenizer.decode(this.all);
    this.problem = "";
    this.compute();
  }

  /** Change what is looked at or how the model runs. @param {Partial<App>} change */
  set(change) {
    Object.assign(this, change);
    this.compute();
  }

  /** Run the model, and show everything anew. */
  compute() {
    const ids = this.ids;
    this.trace = this.model.forward(ids, this.without, this.trace);
    if (!this.pinned || this.focus >= ids.length) {
      this.focus = ids.length - 1;
      this.pinned = false;
    }
    for (const view of this.views) view.show(this);
  }
}
