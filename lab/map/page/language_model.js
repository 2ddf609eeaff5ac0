// @ts-check
// Exercises 13 and 22 in JavaScript: the forward pass of a GPT or a Llama, with everything in between kept to be looked at.

import { activations, layerNorm, linear, rmsNorm, rotate, softmax } from "./numbers.js";

/** @typedef {import("./safetensors.js").Tensor} Tensor */
/** The sizes of a model. A Llama has fewer heads of keys and values than of queries, and a base of its rotary positions.
 * @typedef {{architecture: "gpt" | "llama", context_length: number, d_model: number, n_heads: number, n_kv_heads: number, n_layers: number, d_ff: number, vocab_size: number, activation: string, norm_eps: number, rope_base?: number}} Config
 */

/** What is switched off, to see what it was good for.
 * @typedef {{heads: Set<string>, attention: Set<number>, feedForward: Set<number>, positions: boolean, mask: boolean, scale: boolean, gate: boolean}} Without
 */

/** One block's insides. Rows are positions; head h has the columns h * d to (h + 1) * d - 1. Scores are made of the turned queries
 * and keys, which in a GPT are `q` and `k` themselves; `gate` is what decides in a SwiGLU how far each unit opens.
 * @typedef {{normed: Float32Array, q: Float32Array, k: Float32Array, v: Float32Array, turnedQ: Float32Array, turnedK: Float32Array, scores: Float32Array, weights: Float32Array, mixed: Float32Array, attention: Float32Array, between: Float32Array, normed2: Float32Array, gate: Float32Array | null, inner: Float32Array, hidden: Float32Array, thought: Float32Array, after: Float32Array}} BlockTrace
 */

/** A forward pass: the residual stream before the first block (`embedded`), each block's insides, the final norm, the logits.
 * @typedef {{ids: number[], token: Float32Array, embedded: Float32Array, blocks: BlockTrace[], normed: Float32Array, logits: Float32Array, key: string}} Trace
 */

/** Nothing is switched off. @returns {Without} */
export function whole() {
  return { heads: new Set(), attention: new Set(), feedForward: new Set(), positions: false, mask: false, scale: false, gate: false };
}

/** @param {Without} without */
function keyOf(without) {
  return JSON.stringify(Object.values(without).map((each) => (each instanceof Set ? [...each].sort() : each)));
}

/** What the norms before attention and before the feed-forward network are called. */
const NORMS = { gpt: ["norm1", "norm2"], llama: ["attention_norm", "feed_forward_norm"] };

