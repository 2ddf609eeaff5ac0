// @ts-check
// Exercise 12 in JavaScript: the encoder and decoder of 2017, post-norm, with every attention pattern kept.

import { attend } from "./language_model.js";
import { activations, layerNorm, linear, ranked } from "./numbers.js";

/** @typedef {import("./safetensors.js").Tensor} Tensor */
/** @typedef {{d_model: number, n_heads: number, n_layers: number, d_ff: number, norm_eps: number, bos: number, eos: number, first: number, longest: number, alphabet: string}} ReversalConfig */
/** @typedef {{scores: Float32Array, weights: Float32Array}} Pattern row t of head h begins at (h * queries + t) * keys */
/** @typedef {{memory: Float32Array, layers: Pattern[]}} Reading */
/** @typedef {{ids: number[], logits: Float32Array, vocab: number, layers: {self: Pattern, cross: Pattern}[]}} Writing */

/** The original transformer. */
export class Transformer {
  /** @param {ReversalConfig} config  @param {Map<string, Tensor>} tensors by the names of the learner's attributes */
  constructor(config, tensors) {
    this.config = config;
    this.tensors = tensors;
  }

  /** @param {string} name */
  values(name) {
    const tensor = this.tensors.get(name);
    if (tensor === undefined) throw new Error(`the weights lack ${name}`);
    return tensor.values;
  }

  /** Scaled embeddings plus the sine and cosine waves of exercise 4.
   * @param {string} table
   * @param {number[]} ids
   */
  embed(table, ids) {
    const width = this.config.d_model, weight = this.values(table), scale = Math.sqrt(width);
    const out = new Float32Array(ids.length * width);
    ids.forEach((id, t) => {
      for (let i = 0; i < width; i++) {
        const angle = t / 10000 ** ((i - (i % 2)) / width);
        out[t * width + i] = weight[id * width + i] * scale + (i % 2 ? Math.cos(angle) : Math.sin(angle));
      }
    });
    return out;
  }

  /** @param {Float32Array} x @param {string} name @param {number} rows @param {number} inner @param {number} width */
  apply(x, name, rows, inner, width) {
    const out = new Float32Array(rows * width);
    linear(out, x, this.values(`${name}.weight`), this.tensors.get(`${name}.bias`)?.values ?? null, inner, width, 0, rows);
    return out;
  }

  /** An attention, and the norm of its sum with what came in.
   * @param {Float32Array} x (queries, width)
   * @param {Float32Array} from (keys, width) where keys and values come from
   * @param {string} attention
   * @param {string} residual
   * @param {boolean} causal
   */
  look(x, from, attention, residual, causal) {
    const { d_model: width, n_heads: heads } = this.config;
    const queries = x.length / width, keys = from.length / width;
    const q = this.apply(x, `${attention}.q_proj`, queries, width, width);
    const k = this.apply(from, `${attention}.k_proj`, keys, width, width);
    const v = this.apply(from, `${attention}.v_proj`, keys, width, width);
    const scores = new Float32Array(heads * queries * keys), weights = new Float32Array(heads * queries * keys);
    const mixed = new Float32Array(queries * width);
    attend({ q, k, v, scores, weights, mixed }, { heads, width, queries, keys, from: 0, causal, scaled: true });
    const added = this.apply(mixed, `${attention}.out_proj`, queries, width, width);
    return { x: this.normed(x, added, residual), scores, weights };
  }

  /** norm(x + added), as post-norm has it. @param {Float32Array} x @param {Float32Array} added @param {string} residual */
  normed(x, added, residual) {
    const sum = x.map((value, i) => value + added[i]), out = new Float32Array(x.length);
    const { d_model: width, norm_eps: eps } = this.config;
    layerNorm(out, sum, this.values(`${residual}.norm.weight`), this.values(`${residual}.norm.bias`), eps, 0, x.length / width);
    return out;
  }

  /** @param {Float32Array} x @param {string} layer */
  think(x, layer) {
    const { d_model: width, d_ff: inside } = this.config, rows = x.length / width;
    const hidden = this.apply(x, `${layer}.feed_forward.up`, rows, width, inside).map(activations.relu);
    return this.normed(x, this.apply(hidden, `${layer}.feed_forward.down`, rows, inside, width), `${layer}.feed_forward_residual`);
  }

  /** Read the source. @param {number[]} src without padding  @returns {Reading} */
  encode(src) {
    let x = this.embed("src_embedding.weight", src);
    const layers = [];
    for (let i = 0; i < this.config.n_layers; i++) {
      const name = `encoder.layers.${i}`;
      const { x: looked, scores, weights } = this.look(x, x, `${name}.self_attention`, `${name}.attention_residual`, false);
      x = this.think(looked, name);
      layers.push({ scores, weights });
    }
    return { memory: x, layers };
  }

  /** Say at each position what comes next. @param {number[]} ids BOS and what is written  @param {Float32Array} memory  @returns {Writing} */
  decode(ids, memory) {
    let x = this.embed("tgt_embedding.weight", ids);
    const layers = [];
    for (let i = 0; i < this.config.n_layers; i++) {
      const name = `decoder.layers.${i}`;
      const own = this.look(x, x, `${name}.self_attention`, `${name}.attention_residual`, true);
      const cross = this.look(own.x, memory, `${name}.cross_attention`, `${name}.cross_residual`, false);
      x = this.think(cross.x, name);
      layers.push({ self: { scores: own.scores, weights: own.weights }, cross: { scores: cross.scores, weights: cross.weights } });
    }
    const vocab = this.values("output.bias").length;
    return { ids, logits: this.apply(x, "output", ids.length, this.config.d_model, vocab), vocab, layers };
  }

  /** Write until EOS, each time the likeliest token. @param {number[]} src  @returns {{reading: Reading, writing: Writing, written: number[]}} */
  translate(src) {
    const reading = this.encode(src), written = [this.config.bos];
    for (;;) {
      const writing = this.decode(written, reading.memory);
      const next = ranked(writing.logits.slice(-writing.vocab))[0];
      if (next === this.config.eos || written.length > this.config.longest) return { reading, writing, written: written.slice(1) };
      written.push(next);
    }
  }
}
