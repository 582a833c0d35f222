// The verdict in words: the estimate of accuracy and whether it has fallen or, without an estimate, whether there is drift.

import { about, count, moment, percent, points, roughly } from "./format.js";

// Little evidence has a direction by chance.
export const hasDirection = (found) => found.state === "drifting" || found.statistic > 1e3;

const inAlarm = ([, { state }]) => state === "drifting";

// { heading, because, state, standing }: `state` colours the heading; `standing` is { state, glyph, word, text } or null.
export function verdict({ detectors, accuracy, time }, info) {
  return accuracy ? ofAccuracy(detectors, accuracy, time, info) : ofDrift(detectors, time);
}

const hadTraffic = (detectors) => Object.values(detectors).some(({ total_rows: rows }) => rows > 0);

function ofAccuracy(detectors, accuracy, now, info) {
  const { estimate, lower, upper, base, rows, window_rows: windowRows } = accuracy;
  const standing = standingOf(detectors, accuracy, now);
  const stated = info.error_probability?.target === "changed" ? ", as stated at build" : "";
  const was = `${about(base)} on clean data${stated}`;
  if (lower === null) {
    const heading = rows ? "Accuracy: too early to say" : hadTraffic(detectors) ? "No recent traffic" : "No traffic yet";
    const needed = Math.min(100, windowRows ?? 100);
    const because = rows
      ? `An estimate without labels needs ${count(needed)} inputs; ${count(rows)} so far. Accuracy was ${was}.`
      : `After ${count(needed)} inputs, an estimate of accuracy appears here, made without labels. Accuracy was ${was}.`;
    return { heading, because, state: standing.state, standing };
  }
  return {
    heading: "Accuracy about ",
    figure: about(estimate),
    because: `${roughly(lower)} to ${about(upper)}, estimated without labels from the last ${count(rows)} inputs; was ${was}.`,
    state: standing.state,
    standing,
  };
}

// Whether the estimate has fallen and, if it has not, whether the inputs have changed.
function standingOf({ harm, ...others }, { estimate, lower }, now) {
  // There is no `harm` if the classifier is hardly ever right on clean data.
  const limit = harm?.accuracy_limit ?? 0;
  const fallen = `by more than ${points(harm?.accuracy_drop ?? 1)}`;
  const isBelow = lower !== null && estimate < limit;
  if (harm?.state === "drifting") {
    const since = moment(harm.since, now); // without its age: a screen reader announces every change
    const text = lower !== null && !isBelow
      ? `The estimate of accuracy fell ${fallen}: alarm at ${since}. It is above ${percent(limit)} again: acknowledge the alarm with POST /admin/drift/reset.`
      : `The estimate of accuracy has fallen ${fallen}: alarm at ${since}.`;
    return { state: "drifting", glyph: "▲", word: "Harm", text };
  }
  const changed = Object.entries(others).filter(inAlarm).map(([, { since }]) => since).sort();
  const inputs = changed.length ? `Inputs have changed, first at ${moment(changed[0], now)}` : "";
  if (isBelow) {
    const text = `${inputs && `${inputs}. `}The estimate of accuracy is below ${percent(limit)}, but the evidence is not enough for an alarm yet.`;
    return { state: "warming", glyph: "▼", word: "Lower", text };
  }
  if (!harm)
    return { state: "warming", glyph: "–", word: "Not watched", text: "The classifier is hardly ever right on clean data." };
  if (changed.length)
    return { state: "warming", glyph: "◆", word: "Changed", text: `${inputs}, but the estimate of accuracy has not fallen ${fallen}.` };
  if (lower === null)
    return { state: "warming", glyph: "…", word: "Waiting", text: "No alarm so far." };
  return { state: "ok", glyph: "✓", word: "Fine", text: `The estimate of accuracy has not fallen ${fallen}.` };
}

function ofDrift(detectors, now) {
  const all = Object.values(detectors);
  const alarmed = Object.entries(detectors).filter(inAlarm);
  const warming = all.filter(({ state }) => state === "warming");
  const rows = Math.max(...all.map(({ total_rows: total }) => total));
  const state = alarmed.length ? "drifting" : warming.length ? "warming" : "ok";
  let [heading, because] = ["No drift", "The traffic looks like the reference."];
  if (alarmed.length) {
    const first = alarmed.map(([, { since }]) => since).sort()[0];
    const evidence = all.find((found) => found.direction);
    const direction = evidence && hasDirection(evidence) ? evidence.direction : null;
    const scoresMoved = alarmed.some(([name]) => name.startsWith("score"));
    const where = direction && scoresMoved ? `; scores are ${direction} than the reference’s` : "";
    const many = alarmed.length === all.length ? (all.length > 1 ? "All detectors" : "The detector") : `${alarmed.length} of ${all.length} detectors`;
    heading = "Drift detected";
    because = `${many} in alarm, first at ${moment(first, now)}${where}.`;
  } else if (warming.length) {
    heading = rows ? "Warming up" : "No traffic yet";
    because = rows
      ? `No alarm so far; ${warming.length === 1 ? "one detector is waiting" : `${warming.length} detectors are waiting`} for a full window.`
      : "Once inputs are scored, the detectors compare them with the reference.";
  }
  return { heading, because, state, standing: null };
}
