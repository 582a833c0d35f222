// The scores of the window over those of the reference, in the same buckets.

/* global uPlot */
import { colour, FONT } from "./dom.js";
import { count, number, percent } from "./format.js";
import { Panel } from "./panel.js";

const HEIGHT = 226;

// The service's buckets are equally wide on this scale: scores are crowded at 0 and have a long tail.
const onScale = (score) => Math.max(0, score) ** 0.25;

export class Histogram {
  constructor(id) {
    this.panel = new Panel(id, [
      { label: "Window", colour: "first", kind: "area" },
      { label: "Reference", colour: "neutral", kind: "area" },
    ]);
    this.window = null;
    new ResizeObserver(() => this.resize()).observe(this.panel.plot);
    addEventListener("themechange", () => this.about && this.draw());
  }

  // The constant parts: { bucket_edges, reference_shares, reference_rows, threshold }.
  compare(about) {
    this.about = about;
    const { bucket_edges: edges } = about;
    const [least, most] = [onScale(edges[0]), onScale(edges.at(-1))];
    this.place = (score) => ((onScale(score) - least) / (most - least)) * (edges.length - 1);
    this.marks = ticks(this.place, edges.at(-1));
    this.draw();
  }

  draw() {
    this.plot?.destroy();
    const buckets = this.about.reference_shares.length;
    const text = { stroke: colour("muted"), font: FONT, ticks: { show: false }, size: 26 };
    const paths = uPlot.paths.stepped({ align: 1 });
    const points = { show: false };
    this.plot = new uPlot({
      width: this.panel.plot.clientWidth || 300,
      height: HEIGHT,
      padding: [18, 8, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false, range: [0, buckets] }, y: { range: (_, __, most) => [0, Math.max(0.02, most * 1.08)] } },
      axes: [
        { ...text, grid: { show: false }, splits: () => this.marks.map(this.place), values: () => this.marks.map(number) },
        { ...text, size: 54, space: 34, grid: { stroke: colour("grid"), width: 1 }, values: (_, splits) => splits.map(percent) },
      ],
      series: [
        {},
        { stroke: colour("neutral"), fill: colour("neutral-fill"), width: 1, paths, points },
        { stroke: colour("first"), fill: colour("first-fill"), width: 2, paths, points },
      ],
      hooks: { draw: [(plot) => this.drawThreshold(plot)] },
    }, this.data(), this.panel.plot);
  }

  data() {
    const { reference_shares: reference } = this.about;
    const steps = (shares) => (shares ? [...shares, shares.at(-1)] : reference.map(() => null).concat(null));
    return [steps(reference).map((_, index) => index), steps(reference), steps(this.window)];
  }

  resize() {
    const width = this.panel.plot.clientWidth;
    if (this.plot && width && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
  }

  show({ window_shares: shares, window_rows: rows, flagged_share: flagged }) {
    const { bucket_edges: edges, reference_shares: reference, reference_rows: referenceRows, threshold } = this.about;
    if (JSON.stringify(shares) !== JSON.stringify(this.window)) {
      this.window = shares;
      this.plot.setData(this.data());
    }
    const summary = shares
      ? `Histogram of ${count(rows)} scores in the window and ${count(referenceRows)} reference scores; ` +
        `${percent(flagged)} of the window exceed the threshold ${number(threshold)}. Median about ` +
        `${number(median(shares, edges))} in the window, ${number(median(reference, edges))} in the reference.`
      : `Histogram of ${count(referenceRows)} reference scores; none in the window yet.`;
    this.panel.describe([`${count(rows)} scores`, `${count(referenceRows)} scores`], summary, () => [
      ["Score above", "Window", "Reference"],
      reference.map((share, bucket) => [number(edges[bucket]), percent(shares?.[bucket]), percent(share)]),
    ]);
  }

  drawThreshold({ ctx, bbox, valToPos }) {
    const scale = devicePixelRatio;
    const x = Math.round(valToPos(this.place(this.about.threshold), "x", true));
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = colour("bad");
    ctx.lineWidth = scale;
    ctx.setLineDash([4 * scale, 4 * scale]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.font = FONT.replace("11px", `${11 * scale}px`);
    ctx.textAlign = x > bbox.left + bbox.width / 2 ? "right" : "left";
    ctx.fillText(`flagged above ${number(this.about.threshold)}`, x, bbox.top - 5 * scale);
    ctx.restore();
  }
}

// As many round scores as fit, from the largest down, and 0.
function ticks(place, most) {
  const found = [];
  for (let exponent = Math.ceil(Math.log10(most)); exponent >= -9; exponent -= 1)
    for (const digit of [5, 2, 1]) {
      const score = digit * 10 ** exponent;
      if (score <= most && place(score) > 2.5 && (!found.length || place(found[0]) - place(score) > 3.4)) found.unshift(score);
    }
  return place(0) >= 0 ? [0, ...found] : found;
}

// The score below which half of the shares lie, interpolated linearly inside a bucket.
function median(shares, edges) {
  let below = 0;
  for (let bucket = 0; bucket < shares.length; bucket += 1) {
    if (below + shares[bucket] >= 0.5)
      return edges[bucket] + (edges[bucket + 1] - edges[bucket]) * ((0.5 - below) / shares[bucket]);
    below += shares[bucket];
  }
  return edges.at(-1);
}

// The share of the reference below a score.
export function shareBelow(score, { bucket_edges: edges, reference_shares: shares }) {
  let below = 0;
  for (let bucket = 0; bucket < shares.length; bucket += 1) {
    if (score < edges[bucket + 1]) {
      const inside = Math.max(0, score - edges[bucket]) / (edges[bucket + 1] - edges[bucket]);
      return below + shares[bucket] * inside;
    }
    below += shares[bucket];
  }
  return 1;
}
