// @ts-check
// Small helpers for the page: elements, numbers in words, colours, tables whose cells explain themselves.

/** @typedef {Record<string, any>} Attributes */
/** @typedef {Node | string | number | null | undefined} Leaf */
/** @typedef {Leaf | Leaf[] | Leaf[][] | (Leaf | Leaf[])[]} Child */

/** Make an element. Attributes that begin with "on" are listeners; those that are false or null are left out.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. @param {string} tag @param {Attributes} [attributes] @param {...Child} children */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/** @template {Element} E @param {E} element @param {Attributes} attributes @param {Child[]} children @returns {E} */
function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(3)) if (child !== null && child !== undefined) element.append(child instanceof Node ? child : String(child));
  return element;
}

/** Put children in the place of those that are there. @param {Element} parent @param {...Child} children */
export function put(parent, ...children) {
  parent.replaceChildren();
  filled(parent, {}, children);
}

/** The element with an id. @param {string} id @returns {HTMLElement} */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page lacks #${id}`);
  return found;
}

/** A number as it is read: two or three digits that matter, a real minus sign. @param {number} value */
export function said(value) {
  if (value === -Infinity) return "−∞";
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  const text = size !== 0 && (size < 0.01 || size >= 10000) ? value.toExponential(1) : value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
  return text.replaceAll("-", "−");
}

/** A share in percent. @param {number} value */
export function percent(value) {
  const hundredths = 100 * value;
  return `${hundredths >= 10 || hundredths === 0 ? hundredths.toFixed(0) : hundredths >= 0.1 ? hundredths.toFixed(1) : "<0.1"} %`;
}

/** Where a value lies between white and full colour: blue below zero, orange above, by the largest size around.
 * @param {number} value
 * @param {number} most
 */
export function diverging(value, most) {
  const share = most > 0 ? Math.min(1, Math.abs(value) / most) : 0;
  return `color-mix(in oklab, var(${value < 0 ? "--below" : "--above"}) ${(100 * share).toFixed(0)}%, var(--paper))`;
}

/** A shade of one colour, never so strong that a number on it is hard to read. @param {number} share from 0 to 1 @param {string} [colour] a custom property */
export function shade(share, colour = "--attention") {
  return `color-mix(in oklab, var(${colour}) ${(45 * Math.max(0, Math.min(1, share))).toFixed(0)}%, var(--paper))`;
}

/** A strip of numbers as colours, each with its own arithmetic.
 * @param {string} label
 * @param {ArrayLike<number>} values
 * @param {(index: number) => string} why
 */
export function strip(label, values, why) {
  const most = Math.max(...Array.from(values, Math.abs));
  return el("tr", {}, el("th", { scope: "row" }, label), ...Array.from(values, (value, i) => cell("", why(i), diverging(value, most))));
}

/** A cell that explains itself. @param {Child} content @param {string} why @param {string} [colour] */
export function cell(content, why, colour) {
  const td = el("td", { "data-why": why, "aria-label": why, tabindex: "-1" }, content);
  if (colour !== undefined) td.style.backgroundColor = colour;
  return td;
}

/** A table in which a cell tells its arithmetic when it is pointed at or reached with the arrow keys.
 * @param {string} caption
 * @param {Child} rows
 * @param {string} [kind] a class
 */
export function explained(caption, rows, kind = "") {
  const line = el("p", { class: "explain", "aria-live": "polite" }, "Point at a cell, or walk with the arrow keys, to see where its number comes from.");
  const table = el("table", { class: `cells ${kind}` }, el("caption", {}, caption), el("tbody", {}, rows));
  const first = table.querySelector("td[data-why]");
  if (first instanceof HTMLElement) first.tabIndex = 0;
  const tell = /** @param {Event} event */ (event) => {
    const target = event.target instanceof Element ? event.target.closest("td[data-why]") : null;
    if (target instanceof HTMLElement) line.textContent = target.dataset.why ?? "";
  };
  table.addEventListener("pointerover", tell);
  table.addEventListener("focusin", tell);
  table.addEventListener("keydown", (event) => {
    const here = event.target;
    const move = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[event.key];
    if (move === undefined || !(here instanceof HTMLTableCellElement)) return;
    const all = [...table.rows], row = all.indexOf(/** @type {HTMLTableRowElement} */ (here.parentElement));
    const next = all[row + move[0]]?.cells[here.cellIndex + move[1]];
    if (next === undefined || next.dataset.why === undefined) return;
    event.preventDefault();
    here.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
  return el("div", { class: "explained", role: "group", "aria-label": caption }, el("div", { class: "scroll", tabindex: "0" }, table), line);
}

/** A square pattern as a picture, one pixel a cell; row 0 at the top.
 * @param {HTMLCanvasElement} canvas
 * @param {number} rows
 * @param {number} columns
 * @param {(row: number, column: number) => number} share from 0 to 1
 * @param {string} colour a custom property
 */
export function pattern(canvas, rows, columns, share, colour = "--attention") {
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  if (context === null) return;
  const [full, paper] = [rgb(colour), rgb("--paper")];
  const image = context.createImageData(columns, rows);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const part = Math.max(0, Math.min(1, share(row, column))), place = 4 * (row * columns + column);
      for (let i = 0; i < 3; i++) image.data[place + i] = paper[i] + part * (full[i] - paper[i]);
      image.data[place + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
}

/** A colour of the style sheet as numbers. @param {string} name "#rrggbb" there */
export function rgb(name) {
  const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));
}

/** A choice as a row of buttons, of which one is pressed.
 * @param {string} label
 * @param {[string, string][]} options value and text of each
 * @param {string} chosen
 * @param {(value: string) => void} choose
 */
export function choice(label, options, chosen, choose) {
  return el("div", { class: "choice", role: "group", "aria-label": label }, el("span", { class: "label" }, label),
    options.map(([value, text]) => el("button", { type: "button", "aria-pressed": String(value === chosen), onclick: () => choose(value) }, text)));
}
