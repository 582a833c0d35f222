// Helpers that build and update the document.

export const byId = (id) => document.getElementById(id);

// An element with properties, then children: texts or elements.
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// Sets the text only if it differs: a screen reader announces every write to a live region.
export function say(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

// The value of a custom property in the current theme, as a colour for a canvas.
const probe = element("span", { hidden: true });
export function colour(name) {
  if (!probe.isConnected) document.body.append(probe);
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}

export const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
