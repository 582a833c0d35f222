// A panel with a table of what drifts on top, then what has the most evidence: sources, columns.

import { byId, element, say } from "./dom.js";
import { count, number } from "./format.js";

const GLYPHS = { drifting: "▲", warming: "…", ok: "✓" };

export class Ranked {
  // `id` of the panel, the table's caption and `heads`, the route that has more, and the texts of a row:
  // `cells(row, nowSeconds)` returns [name, word for its state, ...others], `colour(row)` the state whose colour it has.
  constructor({ id, caption, heads, route, cells, colour }) {
    Object.assign(this, { id, route, cells, colour });
    this.root = byId(id);
    this.body = element("tbody");
    const table = element("div", { className: "table", tabIndex: 0, role: "region" },
      element("table", {},
        element("caption", { className: "unseen" }, caption),
        element("thead", {}, element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)))), this.body));
    table.setAttribute("aria-label", caption); // the panel around it has its title
    this.root.append(table);
  }

  // `found`: { monitored, drifting, threshold, rows }; null without any.
  show(found, nowSeconds) {
    this.root.hidden = found === null;
    if (found === null) return;
    const { monitored, drifting, threshold, rows } = found;
    const left = monitored - rows.length;
    const more = left > 0 ? `; ${count(left)} more at ${this.route}` : "";
    say(byId(`${this.id}-what`), `${count(drifting)} of ${count(monitored)} drifting; alarm at evidence of ${number(threshold)}${more}`);
    const lines = rows.map((row) => this.cells(row, nowSeconds));
    const texts = JSON.stringify(lines);
    if (this.texts === texts) return;
    this.texts = texts;
    this.body.replaceChildren(...lines.map((line, index) => this.drawn(line, rows[index])));
  }

  drawn([name, word, ...others], row) {
    const glyph = element("span", { className: "glyph" }, GLYPHS[row.state]);
    glyph.setAttribute("aria-hidden", "true");
    const pill = element("span", { className: "state" }, glyph, word);
    pill.dataset.state = this.colour(row);
    return element("tr", {},
      element("th", { scope: "row", title: name }, name), element("td", {}, pill), ...others.map((text) => element("td", {}, text)));
  }
}
