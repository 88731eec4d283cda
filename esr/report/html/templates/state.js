"use strict";
// The page's state in its address: network, filter, sort, columns, selection and axes; defaults are left out.

const state = {
  read() {
    const hash = location.hash.slice(1);
    return new URLSearchParams(hash.includes("=") ? hash : "");
  },

  get: (key) => state.read().get(key),
  all: (key) => state.read().getAll(key),

  /** Sets values, a list for several and `null` for the default; `step` makes an entry of the browser's history. */
  set(changes, step = false) {
    const params = state.read();
    for (const [key, value] of Object.entries(changes)) {
      params.delete(key);
      for (const one of [value].flat()) if (one !== null && one !== "") params.append(key, one);
    }
    const hash = `#${params}`;
    if (hash === (location.hash || "#")) return;
    history[step ? "pushState" : "replaceState"](null, "", hash);
  },

  /** Functions that show what the address says, called at the start and when it changes. */
  readers: [],
  apply() { state.readers.forEach((reader) => reader()); },
};

addEventListener("popstate", state.apply);
// A link within the page scrolls and leaves the state in the address.
addEventListener("click", (event) => {
  const link = event.target.closest?.('a[href^="#"]:not([href*="="])');
  const target = link && page.byId(link.getAttribute("href").slice(1));
  if (!target) return;
  event.preventDefault();
  for (let around = target; around; around = around.parentElement) if (around.tagName === "DETAILS") around.open = true;
  target.scrollIntoView();
});
