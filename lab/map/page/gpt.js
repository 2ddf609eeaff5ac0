// @ts-check
// Exercise 13 in JavaScript: the forward pass of a GPT, with everything in between kept to be looked at.

import { activations, layerNorm, linear, softmax } from "./numbers.js";

/** @typedef {import("./safetensors.js").Tensor} Tensor */
/** @typedef {{context_length: number, d_model: number, n_heads: number, n_layers: number, d_ff: number, vocab_size: number, activation: string, norm_eps: number}} Config */

/** What is switched off, to see what it was good for.
 * @typedef {{heads: Set<string>, attention: Set<number>, feedForward: Set<number>, positions: boolean, mask: boolean, scale: boolean}} Without
 */

/** One block's insides. Rows are positions; head h has the columns h * d to (h + 1) * d - 1.
 * @typedef {{normed: Float32Array, q: Float32Array, k: Float32Array, v: Float32Array, scores: Float32Array, weights: Float32Array, mixed: Float32Array, attention: Float32Array, between: Float32Array, normed2: Float32Array, inner: Float32Array, hidden: Float32Array, thought: Float32Array, after: Float32Array}} BlockTrace
 */

/** A forward pass: the residual stream before the first block (`embedded`), each block's insides, the final norm, the logits.
 * @typedef {{ids: number[], token: Float32Array, embedded: Float32Array, blocks: BlockTrace[], normed: Float32Array, logits: Float32Array, key: string}} Trace
 */

/** Nothing is switched off. @returns {Without} */
export function whole() {
  return { heads: new Set(), attention: new Set(), feedForward: new Set(), positions: false, mask: false, scale: false };
}

/** @param {Without} without */
function keyOf(without) {
  return JSON.stringify(Object.values(without).map((each) => (each instanceof Set ? [...each].sort() : each)));
}

/** The GPT of exercise 13. */
export class GPT {
  /** @param {Config} config  @param {Map<string, Tensor>} tensors by the names of the learner's attributes */
  constructor(config, tensors) {
    this.config = config;
    this.tensors = tensors;
  }

  /** A parameter's numbers. @param {string} name */
  values(name) {
    const tensor = this.tensors.get(name);
    if (tensor === undefined) throw new Error(`the weights lack ${name}`);
    return tensor.values;
  }

  /** A parameter's numbers, or null where the model was built without. @param {string} name */
  maybe(name) {
    return this.tensors.get(name)?.values ?? null;
  }

  /** Run the model. What a former pass has computed for the same beginning of the text is taken from there.
   * @param {number[]} ids at most context_length of them, at least one
   * @param {Without} [without] what is switched off
   * @param {Trace | null} [former] an earlier pass
   * @returns {Trace}
   */
  forward(ids, without = whole(), former = null) {
    const { d_model: width, n_layers: layers, context_length: longest } = this.config;
    if (ids.length < 1 || ids.length > longest) throw new Error(`1 to ${longest} tokens, not ${ids.length}`);
    const key = keyOf(without);
    let from = 0;
    if (former !== null && former.key === key && !without.mask) {
      while (from < ids.length - 1 && former.ids[from] === ids[from]) from++;
      if (from === ids.length - 1 && former.ids[from] === ids[from] && former.ids.length === ids.length) return former;
    }
    const rows = ids.length;
    const token = grown(former?.token, rows * width, from * width);
    const embedded = grown(former?.embedded, rows * width, from * width);
    const table = this.values("token_embedding.weight");
    const places = this.values("position_embedding.weight");
    for (let t = from; t < rows; t++) {
      for (let i = 0; i < width; i++) {
        token[t * width + i] = table[ids[t] * width + i];
        embedded[t * width + i] = token[t * width + i] + (without.positions ? 0 : places[t * width + i]);
      }
    }
    const blocks = [];
    /** @type {Float32Array} */
    let stream = embedded;
    for (let layer = 0; layer < layers; layer++) {
      const block = this.block(layer, stream, rows, from, without, former?.blocks[layer] ?? null, former?.ids.length ?? 0);
      blocks.push(block);
      stream = block.after;
    }
    const normed = grown(former?.normed, rows * width, from * width);
    layerNorm(normed, stream, this.values("final_norm.weight"), this.values("final_norm.bias"), this.config.norm_eps, from, rows);
    const logits = grown(former?.logits, rows * this.config.vocab_size, from * this.config.vocab_size);
    this.head(logits, normed, from, rows);
    return { ids: [...ids], token, embedded, blocks, normed, logits, key };
  }

