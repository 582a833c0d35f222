// Recent features over those of the reference, in the plane of their Isomap. Its axes have no meaning, so none are drawn.

import { colour } from "./dom.js";
import { count, number } from "./format.js";
import { Panel } from "./panel.js";

const HEIGHT = 226;
const MARGIN = 10;

export class Scatter {
  constructor(id) {
    this.panel = new Panel(id, [
      { label: "Recent", colour: "first", kind: "dot" },
      { label: "Reference", colour: "neutral", kind: "dot" },
    ]);
    this.canvas = document.createElement("canvas");
    this.panel.plot.append(this.canvas);
    this.recent = [];
    new ResizeObserver(() => this.draw()).observe(this.panel.plot);
    addEventListener("themechange", () => this.draw());
  }

  compare(reference) {
    this.reference = reference;
  }

  show(recent) {
    this.recent = recent;
    this.draw();
    const [before, now] = [spread(this.reference), spread(recent)];
    const shift = recent.length ? Math.hypot(now.x - before.x, now.y - before.y) / before.radius : null;
    const summary = recent.length
      ? `${count(recent.length)} recent inputs and ${count(this.reference.length)} of the reference; the distance between ` +
        `their centres is ${number(shift)} times the radius of the reference.`
      : `${count(this.reference.length)} reference inputs; no recent ones yet.`;
    this.panel.describe([count(recent.length), count(this.reference.length)], summary, () => [
      ["Points", "Number", "Centre", "Radius"],
      [["Recent", recent.length, now], ["Reference", this.reference.length, before]].map(([name, points, at]) => [
        name, count(points), points ? `${number(at.x)}, ${number(at.y)}` : "–", points ? number(at.radius) : "–",
      ]),
    ]);
  }

  draw() {
    const width = this.panel.plot.clientWidth;
    if (!width || !this.reference) return;
    const scale = devicePixelRatio;
    Object.assign(this.canvas, { width: width * scale, height: HEIGHT * scale });
    const ctx = this.canvas.getContext("2d");
    ctx.scale(scale, scale);
    const place = fit([...this.reference, ...this.recent], width, HEIGHT);
    const dots = (points, name, radius) => {
      ctx.fillStyle = colour(name);
      for (const point of points) {
        const [x, y] = place(point);
        ctx.beginPath();
        ctx.arc(x, y, radius, 0, 2 * Math.PI);
        ctx.fill();
      }
    };
    dots(this.reference, "neutral-dot", 2);
    dots(this.recent, "first-dot", 2.5);
  }
}

// One scale for both axes, because only distances have a meaning.
function fit(points, width, height) {
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  const [left, right, bottom, top] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const scale = Math.min((width - 2 * MARGIN) / (right - left || 1), (height - 2 * MARGIN) / (top - bottom || 1));
  return ([x, y]) => [
    width / 2 + (x - (left + right) / 2) * scale,
    height / 2 - (y - (bottom + top) / 2) * scale,
  ];
}

// The centre and the root of the mean squared distance from it.
function spread(points) {
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / (values.length || 1);
  const [x, y] = [mean(points.map((point) => point[0])), mean(points.map((point) => point[1]))];
  return { x, y, radius: Math.sqrt(mean(points.map((point) => (point[0] - x) ** 2 + (point[1] - y) ** 2))) };
}
