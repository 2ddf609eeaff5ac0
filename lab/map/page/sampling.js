// @ts-check
// Exercise 15 in JavaScript: from logits to a token.

import { ranked, softmax } from "./numbers.js";

/** @typedef {{temperature: number, topK: number | null, topP: number | null}} Knobs */

/** No knob is turned: as the model was trained. @type {Knobs} */
export const PLAIN = { temperature: 1, topK: null, topP: null };

/** The distribution that the next token is drawn from: temperature, then top-k, then top-p on what top-k kept.
 * @param {Float32Array} logits (V,)
 * @param {Knobs} knobs temperature 0 is greedy
 * @returns {Float32Array} (V,)
 */
export function nextTokenProbs(logits, { temperature, topK, topP }) {
  const order = ranked(logits);
  const out = new Float32Array(logits.length);
  if (temperature === 0) {
    out[order[0]] = 1;
    return out;
  }
  const kept = topK === null ? order : order.slice(0, topK);
  const some = Float32Array.from(kept, (id) => (logits[id] - logits[order[0]]) / temperature);
  softmax(some, 0, some.length);
  let stop = kept.length;
  if (topP !== null) {
    let sum = 0;
    for (stop = 0; stop < kept.length && (stop === 0 || sum < topP); stop++) sum += some[stop];
  }
  let total = 0;
  for (let i = 0; i < stop; i++) total += some[i];
  for (let i = 0; i < stop; i++) out[kept[i]] = some[i] / total;
  return out;
}

/** A source of numbers in [0, 1) that gives the same ones for the same seed (mulberry32).
 * @param {number} seed
 */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 4294967296;
  };
}

/** A token drawn from a distribution.
 * @param {Float32Array} probs
 * @param {number} chance in [0, 1)
 */
export function draw(probs, chance) {
  let sum = 0, last = 0;
  for (let id = 0; id < probs.length; id++) {
    if (probs[id] > 0) last = id;
    sum += probs[id];
    if (chance < sum) return id;
  }
  return last; // rounding: the sum may stay a hair below 1
}
