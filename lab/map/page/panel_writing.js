// @ts-check
// The model writes, token by token, in full view.

import { el, put } from "./dom.js";
import { draw, nextTokenProbs, random } from "./sampling.js";

/** @typedef {import("./app.js").App} App */

/** Lets the model write until it is stopped. */
export class Writer {
  /** @param {App} app */
  constructor(app) {
    this.app = app;
    this.speed = 12; // tokens a second
    this.running = false;
    this.chance = random(app.seed);
    this.timer = 0;
  }

  /** One token more. */
  step() {
    const { app } = this, last = app.ids.length - 1;
    app.pinned = false;
    app.append(draw(nextTokenProbs(app.logits(app.now, last), app.knobs), this.chance()));
  }

  start() {
    this.running = true;
    const again = () => {
      if (!this.running) return;
      const began = performance.now();
      this.step();
      this.timer = window.setTimeout(again, Math.max(0, 1000 / this.speed - (performance.now() - began)));
    };
    again();
  }

  stop() {
    this.running = false;
    window.clearTimeout(this.timer);
  }

  /** Begin the seed's numbers anew, so that the same text can be written again. @param {number} seed */
  reseed(seed) {
    this.app.seed = seed;
    this.chance = random(seed);
  }

  /** The controls beside the text. @param {HTMLElement} root */
  mount(root) {
    const button = el("button", { type: "button", id: "write", class: "main", onclick: () => {
      if (this.running) this.stop();
      else this.start();
      button.textContent = this.running ? "Stop" : "Write";
    } }, "Write");
    put(root, button, el("button", { type: "button", id: "one", onclick: () => this.step() }, "One token"),
      el("label", { class: "knob" }, el("span", {}, "speed"), el("input", { type: "range", min: 1, max: 60, value: this.speed, id: "speed", oninput: (/** @type {Event} */ event) => { this.speed = Number(/** @type {HTMLInputElement} */ (event.target).value); } })),
      el("label", { class: "knob" }, el("span", {}, "seed"), el("input", { type: "number", min: 0, step: 1, value: this.app.seed, id: "seed", onchange: (/** @type {Event} */ event) => this.reseed(Number(/** @type {HTMLInputElement} */ (event.target).value) || 0) })));
  }
}
