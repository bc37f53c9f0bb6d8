"use strict";
// What the other scripts build the page with. Texts become text, never markup.
const xmft = {};

xmft.element = (tag, attributes = {}, ...children) => {
  const svg = ["svg", "path", "line", "text", "g"].includes(tag);
  const made = svg
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
};

xmft.number = (value) => {
  if (typeof value !== "number") return value === null || value === undefined ? "" : String(value);
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return size >= 1e-4 && size < 1e5 ? String(Number(value.toPrecision(4))) : value.toExponential(3);
};

xmft.duration = (seconds) => {
  if (seconds < 9.95) return `${seconds.toFixed(1)}s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}s`;
  const two = (part) => String(part).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)}h${two(minutes % 60)}m`;
};

// A table of texts: names of columns above rows; `of` tells it from others of its caption.
xmft.plainTable = (caption, columns, rows, of) => {
  const { element } = xmft;
  const head = columns.map((name) => element("th", { scope: "col" }, name));
  const body = rows.map((row) =>
    element("tr", {}, ...row.map((value) => element("td", {}, xmft.number(value)))),
  );
  const table = element(
    "table",
    {},
    element("caption", {}, caption),
    element("thead", {}, element("tr", {}, ...head)),
    element("tbody", {}, ...body),
  );
  return element("div", { class: "scroll", role: "region", "aria-label": `${caption} of ${of}`, tabindex: 0 }, table);
};

// The cells of the page as objects, from columns whose texts are places in lists.
xmft.cells = (() => {
  const { texts, columns } = JSON.parse(document.getElementById("rows").textContent);
  const names = Object.keys(columns);
  const count = names.length ? columns[names[0]].length : 0;
  const cells = new Array(count);
  for (let place = 0; place < count; place += 1) {
    const cell = { place };
    for (const name of names) {
      const value = columns[name][place];
      cell[name] = texts[name] ? texts[name][value] : value;
    }
    cells[place] = cell;
  }
  xmft.texts = texts;
  xmft.columns = columns;
  return cells;
})();
