// Scores an input of the user: an image dropped, chosen or pasted; a form if inputs or columns have names; else JSON.

import { byId, element } from "./dom.js";
import { instanceForm } from "./form.js";
import { number, percent } from "./format.js";
import { shareBelow } from "./histogram.js";
import { authorization, demandKey } from "./key.js";
import { exampleJson, imageSize, prepareImage, prepareJson } from "./prepare.js";

const ROWS_SHOWN = 20;

async function post(body, type, query) {
  const headers = { "Content-Type": type, ...authorization() };
  const answer = await fetch(`score${query}`, { method: "POST", body, headers });
  await demandKey(answer);
  const document = await answer.json().catch(() => ({})); // a proxy's own errors are not JSON
  if (!answer.ok) throw new Error(document.detail ?? `The service answered ${answer.status}.`);
  return document;
}

export class Try {
  constructor(info, about) {
    Object.assign(this, { info, about });
    this.asked = {
      probabilities: true,
      ...(about.corrects ? { correct: true } : {}),
      ...(info.error_probability ? { error_probability: true } : {}),
    };
    byId("try-input").replaceChildren(...this.input());
  }

  input() {
    const { input, inputs } = this.info;
    if (input?.image) return this.imageInput();
    const hasNames = !input || inputs[0].columns?.length === inputs[0].shape[0];
    return hasNames ? [instanceForm(this.info, (instance) => this.instance(instance))] : this.jsonInput();
  }

  imageInput() {
    const { width, height } = imageSize(this.info.input);
    const { resize, crop } = this.info.input.image;
    const sizes = resize || crop ? "any size" : `${width} × ${height} pixels; others are scaled`;
    const file = element("input", { type: "file", id: "file", accept: "image/*", className: "unseen" });
    file.addEventListener("change", () => {
      if (file.files.length) this.image(file.files[0]);
      file.value = "";
    });
    this.zone = element("label", { className: "zone", id: "zone", htmlFor: "file" },
      element("strong", {}, "Drop an image here"),
      element("span", {}, "or ", element("em", {}, "choose a file"), ", or paste one"),
      element("small", {}, `PNG, JPEG or WebP of ${sizes}`));
    this.listen();
    return [file, this.zone];
  }

  // The whole page accepts a drop: outside the box, the browser would open the file instead of the page.
  listen() {
    const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    const over = (event, on) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      this.zone.classList.toggle("over", on);
    };
    addEventListener("dragover", (event) => over(event, true));
    addEventListener("dragleave", (event) => event.relatedTarget ?? over(event, false));
    addEventListener("drop", (event) => {
      over(event, false);
      if (event.dataTransfer?.files.length) this.image(event.dataTransfer.files[0]);
    });
    addEventListener("paste", (event) => {
      const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
      if (file) this.image(file);
    });
  }

  jsonInput() {
    const { shape, dtype, missing } = this.info.input;
    const text = element("textarea", { id: "json", rows: 6, spellcheck: false, value: exampleJson(this.info.input) });
    const send = element("button", { type: "submit" }, "Score");
    const form = element("form", {},
      element("label", { htmlFor: "json" }, `Instances as JSON: ${dtype}, each ${shape.join(" × ")}` +
        (missing ? "; null for a missing value" : "")), text, send);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.json(text.value);
    });
    return [form];
  }

  image(file) {
    return this.run(async () => {
      const { body, type, canvas, note } = await prepareImage(file, this.info.input);
      const answer = await post(body, type, `?${new URLSearchParams(this.asked)}`);
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", "The image that was scored");
      this.present(element("figure", {}, canvas), this.outcome(answer, 0, note));
    });
  }

  instance(read) {
    return this.run(async () => {
      const document = { instances: [read()], parameters: this.asked };
      this.present(this.outcome(await post(JSON.stringify(document), "application/json", ""), 0, ""));
    });
  }

  json(text) {
    return this.run(async () => {
      const answer = await post(JSON.stringify(prepareJson(text, this.info.input, this.asked)), "application/json", "");
      if (answer.scores.length === 1) this.present(this.outcome(answer, 0, ""));
      else this.present(this.outcomes(answer));
    });
  }

  async run(work) {
    byId("result").setAttribute("aria-busy", "true");
    try {
      await work();
    } catch (error) {
      const unreachable = error instanceof TypeError;
      this.present(element("p", { className: "error" },
        unreachable ? "The service could not be reached; try again." : error.message));
    } finally {
      byId("result").removeAttribute("aria-busy");
    }
  }

  present(...parts) {
    byId("result").replaceChildren(...parts);
    byId("result").scrollIntoView({ block: "nearest" });
  }

  name(index) {
    return this.info.class_names[index] ?? `class ${index}`;
  }

  outcome(answer, row, note) {
    const score = answer.scores[row];
    const flagged = answer.is_adversarial[row];
    const prediction = answer.predictions[row];
    const sure = answer.probabilities?.[row][prediction];
    const lines = [
      ["Prediction", this.name(prediction), sure === undefined ? "" : `with probability ${percent(sure)}`],
      ...(answer.error_probability ? [["Chance of error", percent(answer.error_probability[row]), "that this prediction is wrong"]] : []),
      ...(answer.corrected ? [["Corrected", this.name(answer.corrected[row]),
        flagged ? "after the autoencoder" : "not flagged, so unchanged"]] : []),
      ["Compared with normal", `higher than ${percent(shareBelow(score, this.about))}`, "of the reference"],
    ];
    return element("div", { className: "outcome" },
      element("p", { className: "flag", "data-flagged": flagged }, flagged ? "▲ Flagged" : "✓ Not flagged"),
      element("p", { className: "score" }, element("b", { id: "score", "data-score": score }, number(score)),
        element("span", {}, ` flagged above ${number(answer.threshold)}`)),
      meter(score, answer.threshold),
      element("dl", {}, ...lines.map(([what, value, more]) =>
        element("div", {}, element("dt", {}, what), element("dd", {}, value, element("small", {}, ` ${more}`))))),
      ...(note ? [element("p", { className: "note" }, note)] : []));
  }

  outcomes(answer) {
    const heads = ["", "Score", "Flag", "Prediction", ...(answer.error_probability ? ["Chance of error"] : []), ...(answer.corrected ? ["Corrected"] : [])];
    const rows = answer.scores.slice(0, ROWS_SHOWN).map((score, row) => [
      String(row), number(score), answer.is_adversarial[row] ? "▲ flagged" : "–", this.name(answer.predictions[row]),
      ...(answer.error_probability ? [percent(answer.error_probability[row])] : []),
      ...(answer.corrected ? [this.name(answer.corrected[row])] : []),
    ]);
    const left = answer.scores.length - rows.length;
    return element("div", { className: "outcome" },
      element("table", {},
        element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))),
        element("tbody", {}, ...rows.map((cells) => element("tr", {}, ...cells.map((cell) => element("td", {}, cell)))))),
      element("p", { className: "note" }, `Threshold ${number(answer.threshold)}.${left > 0 ? ` ${left} more rows were scored.` : ""}`));
  }
}

// The score beside the threshold, which is in the middle.
function meter(score, threshold) {
  const bar = element("div", { className: "meter" }, element("i"), element("u"));
  bar.setAttribute("aria-hidden", "true");
  bar.dataset.flagged = score > threshold;
  bar.firstChild.style.width = `${Math.max(1, Math.min(100, (50 * score) / threshold))}%`;
  return bar;
}
