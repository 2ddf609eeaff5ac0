// @ts-check
// Switch a part off, or change a token, and see what becomes of the rest.

import { cell, el, explained, percent, put, said, shade } from "./dom.js";
import { readersOf, whole } from "./language_model.js";
import { ranked } from "./numbers.js";
import { nextTokenProbs, PLAIN } from "./sampling.js";
import { spoken, visible } from "./tokenizer.js";

/** @typedef {import("./app.js").App} App */
/** @typedef {import("./language_model.js").Without} Without */

const LENGTH = 60; // tokens that are written to compare

/** Everything that can be switched off, with what to expect.
 * @typedef {{key: "positions" | "mask" | "scale" | "gate", name: string, says: string}} Switch
 */

/** What each model has. @type {Switch[]} */
const SWITCHES = [
  { key: "mask", name: "causal mask", says: "Without it, every position sees the future, which it has never learned to use." },
  { key: "scale", name: "1/√d", says: "Without it, scores are larger and every head looks at almost one token alone." },
];

/** What is its own. @type {Record<string, Switch[]>} */
const OWN = {
  gpt: [{ key: "positions", name: "positions", says: "Without them, the order of the earlier tokens is lost." }],
  llama: [
    { key: "positions", name: "rotary positions", says: "Without them, no query and no key is turned, and attention can't tell how far apart two tokens are." },
    { key: "gate", name: "gate", says: "Without it, every unit of the feed-forward networks says what it has to say, whether it was asked or not." },
  ],
};

/** @param {HTMLElement} root @param {App} app */
export function showWhatIf(root, app) {
  const { architecture, n_layers: layers, n_heads: heads, n_kv_heads: kvHeads } = app.model.config, without = app.without;
  const toggle = /** @param {string} name @param {boolean} off @param {string} says @param {(next: Without) => void} change */ (name, off, says, change) =>
    el("button", { type: "button", class: "switch", id: `switch-${name.replace(/\W+/g, "-")}`, "aria-pressed": String(!off), title: says, onclick: () => {
      const next = { ...without, heads: new Set(without.heads), attention: new Set(without.attention), feedForward: new Set(without.feedForward) };
      change(next);
      app.set({ without: next });
      document.getElementById(`switch-${name.replace(/\W+/g, "-")}`)?.focus();
    } }, `${name}: ${off ? "off" : "on"}`);
  const flip = /** @template T @param {Set<T>} set @param {T} value */ (set, value) => { if (!set.delete(value)) set.add(value); };
  const numbers = Array.from({ length: layers }, (_, i) => i);
  const intact = app.model.forward(app.ids), changed = app.now;
  const anything = changed.key !== intact.key;
  const [before, after] = [intact, changed].map((trace) => nextTokenProbs(app.logits(trace, app.focus), PLAIN));
  const rows = [...new Set([...ranked(before).slice(0, 6), ...ranked(after).slice(0, 6)])].map((id) => el("tr", {}, el("th", { scope: "row" }, visible(app.piece(id))),
    cell(percent(before[id]), `the whole model gives ${spoken(app.piece(id))} ${percent(before[id])}`, shade(before[id])),
    cell(percent(after[id]), `with the parts that are off, ${percent(after[id])}`, shade(after[id], "--above"))));
  const texts = el("div", { class: "two-texts" });
  put(root,
    el("div", { class: "columns" },
      el("section", {}, el("h3", {}, "Switch off"),
        el("div", { class: "switches" }, [...OWN[architecture], ...SWITCHES].map(({ key, name, says }) => toggle(name, without[key], says, (next) => { next[key] = !next[key]; }))),
        numbers.map((layer) => el("div", { class: "switches" },
          toggle(`attention ${layer + 1}`, without.attention.has(layer), "all that attention adds in this block", (next) => flip(next.attention, layer)),
          Array.from({ length: heads }, (_, head) => toggle(`head ${layer + 1}.${head + 1}`, without.heads.has(`${layer}.${head}`), "what this head gathers", (next) => flip(next.heads, `${layer}.${head}`))),
          kvHeads === heads ? null : Array.from({ length: kvHeads }, (_, group) => {
            const readers = readersOf(group, app.model.config).map((head) => `${layer}.${head}`), off = readers.every((name) => without.heads.has(name));
            return toggle(`kv ${layer + 1}.${group + 1}`, off, "what all heads gather that share these keys and values", (next) => readers.forEach((name) => (off ? next.heads.delete(name) : next.heads.add(name))));
          }),
          toggle(`feed-forward ${layer + 1}`, without.feedForward.has(layer), "all that the network adds in this block", (next) => flip(next.feedForward, layer)))),
        el("p", {}, el("button", { type: "button", disabled: !anything, onclick: () => app.set({ without: whole() }) }, "everything on again"), " ",
          el("button", { type: "button", onclick: () => put(texts, twoTexts(app)) }, `write ${LENGTH} tokens with both`)),
        texts),
      explained(`After ${spoken(app.piece(changed.ids[app.focus]))}: ${anything ? "what changes" : "nothing is off yet"}`, [el("tr", {}, ["token", "whole", "with parts off"].map((name) => el("th", { scope: "col" }, name))), rows], "sums")),
    cause(app));
}

