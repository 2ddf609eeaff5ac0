// @ts-check
// Arithmetic on typed arrays: what PyTorch does for the model, in a few loops.

/** A matrix product with the layout of `nn.Linear`, for some rows: out[t, o] = bias[o] + sum over i of x[t, i] * weight[o, i].
 * Four rows and two outputs at a time, so that each number that is read serves more than once.
 * @param {Float32Array} out (rows, width) is written from row `from` on
 * @param {Float32Array} x (rows, inner)
 * @param {Float32Array} weight (width, inner)
 * @param {Float32Array | null} bias (width,)
 * @param {number} inner
 * @param {number} width
 * @param {number} from the first row
 * @param {number} to one past the last row
 */
export function linear(out, x, weight, bias, inner, width, from, to) {
  const pairs = width - (width % 2);
  let t = from;
  for (; t + 3 < to; t += 4) {
    const a = t * inner, b = a + inner, c = b + inner, d = c + inner;
    for (let o = 0; o < pairs; o += 2) {
      const v = o * inner, w = v + inner;
      let a0 = 0, a1 = 0, b0 = 0, b1 = 0, c0 = 0, c1 = 0, d0 = 0, d1 = 0;
      for (let i = 0; i < inner; i++) {
        const left = weight[v + i], right = weight[w + i];
        const xa = x[a + i], xb = x[b + i], xc = x[c + i], xd = x[d + i];
        a0 += xa * left; a1 += xa * right;
        b0 += xb * left; b1 += xb * right;
        c0 += xc * left; c1 += xc * right;
        d0 += xd * left; d1 += xd * right;
      }
      const plus = bias === null ? 0 : bias[o], more = bias === null ? 0 : bias[o + 1];
      const place = t * width + o;
      out[place] = a0 + plus; out[place + 1] = a1 + more;
      out[place + width] = b0 + plus; out[place + width + 1] = b1 + more;
      out[place + 2 * width] = c0 + plus; out[place + 2 * width + 1] = c1 + more;
      out[place + 3 * width] = d0 + plus; out[place + 3 * width + 1] = d1 + more;
    }
    for (let row = t; pairs < width && row < t + 4; row++) one(out, x, weight, bias, inner, width, row, pairs);
  }
  for (; t < to; t++) for (let o = 0; o < width; o++) one(out, x, weight, bias, inner, width, t, o);
}

/** One number of a matrix product. @param {Float32Array} out @param {Float32Array} x @param {Float32Array} weight @param {Float32Array | null} bias @param {number} inner @param {number} width @param {number} t @param {number} o */
function one(out, x, weight, bias, inner, width, t, o) {
  let sum = 0;
  for (let i = 0; i < inner; i++) sum += x[t * inner + i] * weight[o * inner + i];
  out[t * width + o] = sum + (bias === null ? 0 : bias[o]);
}

/** Layer norm of some rows: mean 0 and variance 1 over the features, then scale and shift.
 * @param {Float32Array} out (rows, width)
 * @param {Float32Array} x (rows, width)
 * @param {Float32Array} weight (width,)
 * @param {Float32Array} bias (width,)
 * @param {number} eps
 * @param {number} from
 * @param {number} to
 */
export function layerNorm(out, x, weight, bias, eps, from, to) {
  const width = weight.length;
  for (let t = from; t < to; t++) {
    const row = t * width;
    let mean = 0;
    for (let i = 0; i < width; i++) mean += x[row + i];
    mean /= width;
    let variance = 0;
    for (let i = 0; i < width; i++) variance += (x[row + i] - mean) ** 2;
    const scale = 1 / Math.sqrt(variance / width + eps);
    for (let i = 0; i < width; i++) out[row + i] = (x[row + i] - mean) * scale * weight[i] + bias[i];
  }
}

/** RMSNorm of some rows: a mean square of 1 over the features, then scale. Arguments as for `layerNorm`.
 * @param {Float32Array} out
 * @param {Float32Array} x
 * @param {Float32Array} weight
 * @param {number} eps
 * @param {number} from
 * @param {number} to
 */
