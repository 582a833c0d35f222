// The key, if the service requires one: requested once per tab, sent with every request, forgotten when the tab is closed.

import { byId, say } from "./dom.js";

const STORED = "harmgauge-key";

let key = null;
try {
  key = sessionStorage.getItem(STORED);
} catch { /* no access to storage: the key lasts as long as the page */ }

export class KeyNeeded extends Error {}

export const authorization = () => (key ? { Authorization: `Bearer ${key}` } : {});

// Throws KeyNeeded, and shows the form for a key, if the response rejects this key or its absence.
export async function demandKey(answer) {
  if (answer.status !== 401 && answer.status !== 403) return;
  const { detail } = await answer.json().catch(() => ({})); // a proxy's own errors are not JSON
  const why = detail ?? `The service answered ${answer.status}.`;
  say(byId("ask-why"), key ? why : "This service requires a key: a metrics, API or admin key.");
  byId("ask").hidden = false;
  throw new KeyNeeded(why);
}

// Calls `onKey` each time that a key is entered.
export function listenForKey(onKey) {
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    const given = byId("access-key").value.trim();
    if (!/^[\x21-\x7e]+$/.test(given)) { // a header cannot carry anything else
      say(byId("ask-why"), "A key consists of letters, digits and punctuation, without spaces.");
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
