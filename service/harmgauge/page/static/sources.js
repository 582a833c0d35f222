// The sources of the traffic.

import { about, count, duration, moment, NONE, number, shortClock } from "./format.js";
import { Ranked } from "./ranked.js";

const WORDS = { warming: "Warming up", ok: "OK" };
const CAUSES = { harm: "Harm", change: "Changed" };

export const makeSources = () => new Ranked({
  id: "sources",
  caption: "Sources, drifting ones first",
  heads: ["Source", "State", "Since", "Evidence", "Accuracy", "Inputs", "Last seen"],
  route: "/drift/sources",
  cells: ({ source, state, cause, listed, since, last_seen: seen, rows, evidence, accuracy }, now) => {
    const word = state === "drifting" ? CAUSES[cause] : listed ? "Stands out" : WORDS[state];
    const silent = duration(now - Date.parse(seen) / 1000);
    return [source, word, moment(since, now, shortClock), number(evidence), accuracy === null ? NONE : about(accuracy), count(rows), `${silent} ago`];
  },
  colour: ({ state, cause }) => cause === "change" ? "warming" : state, // as for detectors: red is for harm
});
