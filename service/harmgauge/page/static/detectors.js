// The detectors at a glance, and what they say together.

import { byId, element, say } from "./dom.js";
import { count, duration, fromLog10, moment, number } from "./format.js";

const TITLES = { score_ks: "Recent scores", score_evidence: "Evidence", feature_mmd: "Inner features" };
const STATISTICS = { score_ks: "KS statistic", score_evidence: "Evidence", feature_mmd: "MMD²" };
const WORDS = { ok: "OK", drifting: "Drifting", warming: "Warming up" };
const GLYPHS = { ok: "✓", drifting: "▲", warming: "…" };

const p = (found) => fromLog10(found.log10_p_value ?? (found.p_value === null ? null : Math.log10(found.p_value)));

// Little evidence points anywhere by chance.
const hasDirection = (found) => found.state === "drifting" || found.statistic > 1e3;

// The figures of a card: [what, value, title].
function figures(name, found) {
  const limit = found.threshold === null ? "" : ` of ${number(found.threshold)}`;
  const rows = [[STATISTICS[name] ?? "Statistic", number(found.statistic) + limit]];
  if (found.p_value_threshold !== null)
    rows.unshift(["p-value", `${p(found)} · alarm ${number(found.p_value_threshold)}`]);
  if (found.direction) rows.push(["Scores went", hasDirection(found) ? found.direction : "nowhere yet"]);
  return rows;
}

function card(name) {
  const parts = {
    root: element("article", { className: "card", id: `detector-${name}` }),
    state: element("p", { className: "state" }),
    since: element("p", { className: "since" }),
    list: element("dl"),
    progress: element("progress", { max: 1 }),
  };
  parts.progress.setAttribute("aria-label", `${name}: rows in the window`);
  parts.root.append(
    element("header", {}, element("h2", {}, TITLES[name] ?? name), element("code", {}, name)),
    element("div", { className: "line" }, parts.state, parts.since), parts.list, parts.progress);
  return parts;
}

export class Detectors {
  constructor() {
    this.root = byId("detectors");
    this.cards = {};
    this.states = {};
  }

  show(detectors, nowSeconds) {
    for (const [name, found] of Object.entries(detectors)) {
      if (!this.cards[name]) this.root.append((this.cards[name] = card(name)).root);
      this.fill(name, this.cards[name], found, nowSeconds);
    }
    const changed = Object.entries(detectors).filter(([name, { state }]) => (this.states[name] ?? state) !== state);
    if (changed.length)
      say(byId("changes"), changed.map(([name, { state }]) => `${name}: ${WORDS[state]}.`).join(" "));
    this.states = Object.fromEntries(Object.entries(detectors).map(([name, { state }]) => [name, state]));
    this.verdict(detectors, nowSeconds);
  }

  fill(name, parts, found, nowSeconds) {
    parts.root.dataset.state = found.state;
    const glyph = element("span", { className: "glyph" }, GLYPHS[found.state]);
    glyph.setAttribute("aria-hidden", "true");
    if (parts.state.dataset.state !== found.state) parts.state.replaceChildren(glyph, WORDS[found.state]);
    parts.state.dataset.state = found.state;
    const seconds = nowSeconds - Date.parse(found.since) / 1000;
    say(parts.since, `since ${moment(found.since, nowSeconds)} (${duration(seconds)})`);
    const warming = found.state === "warming" && found.window_rows !== null;
    parts.progress.hidden = !warming;
    if (warming) parts.progress.value = found.rows / found.window_rows;
    const rows = warming
      ? [["In the window", `${count(found.rows)} of ${count(found.window_rows)} inputs`]]
      : [...figures(name, found), [found.window_rows === null ? "Inputs so far" : "Window", count(found.rows)]];
    const texts = rows.flat().join("|");
    if (parts.list.dataset.texts === texts) return;
    parts.list.dataset.texts = texts;
    parts.list.replaceChildren(...rows.map(([what, value]) =>
      element("div", {}, element("dt", {}, what), element("dd", {}, value))));
  }

  verdict(detectors, nowSeconds) {
    const all = Object.values(detectors);
    const alarmed = Object.entries(detectors).filter(([, { state }]) => state === "drifting");
    const warming = all.filter(({ state }) => state === "warming");
    const rows = Math.max(...all.map(({ total_rows: total }) => total));
    let [heading, because] = ["No drift", "The traffic looks like the reference."];
    if (alarmed.length) {
      const first = alarmed.map(([, { since }]) => since).sort()[0];
      const evidence = all.find((found) => found.direction);
      const direction = evidence && hasDirection(evidence) ? evidence.direction : null;
      const scoresMoved = alarmed.some(([name]) => name.startsWith("score"));
      const where = direction && scoresMoved ? `; scores are ${direction} than the reference’s` : "";
      const many = alarmed.length === all.length ? (all.length > 1 ? "All detectors" : "The detector") : `${alarmed.length} of ${all.length} detectors`;
      heading = "Drift detected";
      because = `${many} in alarm, first at ${moment(first, nowSeconds)}${where}.`;
    } else if (warming.length) {
      heading = rows ? "Warming up" : "No traffic yet";
      because = rows
        ? `No alarm so far; ${warming.length === 1 ? "one detector waits" : `${warming.length} detectors wait`} for a full window.`
        : "Score inputs, and the detectors begin to compare them with the reference.";
    }
    byId("verdict").dataset.state = alarmed.length ? "drifting" : warming.length ? "warming" : "ok";
    say(byId("verdict"), heading);
    say(byId("because"), because);
    const title = `${alarmed.length ? "▲ " : ""}${heading} – harmgauge`;
    if (document.title !== title) document.title = title;
  }
}
