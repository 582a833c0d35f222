// A few words to build the document with.

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

// Only where it differs: a screen reader speaks whatever is written into a live region.
export function say(target, text) {
  if (target.textContent !== text) target.textContent = text;
}

// The colour that a custom property stands for in the theme of now, as a canvas takes it.
const probe = element("span", { hidden: true });
export function colour(name) {
  if (!probe.isConnected) document.body.append(probe);
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}

export const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