/** The GPT of exercise 13, or the Llama of exercise 22: one frame, in which some parts are exchanged. */
export class LanguageModel {
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
    const places = this.maybe("position_embedding.weight");
    for (let t = from; t < rows; t++) {
      for (let i = 0; i < width; i++) {
        token[t * width + i] = table[ids[t] * width + i];
        embedded[t * width + i] = token[t * width + i] + (places === null || without.positions ? 0 : places[t * width + i]);
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
    this.norm("final_norm", normed, stream, from, rows);
    const logits = grown(former?.logits, rows * this.config.vocab_size, from * this.config.vocab_size);
    this.head(logits, normed, from, rows);
    return { ids: [...ids], token, embedded, blocks, normed, logits, key };
  }

  /** A norm of some rows: LayerNorm, or RMSNorm in a Llama.
   * @param {string} name @param {Float32Array} out @param {Float32Array} x @param {number} from @param {number} to
   */
  norm(name, out, x, from, to) {
    const weight = this.values(`${name}.weight`), eps = this.config.norm_eps;
    if (this.config.architecture === "llama") rmsNorm(out, x, weight, eps, from, to);
    else layerNorm(out, x, weight, this.values(`${name}.bias`), eps, from, to);
  }

  /** The table that the stream is compared with at the end: that of the tokens, unless the head has one of its own. */
  get headTable() {
    return this.maybe("lm_head.weight") ?? this.values("token_embedding.weight");
  }

  /** Queries or keys as they are compared: in a Llama each is turned by its position.
   * @param {Float32Array} x (rows, heads * d)
   * @param {number} heads
   * @param {number} from
   * @param {Without} without
   * @param {Float32Array | undefined} former
   */
  turned(x, heads, from, without, former) {
    const { rope_base: base, d_model: width, n_heads } = this.config;
    if (base === undefined || without.positions) return x;
    const wide = heads * (width / n_heads), out = grown(former, x.length, from * wide);
    for (let t = from; t < x.length / wide; t++) rotate(out.subarray(t * wide, (t + 1) * wide), x.subarray(t * wide, (t + 1) * wide), heads, t, base);
    return out;
  }

  /** The head: a score for each token. @param {Float32Array} out @param {Float32Array} normed @param {number} from @param {number} to */
  head(out, normed, from, to) {
    linear(out, normed, this.headTable, null, this.config.d_model, this.config.vocab_size, from, to);
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
    const { architecture, d_model: width, n_heads: heads, n_kv_heads: kvHeads, d_ff: inside } = this.config;
    const name = `blocks.${layer}`, [norm1, norm2] = NORMS[architecture];
    const at = /** @param {string} part @param {number} [size] */ (part, size = width) => grown(former?.[/** @type {"q"} */ (part)], rows * size, from * size);
    const apply = /** @param {Float32Array} out @param {Float32Array} x @param {string} part @param {number} inner @param {number} size */ (out, x, part, inner, size) =>
      linear(out, x, this.values(`${name}.${part}.weight`), this.maybe(`${name}.${part}.bias`), inner, size, from, rows);
    const wide = rows * width, done = from * width, kvWide = (width / heads) * kvHeads;
    const normed = at("normed"), q = at("q"), k = at("k", kvWide), v = at("v", kvWide), mixed = at("mixed"), attention = at("attention");
    const between = at("between"), normed2 = at("normed2"), thought = at("thought"), after = at("after");
    this.norm(`${name}.${norm1}`, normed, stream, from, rows);
    apply(q, normed, "attention.q_proj", width, width);
    apply(k, normed, "attention.k_proj", width, kvWide);
    apply(v, normed, "attention.v_proj", width, kvWide);
    const turnedQ = this.turned(q, heads, from, without, former?.turnedQ), turnedK = this.turned(k, kvHeads, from, without, former?.turnedK);
    const scores = squares(former?.scores, heads, rows, from, formerRows);
    const weights = squares(former?.weights, heads, rows, from, formerRows);
    attend({ q: turnedQ, k: turnedK, v, scores, weights, mixed }, { heads, kvHeads, width, queries: rows, keys: rows, from, causal: !without.mask, scaled: !without.scale });
    for (let head = 0; head < heads; head++) {
      if (!without.heads.has(`${layer}.${head}`)) continue;
      const d = width / heads;
      for (let t = from; t < rows; t++) mixed.fill(0, t * width + head * d, t * width + (head + 1) * d);
    }
    apply(attention, mixed, "attention.out_proj", width, width);
    if (without.attention.has(layer)) attention.fill(0, done);
    for (let i = done; i < wide; i++) between[i] = stream[i] + attention[i];
    this.norm(`${name}.${norm2}`, normed2, between, from, rows);
    const inner = at("inner", inside), hidden = at("hidden", inside), gate = architecture === "llama" ? at("gate", inside) : null;
    const activation = activations[this.config.activation];
    apply(inner, normed2, "feed_forward.up", width, inside);
    if (gate !== null) apply(gate, normed2, "feed_forward.gate", width, inside);
    for (let i = from * inside; i < rows * inside; i++) {
      if (gate === null) hidden[i] = activation(inner[i]);
      else hidden[i] = without.gate ? inner[i] : activation(gate[i]) * inner[i];
    }
    apply(thought, hidden, "feed_forward.down", inside, width);
    if (without.feedForward.has(layer)) thought.fill(0, done);
    for (let i = done; i < wide; i++) after[i] = between[i] + thought[i];
    return { normed, q, k, v, turnedQ, turnedK, scores, weights, mixed, attention, between, normed2, gate, inner, hidden, thought, after };
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
      this.norm("final_norm", normed, row, 0, 1);
      this.head(logits, normed, 0, 1);
      return { place, logits };
    });
  }
}

/** Which keys and values a head reads, counted from 0: neighbouring heads share them. @param {number} head @param {{n_heads: number, n_kv_heads: number}} config */
export function groupOf(head, { n_heads: heads, n_kv_heads: kvHeads }) {
  return Math.floor((head * kvHeads) / heads);
}

/** The heads that read the same keys and values. @param {number} group which keys and values @param {Config} config */
export function readersOf(group, { n_heads: heads, n_kv_heads: kvHeads }) {
  const times = heads / kvHeads;
  return Array.from({ length: times }, (_, i) => group * times + i);
}

/** Attention of every head: scores, their softmax, and the weighted sum of the values. Row t of head h begins at (h * queries + t) * keys.
 * Where there are fewer heads of keys and values, neighbouring heads share one, as in exercise 20.
 * @param {{q: Float32Array, k: Float32Array, v: Float32Array, scores: Float32Array, weights: Float32Array, mixed: Float32Array}} arrays
 * @param {{heads: number, kvHeads?: number, width: number, queries: number, keys: number, from: number, causal: boolean, scaled: boolean}} how
 */
export function attend({ q, k, v, scores, weights, mixed }, { heads, kvHeads = heads, width, queries, keys, from, causal, scaled }) {
  const d = width / heads, kvWide = kvHeads * d, scale = scaled ? 1 / Math.sqrt(d) : 1;
  for (let head = 0; head < heads; head++) {
    const own = groupOf(head, { n_heads: heads, n_kv_heads: kvHeads }) * d; // where the keys and values of this head begin
    for (let t = from; t < queries; t++) {
      const row = (head * queries + t) * keys, query = t * width + head * d;
      const seen = causal ? t + 1 : keys;
      for (let s = 0; s < keys; s++) {
        let sum = 0;
        for (let i = 0, key = s * kvWide + own; i < d; i++) sum += q[query + i] * k[key + i];
        scores[row + s] = sum * scale;
        weights[row + s] = s < seen ? scores[row + s] : 0;
      }
      softmax(weights, row, row + seen);
      for (let i = 0; i < d; i++) {
        let sum = 0;
        for (let s = 0; s < seen; s++) sum += weights[row + s] * v[s * kvWide + own + i];
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
