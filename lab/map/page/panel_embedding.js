// @ts-check
// From a token to the first vector of the residual stream, number by number.

import { el, put, said, strip, explained } from "./dom.js";
import { spoken, visible } from "./tokenizer.js";

/** @typedef {import("./app.js").App} App */

/** @param {HTMLElement} root @param {App} app */
export function showEmbedding(root, app) {
  const { now: trace, focus: t } = app, wide = app.model.config.d_model;
  const id = trace.ids[t], row = /** @param {Float32Array} x */ (x) => x.subarray(t * wide, (t + 1) * wide);
  const token = row(trace.token), sum = row(trace.embedded);
  const place = Float32Array.from(sum, (value, i) => value - token[i]), caption = `The embedding of ${spoken(app.piece(id))}, ${wide} numbers (blue below zero, orange above)`;
  if (app.model.config.architecture === "llama") {
    put(root,
      el("p", {}, `${visible(app.piece(id))} has the id ${id} of ${app.model.config.vocab_size}. Row ${id} of the table of token embeddings is where the stream begins: ${wide} numbers that say what the token is. Where it stands is nowhere in them; attention alone asks about that, by turning queries and keys.`),
      explained(caption, [strip("stream", sum, (i) => `token embedding, row ${id}, column ${i}: ${said(sum[i])}; nothing is added to it`)], "strip"));
    return;
  }
  put(root,
    el("p", {}, `${visible(app.piece(id))} has the id ${id} of ${app.model.config.vocab_size}. Row ${id} of the table of token embeddings and row ${t} of the table of positions are added: ${wide} numbers that say what the token is and where it stands.`),
    app.without.positions ? el("p", { class: "notice" }, "The positions are switched off: nothing is added.") : null,
    explained(caption, [
      strip("token", token, (i) => `token embedding, row ${id}, column ${i}: ${said(token[i])}`),
      strip("+ position", place, (i) => `position embedding, row ${t}, column ${i}: ${said(place[i])}`),
      strip("= stream", sum, (i) => `stream, column ${i}: ${said(token[i])} + ${said(place[i])} = ${said(sum[i])}`),
    ], "strip"));
}
