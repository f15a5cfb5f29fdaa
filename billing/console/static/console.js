"use strict";
// Keys beside the links that every page has. Pages work without this file.
(() => {
  const rows = () => [...document.querySelectorAll("[data-row]")];
  const target = (row) => (row.matches("a") ? row : row.querySelector("a, input, button"));
  let going = false;

  const move = (step) => {
    const all = rows().filter(target);
    if (!all.length) return;
    const at = all.findIndex((row) => row.contains(document.activeElement));
    const next = at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + step));
    target(all[next]).focus();
  };
  const select = () => {
    const row = document.activeElement.closest("[data-row]");
    const box = row && row.querySelector("input[type=checkbox]");
    if (box) box.click();
  };
  const go = (letter) => {
    const link = letter === "h" ? document.querySelector(".brand") : document.querySelector(`[data-go="${CSS.escape(letter)}"]`);
    if (link) link.click();
  };
  const acts = {
    j: () => move(1),
    k: () => move(-1),
    x: select,
    "/": () => document.querySelector("[data-search]")?.focus(),
    "?": () => { const keys = document.querySelector(".keys"); if (keys) { keys.open = !keys.open; keys.scrollIntoView(); } },
    g: () => { going = true; },
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input:not([type=checkbox]), textarea, select")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (going) { going = false; go(event.key); return; }
    const act = acts[event.key];
    if (act) { event.preventDefault(); act(); }
  });

  // The time of the person who looks, beside the engine's.
  for (const time of document.querySelectorAll("time[datetime]")) {
    time.title = new Date(time.dateTime).toLocaleString();
  }
  // A choice of a filter shows its list at once.
  for (const form of document.querySelectorAll("[data-filters]")) {
    form.addEventListener("change", (event) => { if (event.target.matches("select")) form.requestSubmit(); });
  }
  // All of a list are selected with one box.
  for (const all of document.querySelectorAll("[data-all]")) {
    all.addEventListener("change", () => {
      for (const box of document.querySelectorAll(`input[name="${CSS.escape(all.dataset.all)}"]`)) box.checked = all.checked;
    });
  }
})();
