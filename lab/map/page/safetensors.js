// @ts-check
// Reads weights in the safetensors format: a header in JSON that says where each tensor lies, then the numbers.

/** @typedef {{shape: number[], values: Float32Array}} Tensor */

/** @param {string} text base64 */
export function bytesOf(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** A number of 16 bits: a sign, 5 bits of exponent, 10 of mantissa.
 * @param {number} bits
 */
export function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  if (exponent === 31) return mantissa ? NaN : sign * Infinity;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}

/** The tensors of a file by name, as 32-bit numbers.
 * @param {Uint8Array} bytes
 * @returns {Map<string, Tensor>}
 * @throws {Error} the file is damaged
 */
export function readTensors(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = Number(view.getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const tensors = new Map();
  for (const [name, about] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [begin, end] = about.data_offsets;
    const part = Uint8Array.from(bytes.subarray(8 + length + begin, 8 + length + end)); // a copy begins where numbers may begin
    let values;
    if (about.dtype === "F32") values = new Float32Array(part.buffer);
    else if (about.dtype === "F16") values = Float32Array.from(new Uint16Array(part.buffer), half);
    else throw new Error(`the weights hold numbers of the kind ${about.dtype}, which this page can't read`);
    tensors.set(name, { shape: about.shape, values });
  }
  return tensors;
}
