// The detectors at a glance, one card each.

import { byId, element, say } from "./dom.js";
import { count, duration, fromLog10, moment, number, percent, shortClock } from "./format.js";
import { hasDirection } from "./verdict.js";

const TITLES = { harm: "Harm", score_ks: "Recent scores", score_evidence: "Evidence", feature_mmd: "Features" };
const STATISTICS = { harm: "Evidence", score_ks: "KS statistic", score_evidence: "Evidence", feature_mmd: "MMD²" };
const MEANINGS = {
  harm: "Watches the estimate of accuracy. This is the alarm to act on.",
  score_ks: "Compares the scores in the window with those of the reference.",
  score_evidence: "Accumulates evidence of any change, score by score.",
  feature_mmd: "Compares the classifier’s features with those of the reference.",
};
const WORDS = { ok: "OK", drifting: "Drifting", warming: "Warming up" };
const wordOf = (name, state) => (name === "harm" && state === "drifting" ? "Alarm" : WORDS[state]);
const GLYPHS = { ok: "✓", drifting: "▲", warming: "…" };

const p = (found) => fromLog10(found.log10_p_value ?? (found.p_value === null ? null : Math.log10(found.p_value)));

const unbroken = (text) => text.replaceAll(" ", "\u00a0");

// The figures of a card: [what, value, title].
function figures(name, found) {
  const limit = found.threshold === null ? "" : ` of ${number(found.threshold)}`;
  const rows = [[STATISTICS[name] ?? "Statistic", number(found.statistic) + limit]];
  if (found.p_value_threshold !== null)
    rows.unshift(["p-value", `${p(found)} · ${unbroken(`alarm ${number(found.p_value_threshold)}`)}`]);
  if (typeof found.accuracy_limit === "number")
    rows.push(["Accuracy limit", percent(found.accuracy_limit)]);
  if (found.direction) rows.push(["Direction", hasDirection(found) ? found.direction : "none yet"]);
  return rows;
}

function card(name, note) {
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
    ...[MEANINGS[name], note].filter(Boolean).map((text) => element("p", { className: "meaning" }, text)),
    element("div", { className: "line" }, parts.state, parts.since), parts.list, parts.progress);
  return parts;
}

export class Detectors {
  constructor() {
    this.root = byId("detectors");
    this.cards = {};
    this.states = {};
    this.notes = {};
  }

  // Adds a sentence to a detector's card; before the first `show`.
  explain(name, note) {
    this.notes[name] = note;
  }

  show(detectors, nowSeconds) {
    this.root.dataset.harm = "harm" in detectors;
    for (const [name, found] of Object.entries(detectors)) {
      if (!this.cards[name]) this.root.append((this.cards[name] = card(name, this.notes[name])).root);
      this.fill(name, this.cards[name], found, nowSeconds);
    }
    const changed = Object.entries(detectors).filter(([name, { state }]) => (this.states[name] ?? state) !== state);
    if (changed.length)
      say(byId("changes"), changed.map(([name, { state }]) => `${name}: ${wordOf(name, state)}.`).join(" "));
    this.states = Object.fromEntries(Object.entries(detectors).map(([name, { state }]) => [name, state]));
  }

  fill(name, parts, found, nowSeconds) {
    parts.root.dataset.state = found.state;
    const glyph = element("span", { className: "glyph" }, GLYPHS[found.state]);
    glyph.setAttribute("aria-hidden", "true");
    if (parts.state.dataset.state !== found.state) parts.state.replaceChildren(glyph, wordOf(name, found.state));
    parts.state.dataset.state = found.state;
    const seconds = nowSeconds - Date.parse(found.since) / 1000;
    say(parts.since, `since ${moment(found.since, nowSeconds, shortClock)} (${duration(seconds)})`);
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
}
