// The charts over time: the series of each, the range of its axis, and its thresholds.

import { fromLog10, milliseconds, number, percent, power } from "./format.js";
import { TimeChart } from "./timechart.js";

const LABELS = { harm: "Harm", score_ks: "Scores (KS)", feature_mmd: "Features (MMD)", score_evidence: "Evidence" };
const COLOURS = ["first", "second", "third"];
const OWN_COLOURS = { harm: "third" };

// Any detector has its alarm on the p-value or on the statistic.
const byPValue = ({ p_value_threshold: limit }) => limit !== null;
const byStatistic = (found) => !byPValue(found);
function seriesOf(detectors, chosen) {
  const names = Object.keys(detectors).filter((name) => chosen(detectors[name]));
  const others = names.filter((name) => !OWN_COLOURS[name]);
  return names.map((name) => ({
    name, label: LABELS[name] ?? name, colour: OWN_COLOURS[name] ?? COLOURS[others.indexOf(name) % COLOURS.length],
  }));
}

// The next multiples of five points around the values and thresholds.
function aroundAccuracy(values, thresholds) {
  const all = [...values, ...thresholds.map(({ value }) => value)];
  const toFives = (round, value) => round(value * 20) / 20;
  return [Math.max(0, toFives(Math.floor, Math.min(...all) - 0.01)), Math.min(1, toFives(Math.ceil, Math.max(...all) + 0.01))];
}

function tenths(least, most) {
  const step = [0.05, 0.1, 0.2].find((size) => (most - least) / size <= 5) ?? 0.25;
  const first = Math.ceil(least / step - 1e-9);
  return Array.from({ length: Math.floor(most / step + 1e-9) - first + 1 }, (_, index) => (first + index) * step);
}

// Ticks at whole steps, about five at most.
function steps(least, most) {
  const step = Math.max(1, Math.ceil((most - least) / 5));
  const found = [];
  for (let at = least; at <= most; at += step) found.push(at);
  return found;
}

const fromZero = (least) => (values) => [0, Math.max(least, ...values.map((value) => value * 1.15))];
const even = (_, most) => {
  const step = [1, 2, 2.5, 5, 10].map((digit) => digit * 10 ** Math.floor(Math.log10(most / 4))).find((size) => most / size <= 4.5);
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, index) => index * step);
};

function accuracyChart() {
  return new TimeChart("accuracy", {
    series: [
      { column: "accuracy.estimate", label: "Estimate", colour: "first", show: percent },
      { column: "accuracy.lower", label: "90 % interval from", head: "From", colour: "first", kind: "area", isEdge: true, show: percent },
      { column: "accuracy.upper", label: "to", head: "To", colour: "first", kind: "none", isEdge: true, show: percent },
    ],
    range: aroundAccuracy, ticks: tenths, axis: percent, alarm: "below",
    summary: ([estimate, lower, upper]) => `Estimate of accuracy over time, now ${estimate}, ${lower} to ${upper}.`,
  });
}

// Charts by name, from the first state: a bundle may lack some detectors or the estimate of accuracy.
export function makeCharts({ detectors, accuracy }) {
  const tests = seriesOf(detectors, byPValue);
  const statistics = seriesOf(detectors, byStatistic);
  const ofLog10 = (chosen) => chosen.map(({ name, ...rest }) => ({ ...rest, column: `${name}.log10`, show: fromLog10 }));
  const lowest = (thresholds) => Math.min(-6, ...thresholds.map(({ value }) => 2 * Math.floor(value)));
  return {
    ...(accuracy ? { accuracy: accuracyChart() } : {}),
    pValue: new TimeChart("p-value", {
      series: ofLog10(tests),
      range: (_, thresholds) => [lowest(thresholds), 0],
      ticks: steps,
      axis: (at, isLeast) => (isLeast ? "≤ " : "") + power(at),
      alarm: "below",
      summary: (texts) => `p-value over time. ${tests.map(({ label }, i) => `${label}: ${texts[i]}`).join("; ")}. Low values are alarms.`,
    }),
    evidence: new TimeChart("evidence", {
      series: ofLog10(statistics),
      range: (_, thresholds) => [0, Math.max(6, ...thresholds.map(({ value }) => 2 * Math.ceil(value)))],
      ticks: steps,
      axis: (at, isLeast, isMost) => (isLeast ? "≤ " : isMost ? "≥ " : "") + power(at),
      alarm: "above",
      summary: (texts) => `Evidence over time. ${statistics.map(({ label }, i) => `${label}: ${texts[i]}`).join("; ")}. High values are alarms.`,
    }),
    flagged: new TimeChart("flagged", {
      series: [{ column: "flagged_share", label: "Flagged", colour: "first", show: percent }],
      range: (values, [normal]) => fromZero(2.5 * normal.value)(values),
      ticks: even, axis: percent,
      summary: ([value]) => `Share of flagged scores over time, now ${value}.`,
    }),
    throughput: new TimeChart("throughput", {
      series: [
        { column: "rows_per_second", label: "Inputs/s", colour: "first", show: number },
        { column: "failed_per_second", label: "Failed requests/s", colour: "bad", show: number },
      ],
      range: fromZero(1), ticks: even, axis: number,
      summary: ([rows, failed]) => `Throughput over time, now ${rows} inputs and ${failed} failed requests per second.`,
    }),
    latency: new TimeChart("latency", {
      series: [
        { column: "median_seconds", label: "Median", colour: "first", show: milliseconds },
        { column: "p99_seconds", label: "99 %", colour: "second", show: milliseconds },
      ],
      range: fromZero(0.004), ticks: even, axis: milliseconds,
      summary: ([median, p99]) => `Latency over time, now ${median} at the median and ${p99} at the 99th percentile.`,
    }),
  };
}

const alarm = (value, tone) => ({ value: Math.log10(value), label: `alarm ${number(value)}`, tone });

// The normal accuracy, and the limit of the alarm.
function accuracyLines({ base }, harm) {
  const clean = { value: base, label: `clean data ${percent(base)}`, tone: "muted", isAbove: true };
  return harm === undefined ? [clean] : [
    clean,
    { value: harm.accuracy_limit, label: `limit ${percent(harm.accuracy_limit)}`, tone: "bad" },
  ];
}

// The last `seconds` of the timeline, with the current thresholds.
export function showCharts(charts, { state, about, timeline, seconds }) {
  const { accuracy, detectors, time } = state;
  const tests = seriesOf(detectors, byPValue);
  const statistics = seriesOf(detectors, byStatistic).filter(({ name }) => detectors[name].threshold !== null);
  const normal = about.normal_flagged_share;
  const thresholds = {
    accuracy: accuracy ? accuracyLines(accuracy, detectors.harm) : [],
    pValue: tests.map(({ name, colour }) => alarm(detectors[name].p_value_threshold, colour)),
    evidence: [...new Set(statistics.map(({ name }) => detectors[name].threshold))].map((limit) => alarm(limit, "bad")),
    flagged: [{ value: normal, label: `normal ${percent(normal)}`, tone: "muted" }],
  };
  for (const [name, chart] of Object.entries(charts)) chart.show(timeline, time, seconds, thresholds[name]);
}
