// @ts-check
// Exercise 2 in JavaScript: text to ids and back, by characters or by bytes and merges.

/** @typedef {{kind: "characters", characters: string[]} | {kind: "bytes", merges: [number[], number[]][]}} TokenizerData */

/** One id for each character. */
export class CharTokenizer {
  /** @param {string[]} characters in the order of their ids */
  constructor(characters) {
    this.characters = characters;
    this.ids = new Map(characters.map((character, id) => [character, id]));
  }

  /** The characters of a text that have no id, each once.
   * @param {string} text
   */
  unknown(text) {
    return [...new Set(text)].filter((character) => !this.ids.has(character));
  }

  /** @param {string} text  @returns {number[]} */
  encode(text) {
    return Array.from(text, (character) => {
      const id = this.ids.get(character);
      if (id === undefined) throw new Error(`no id for ${JSON.stringify(character)}`);
      return id;
    });
  }

  /** @param {number[]} ids */
  decode(ids) {
    return ids.map((id) => this.characters[id]).join("");
  }

  /** How a token is shown. @param {number} id */
  piece(id) {
    return this.characters[id];
  }
}

/** Bytes, and pairs of them that were merged, in the order in which the merges were learned. */
export class ByteTokenizer {
  /** @param {[number[], number[]][]} merges the two byte strings of each merge; merge i makes id 256 + i */
  constructor(merges) {
    /** @type {Uint8Array[]} */
    this.bytes = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
    /** @type {Map<string, number>} */
    this.rank = new Map();
    const idOf = new Map(this.bytes.map((one, id) => [one.join(), id]));
    for (const [left, right] of merges) {
      const id = this.bytes.length;
      const whole = Uint8Array.from([...left, ...right]);
      this.rank.set(`${idOf.get(left.join())},${idOf.get(right.join())}`, id);
      this.bytes.push(whole);
      if (!idOf.has(whole.join())) idOf.set(whole.join(), id);
    }
  }

  /** Every text has ids. @param {string} _text @returns {string[]} */
  unknown(_text) {
    return [];
  }

  /** The earliest merge that fits is made everywhere, from left to right, until none fits.
   * @param {string} text
   * @returns {number[]}
   */
  encode(text) {
    let ids = [...new TextEncoder().encode(text)];
    for (;;) {
      let first = Infinity;
      for (let i = 0; i + 1 < ids.length; i++) {
        const rank = this.rank.get(`${ids[i]},${ids[i + 1]}`);
        if (rank !== undefined && rank < first) first = rank;
      }
      if (first === Infinity) return ids;
      const merged = [];
      for (let i = 0; i < ids.length; i++) {
        if (i + 1 < ids.length && this.rank.get(`${ids[i]},${ids[i + 1]}`) === first) {
          merged.push(first);
          i++;
        } else merged.push(ids[i]);
      }
      ids = merged;
    }
  }

  /** @param {number[]} ids */
  decode(ids) {
    return new TextDecoder().decode(Uint8Array.from(ids.flatMap((id) => [...this.bytes[id]])));
  }

  /** @param {number} id */
  piece(id) {
    return new TextDecoder().decode(this.bytes[id]);
  }
}

/** @typedef {CharTokenizer | ByteTokenizer} Tokenizer */

/** @param {TokenizerData} data  @returns {Tokenizer} */
export function tokenizerOf(data) {
  return data.kind === "characters" ? new CharTokenizer(data.characters) : new ByteTokenizer(data.merges);
}

/** A token as it can be seen: spaces, line breaks and other invisible characters get a sign.
 * @param {string} piece
 */
export function visible(piece) {
  if (piece === "") return "∅";
  const signs = piece.replace(/ /g, "␣").replace(/\n/g, "⏎").replace(/\t/g, "⇥");
  return signs.replace(/\p{Cc}/gu, (c) => `x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/** A token as it is spoken. @param {string} piece */
export function spoken(piece) {
  const words = new Map([[" ", "space"], ["\n", "line break"], ["\t", "tab"], ["", "nothing"]]);
  return words.get(piece) ?? (/[^\p{L}\p{N}]/u.test(piece) ? `“${visible(piece)}”` : piece);
}
