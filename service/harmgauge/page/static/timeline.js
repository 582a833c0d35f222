// The samples of the service, column by column; a newly opened page has the past as well.

export class Timeline {
  constructor() {
    this.columns = { time: [] };
  }

  replace(columns) {
    this.columns = columns;
  }

  get last() {
    return this.columns.time.at(-1) ?? 0;
  }

  // Adds the new ones of the newest samples; returns false if some in between are missing.
  extend(recent, keepSeconds) {
    if (!recent.time.length) return true;
    if (recent.time[0] > this.last && this.columns.time.length) return false;
    const from = recent.time.findIndex((time) => time > this.last);
    if (from < 0) return true;
    for (const [name, values] of Object.entries(recent)) (this.columns[name] ??= []).push(...values.slice(from));
    const old = this.columns.time.findIndex((time) => time > this.last - keepSeconds);
    if (old > 0) for (const values of Object.values(this.columns)) values.splice(0, old);
    return true;
  }

  // The named columns, from `time` on.
  since(time, names) {
    const found = this.columns.time.findIndex((at) => at >= time);
    const from = found < 0 ? this.columns.time.length : Math.max(0, found - 1);
    return ["time", ...names].map((name) => (this.columns[name] ?? []).slice(from));
  }
}
