// The estimate of accuracy by predicted class, worst first.

import { byId, element } from "./dom.js";
import { count } from "./format.js";

const FEW_ROWS = 10;

export class Classes {
  constructor() {
    this.root = byId("classes");
    this.body = element("tbody");
    const head = (text) => element("th", { scope: "col" }, text);
    const blank = element("td");
    blank.setAttribute("aria-hidden", "true");
    this.table = element("div", { className: "table", tabIndex: 0, role: "region" },
      element("table", {},
        element("caption", { className: "unseen" }, "Estimate of accuracy by predicted class, worst first"),
        element("thead", {}, element("tr", {}, head("Class"), blank, head("Accuracy"), head("Inputs"))), this.body));
    this.table.setAttribute("aria-label", "Estimate of accuracy by predicted class");
    this.empty = element("p", { className: "empty" }, "Each class appears here once it is predicted.");
    this.root.append(this.table, this.empty);
  }

  // `classes`: [{ class, accuracy, rows }]; null or empty if the bundle has too many.
  show(classes) {
    const found = sorted((classes ?? []).filter(({ rows }) => rows > 0));
    this.empty.hidden = found.length > 0;
    this.table.hidden = !found.length;
    const texts = JSON.stringify(found);
    if (this.texts === texts) return;
    this.texts = texts;
    this.body.replaceChildren(...found.map(line));
  }
}

// The accuracy of a class with few inputs depends on each of them, so such a class comes last.
function sorted(classes) {
  const isFew = ({ rows }) => Number(rows < FEW_ROWS);
  return [...classes].sort((a, b) => isFew(a) - isFew(b) || a.accuracy - b.accuracy);
}

function line({ class: name, accuracy, rows }) {
  const bar = element("div", { className: "share" }, element("i"));
  bar.firstChild.style.setProperty("--share", `${100 * accuracy}%`);
  const drawn = element("td", {}, bar);
  drawn.setAttribute("aria-hidden", "true"); // the figure beside it says the same
  return element("tr", rows < FEW_ROWS ? { className: "few" } : {},
    element("th", { scope: "row", title: name }, name), drawn, element("td", {}, `${Math.round(100 * accuracy)} %`), element("td", {}, count(rows)));
}
