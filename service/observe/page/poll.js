// Asks for the state again and again: every two seconds, seldom while nobody looks, and ever more slowly while it fails.

const VISIBLE_SECONDS = 2;
const HIDDEN_SECONDS = 30;
const MOST_SECONDS = 30;
const TIMEOUT_SECONDS = 8;

export async function getJson(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_SECONDS * 1000) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

// `look` fetches; `onFound` is told each time that it worked, `onLost` that it did not.
export function poll(look, onFound, onLost) {
  let failures = 0;
  let timer = 0;
  let running = false;

  async function round() {
    if (running) return;
    clearTimeout(timer);
    running = true;
    let seconds = document.hidden ? HIDDEN_SECONDS : VISIBLE_SECONDS;
    try {
      await look();
      failures = 0;
    } catch {
      failures += 1;
      // Not all pages at the same moment: the service may have just come back.
      seconds = Math.min(MOST_SECONDS, Math.max(seconds, 2 ** failures)) * (0.8 + 0.4 * Math.random());
    }
    running = false;
    timer = setTimeout(round, seconds * 1000);
    if (failures) onLost();
    else onFound();
  }

  document.addEventListener("visibilitychange", () => document.hidden || round());
  addEventListener("online", round);
  round();
}