  /** The head: a score for each token. @param {Float32Array} out @param {Float32Array} normed @param {number} from @param {number} to */
  head(out, normed, from, to) {
    linear(out, normed, this.values("token_embedding.weight"), null, this.config.d_model, this.config.vocab_size, from, to);
  }

  /** One block, its insides kept.
   * @param {number} layer
   * @param {Float32Array} stream (rows, width) the residual stream that comes in
   * @param {number} rows
   * @param {number} from rows before it are taken from `former`
   * @param {Without} without
   * @param {BlockTrace | null} former
   * @param {number} formerRows
   * @returns {BlockTrace}
   */
  block(layer, stream, rows, from, without, former, formerRows) {
    const { d_model: width, n_heads: heads, d_ff: inside, norm_eps: eps } = this.config;
    const name = `blocks.${layer}`;
    const wide = rows * width, done = from * width;
    const at = /** @param {string} part */ (part) => grown(former?.[/** @type {keyof BlockTrace} */ (part)], wide, done);
    const normed = at("normed"), q = at("q"), k = at("k"), v = at("v"), mixed = at("mixed"), attention = at("attention");
    const between = at("between"), normed2 = at("normed2"), thought = at("thought"), after = at("after");
    layerNorm(normed, stream, this.values(`${name}.norm1.weight`), this.values(`${name}.norm1.bias`), eps, from, rows);
    for (const [out, projection] of /** @type {[Float32Array, string][]} */ ([[q, "q_proj"], [k, "k_proj"], [v, "v_proj"]])) {
      const weight = this.values(`${name}.attention.${projection}.weight`);
      linear(out, normed, weight, this.maybe(`${name}.attention.${projection}.bias`), width, width, from, rows);
    }
    const scores = squares(former?.scores, heads, rows, from, formerRows);
    const weights = squares(former?.weights, heads, rows, from, formerRows);
    attend({ q, k, v, scores, weights, mixed }, { heads, width, queries: rows, keys: rows, from, causal: !without.mask, scaled: !without.scale });
    for (let head = 0; head < heads; head++) {
      if (!without.heads.has(`${layer}.${head}`)) continue;
      const d = width / heads;
      for (let t = from; t < rows; t++) mixed.fill(0, t * width + head * d, t * width + (head + 1) * d);
    }
    const out = this.values(`${name}.attention.out_proj.weight`);
    linear(attention, mixed, out, this.maybe(`${name}.attention.out_proj.bias`), width, width, from, rows);
    if (without.attention.has(layer)) attention.fill(0, done);
    for (let i = done; i < wide; i++) between[i] = stream[i] + attention[i];
    layerNorm(normed2, between, this.values(`${name}.norm2.weight`), this.values(`${name}.norm2.bias`), eps, from, rows);
    const inner = grown(former?.inner, rows * inside, from * inside);
    const hidden = grown(former?.hidden, rows * inside, from * inside);
    linear(inner, normed2, this.values(`${name}.feed_forward.up.weight`), this.maybe(`${name}.feed_forward.up.bias`), width, inside, from, rows);
    const activation = activations[this.config.activation];
    for (let i = from * inside; i < rows * inside; i++) hidden[i] = activation(inner[i]);
    linear(thought, hidden, this.values(`${name}.feed_forward.down.weight`), this.maybe(`${name}.feed_forward.down.bias`), inside, width, from, rows);
    if (without.feedForward.has(layer)) thought.fill(0, done);
    for (let i = done; i < wide; i++) after[i] = between[i] + thought[i];
    return { normed, q, k, v, scores, weights, mixed, attention, between, normed2, inner, hidden, thought, after };
  }

