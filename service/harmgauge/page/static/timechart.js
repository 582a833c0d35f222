// A chart over time: lines and, if there is one, a threshold with the side of the alarm tinted.

/* global uPlot */
import { colour, FONT } from "./dom.js";
import { clock, shortClock } from "./format.js";
import { Panel } from "./panel.js";

const HEIGHT = 180;
const MINUTES = [1, 2, 5, 10, 15, 30].map((minutes) => 60 * minutes);
const SHARED_CURSOR = "time";

// `series`: [{ column, label, head?, colour, dash?, isEdge?, show }]; the area between two edges is filled.
// `range(values, thresholds)` returns [least, most]; `axis(value, isLeast, isMost)` formats a tick; `alarm` is "below" or
// "above" a threshold, or left out.
export class TimeChart {
  constructor(id, { series, range, ticks, axis, alarm, summary }) {
    Object.assign(this, { series, range, ticks, axis, alarm, summary });
    this.thresholds = [];
    this.panel = new Panel(id, series);
    this.data = [[], ...series.map(() => [])];
    this.limits = [0, 1];
    this.window = [0, 1];
    this.draw();
    new ResizeObserver(() => this.resize()).observe(this.panel.plot);
    addEventListener("themechange", () => this.draw());
  }

  draw() {
    this.plot?.destroy();
    const grid = { stroke: colour("grid"), width: 1 };
    const text = { stroke: colour("muted"), font: FONT, ticks: { show: false }, grid };
    this.plot = new uPlot({
      width: this.panel.plot.clientWidth || 300,
      height: HEIGHT,
      padding: [10, 14, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { setScale: false, x: false }, points: { size: 7 }, sync: { key: SHARED_CURSOR } },
      scales: { x: { time: true, range: () => this.window }, y: { range: () => this.limits } },
      axes: [
        { ...text, grid: { show: false }, size: 26, space: 56, incrs: MINUTES, values: (_, splits) => splits.map(shortClock) },
        { ...text, size: 54, space: 30, splits: () => this.splits(),
          values: (_, splits) => splits.map((at) => this.axis(at, at === this.limits[0], at === this.limits[1])) },
      ],
      series: [{}, ...this.series.map((each) => ({
        stroke: colour(each.colour), width: each.isEdge ? 0 : 2, dash: each.dash,
        points: { size: 4, fill: colour(each.colour), ...(each.isEdge ? { show: false } : {}) },
      }))],
      bands: this.bands(),
      hooks: { drawAxes: [(plot) => this.drawThresholds(plot)], draw: [(plot) => this.drawLabels(plot)], setCursor: [(plot) => this.read(plot.cursor.idx)] },
    }, this.clipped(), this.panel.plot);
  }

  // The upper edge is last, but uPlot expects it first.
  bands() {
    const edges = this.series.flatMap(({ isEdge }, index) => (isEdge ? [index + 1] : []));
    return edges.length ? [{ series: edges.reverse(), fill: colour("first-fill") }] : [];
  }

  // Values beyond the range are drawn at its end.
  clipped() {
    const [least, most] = this.limits;
    const clip = (value) => (value === null ? null : Math.min(most, Math.max(least, value)));
    return [this.data[0], ...this.data.slice(1).map((values) => values.map(clip))];
  }

  splits() {
    return this.ticks(...this.limits);
  }

  resize() {
    const width = this.panel.plot.clientWidth;
    if (width && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
  }

  // `thresholds`: [{ value, label, tone, isAbove? }], on the axis' own scale.
  show(timeline, now, seconds, thresholds = []) {
    this.data = timeline.since(now - seconds, this.series.map(({ column }) => column));
    this.thresholds = thresholds;
    this.window = [now - seconds, now];
    this.limits = this.range(this.data.slice(1).flat().filter((value) => value !== null), thresholds);
    this.plot.setData(this.clipped());
    this.read(this.plot.cursor.idx);
  }

  // The values under the pointer, or the newest.
  read(index) {
    const at = this.plot?.cursor.left >= 0 && index !== null && index !== undefined ? index : this.data[0].length - 1;
    const texts = this.series.map(({ show }, series) => show(this.data[series + 1]?.[at] ?? null));
    this.panel.describe(texts, this.summary(texts), () => [
      ["Time", ...this.series.map(({ label, head }) => head ?? label)],
      this.data[0].map((time, row) => [
        clock(time), ...this.series.map(({ show }, series) => show(this.data[series + 1][row])),
      ]),
    ]);
  }

  drawThresholds({ ctx, bbox, valToPos }) {
    ctx.save();
    const scale = devicePixelRatio;
    for (const { value, tone } of this.thresholds) {
      const y = Math.round(valToPos(value, "y", true));
      if (this.alarm && value === this.outermost()) {
        ctx.fillStyle = colour("alarm");
        const [top, bottom] = this.alarm === "below" ? [y, bbox.top + bbox.height] : [bbox.top, y];
        ctx.fillRect(bbox.left, top, bbox.width, bottom - top);
      }
      ctx.strokeStyle = colour(tone);
      ctx.lineWidth = scale;
      ctx.setLineDash([4 * scale, 4 * scale]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
    }
    ctx.restore();
  }

  // Labels are drawn over the lines, which they may touch, and side by side at the old end: thresholds may be close
  // together, and people read the new end.
  drawLabels({ ctx, bbox, valToPos }) {
    ctx.save();
    const scale = devicePixelRatio;
    let left = bbox.left + 4 * scale;
    Object.assign(ctx, { textAlign: "left", lineJoin: "round", lineWidth: 3 * scale, strokeStyle: colour("card") });
    ctx.font = FONT.replace("11px", `${11 * scale}px`);
    for (const { value, label, tone, isAbove = this.alarm !== "below" } of this.thresholds) {
      const y = Math.round(valToPos(value, "y", true)) + (isAbove ? -7 : 13) * scale;
      ctx.strokeText(label, left, y);
      ctx.fillStyle = colour(tone);
      ctx.fillText(label, left, y);
      left += ctx.measureText(label).width + 12 * scale;
    }
    ctx.restore();
  }

  // The threshold beyond which all detectors are in alarm.
  outermost() {
    const values = this.thresholds.map(({ value }) => value);
    return this.alarm === "below" ? Math.min(...values) : Math.max(...values);
  }
}
