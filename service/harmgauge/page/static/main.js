// The page: polls the state of the service and passes it to each panel.

import { makeCharts, showCharts } from "./charts.js";
import { Classes } from "./classes.js";
import { makeColumns } from "./columns.js";
import { Detectors } from "./detectors.js";
import { byId, element, say } from "./dom.js";
import { clock, count, percent } from "./format.js";
import { Headline } from "./headline.js";
import { Histogram } from "./histogram.js";
import { KeyNeeded } from "./key.js";
import { getJson, poll } from "./poll.js";
import { Scatter } from "./scatter.js";
import { makeSources } from "./sources.js";
import { Timeline } from "./timeline.js";
import { Try } from "./try.js";

const EMBEDDING_SECONDS = 10;
const MOST_CLASSES = 100; // with more, the service reports no accuracy by class

const detectors = new Detectors();
const timeline = new Timeline();
const histogram = new Histogram("scores");
const sources = makeSources();
const columns = makeColumns();
let about = null;
let info = null;
let state = null;
let charts = null;
let headline = null;
let classes = null;
let scatter = null;
let points = null;
let pointsAt = -Infinity;

// At first, and whenever another process answers: after a restart, or behind a load balancer.
async function begin() {
  const [newAbout, newInfo, history] = await Promise.all(["page/about", "page/info", "page/history"].map(getJson));
  if (info !== null && !isSame(newAbout, newInfo)) {
    location.reload();
    await new Promise(() => {}); // this page draws nothing more
  }
  [about, info] = [newAbout, newInfo];
  timeline.replace(history);
}

// After a restart with other settings or another bundle, the charts no longer fit.
function isSame(newAbout, newInfo) {
  const [before, now] = [[about, info], [newAbout, newInfo]].map(([ofPage, ofService]) =>
    JSON.stringify([{ ...ofPage, started: null }, ofService]));
  return before === now;
}

function introduce() {
  say(byId("model"), `${info.model} / ${info.version}`);
  say(byId("about"), `${info.detector.replaceAll("_", " ")}, ${info.precision}, on ${info.providers[0]}, ` +
    `${count(info.class_names.length)} classes. Samples every ${about.sample_seconds} s, kept for an hour.`);
  const judged = judgement(info);
  say(byId("judged"), judged);
  byId("judged").hidden = judged === "";
  byId("judged").dataset.state = info.judgement?.worth_serving === false ? "bad" : "";
  if (about.reference_points === null) {
    byId("embedding").append(element("p", { className: "empty" },
      "This bundle has no picture of its features, or HARMGAUGE_FEATURE_MMD is off. Bundles built with features have one."));
  } else {
    scatter = new Scatter("embedding");
    scatter.compare(about.reference_points);
  }
  histogram.compare(about);
  detectors.explain("score_evidence", detectable(info));
  startRange(state.time - about.started);
  headline = new Headline(info);
  byId("gauge").hidden = state.accuracy === null;
  if (state.accuracy !== null && info.class_names.length <= MOST_CLASSES) classes = new Classes();
  byId("classes").hidden = classes === null;
  byId("gauge").dataset.classes = classes !== null;
  charts = makeCharts(state);
  new Try(info, about);
}

// The bundle's judgement of its own score: why there is no second network, and whether the score is worth serving.
function judgement({ detector, detector_reason: reason, judgement: found }) {
  const why = reason === null ? "" : `Detector ${detector}: ${reason}`;
  const word = found?.worth_serving === false ? "Not worth serving: " : "";
  const sentence = found?.sentence ?? (word && "see the bundle’s report.");
  return [why, sentence && word + sentence].filter(Boolean).join(" ");
}

// What the alarm can see with this reference, and what would help if that is little.
function detectable({ detectable: found }) {
  if (!found) return "";
  const share = found.smallest_share === null ? "Detects no share of harmful inputs"
    : `Detects harmful traffic from a share of about ${percent(found.smallest_share)} on`;
  const rows = found.rows_at_10_percent === null ? "" : `; 10\u00a0% after about ${count(found.rows_at_10_percent)} inputs or more`;
  const warning = found.warning ? ` Warning: ${found.warning}.` : "";
  return `${share}, within ${count(found.horizon_rows)} inputs${rows}.${warning}`;
}

// A service that has just started has little to show, and a chart that is mostly empty is useless.
function startRange(agedSeconds) {
  if (agedSeconds < 300) document.querySelector("[name=range][value='300']").checked = true;
}

async function look() {
  const found = await getJson("page/state");
  if (about === null || about.started !== found.started) await begin();
  else if (!timeline.extend(found.recent, about.history_seconds)) timeline.replace(await getJson("page/history"));
  const { harm, ...others } = found.detectors;
  state = { ...found, detectors: harm ? { harm, ...others } : others }; // the alarm to act on comes first
  if (about.reference_points && !document.hidden && performance.now() - pointsAt > EMBEDDING_SECONDS * 1000) {
    pointsAt = performance.now();
    try {
      points = (await getJson("page/embedding")).recent_points;
    } catch (error) {
      console.info(`no picture of the features this time: ${error.message}`); // everything else is there
    }
  }
}

function show() {
  if (state === null) return;
  if (charts === null) introduce();
  headline.show(state);
  classes?.show(state.accuracy.classes);
  detectors.show(state.detectors, state.time);
  sources.show(state.sources, state.time);
  columns.show(state.columns, state.time);
  histogram.show(state);
  showCharts(charts, { state, about, timeline, seconds: Number(document.querySelector("[name=range]:checked").value) });
  const shown = points;
  points = null;
  if (shown !== null) scatter.show(shown);
}

function onFound() {
  document.body.classList.remove("stale", "locked");
  byId("lost").hidden = true;
  say(byId("connection"), "Live");
  byId("connection").dataset.state = "ok";
  show();
}

function onLocked() {
  // Before the first state, nothing else has a value.
  document.body.classList.add(state === null ? "locked" : "stale");
  if (state === null) {
    say(byId("verdict"), "Key required");
    say(byId("because"), "Ask the operator of this service for a key.");
  }
  say(byId("connection"), "Key required");
  byId("connection").dataset.state = "lost";
  byId("lost").hidden = true; // the form shows it
}

function onLost(error) {
  if (error instanceof KeyNeeded) {
    onLocked();
    return;
  }
  document.body.classList.add("stale");
  byId("connection").dataset.state = "lost";
  byId("lost").hidden = false;
  const seen = state === null ? "" : ` The data shown is from ${clock(state.time)}.`;
  say(byId("lost"), `Connection lost.${seen} Retrying every few seconds.`);
  say(byId("connection"), "Connection lost");
}

byId("range").addEventListener("change", show);
poll(look, onFound, onLost);
