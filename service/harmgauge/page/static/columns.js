// The columns of the inputs, and the predicted class.

import { moment, NONE, number, percent, shortClock } from "./format.js";
import { Ranked } from "./ranked.js";

export const makeColumns = () => new Ranked({
  id: "columns",
  caption: "Columns, drifting ones first",
  heads: ["Column", "State", "Since", "Evidence", "Middle", "Missing", "Change"],
  route: "/drift/columns",
  cells: (row, now) => [
    row.column, row.state === "drifting" ? "Changed" : "OK", moment(row.since, now, shortClock), number(row.evidence),
    beside(row.middle, row.reference_middle, number), beside(row.missing, row.reference_missing, percent), change(row.sentence),
  ],
  colour: ({ state }) => state === "drifting" ? "warming" : state, // a change is not yet harm
});

const beside = (now, usual, text) => now === null || usual === null ? NONE : `${text(now)} (usually ${text(usual)})`;

// "since 14 Mar 14:05 UTC: `age` lower" without the time, which has its own cell.
const change = (sentence) => sentence === null ? NONE : sentence.slice(sentence.indexOf(": ") + 2).replaceAll("`", "");
