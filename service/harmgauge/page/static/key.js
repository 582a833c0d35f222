// The key, where the service wants one: asked for once a tab, sent with every question, forgotten when the tab is closed.

import { byId, say } from "./dom.js";

const STORED = "harmgauge-key";

let key = null;
try {
  key = sessionStorage.getItem(STORED);
} catch { /* storage is closed to us: the key lasts as long as the page */ }

export class KeyNeeded extends Error {}

export const authorization = () => (key ? { Authorization: `Bearer ${key}` } : {});

// Throws KeyNeeded, and asks for a key, where the answer is that this one (or none) does not do.
export async function demandKey(answer) {
  if (answer.status !== 401 && answer.status !== 403) return;
  const { detail } = await answer.json().catch(() => ({})); // a proxy's own errors are no JSON
  const why = detail ?? `The service answered ${answer.status}.`;
  say(byId("ask-why"), key ? why : "This service asks for a key: one of its metrics, API or admin keys.");
  byId("ask").hidden = false;
  throw new KeyNeeded(why);
}

// `onKey` is told each time that somebody gave one.
export function listenForKey(onKey) {
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    const given = byId("access-key").value.trim();
    if (!/^[\x21-\x7e]+$/.test(given)) { // what a header cannot carry is no key
      say(byId("ask-why"), "A key has letters, digits and signs, and no spaces.");
      return;
    }
    key = given;
    try {
      sessionStorage.setItem(STORED, key);
    } catch { /* as above */ }
    byId("access-key").value = "";
    byId("ask").hidden = true;
    onKey();
  });
}
