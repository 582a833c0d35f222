// The sources of the traffic: those that drift on top, then those with the most evidence.

import { byId, element, say } from "./dom.js";
import { about, count, duration, moment, NONE, number, shortClock } from "./format.js";

const GLYPHS = { drifting: "▲", warming: "…", ok: "✓" };
const WORDS = { warming: "Warming up", ok: "OK" };
const CAUSES = { harm: "Harm", change: "Changed" };

export class Sources {
  constructor() {
    this.root = byId("sources");
    this.body = element("tbody");
    const heads = ["Source", "State", "Since", "Evidence", "Accuracy", "Inputs", "Last seen"];
    this.table = element("div", { className: "table", tabIndex: 0, role: "region" },
      element("table", {},
        element("caption", { className: "unseen" }, "Sources, drifting ones first"),
        element("thead", {}, element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)))), this.body));
    this.table.setAttribute("aria-label", "Sources");
    this.root.append(this.table);
  }

  // `sources`: { monitored, drifting, threshold, rows }; null without any.
  show(sources, nowSeconds) {
    this.root.hidden = sources === null;
    if (sources === null) return;
    const { monitored, drifting, threshold, rows } = sources;
    const left = monitored - rows.length;
    const more = left > 0 ? `; ${count(left)} more at /drift/sources` : "";
    say(byId("sources-what"), `${count(drifting)} of ${count(monitored)} drifting; alarm at evidence of ${number(threshold)}${more}`);
    const lines = rows.map((row) => cells(row, nowSeconds));
    const texts = JSON.stringify(lines);
    if (this.texts === texts) return;
    this.texts = texts;
    this.body.replaceChildren(...lines.map((line, index) => drawn(line, rows[index])));
  }
}

function cells({ source, state, cause, listed, since, last_seen: seen, rows, evidence, accuracy }, now) {
  const word = state === "drifting" ? CAUSES[cause] : listed ? "Stands out" : WORDS[state];
  const silent = duration(now - Date.parse(seen) / 1000);
  return [source, word, moment(since, now, shortClock), number(evidence), accuracy === null ? NONE : about(accuracy), count(rows), `${silent} ago`];
}

function drawn([source, word, ...others], { state, cause }) {
  const glyph = element("span", { className: "glyph" }, GLYPHS[state]);
  glyph.setAttribute("aria-hidden", "true");
  const pill = element("span", { className: "state" }, glyph, word);
  pill.dataset.state = cause === "change" ? "warming" : state; // as for detectors: red is for harm
  return element("tr", {},
    element("th", { scope: "row", title: source }, source), element("td", {}, pill), ...others.map((text) => element("td", {}, text)));
}