/** What both models write, always the likeliest token. @param {App} app */
function twoTexts(app) {
  return [["the whole model", whole()], ["with the parts that are off", app.without]].map(([name, without]) => {
    let ids = app.all, trace = null;
    for (let i = 0; i < LENGTH; i++) {
      const seen = ids.slice(-app.model.config.context_length);
      trace = app.model.forward(seen, /** @type {Without} */ (without), trace);
      ids = [...ids, ranked(app.logits(trace, seen.length - 1))[0]];
    }
    return el("figure", {}, el("figcaption", {}, String(name)), el("pre", {}, app.tokenizer.decode(ids.slice(app.all.length))));
  });
}

/** Change one token and see which parts of the stream notice. @param {App} app */
function cause(app) {
  const ids = app.ids, t = app.focus, wide = app.model.config.d_model, vocab = app.model.config.vocab_size;
  const select = el("select", { id: "instead" }, Array.from({ length: Math.min(vocab, 400) }, (_, id) => el("option", { value: id, selected: id === (ids[t] + 1) % vocab }, visible(app.piece(id)))));
  const out = el("div", {});
  const show = () => {
    const other = [...ids];
    other[t] = Number(select.value);
    const here = app.now, there = app.model.forward(other, app.without);
    const places = [["embedding", here.embedded, there.embedded], ...here.blocks.map((block, i) => [`block ${i + 1}`, block.after, there.blocks[i].after])];
    const change = /** @param {Float32Array} a @param {Float32Array} b @param {number} s */ (a, b, s) => {
      let gap = 0, size = 0;
      for (let i = s * wide; i < (s + 1) * wide; i++) { gap += (a[i] - b[i]) ** 2; size += a[i] ** 2; }
      return Math.sqrt(gap / Math.max(size, 1e-12));
    };
    const firstChange = t === ids.length - 1 ? " Choose an earlier token above, and the change runs on to all that come after it." : "";
    const earlier = Math.max(0, ...places.flatMap(([, a, b]) => Array.from({ length: t }, (_, s) => change(/** @type {Float32Array} */ (a), /** @type {Float32Array} */ (b), s))));
    put(out, explained(`How much the stream changes when ${spoken(app.piece(ids[t]))} at position ${t + app.hidden} becomes ${spoken(app.piece(other[t]))}`, [
      el("tr", {}, el("th", { scope: "col" }, "stream"), ids.map((id) => el("th", { scope: "col" }, visible(app.piece(id))))),
      places.map(([name, a, b]) => el("tr", {}, el("th", { scope: "row" }, String(name)), ids.map((id, s) => {
        const size = change(/** @type {Float32Array} */ (a), /** @type {Float32Array} */ (b), s);
        return cell(size === 0 ? "" : said(size), `after ${name}, the stream of ${spoken(app.piece(id))} at ${s + app.hidden} changes by ${percent(size)} of its length`, shade(size, "--above"));
      }))),
    ], "sums"), el("p", {}, t === 0 ? "It is the first token: nothing comes before it." : earlier === 0 ? `Nothing before position ${t + app.hidden} has changed, not even in the last digit: no arrow leads back in time.${firstChange}` : `Before position ${t + app.hidden} the largest change is ${percent(earlier)}: without the mask, the past looks at the future.`));
  };
  select.addEventListener("change", show);
  show();
  return el("section", {}, el("h3", {}, "Cause and effect"), el("p", {}, el("label", {}, "Put in the place of the token that is looked at: ", select)), out);
}
