"use strict";
// Numbers, times and elements.

/** Makes an element. Texts are inserted as text, never as HTML. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick" || name === "oninput" || name === "onchange" || name === "ontoggle") {
      element[name] = value;
    } else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Formats a value with as many digits as it needs, seven at most. */
function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e9) return value.toLocaleString("en");
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) return value.toExponential(6).replace(/\.?0+e/, "e").replace("e+", "e");
  return String(Number(value.toPrecision(7)));
}

/** Formats the labels of an axis with the digits that tell them apart. */
function ticks(values) {
  const shown = values.filter((value) => value !== null);
  const largest = Math.max(...shown.map(Math.abs));
  if (shown.length && (largest >= 1e5 || largest < 1e-3) && largest > 0) {
    return values.map((value) => (value === null ? null : value === 0 ? "0" : short(value)));
  }
  return values.map((value) => (value === null ? null : String(Number(value.toPrecision(6)))));
}

/** Formats a number briefly: 200k, 3e-4. */
function short(value) {
  const size = Math.abs(value);
  for (const [unit, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (size >= unit && size < 1e12) return Number((value / unit).toPrecision(4)) + letter;
  }
  return size < 1e-3 || size >= 1e12 ? value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e") : String(Number(value.toPrecision(4)));
}

/** Formats bytes. */
function bytes(value, digits = 3) {
  for (const [unit, word] of [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]]) {
    if (value >= unit) return `${(value / unit).toPrecision(digits)} ${word}`;
  }
  return `${value} B`;
}

/** Formats a duration in seconds. */
function span(seconds) {
  const units = [[86400, "d"], [3600, "h"], [60, "min"]];
  for (const [size, word] of units) {
    if (seconds >= 2 * size) return `${(seconds / size).toFixed(1).replace(/\.0$/, "")} ${word}`;
  }
  return `${Number(seconds.toPrecision(2))} s`;
}

/** Formats a time in seconds since 1970, in the zone of the reader. */
function time(seconds) {
  if (seconds === null || seconds === undefined) return "";
  const at = new Date(seconds * 1000);
  const two = (part) => String(part).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** Makes a table with a caption for those who do not see its place. */
function table(caption, header, rows, attributes = {}) {
  const head = make("thead", {}, make("tr", {}, ...header.map((cell) => make("th", { scope: "col" }, cell))));
  const body = make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((cell, place) =>
    place === 0 ? make("th", { scope: "row" }, cell) : make("td", {}, cell)))));
  const made = make("table", attributes, make("caption", { class: "unseen" }, caption), head, body);
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, made);
}

/** Formats the labels of an axis by a unit, with the digits that tell them apart. */
function ticksOf(unit, values) {
  const shown = values.filter((value) => value !== null);
  const areApart = (digits) => new Set(shown.map((value) => unit(value, digits))).size === shown.length;
  const digits = [3, 4, 5].find(areApart) ?? 6;
  return values.map((value) => (value === null ? null : unit(value, digits)));
}
