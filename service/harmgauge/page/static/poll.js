// Polls the state: every two seconds, less often while the tab is hidden, and ever more slowly while it fails.

import { authorization, demandKey, KeyNeeded, listenForKey } from "./key.js";

const VISIBLE_SECONDS = 2;
const HIDDEN_SECONDS = 30;
const MOST_SECONDS = 30;
const TIMEOUT_SECONDS = 8;

export async function getJson(path) {
  const signal = AbortSignal.timeout(TIMEOUT_SECONDS * 1000);
  const answer = await fetch(path, { cache: "no-store", headers: authorization(), signal });
  await demandKey(answer);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

// `look` fetches the state; `onFound` is called after each success, `onLost` with the error after each failure. If a key is
// required, polling waits for one.
export function poll(look, onFound, onLost) {
  let failures = 0;
  let timer = 0;
  let running = false;

  async function round() {
    if (running) return;
    clearTimeout(timer);
    running = true;
    let lost = null;
    let seconds = document.hidden ? HIDDEN_SECONDS : VISIBLE_SECONDS;
    try {
      await look();
      failures = 0;
    } catch (error) {
      lost = error;
      failures += 1;
      // Spread the pages out: the service may have just come back.
      seconds = Math.min(MOST_SECONDS, Math.max(seconds, 2 ** failures)) * (0.8 + 0.4 * Math.random());
    }
    running = false;
    if (!(lost instanceof KeyNeeded)) timer = setTimeout(round, seconds * 1000);
    if (lost) onLost(lost);
    else onFound();
  }

  document.addEventListener("visibilitychange", () => document.hidden || round());
  addEventListener("online", round);
  listenForKey(round);
  round();
}
