// The head of the page: the verdict in words, and the limits of the estimate of accuracy or the reason for its absence.

import { byId, element, say } from "./dom.js";
import { verdict } from "./verdict.js";

export class Headline {
  constructor(info) {
    this.info = info;
  }

  show(state) {
    const { heading, figure = "", because, state: tone, standing } = verdict(state, this.info);
    const title = byId("verdict");
    title.dataset.state = tone;
    title.dataset.accuracy = standing !== null;
    // The figure changes all the time, so a screen reader announces only changes of the standing below it.
    title.setAttribute("aria-live", standing ? "off" : "polite");
    if (title.textContent !== heading + figure)
      title.replaceChildren(heading, ...(figure ? [element("b", {}, figure)] : []));
    say(byId("because"), because);
    this.stand(standing);
    this.limits(state);
    const full = `${tone === "drifting" ? "▲ " : ""}${heading}${figure} – harmgauge`;
    if (document.title !== full) document.title = full;
  }

  stand(standing) {
    const line = byId("standing");
    line.hidden = standing === null;
    if (standing === null) return;
    const pill = byId("standing-state");
    if (pill.dataset.word !== standing.word) {
      const glyph = element("span", { className: "glyph" }, standing.glyph);
      glyph.setAttribute("aria-hidden", "true");
      pill.replaceChildren(glyph, standing.word);
      pill.dataset.word = standing.word;
    }
    pill.dataset.state = standing.state;
    say(byId("standing-text"), standing.text);
  }

  // The estimate is never shown without its limits.
  limits({ accuracy, accuracy_missing: missing }) {
    const examples = this.info.input?.image ? " (such as rotated or inverted pictures)" : "";
    const text = accuracy
      ? `The estimate is too high for inputs far from every disturbance it was fitted on${examples}, and under attacks that the bundle does not detect.`
      : missing ? `No estimate of accuracy: ${missing}` : "";
    byId("limits").hidden = text === "";
    say(byId("limits"), text);
  }
}
