// Light or dark: as the system is set, until the user chooses. Runs before the first paint, so that nothing flashes.
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try {
    chosen = localStorage.getItem("harmgauge-theme");
  } catch { /* no access to storage: the choice lasts as long as the page */ }

  const isDark = () => (chosen ? chosen === "dark" : system.matches);
  const apply = () => {
    root.dataset.theme = isDark() ? "dark" : "light";
    document.getElementById("theme")?.setAttribute("aria-pressed", String(isDark()));
    dispatchEvent(new Event("themechange"));
  };
  apply();
  system.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme").addEventListener("click", () => {
      chosen = isDark() ? "light" : "dark";
      try {
        localStorage.setItem("harmgauge-theme", chosen);
      } catch { /* as above */ }
      apply();
    });
  });
})();
