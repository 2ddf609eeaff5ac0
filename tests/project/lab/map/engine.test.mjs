// The page's engine against numbers that PyTorch gave: run by test_map.py with a folder of cases.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

const page = new URL("../../../../lab/map/page/", import.meta.url);
const { LanguageModel, readersOf, whole } = await import(new URL("language_model.js", page));
const { largestGap, ranked, activations } = await import(new URL("numbers.js", page));
const { readTensors, half } = await import(new URL("safetensors.js", page));
const { nextTokenProbs, random, draw } = await import(new URL("sampling.js", page));
const { tokenizerOf } = await import(new URL("tokenizer.js", page));
const { Transformer } = await import(new URL("transformer.js", page));

const folder = process.env.MAP_CASES;
const cases = JSON.parse(readFileSync(`${folder}/cases.json`, "utf-8"));

for (const one of cases.texts) {
  const model = new LanguageModel(one.config, readTensors(readFileSync(`${folder}/${one.weights}`)));
  const tokenizer = tokenizerOf(one.tokenizer);
  for (const { text, ids, logits, weights } of one.passes) {
    test(`${one.name}: ${JSON.stringify(text.slice(0, 20))} as PyTorch has it`, () => {
      assert.deepEqual(tokenizer.encode(text), ids);
      assert.equal(tokenizer.decode(ids), text);
      const seen = ids.slice(-one.config.context_length);
      const trace = model.forward(seen);
      assert.ok(largestGap(trace.logits, logits) < 1e-3);
      weights.forEach((layer, i) => assert.ok(largestGap(trace.blocks[i].weights, layer) < 1e-4));
      const shorter = model.forward(seen.slice(0, Math.ceil(seen.length / 2)));
      assert.equal(largestGap(model.forward(seen, whole(), shorter).logits, trace.logits), 0); // going on changes nothing
    });
  }
  test(`${one.name}: 200 tokens at temperature 0`, () => {
    let ids = tokenizer.encode(one.greedy.prompt), trace = null;
    for (let i = 0; i < 200; i++) {
      const seen = ids.slice(-one.config.context_length);
      trace = model.forward(seen, whole(), trace);
      ids = [...ids, ranked(trace.logits.slice(-one.config.vocab_size))[0]];
    }
    assert.deepEqual(ids, one.greedy.ids);
  });
}

test("sampling as exercise 15 has it", () => {
  for (const { logits, temperature, topK, topP, probs } of cases.sampling) {
    assert.ok(largestGap(nextTokenProbs(Float32Array.from(logits), { temperature, topK, topP }), probs) < 1e-5);
  }
});

test("the transformer of exercise 12", () => {
  const { config, words } = cases.reversal;
  const model = new Transformer(config, readTensors(readFileSync(`${folder}/reversal.safetensors`)));
  for (const { src, written, logits, cross } of words) {
    const { writing, written: mine } = model.translate(src);
    assert.deepEqual(mine, written);
    assert.ok(largestGap(writing.logits, logits) < 1e-3);
    cross.forEach((layer, i) => assert.ok(largestGap(writing.layers[i].cross.weights, layer) < 1e-4));
  }
});

test("what is switched off adds nothing", () => {
  const one = cases.texts[0], model = new LanguageModel(one.config, readTensors(readFileSync(`${folder}/${one.weights}`)));
  const ids = one.passes.at(-1).ids.slice(-one.config.context_length), intact = model.forward(ids);
  const heads = new Set(Array.from({ length: one.config.n_heads }, (_, head) => `0.${head}`));
  const bias = model.maybe("blocks.0.attention.out_proj.bias");
  const without = model.forward(ids, { ...whole(), heads }, intact).blocks[0];
  assert.ok(largestGap(without.attention.slice(0, one.config.d_model), bias) < 1e-6); // the bias alone is left
  const none = model.forward(ids, { ...whole(), attention: new Set([0]), feedForward: new Set([0]) }, intact);
  assert.equal(largestGap(none.blocks[0].after, none.embedded), 0);
  const open = model.forward(ids, { ...whole(), mask: true }, intact).blocks[0].weights;
  const row = open.subarray(0, ids.length);
  assert.ok(row[1] > 0 && Math.abs(row.reduce((sum, weight) => sum + weight, 0) - 1) < 1e-5);
});

test("what is switched off in a Llama", () => {
  const one = cases.texts.find(({ name }) => name === "llama"), model = new LanguageModel(one.config, readTensors(readFileSync(`${folder}/${one.weights}`)));
  const { d_model: width, n_heads: heads, d_ff: inside } = one.config, ids = one.passes.at(-1).ids.slice(-one.config.context_length), d = width / heads;
  const intact = model.forward(ids), same = ids.map(() => ids[0]);
  const block = model.forward(same, { ...whole(), positions: true }, intact).blocks[0]; // one token again and again, and no places: all look alike
  for (let t = 0; t < ids.length; t++) for (let s = 0; s <= t; s++) assert.ok(Math.abs(block.weights[t * ids.length + s] - 1 / (t + 1)) < 1e-6);
  assert.ok(largestGap(model.forward(same).blocks[0].weights, block.weights) > 0.01);
  const open = model.forward(ids, { ...whole(), gate: true }, intact).blocks[0];
  assert.equal(largestGap(open.hidden, open.inner), 0);
  const gated = intact.blocks[0], silu = Array.from(gated.gate, activations.silu);
  assert.ok(largestGap(gated.hidden, silu.map((value, i) => value * gated.inner[i])) < 1e-5 && gated.gate.length === ids.length * inside);
  assert.deepEqual([readersOf(0, one.config), readersOf(1, one.config)], [[0, 1], [2, 3]]);
  const mute = model.forward(ids, { ...whole(), heads: new Set(readersOf(1, one.config).map((head) => `0.${head}`)) }, intact).blocks[0].mixed;
  for (let t = 0; t < ids.length; t++) assert.deepEqual(Array.from(mute.subarray(t * width, (t + 1) * width), (value, i) => value === 0 || i < 2 * d), Array(width).fill(true));
});

test("a change leaves the past alone", () => {
  const one = cases.texts[0], model = new LanguageModel(one.config, readTensors(readFileSync(`${folder}/${one.weights}`)));
  const ids = one.passes.at(-1).ids.slice(-one.config.context_length), other = [...ids], at = ids.length >> 1;
  other[at] = (other[at] + 1) % one.config.vocab_size;
  const vocab = one.config.vocab_size, [a, b] = [model.forward(ids).logits, model.forward(other).logits];
  assert.equal(largestGap(a.slice(0, at * vocab), b.slice(0, at * vocab)), 0);
  assert.ok(largestGap(a.slice(at * vocab), b.slice(at * vocab)) > 0);
});

test("numbers of 16 bits, activations, and chance", () => {
  assert.deepEqual([0x3c00, 0xc000, 0x0001, 0x7bff, 0x8000].map(half), [1, -2, 2 ** -24, 65504, -0]);
  for (const [name, x, value] of cases.activations) assert.ok(Math.abs(activations[name](x) - value) < 1e-6, name);
  const [one, two] = [random(7), random(7)];
  const drawn = Array.from({ length: 4000 }, () => draw(Float32Array.of(0.5, 0, 0.25, 0.25), one()));
  assert.deepEqual(drawn, Array.from({ length: 4000 }, () => draw(Float32Array.of(0.5, 0, 0.25, 0.25), two())));
  const shares = [0, 1, 2, 3].map((id) => drawn.filter((each) => each === id).length / 4000);
  assert.equal(shares[1], 0);
  assert.ok(largestGap(shares, [0.5, 0, 0.25, 0.25]) < 0.03);
});