  /** What the model would answer if it ended after each sublayer: the final norm and the head on the stream so far.
   * @param {Trace} trace
   * @param {number} position
   * @returns {{place: string, logits: Float32Array}[]}
   */
  lens(trace, position) {
    const { d_model: width, vocab_size: vocab } = this.config;
    const streams = [{ place: "after the embeddings", stream: trace.embedded }];
    trace.blocks.forEach((block, layer) => {
      streams.push({ place: `block ${layer + 1}, after attention`, stream: block.between });
      streams.push({ place: `block ${layer + 1}, after feed-forward`, stream: block.after });
    });
    return streams.map(({ place, stream }) => {
      const row = stream.slice(position * width, (position + 1) * width);
      const normed = new Float32Array(width), logits = new Float32Array(vocab);
      layerNorm(normed, row, this.values("final_norm.weight"), this.values("final_norm.bias"), this.config.norm_eps, 0, 1);
      this.head(logits, normed, 0, 1);
      return { place, logits };
    });
  }
}

/** Attention of every head: scores, their softmax, and the weighted sum of the values. Row t of head h begins at (h * queries + t) * keys.
 * @param {{q: Float32Array, k: Float32Array, v: Float32Array, scores: Float32Array, weights: Float32Array, mixed: Float32Array}} arrays
 * @param {{heads: number, width: number, queries: number, keys: number, from: number, causal: boolean, scaled: boolean}} how
 */
export function attend({ q, k, v, scores, weights, mixed }, { heads, width, queries, keys, from, causal, scaled }) {
  const d = width / heads, scale = scaled ? 1 / Math.sqrt(d) : 1;
  for (let head = 0; head < heads; head++) {
    for (let t = from; t < queries; t++) {
      const row = (head * queries + t) * keys, query = t * width + head * d;
      const seen = causal ? t + 1 : keys;
      for (let s = 0; s < keys; s++) {
        let sum = 0;
        for (let i = 0, key = s * width + head * d; i < d; i++) sum += q[query + i] * k[key + i];
        scores[row + s] = sum * scale;
        weights[row + s] = s < seen ? scores[row + s] : 0;
      }
      softmax(weights, row, row + seen);
      for (let i = 0; i < d; i++) {
        let sum = 0;
        for (let s = 0; s < seen; s++) sum += weights[row + s] * v[s * width + head * d + i];
        mixed[query + i] = sum;
      }
    }
  }
}

/** An array of a size whose beginning is that of a former one.
 * @param {Float32Array | undefined} former
 * @param {number} size
 * @param {number} kept
 */
function grown(former, size, kept) {
  const out = new Float32Array(size);
  if (former !== undefined && kept > 0) out.set(former.subarray(0, kept));
  return out;
}

/** The same for a square of each head, whose rows grow longer, too. Earlier rows get their new places: the scores of keys
 * that came later are not those of a former pass, and no weight goes there.
 * @param {Float32Array | undefined} former
 * @param {number} heads
 * @param {number} rows
 * @param {number} kept
 * @param {number} formerRows
 */
function squares(former, heads, rows, kept, formerRows) {
  const out = new Float32Array(heads * rows * rows);
  if (former === undefined || kept === 0) return out;
  for (let head = 0; head < heads; head++) {
    for (let t = 0; t < kept; t++) {
      const begin = (head * formerRows + t) * formerRows;
      out.set(former.subarray(begin, begin + Math.min(t + 1, formerRows)), (head * rows + t) * rows);
    }
  }
  return out;
}
