// Formats numbers and times for people.

const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

export const NONE = "–";

export const power = (exponent) =>
  exponent === 0 ? "1" : exponent === 1 ? "10" : "10" + [...String(exponent)].map((sign) => SUPERSCRIPT[sign]).join("");

// Three significant digits; from 10,000 on and below 0.001 as a power of ten.
export function number(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return NONE;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e4 || size < 1e-3) return scientific(Math.log10(size), value < 0);
  return String(Number(value.toPrecision(3)));
}

// A number given by its logarithm, which may be beyond the range of a float.
export function fromLog10(log10) {
  if (log10 === null || log10 === undefined || !Number.isFinite(log10)) return NONE;
  return log10 > -3 && log10 < 4 ? number(10 ** log10) : scientific(log10, false);
}

function scientific(log10, negative) {
  let exponent = Math.floor(log10);
  let mantissa = Number((10 ** (log10 - exponent)).toPrecision(2));
  if (mantissa >= 10) [mantissa, exponent] = [1, exponent + 1];
  const sign = negative ? "−" : "";
  return mantissa === 1 ? sign + power(exponent) : `${sign}${mantissa} × ${power(exponent)}`;
}

export const count = (value) => value.toLocaleString("en");

export const percent = (share) =>
  share === null || share === undefined || !Number.isFinite(share) ? NONE : `${Number((share * 100).toPrecision(3))} %`;

// A share that is only roughly known: whole per cent, one more digit close to 100 %.
export const roughly = (share) => (share * 100).toFixed(share < 1 && share >= 0.985 ? 1 : 0);
export const about = (share) => `${roughly(share)}\u00a0%`;

// The difference of two shares, in percentage points.
export function points(share) {
  const size = Number((share * 100).toPrecision(2));
  return `${size} ${size === 1 ? "point" : "points"}`;
}

export const milliseconds = (seconds) =>
  seconds === null || seconds === undefined || !Number.isFinite(seconds) ? NONE : `${number(seconds * 1000)} ms`;

const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const SHORT_CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

export const clock = (seconds) => CLOCK.format(seconds * 1000);
export const shortClock = (seconds) => SHORT_CLOCK.format(seconds * 1000);

// A moment, with its date if that is not today.
export function moment(iso, nowSeconds, today = clock) {
  const at = new Date(iso);
  const isToday = at.toDateString() === new Date(nowSeconds * 1000).toDateString();
  return isToday ? today(at / 1000) : DAY.format(at);
}

export function duration(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 2 * 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} days`;
}
