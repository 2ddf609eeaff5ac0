// @ts-check
// Unpacks what the page carries, and sets everything up.

import { App } from "./app.js";
import { byId, el, put, said } from "./dom.js";
import { LanguageModel } from "./language_model.js";
import { Machine } from "./machine.js";
import { largestGap } from "./numbers.js";
import { showAttention } from "./panel_attention.js";
import { showEmbedding } from "./panel_embedding.js";
import { showFeedForward } from "./panel_feed_forward.js";
import { showLearning } from "./panel_learning.js";
import { showNext } from "./panel_next.js";
import { showRotary } from "./panel_rotary.js";
import { showStream } from "./panel_stream.js";
import { showWhatIf } from "./panel_what_if.js";
import { Writer } from "./panel_writing.js";
import { Reversal } from "./reversal.js";
import { bytesOf, readTensors } from "./safetensors.js";
import { spoken, tokenizerOf, visible } from "./tokenizer.js";
import { Transformer } from "./transformer.js";

/** The panels under the machine: name, title, the part that they are about, and who shows them. A part that the model lacks has none.
 * @type {[string, string, string, (root: HTMLElement, app: App) => void][]}
 */
const PANELS = [
  ["embedding", "Embedding", "embedding", showEmbedding],
  ["positions", "Rotary positions", "rotary", showRotary],
  ["attention", "Attention", "attention", showAttention],
  ["feed-forward", "Feed-forward", "feed_forward", showFeedForward],
  ["stream", "Stream and logit lens", "head", showStream],
  ["next", "Next token", "sampling", showNext],
  ["what-if", "What if …", "model", showWhatIf],
  ["learning", "How it learned", "training", (root, app) => showLearning(root, app.data.learned)],
];

/** The page of a GPT or a Llama. @param {any} data @param {Map<string, import("./safetensors.js").Tensor>} tensors */
export function openText(data, tensors) {
  const model = new LanguageModel(data.config, tensors), app = new App(model, tokenizerOf(data.tokenizer), data.parts, data);
  sayWhetherItAgrees(data, largestGap(model.forward(data.check.ids).logits, data.check.logits));
  const input = /** @type {HTMLTextAreaElement} */ (byId("text"));
  const writer = new Writer(app);
  writer.mount(byId("writing"));
  input.addEventListener("input", () => {
    app.pinned = false;
    writer.reseed(app.seed);
    app.write(input.value);
  });
  const tabs = byId("tabs"), panel = byId("panel"), panels = PANELS.filter(([, , part]) => part in app.parts);
  put(tabs, panels.map(([name, title]) => el("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "panel", onclick: () => app.set({ panel: name }) }, title)));
  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    const at = panels.findIndex(([name]) => name === app.panel), [next] = panels[(at + step + panels.length) % panels.length];
    app.set({ panel: next });
    byId(`tab-${next}`).focus();
  });
  app.views.push(
    { show: () => { if (document.activeElement !== input || input.value !== app.text) { if (app.problem === "" && input.value !== app.text) input.value = app.text; } byId("problem").textContent = app.problem || tooLong(app); } },
    { show: showTokens },
    new Machine(app),
    { show: () => {
      for (const [name, , part, show] of panels) {
        const tab = byId(`tab-${name}`), chosen = name === app.panel;
        tab.setAttribute("aria-selected", String(chosen));
        tab.tabIndex = chosen ? 0 : -1;
        if (!chosen) continue;
        panel.setAttribute("aria-labelledby", tab.id);
        const about = app.parts[part];
        put(byId("idea"), el("b", {}, `${about.exercise}, ${about.title}`), ` (${about.whose}). ${about.idea}`);
        const scrolled = panel.querySelector(".scroll")?.scrollTop ?? 0;
        show(panel, app);
        const again = panel.querySelector(".scroll");
        if (again !== null) again.scrollTop = scrolled;
      }
    } });
  window.addEventListener("resize", () => app.compute());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => app.compute());
  input.value = data.begin;
  app.write(data.begin);
  return app;
}

/** @param {App} app */
function tooLong(app) {
  return app.hidden === 0 ? "" : `The model sees the last ${app.model.config.context_length} tokens; the ${app.hidden} before them are out of its sight.`;
}

/** The tokens that the model sees, one of which is looked at. @param {App} app */
function showTokens(app) {
  const list = byId("tokens"), inside = list.contains(document.activeElement);
  put(list, app.ids.map((id, t) => el("button", { type: "button", class: "token", "aria-pressed": String(t === app.focus), tabindex: t === app.focus ? "0" : "-1",
    "aria-label": `${spoken(app.piece(id))}, position ${t + app.hidden}, id ${id}`, title: `id ${id}`, onclick: () => app.set({ focus: t, pinned: t < app.ids.length - 1 }) }, visible(app.piece(id)))));
  if (inside) /** @type {HTMLElement} */ (list.children[app.focus]).focus();
  list.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const focus = Math.max(0, Math.min(app.ids.length - 1, app.focus + step));
    app.set({ focus, pinned: focus < app.ids.length - 1 });
  };
}

/** The page of an encoder and decoder. @param {any} data @param {Map<string, import("./safetensors.js").Tensor>} tensors */
export function openReversal(data, tensors) {
  const model = new Transformer(data.config, tensors), page = new Reversal(model, data.parts);
  const { memory } = model.encode(data.check.src);
  sayWhetherItAgrees(data, largestGap(model.decode(data.check.ids, memory).logits, data.check.logits));
  const input = /** @type {HTMLInputElement} */ (byId("text"));
  input.addEventListener("input", () => page.read(input.value));
  put(byId("idea"), ["encoder", "decoder", "cross"].map((name) => el("p", {}, el("b", {}, `${data.parts[name].exercise}, ${data.parts[name].title}`), ` (${data.parts[name].whose}). ${data.parts[name].idea}`)));
  showLearning(byId("learning"), data.learned);
  window.addEventListener("resize", () => page.show());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => page.show());
  input.value = data.begin;
  page.read(data.begin);
  return page;
}

/** The page computes the model anew. Whether that gives the numbers that the model itself gave is said, not hoped. @param {any} data @param {number} gap */
function sayWhetherItAgrees(data, gap) {
  const line = byId("agrees"), fine = gap <= data.check.tolerance;
  line.textContent = fine
    ? `The numbers of this page are those of ${data.whose}: on a text that was kept for it, the largest difference of a logit is ${said(gap)}.`
    : `Careful: on a text that was kept for it, this page's logits differ by up to ${said(gap)} from those of ${data.whose}. The model computes something other than the page does, so what you see here is not quite what it does.`;
  line.className = fine ? "" : "notice";
}

/** Everything, from what stands in the page.
 * @returns {App | Reversal}
 */
export function open() {
  const data = JSON.parse(byId("data").textContent ?? "");
  try {
    const tensors = readTensors(bytesOf((byId("weights").textContent ?? "").trim()));
    return data.task === "reverse" ? openReversal(data, tensors) : openText(data, tensors);
  } catch (error) {
    byId("problem").textContent = `The weights in this page can't be used: ${error instanceof Error ? error.message : error}. Write it again: make map`;
    throw error;
  }
}

