// The parts of every panel: a plot, a legend with values, a summary in words, and the numbers as a table.

import { byId, element, say } from "./dom.js";

const TABLE_ROWS = 60;

export class Panel {
  constructor(id, keys) {
    this.root = byId(id);
    this.values = keys.map(() => element("b"));
    const entries = keys.map(({ label, colour, kind = "line" }, index) =>
      element("li", {}, element("i", { className: `key ${kind} ${colour}` }), `${label} `, this.values[index]));
    this.legend = element("ul", { className: "legend" }, ...entries);
    this.plot = element("div", { className: "plot", role: "img" });
    this.table = element("div", { className: "table", tabIndex: 0, role: "region" });
    this.details = element("details", {}, element("summary", {}, "Numbers"), this.table);
    this.details.querySelector("summary").setAttribute("aria-label", `Numbers: ${this.title}`);
    this.table.setAttribute("aria-label", `${this.title}, numbers`);
    this.root.append(this.legend, this.plot, this.details);
    this.rows = () => [[], []];
    this.details.addEventListener("toggle", () => this.fillTable());
  }

  get title() {
    return this.root.querySelector("h2, h3").textContent;
  }

  // The texts of the values in the legend, a sentence for screen readers, and a function that makes the rows of the table.
  describe(texts, summary, rows) {
    texts.forEach((text, index) => say(this.values[index], text));
    if (this.plot.getAttribute("aria-label") !== summary) this.plot.setAttribute("aria-label", summary);
    this.rows = rows;
    this.fillTable();
  }

  // Only while the table is open: nobody sees it otherwise.
  fillTable() {
    if (!this.details.open) return;
    const [heads, rows] = this.rows();
    const shown = rows.slice(-TABLE_ROWS).reverse();
    const cell = (text, index) =>
      element(index ? "td" : "th", index ? {} : { scope: "row" }, text);
    this.table.replaceChildren(
      element("table", {},
        element("caption", { className: "unseen" }, this.title),
        element("thead", {}, element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)))),
        element("tbody", {}, ...shown.map((row) => element("tr", {}, ...row.map(cell))))));
  }
}
