// A form for one instance of a bundle with inputs by name: a field for each column or input, or one for a text.

import { element } from "./dom.js";

const SUGGESTED = 200; // categories offered while typing
const FIELDS = 200; // of a larger bundle the form has the first ones, and the others must be able to be missing

const isScalar = ({ shape }) => shape.length === 0 || (shape.length === 1 && shape[0] === 1);

// The values of an instance: { key, input, list } in order.
export function fieldsOf({ inputs, tokenizer }) {
  if (tokenizer) return [{ key: "text", input: { dtype: "string" }, list: false, long: true }];
  return inputs.flatMap((input) => {
    if (input.columns && input.shape.length === 1 && input.shape[0] === input.columns.length) {
      return input.columns.map(({ name }) => ({ key: name, input, list: false }));
    }
    const long = inputs.length === 1 && input.dtype === "string";
    return [{ key: input.name, input, list: !isScalar(input), long }];
  }).slice(0, FIELDS);
}

const isText = ({ input, list }) => list || input.dtype === "string";

function hint({ input, list }) {
  const words = [];
  if (list) words.push(`a JSON list of ${input.dtype}${input.maximum ? `, up to ${input.maximum} long` : `, ${input.shape.join(" × ")}`}`);
  else if (input.dtype !== "string") words.push(input.dtype);
  if (input.vocabulary_size) words.push(`0 to ${input.vocabulary_size - 1}`);
  else if (input.range) words.push(input.range.map((bound) => bound ?? "any").join(" to "));
  if (input.missing) words.push("may be empty");
  return words.join(", ");
}

function control(field, id) {
  const { input } = field;
  const common = { id, name: field.key, required: !input.missing && input.dtype !== "string" };
  if (field.long) return element("textarea", { ...common, rows: 4 });
  if (isText(field)) return element("input", { ...common, type: "text", autocomplete: "off", spellcheck: false });
  const [min, max] = input.vocabulary_size ? [0, input.vocabulary_size - 1] : (input.range ?? []);
  const number = element("input", { ...common, type: "number", step: input.dtype.startsWith("float") ? "any" : "1" });
  if (min != null) number.min = min;
  if (max != null) number.max = max;
  return number;
}

// The value of a field for the request; throws an Error with a message for the user.
export function valueOf(field, text) {
  const { key, input } = field;
  if (text === "" && input.missing) return null;
  if (!isText(field)) return Number(text);
  if (!field.list) return text;
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${key}: expected a JSON list, such as [1, 2, 3].`);
  }
}

// The form; `score` receives the instance.
export function instanceForm(info, score) {
  const fields = fieldsOf(info);
  const rows = fields.map((field, at) => {
    const id = `field-${at}`;
    const input = control(field, id);
    const parts = [element("label", { htmlFor: id }, field.key), input];
    const words = hint(field);
    if (words) {
      const small = element("small", { id: `${id}-hint` }, words);
      input.setAttribute("aria-describedby", small.id);
      parts.push(small);
    }
    if (Array.isArray(field.input.categories)) {
      const list = element("datalist", { id: `${id}-list` },
        ...field.input.categories.slice(0, SUGGESTED).map((value) => element("option", { value })));
      input.setAttribute("list", list.id);
      parts.push(list);
    }
    return element("div", {}, ...parts);
  });
  const form = element("form", { className: "fields" }, ...rows, element("button", { type: "submit" }, "Score"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    score(() => Object.fromEntries(fields.map((field, at) =>
      [field.key, valueOf(field, form.querySelector(`#field-${at}`).value)])));
  });
  return form;
}