export function rmsNorm(out, x, weight, eps, from, to) {
  const width = weight.length;
  for (let t = from; t < to; t++) {
    const row = t * width;
    let square = 0;
    for (let i = 0; i < width; i++) square += x[row + i] ** 2;
    const scale = 1 / Math.sqrt(square / width + eps);
    for (let i = 0; i < width; i++) out[row + i] = x[row + i] * scale * weight[i];
  }
}

/** By how much pair `i` of a vector of width `d` is turned from one position to the next. @param {number} i @param {number} d @param {number} base */
export function speed(i, d, base) {
  return base ** ((-2 * i) / d);
}

/** Turn the queries or keys of one position, head by head: number i and number i + d / 2 of a head are a pair.
 * @param {Float32Array} out (heads * d,)
 * @param {Float32Array} x (heads * d,)
 * @param {number} heads
 * @param {number} position
 * @param {number} base
 */
export function rotate(out, x, heads, position, base) {
  const d = x.length / heads, half = d / 2;
  for (let i = 0; i < half; i++) {
    const angle = position * speed(i, d, base), cos = Math.cos(angle), sin = Math.sin(angle);
    for (let left = i; left < x.length; left += d) {
      const a = x[left], b = x[left + half];
      out[left] = a * cos - b * sin;
      out[left + half] = a * sin + b * cos;
    }
  }
}

/** Softmax of a stretch of an array, in place; places that hold -Infinity get 0.
 * @param {Float32Array} x
 * @param {number} from
 * @param {number} to
 */
export function softmax(x, from, to) {
  let most = -Infinity;
  for (let i = from; i < to; i++) if (x[i] > most) most = x[i];
  let sum = 0;
  for (let i = from; i < to; i++) sum += x[i] = Math.exp(x[i] - most);
  for (let i = from; i < to; i++) x[i] /= sum;
}

/** The error function, good to 1e-7 (Abramowitz and Stegun, 7.1.26, is not; this is a series and a continued fraction).
 * @param {number} x
 */
function erf(x) {
  const z = Math.abs(x);
  let value;
  if (z < 2.5) {
    let term = z, sum = z;
    for (let n = 1; n < 60; n++) {
      term *= (-z * z) / n;
      sum += term / (2 * n + 1);
    }
    value = (2 / Math.sqrt(Math.PI)) * sum;
  } else {
    let fraction = 0;
    for (let n = 40; n > 0; n--) fraction = n / 2 / (z + fraction);
    value = 1 - Math.exp(-z * z) / (Math.sqrt(Math.PI) * (z + fraction));
  }
  return x < 0 ? -value : value;
}

/** The activations that exercise 9 knows, by their names there, and that of exercise 19.
 * @type {Record<string, (x: number) => number>}
 */
export const activations = {
  gelu_tanh: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  gelu: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  relu: (x) => Math.max(0, x),
  silu: (x) => x / (1 + Math.exp(-x)),
};

/** The length of a row of a matrix.
 * @param {Float32Array} x
 * @param {number} row
 * @param {number} width
 */
export function rowNorm(x, row, width) {
  let sum = 0;
  for (let i = row * width; i < (row + 1) * width; i++) sum += x[i] * x[i];
  return Math.sqrt(sum);
}

/** How far apart two arrays are at most.
 * @param {ArrayLike<number>} a
 * @param {ArrayLike<number>} b
 */
export function largestGap(a, b) {
  if (a.length !== b.length) return Infinity;
  let gap = 0;
  for (let i = 0; i < a.length; i++) {
    const one = Math.abs(a[i] - b[i]);
    if (!(one <= gap)) gap = Number.isNaN(one) ? Infinity : one;
  }
  return gap;
}

/** The places of an array from its largest value down; of equal values the earlier place comes first.
 * @param {ArrayLike<number>} values
 * @returns {number[]}
 */
export function ranked(values) {
  return Array.from(values, (_, i) => i).sort((a, b) => values[b] - values[a] || a - b);
}
